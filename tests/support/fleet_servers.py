"""Fleets of databases on one server, made quickly: each as Alembic's revision r1 would have left it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic_project import AlembicProject, new_project
from fleet_support import SETTINGS, name_of

ENGINES = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql97": "mysql97_url"}
"""The fixture of a URL, by engine."""

TABLES = (
    "create table users (id integer primary key, name varchar(40))",
    "create view people as select users.name from users",
    "create table alembic_version (version_num varchar(32) not null primary key)",
)
ROWS = ("insert into alembic_version values ('r1')", "insert into users values (1, 'Ada')")
R1 = f"for statement in {TABLES[:2]}:\n    op.execute(statement)"


def sql_at(url: sa.URL, *statements: str) -> list[tuple[object, ...]]:
    """Send statements, each by itself; the rows of the last one."""
    found: list[tuple[object, ...]] = []
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
            if result.returns_rows:
                found = [tuple(row) for row in result.all()]
    return found


class ServerFleet:
    """A project whose target `tenants` is a fleet of databases of one server."""

    def __init__(self, project: AlembicProject, url: sa.URL) -> None:
        self.project = project
        self.admin = url
        self.names: list[str] = []
        project.settings(SETTINGS)
        project.revision("r1", None, R1, "drop view people; drop table users")

    def url(self, name: str) -> sa.URL:
        """With a name that no other test has."""
        return self.admin.set(database=f"{self.admin.database}_{name}")

    def add(self, count: int) -> None:
        """So many databases more, which the fleet lists."""
        names = [name_of(len(self.names) + number) for number in range(count)]
        sql_at(self.admin, *(f"create database {self.url(name).database}" for name in names))
        for name in names:
            sql_at(self.url(name), *TABLES, *ROWS)
        self.names += names
        self.list_only(self.names)

    def drop(self) -> None:
        """All of them, with their ledgers and copies."""
        shown = "select datname from pg_database" if self.postgresql else "show databases"
        prefix = f"{self.admin.database}_"
        forced = " with (force)" if self.postgresql else ""
        there = [str(name) for (name,) in sql_at(self.admin, shown)]
        sql_at(self.admin, *(f"drop database {n}{forced}" for n in there if n.startswith(prefix)))

    @property
    def postgresql(self) -> bool:
        return self.admin.get_backend_name() == "postgresql"

    def list_only(self, names: Sequence[str]) -> None:
        """The fleet lists these."""
        self.listed = [*names]
        lines = [f"{name} {self.url(name).render_as_string(hide_password=False)}\n" for name in names]
        self.project.write("tenants.txt", "".join(lines))

    def set(self, text: str) -> None:
        """More settings of the fleet."""
        self.project.settings(SETTINGS + text)

    def sql(self, name: str, *statements: str) -> list[tuple[object, ...]]:
        return sql_at(self.url(name), *statements)

    def at(self, name: str) -> list[str]:
        return [str(row[0]) for row in self.sql(name, "select version_num from alembic_version order by 1")]


@contextmanager
def server_fleet(folder: Path, url: sa.URL, count: int) -> Iterator[ServerFleet]:
    """A fleet whose databases are at r1; the scripts are at r2."""
    fleet = ServerFleet(new_project(folder), url)
    try:
        fleet.add(count)
        yield fleet
    finally:
        fleet.drop()
