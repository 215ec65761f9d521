"""Known-bad and harmless revisions through the gate and through other tools: writes docs/evidence/bad-migrations.md.

python -m benchmarks.bad_migrations [--only NAME,NAME] [--engine ENGINE] [--programs FOLDER] [--keep FILE]
    [--output FILE]

Takes about ten minutes. `--programs` is the folder of the other tools' programs (the bin of an environment with
squawk-cli, alembic-guard, lockcheck, zdm, alembic-migration-linter, pytest-alembic, psycopg and PyMySQL); what is
not there is left out. MySQL is that of TEST_MYSQL, or the system's. The other tools are not asked again there: the
files are those of MariaDB. `--keep` remembers each case in a file, and leaves out those that are in it. With --only or
--engine the page stays as it is. Exit code 1: something bad went through, or something harmless did not.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.bad_migrations.case import Case, cases, on_mysql
from benchmarks.bad_migrations.page import Row, written
from benchmarks.bad_migrations.play import ROOT, Databases, Played, plain_alembic, play, servers

from benchmarks.bad_migrations.others import Subject, ask, installed  # isort: skip - play knows the tests' folders


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--engine", choices=["sqlite", "postgresql", "mariadb", "mysql"])
    parser.add_argument("--programs", default=str(Path(sys.executable).parent))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence" / "bad-migrations.md")
    arguments = parser.parse_args()
    everything = [*cases(bad=True), *cases(bad=False)]
    everything += on_mysql(everything)
    names = arguments.only.split(",") if arguments.only else [case.name for case in everything]
    chosen = [c for c in everything if c.name in names and arguments.engine in (None, c.engine)]
    found = list(remembered(chosen, arguments.programs, arguments.keep))
    page = written(found, installed(arguments.programs))
    if len(chosen) == len(everything):
        arguments.output.write_text(page)
        print(f"written: {arguments.output}")
    else:
        print(page[page.index("## All") :])
    return int(any(not row.as_expected for row in found))


def remembered(chosen: list[Case], programs: str, keep: Path | None) -> Iterator[Row]:
    """A row for each case; those that are in the file `keep` come from there, the others are added to it."""
    lines = keep.read_text().splitlines() if keep and keep.exists() else []
    rows = {(row.name, row.engine): row for row in (msgspec.json.decode(line, type=Row) for line in lines)}
    for played in all_played([case for case in chosen if (case.name, case.engine) not in rows], programs):
        row = rows[played.case.name, played.case.engine] = Row.of(played)
        print(
            "ok     " if row.as_expected else "NOT SO ", row.name, row.engine, "|", row.by[:100], flush=True
        )
        if keep:
            with keep.open("a") as file:
                file.write(msgspec.json.encode(row).decode() + "\n")
    yield from (rows[case.name, case.engine] for case in chosen)


def all_played(chosen: list[Case], programs: str) -> Iterator[Played]:
    """Each case through the gate, then, on the database that it left, through plain Alembic and the other tools."""
    with servers({case.engine for case in chosen}) as fresh:
        for case in chosen:
            with tempfile.TemporaryDirectory(prefix="case-") as text:
                yield _played(case, Path(text), programs, fresh)


def _played(case: Case, folder: Path, programs: str, fresh: Databases) -> Played:
    (folder / "empty").mkdir()
    played, project = play(case, folder / "project", fresh(case.engine, folder))
    if case.bad and played.refused:
        played.plain = plain_alembic(project)
    elif case.bad:
        played.plain = "goes through"
    if case.engine != "mysql":
        empty = fresh(case.engine, folder / "empty")
        played.others = ask(Subject(project, case.engine, empty, programs))
    return played


if __name__ == "__main__":
    sys.exit(main())
