"""Known-bad and harmless revisions through the gate and through other tools: writes docs/bad_migrations.md.

python -m benchmarks.bad_migrations [--only NAME,NAME] [--engine ENGINE] [--programs FOLDER] [--output FILE]

Takes about ten minutes. `--programs` is the folder of the other tools' programs (the bin of an environment with
squawk-cli, alembic-guard, lockcheck, zdm, alembic-migration-linter, pytest-alembic, psycopg and PyMySQL); what is
not there is left out. With --only or --engine the page stays as it is. Exit code 1: something bad went through, or
something harmless did not.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bad_migrations.case import Case, cases
from benchmarks.bad_migrations.page import written
from benchmarks.bad_migrations.play import ROOT, Databases, Played, plain_alembic, play, servers

from benchmarks.bad_migrations.others import Subject, ask, installed  # isort: skip - play knows the tests' folders


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--engine", choices=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--programs", default=str(Path(sys.executable).parent))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "bad_migrations.md")
    arguments = parser.parse_args()
    everything = [*cases(bad=True), *cases(bad=False)]
    names = arguments.only.split(",") if arguments.only else [case.name for case in everything]
    chosen = [c for c in everything if c.name in names and arguments.engine in (None, c.engine)]
    found = []
    for played in all_played(chosen, arguments.programs):
        found.append(played)
        print(
            "ok     " if played.as_expected else "NOT SO ", played.case.name, "|", played.by[:100], flush=True
        )
    page = written(found, installed(arguments.programs))
    if len(chosen) == len(everything):
        arguments.output.write_text(page)
        print(f"written: {arguments.output}")
    else:
        print(page[page.index("## All") :])
    return int(any(not played.as_expected for played in found))


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
    empty = fresh(case.engine, folder / "empty")
    played.others = ask(Subject(project, case.engine, empty, programs))
    return played


if __name__ == "__main__":
    sys.exit(main())
