"""Real Alembic histories through `ci-migrate run`: writes docs/evidence/real-histories.md.

python benchmarks/corpora.py [--only optuna,glance] [--database sqlite|postgresql|mariadb|mysql] [--output FILE]

Takes about half an hour, the first time longer: each application is installed into an environment of its own (see
tests/corpora/README.md). With --only or --database the table is printed and the page stays as it is. Behind each case
that was migrated stands how long it took beside plain Alembic, in one round.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from as_installed import compile_package  # noqa: E402
from conftest import run_server  # noqa: E402
from corpora_support import CASES, COPIES, Case, Played, as_plain_user, fresh_database, play, sqlite_url  # noqa: E402

PAGE = """\
# Real histories through the gate

These are the Alembic histories of six public applications. Each has its own unmodified env.py and its own
environment, with the Alembic and SQLAlchemy that it wants (`tests/corpora/README.md` says which and why). Each case
starts from a fresh database: empty, or brought to an old revision by plain Alembic and filled with random rows. One
copy goes through `ci-migrate run`, the other through plain `alembic upgrade`, for comparison.

- `migrated`: exit code 0, the heads are right, and schema and row counts are those that plain Alembic leads to.
- `refused`: exit code 1 before the target was touched. Heads, schema, every row, and on SQLite every byte are as
  before.
- "plain Alembic" says what would have happened without the gate.
- "empty" means for mlflow the five tables that it makes with `create_all` before its first revision.

Two histories are refused that plain Alembic would run, each for values that are gone afterwards:

- optuna on MySQL copies `trials.value`, a `FLOAT`, through Python and drops it. MySQL sends a `FLOAT` with six digits,
  so the copies are not the values. On SQLite, which hands over all digits, the same revision passes.
- prefect drops two tables of notifications with what their users put in, and copies nothing. It drops
  `deployment.flow_data` and `manifest_path` with their values as well; those of `deployment.schedule` were copied
  into a table of their own, without the empty ones, and are told as moved. `is_schedule_active` was copied as its
  opposite, `paused`: from counts and digests nobody can tell that.

Written by `python benchmarks/corpora.py` ({machine}). Seconds are those of the whole command.

{table}
"""
HEAD = (
    "| corpus | database | start | outcome | exit | decided by | seconds | plain Alembic | why |\n"
    "| --- | --- | --- | --- | ---: | --- | ---: | --- | --- |"
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="corpora, separated by commas")
    parser.add_argument("--database", choices=list(COPIES))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence" / "real-histories.md")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else {case.corpus for case in CASES}
    cases = [c for c in CASES if c.corpus in names and arguments.database in (None, c.backend)]
    compile_package()
    lines = [HEAD]
    unexpected = 0
    for case, played in played_cases(cases):
        lines.append(line(case, played))
        unexpected += outcome(played) != case.outcome
        print(lines[-1], flush=True)
        if outcome(played) == "migrated":
            seconds, plain = played.ended.seconds, played.plain_seconds
            print(f"  {seconds:.1f} s, plain Alembic {plain:.1f} s: {seconds / plain:.1f} times", flush=True)
    if len(cases) == len(CASES):
        machine = f"{platform.system()}, Python {platform.python_version()}"
        arguments.output.write_text(PAGE.format(machine=machine, table="\n".join(lines)))
        print(f"written: {arguments.output}")
    return 1 if unexpected else 0


def played_cases(cases: list[Case]) -> Iterator[tuple[Case, Played]]:
    """Each case with what came of it; one server of each kind for all."""
    with ExitStack() as stack:
        servers: dict[str, Any] = {}
        for case in cases:
            with tempfile.TemporaryDirectory(prefix="corpus-") as text:
                folder = Path(text)
                if case.backend == "sqlite":
                    yield case, play(case, folder, sqlite_url(folder), COPIES["sqlite"])
                    continue
                if case.backend not in servers:
                    servers[case.backend] = stack.enter_context(run_server(case.backend))
                server = servers[case.backend]
                url = as_plain_user(fresh_database(server.admin_url))
                yield case, play(case, folder, url, COPIES[case.backend], getattr(server, "binaries", None))


def outcome(played: Played) -> str:
    """`migrated` and `refused` with all that the page promises of them, else what is wrong."""
    ended = played.ended
    if ended.exit_code == 0:
        same = played.plain is not None and (
            (played.after.heads, played.after.schema, played.after.counts)
            == (played.plain.heads, played.plain.schema, played.plain.counts)
        )
        return "migrated" if same else "migrated, but not as by plain Alembic"
    if played.after != played.before:
        return f"failed: {ended.report.get('state', 'no report')}"
    return "refused" if ended.exit_code == 1 else "could not tell"


def line(case: Case, played: Played) -> str:
    """One row of the table."""
    ended = played.ended
    found = outcome(played)
    if found != case.outcome:
        found += f" (expected: {case.outcome})"
    stage = ended.stage["stage"] if ended.report else ""
    plain = f"fails: {last_line(played.plain_output)}" if played.plain_exit_code else "passes"
    cells = (case.corpus, case.backend, case.start, found, str(ended.exit_code), stage, f"{ended.seconds:.0f}",
             plain, ended.reason if ended.report else last_line(ended.output))  # fmt: skip
    return f"| {' | '.join(short(cell) for cell in cells)} |"


def last_line(output: str) -> str:
    """The line of a traceback that names the error: the last one that is not indented and has a colon."""
    lines = [
        x for x in output.splitlines() if x[:1].strip() and ":" in x and not x.startswith(("(Back", "INFO"))
    ]
    errors = [x for x in lines if "Error" in x.split(":")[0]]
    return (errors or lines or [""])[-1]


def short(cell: str) -> str:
    """One line without what would end the cell, and without folders of this machine."""
    words = [w.rpartition("/")[2] if w.count("/") > 2 else w for w in cell.split()]
    text = " ".join(words).replace("|", "\\|")
    return text if len(text) <= 170 else text[:167] + "..."


if __name__ == "__main__":
    sys.exit(main())
