"""What the gate costs: `ci-migrate run` against plain `alembic upgrade head`, on SQLite, in one run.

python benchmarks/gate.py [--revisions 1000] [--rounds 3]

Prints for a history of many small revisions the ratio of the two, and for one revision the overhead in seconds and
where it goes (seconds per stage, from report.json). Both start from the same file each time, in turns. Seconds of
processors tell more than the clock where the machine has other work.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from as_installed import compile_package

INI = """[alembic]
script_location = migrations
sqlalchemy.url = sqlite:///app.db
"""
ENV = """from alembic import context
from sqlalchemy import engine_from_config, pool
config = context.config
section = config.get_section(config.config_ini_section)
engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = '''"""revision {number}"""
import sqlalchemy as sa
from alembic import op

revision = "{number:04}"
down_revision = {down}


def upgrade():
    {up}


def downgrade():
    {back}
'''


def body(number: int) -> tuple[str, str]:
    """Small revisions of three kinds, in turns: a table, an index, a column."""
    table = f"t{number - (number - 1) % 3:04}"
    if number % 3 == 1:
        columns = 'sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40))'
        return f'op.create_table("{table}", {columns})', f'op.drop_table("{table}")'
    if number % 3 == 2:
        return (
            f'op.create_index("ix_{table}", "{table}", ["name"])',
            f'op.drop_index("ix_{table}", "{table}")',
        )
    return f'op.add_column("{table}", sa.Column("age", sa.Integer))', f'op.drop_column("{table}", "age")'


def project(folder: Path, revisions: int) -> None:
    """An ordinary Alembic project with a history of this length."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "migrations" / "script.py.mako").write_text("")
    for number in range(1, revisions + 1):
        up, back = body(number)
        down = f'"{number - 1:04}"' if number > 1 else None
        text = REVISION.format(number=number, down=down, up=up, back=back)
        (versions / f"{number:04}_revision.py").write_text(text)


def clean(folder: Path, start: Path | None) -> None:
    """Back to the state before: no leftovers of the last round."""
    for path in folder.glob("app.db*"):
        path.unlink()
    shutil.rmtree(folder / ".ci-migrate" / "backups", ignore_errors=True)
    if start is not None:
        shutil.copy(start, folder / "app.db")


class Seconds(NamedTuple):
    """Of one whole process and all that it started."""

    clock: float
    processors: float


def timed(command: list[str], folder: Path) -> Seconds:
    """Run it."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def pair(
    folder: Path, rounds: int, start: Path | None
) -> tuple[list[Seconds], list[Seconds], dict[str, float]]:
    """Seconds of plain Alembic and of the gate, in turns; and the gate's seconds per stage in the last round."""
    plain, gate = [], []
    for _ in range(rounds):
        clean(folder, start)
        plain.append(timed([sys.executable, "-m", "alembic", "upgrade", "head"], folder))
        clean(folder, start)
        gate.append(timed([sys.executable, "-m", "ci_migrate", "run"], folder))
    report = json.loads((folder / ".ci-migrate" / "reports" / "report.json").read_text())
    stages = report["report"]["results"] if "report" in report else report["results"]
    return plain, gate, {s["stage"]: s["seconds"] for s in stages if s["outcome"] == "passed"}


def show(name: str, plain: list[Seconds], gate: list[Seconds]) -> None:
    """Medians, and the ratio round by round."""
    print(f"{name}")
    for what in Seconds._fields:
        theirs, ours = ([getattr(one, what) for one in some] for some in (plain, gate))
        ratios = [g / p for p, g in zip(theirs, ours, strict=True)]
        over = [g - p for p, g in zip(theirs, ours, strict=True)]
        print(f"  by {what}")
        print(f"    alembic upgrade head median {statistics.median(theirs):6.2f} s")
        print(f"    ci-migrate run       median {statistics.median(ours):6.2f} s")
        print(
            f"    ratio                median {statistics.median(ratios):6.2f}   "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )
        print(f"    overhead             median {statistics.median(over):6.2f} s")


def main() -> None:
    """Both figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--revisions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    compile_package()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="ci-migrate-bench-") as place:
        many = Path(place) / "many"
        project(many, given.revisions)
        plain, gate, stages = pair(many, given.rounds, None)
        show(
            f"{given.revisions} small revisions from an empty SQLite database (aim: ratio at most 3)",
            plain,
            gate,
        )
        print("  seconds per stage      " + ", ".join(f"{k} {v:.2f}" for k, v in stages.items()))
        one = Path(place) / "one"
        project(one, 2)
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "0001"], cwd=one, check=True, capture_output=True
        )
        start = Path(place) / "start.db"
        shutil.copy(one / "app.db", start)
        plain, gate, stages = pair(one, given.rounds, start)
        show("One revision on a small SQLite database (aim: overhead at most 1 s)", plain, gate)
        print("  seconds per stage      " + ", ".join(f"{k} {v:.2f}" for k, v in stages.items()))
    print(f"  machine                {os.cpu_count()} cores, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
