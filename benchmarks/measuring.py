"""What measuring costs: the dry run with and without asking what statements lock and rewrite, on each engine.

python benchmarks/measuring.py [--revisions 200] [--rows 2000] [--rounds 5]

A history of many small revisions (a column, an index, a loop over rows, another type, in turns) on tables with rows:
the worst case, since the more a statement does the less it matters that it is asked about. Both run in turns on the
same project; printed are medians of the seconds that the revisions took on the copy, and of the whole stage, as ratios
of the same round. Servers are throw-away ones of its own, without fsync.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine

AIM = 1.15
TABLES = 20
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support")]


NO_WAY_BACK = "raise NotImplementedError"


def body(number: int) -> str:
    """The upgrade of a revision: four kinds, in turns."""
    table = f"t{number // 4 % TABLES}"
    if number % 4 == 0:
        return f'op.add_column("{table}", sa.Column("c{number}", sa.Integer))'
    if number % 4 == 1:
        return f'op.create_index("ix{number}", "{table}", ["amount"])'
    if number % 4 == 2:
        return f'for n in range(20):\n    op.execute(f"UPDATE {table} SET amount = {{n}} WHERE id = {{n}}")'
    alter = f'batch.alter_column("name", type_=sa.String({number + 50}))'
    return f'with op.batch_alter_table("{table}") as batch:\n    {alter}'


def filled(url: URL, rows: int) -> None:
    """Tables with rows, at the revision `0000`."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for n in range(TABLES):
            connection.exec_driver_sql(
                f"CREATE TABLE t{n} (id integer PRIMARY KEY, name varchar(40), amount integer)"
            )
            for start in range(0, rows, 1000):
                values = ", ".join(f"({i}, 'name {i}', {i})" for i in range(start, min(start + 1000, rows)))
                connection.exec_driver_sql(f"INSERT INTO t{n} VALUES {values}")
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('0000')")
    engine.dispose()


def project(folder: Path, url: URL, revisions: int, bodies: Callable[[int], tuple[str, str]]) -> Any:
    """A project of our own; `bodies` gives upgrade and downgrade of each revision."""
    from alembic_project import new_project

    made = new_project(folder, revisions=False)
    made.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    made.settings('[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "server"\n')
    made.revision("0000", None, "pass")
    for number in range(1, revisions + 1):
        made.revision(f"{number:04}", f"{number - 1:04}", *bodies(number))
    return made


@contextmanager
def sqlite() -> Iterator[URL]:
    with tempfile.TemporaryDirectory() as folder:
        yield URL.create("sqlite", database=str(Path(folder) / "app.db"))


@contextmanager
def postgresql() -> Iterator[URL]:
    import conftest

    with conftest.run_postgresql(conftest.postgresql_binaries()) as server:
        yield server.url("postgres").set(drivername="postgresql+psycopg")


@contextmanager
def mariadb() -> Iterator[URL]:
    import conftest

    with conftest.installed_mariadb() as template, conftest.run_mariadb(template) as server:
        engine = create_engine(server.admin_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE bench")
        engine.dispose()
        yield server.admin_url.set(database="bench")


@contextmanager
def mysql() -> Iterator[URL]:
    from conftest import free_port
    from mysql_server import installed_mysql, run_mysql

    programs = Path(os.environ["TEST_MYSQL"]) / "bin"
    with installed_mysql(programs) as template, run_mysql(programs, template, free_port()) as server:
        engine = create_engine(server.admin_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE bench")
        engine.dispose()
        yield server.admin_url.set(database="bench")


ENGINES: dict[str, Callable[[], AbstractContextManager[URL]]] = {
    "SQLite": sqlite,
    "PostgreSQL": postgresql,
    "MariaDB": mariadb,
    **({"MySQL": mysql} if "TEST_MYSQL" in os.environ else {}),
}


def dry_run(made: Any, *, measure: bool) -> tuple[float, float]:
    """Seconds of the revisions, and of the whole stage."""
    report = made.gate("dry-run", measure=measure, lock_budget=3600.0)
    stage = report.result("dry-run")
    assert report.exit_code == 0, report
    assert stage is not None
    assert report.evidence.measured is measure
    return report.evidence.migrate_seconds, stage.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=list(ENGINES))
    arguments = parser.parse_args()
    missed = False
    for name in [arguments.engine] if arguments.engine else ENGINES:
        with ENGINES[name]() as url, tempfile.TemporaryDirectory() as folder:
            filled(url, arguments.rows)
            made = project(
                Path(folder) / "project", url, arguments.revisions, lambda n: (body(n), NO_WAY_BACK)
            )
            rounds = [
                (dry_run(made, measure=False), dry_run(made, measure=True)) for _ in range(arguments.rounds)
            ]
        without, within = (statistics.median(r[n][0] for r in rounds) for n in (0, 1))
        ratios = [r[1][0] / r[0][0] for r in rounds]
        stage = statistics.median(r[1][1] / r[0][1] for r in rounds)
        ratio = statistics.median(ratios)
        missed |= ratio > AIM
        print(
            f"{name}: {arguments.revisions} revisions in {without:.2f} s, measured {within:.2f} s: ratio {ratio:.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), of the stage {stage:.2f} (aim {AIM})"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
