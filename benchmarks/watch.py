"""How long after a change of one revision `check --watch` has printed its findings: python benchmarks/watch.py

[--revisions 200] [--rounds 20]. A git repository with that many revisions on SQLite; the newest is written again and
again. From the write to the last line of the check, with the time until the change is seen; beside it `check --since
HEAD`, which starts Python and imports Alembic each time.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gate import ENV, INI

COMMAND = (sys.executable, "-m", "ci_migrate")
AIM = 0.5
REVISION = """\
import sqlalchemy as sa
from alembic import op

revision = "r{number}"
down_revision = {down!r}


def upgrade():
    op.create_table("t{number}", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("t{number}")
"""


def make_project(folder: Path, count: int) -> Path:
    """A repository of small revisions; returns the file of one more, which is not committed."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "ci-migrate.toml").write_text('[targets.dev]\nurl = "sqlite:///app.db"\n')
    for number in range(count):
        down = f"r{number - 1}" if number else None
        (versions / f"r{number}.py").write_text(REVISION.format(number=number, down=down))
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return versions / f"r{count}.py"


def until_it_said(child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("ci-migrate: ") and "finding" in line:
            return
    raise SystemExit("it ended")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--revisions", type=int, default=200)
    options.add_argument("--rounds", type=int, default=20)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = make_project(folder, asked.revisions)
        text = REVISION.format(number=asked.revisions, down=f"r{asked.revisions - 1}")
        child = subprocess.Popen(
            [*COMMAND, "check", "--watch"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        watched, started = [], []
        try:
            until_it_said(child)
            for number in range(asked.rounds):
                time.sleep(0.2)
                begin = time.perf_counter()
                script.write_text(f"{text}\n# {number}\n")
                until_it_said(child)
                watched.append(time.perf_counter() - begin)
        finally:
            child.terminate()
            child.wait(30)
        for _ in range(5):
            begin = time.perf_counter()
            subprocess.run(
                [*COMMAND, "check", "--since", "HEAD"], cwd=folder, capture_output=True, check=True
            )
            started.append(time.perf_counter() - begin)
    one, other = statistics.median(watched), statistics.median(started)
    verdict = "ok" if one < AIM else "MISSED"
    print(
        f"{asked.revisions} revisions: {one:.2f} s after a change (at most {max(watched):.2f} s), "
        f"`check --since HEAD` {other:.2f} s: {other / one:.1f} times as long. Aim: under {AIM} s: {verdict}"
    )


if __name__ == "__main__":
    main()
