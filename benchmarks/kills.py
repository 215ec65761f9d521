"""kill -9 at every statement and commit, ours and plain Alembic: writes docs/evidence/kills.md.

python benchmarks/kills.py [--only "sqlite,mariadb"] [--points N] [--output FILE]

All points take hours on a small machine; --points takes that many per way, evenly spread (plain Alembic: always all).
Ways are separated by `;` since their names have commas.
"""

import argparse
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL, create_engine

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from conftest import run_server  # noqa: E402
from kill_matrix import WAYS, Forking, Outcome, Point, Prepared, Way  # noqa: E402

PAGE = """\
# kill -9 at every statement and commit

Three revisions mix tables, columns, indexes and rows: loops over rows, a dropped column, batch mode on SQLite, and
in the rows named "block" an `autocommit_block`. SIGKILL ends the child, the parent, or both, before and after each
statement and each commit; and the parent also before and after the journal records what the child says. Another
client writes rows after the backup. After each kill, only the commands that `ci-migrate status` names are typed.

- `recovered`: schema and every row are those of an undisturbed run, the other client's rows included.
- `exit 7`: ci-migrate stopped, said what it found, changed nothing more, and a person has to decide. This happens
  if a statement that only changes rows commits by itself: no catalog tells whether it was done, and since somebody
  else wrote, the rows do not tell either.
- `error`: plain Alembic, killed at its own statements and commits, fails when `alembic upgrade head` runs again.
- `wrong`: plain Alembic ends with exit code 0, but with other rows or another schema than an undisturbed run.

Written by `python benchmarks/kills.py` ({machine}). {how}

## All

| way | points | killed here | recovered | exit 7 | lost | plain Alembic: points | recovered | error | wrong |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{summary}

{details}
"""


class Table:
    """What became of one way's points."""

    def __init__(self, way: Way, points: int) -> None:
        self.way, self.points = way, points
        self.outcomes: list[Outcome] = []
        self.plain: list[tuple[Point, str]] = []

    @property
    def summary(self) -> str:
        recovered, stopped = sum(o.recovered for o in self.outcomes), sum(o.dirty for o in self.outcomes)
        lost = len(self.outcomes) - recovered - stopped
        plain = Counter(how for _, how in self.plain)
        cells = [self.way.name, self.points, len(self.outcomes), recovered, stopped, lost, len(self.plain)]
        return (
            "| " + " | ".join(map(str, [*cells, plain["recovered"], plain["error"], plain["wrong"]])) + " |"
        )

    @property
    def details(self) -> str:
        """A row for each place: who was killed there and what was typed then, and plain Alembic at the same."""
        ours: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            moment = outcome.point.where.split(":")[0]
            typed = ", ".join(outcome.typed) or "nothing"
            end = "" if outcome.recovered else " **exit 7**" if outcome.dirty else " **lost**"
            words = f"{outcome.point.who}: {outcome.found}; {typed}{end}"
            ours.setdefault(f"{moment} {outcome.point.text}", []).append(words)
        plain = {f"{point.where.split(':')[0]} {point.text}": how for point, how in self.plain}
        rows = [
            f"| `{place[:90].replace('|', '/')}` | {'<br>'.join(ours.get(place, ()))} | {plain.get(place, '')} |"
            for place in dict.fromkeys([*plain, *ours])
        ]
        head = (
            f"## {self.way.name}\n\n| where | killed: found; typed | plain Alembic |\n| --- | --- | --- |\n"
        )
        return head + "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="ways, separated by ;")
    parser.add_argument("--points", type=int)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence" / "kills.md")
    arguments = parser.parse_args()
    names = arguments.only.split(";") if arguments.only else [way.name for way in WAYS]
    tables = []
    for table in played([way for way in WAYS if way.name in names], arguments.points):
        tables.append(table)
        print(table.summary, flush=True)
        how = (
            f"About {arguments.points} points per way, evenly spread." if arguments.points else "All points."
        )
        machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        arguments.output.write_text(
            PAGE.format(
                machine=machine,
                how=how,
                summary="\n".join(t.summary for t in tables),
                details="\n".join(t.details for t in tables).rstrip(),
            )
        )
    return int(any(not o.recovered and not o.dirty for t in tables for o in t.outcomes))


def played(ways: list[Way], wanted: int | None) -> Iterator[Table]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        forking = Forking()
        stack.callback(forking.close)
        servers: dict[str, object] = {}
        for way in ways:
            prepared = Prepared(
                way, folder / uuid4().hex / "shop", new_database(way, stack, servers), forking
            )
            points = prepared.all_points
            table = Table(way, len(points))
            for point in points[:: max(1, len(points) // wanted) if wanted else 1]:
                table.outcomes.append(prepared.kill(point, always_again=wanted is None))
                if not table.outcomes[-1].recovered:
                    print(way.name, point.fault, point.text, table.outcomes[-1].found, flush=True)
            table.plain = [(point, prepared.kill_plain(point)) for point in prepared.plain()]
            prepared.copies.drop()
            yield table


def new_database(way: Way, stack: ExitStack, servers: dict) -> URL | None:
    """An empty database on a server of this process; None for SQLite."""
    if way.engine == "sqlite":
        return None
    if way.engine not in servers:
        servers[way.engine] = stack.enter_context(run_server(way.engine))
    server, name = servers[way.engine], f"kill_{uuid4().hex[:8]}"
    driver = "postgresql+psycopg" if way.engine == "postgresql" else "mysql+pymysql"
    engine = create_engine(server.admin_url.set(drivername=driver), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name}" + (" CHARACTER SET utf8mb4" if driver.startswith("mysql") else "")
        )
    engine.dispose()
    return server.url(name).set(drivername=driver)


if __name__ == "__main__":
    raise SystemExit(main())
