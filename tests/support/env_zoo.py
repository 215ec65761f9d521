"""Alembic projects as they are found in the wild, on SQLite and PostgreSQL, and the command that runs in them."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import alembic
import pytest
import sqlalchemy as sa
from alembic_project import INI, AlembicProject, Done

TEMPLATES = Path(alembic.__file__).parent / "templates"

TABLE = "create table users (id integer primary key, name text)"
COLUMN = 'op.add_column("users", sa.Column("email", sa.Text))'

SYNC = """\
from alembic import context
from sqlalchemy import create_engine, engine_from_config, pool, text

config = context.config
url = config.get_main_option("sqlalchemy.url")


def migrate(connection, **options):
    context.configure(connection=connection, target_metadata=None, **options)
    with context.begin_transaction():
        context.run_migrations()
"""
"""What most of the zoo begins with; each then runs `migrate` in its own way."""

PLAIN = """
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    migrate(connection)
"""


@dataclass
class Zoo(AlembicProject):
    """A project on a database of either engine."""

    url: sa.URL = None

    @property
    def dialect(self) -> str:
        return self.url.get_backend_name()

    @property
    def text_url(self) -> str:
        return self.url.render_as_string(hide_password=False)

    def engine(self, url=None):
        url = url or self.url
        drivers = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite", "mysql": "mysql+pymysql"}
        return sa.create_engine(url.set(drivername=drivers[url.get_backend_name()]), poolclass=sa.NullPool)

    def query(self, statement, url=None):
        """Rows of one statement, committed."""
        engine = self.engine(url)
        with engine.begin() as connection:
            done = connection.exec_driver_sql(statement)
            return [tuple(row) for row in done] if done.returns_rows else []

    def prepare(self, *statements):
        for statement in statements:
            self.query(statement)

    @property
    def tables(self):
        """All tables, with their schema where it is not the usual one."""
        seen = sa.inspect(self.engine())
        names = set(seen.get_table_names())
        if self.dialect == "postgresql":
            others = set(seen.get_schema_names()) - {"public", "information_schema"}
            names |= {f"{schema}.{table}" for schema in others for table in seen.get_table_names(schema)}
        return names

    def columns(self, table):
        return {c["name"] for c in sa.inspect(self.engine()).get_columns(table)}

    def rows(self, table):
        return self.query(f"select * from {table} order by 1")

    def versions(self, table="alembic_version"):
        return sorted(row[0] for row in self.query(f"select version_num from {table}"))

    def snapshot(self, url=None):
        """Everything in the database: tables, columns, rows (SQLite: each byte of the file)."""
        url = url or self.url
        if url.get_backend_name() == "sqlite":
            file = Path(url.database)
            return file.read_bytes() if file.exists() else None
        engine = self.engine(url)
        metadata = sa.MetaData()
        seen = sa.inspect(engine)
        mysql = url.get_backend_name() == "mysql"
        schemas = [url.database] if mysql else seen.get_schema_names()
        for schema in schemas:
            if schema != "information_schema":
                metadata.reflect(engine, schema=schema)
        # the ledger's database comes with the first run
        found = {"schemas": sorted(s for s in seen.get_schema_names() if not s.endswith("_ci_migrate"))}
        with engine.connect() as connection:
            for name, table in metadata.tables.items():
                columns = [(c.name, str(c.type)) for c in table.columns]
                found[name] = (columns, sorted(map(repr, connection.execute(sa.select(table)))))
            if mysql:
                found["cluster"] = connection.exec_driver_sql(
                    "select user, host from mysql.user order by 1, 2"
                ).fetchall()
                return found
            roles = connection.exec_driver_sql(
                "select rolname, rolcanlogin from pg_roles order by 1"
            ).fetchall()
            comment = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
            found["cluster"] = (roles, connection.exec_driver_sql(comment).scalar())
        return found

    def target(self):
        """Settings whose target's URL is in the variable SHOP_URL."""
        self.settings('[targets.test]\nurl = "env:SHOP_URL"\n')
        self.environ["SHOP_URL"] = self.text_url

    def history(self, *, columns=True):
        """Two revisions that fit both engines."""
        self.revision("r1", None, TABLE, "drop table users")
        if columns:
            self.revision("r2", "r1", COLUMN, 'op.drop_column("users", "email")')

    def gate(self, *arguments, code=0, **keywords) -> Done:
        """Run the command; its exit code must be this one."""
        done = self.run(*arguments, **keywords)
        assert done.code == code, f"exit code {done.code}\n{done.text}"
        return done

    def set_url(self, url, section="alembic"):
        """The URL in alembic.ini, with % doubled as Alembic wants it."""
        path = self.folder / "alembic.ini"
        text = "\n" + path.read_text()
        value = url if isinstance(url, str) else url.render_as_string(hide_password=False)
        line = "sqlalchemy.url = " + value.replace("%", "%%")
        head, mark, rest = text.partition(f"\n[{section}]\n")
        path.write_text(head + mark + re.sub(r"(?m)^sqlalchemy\.url\s*=.*$", lambda _: line, rest, count=1))


def new_zoo(folder: Path, url: sa.URL, env: str, *, ini: str = INI, history: bool = True) -> Zoo:
    """A project with this env.py, and two revisions unless told otherwise."""
    project = Zoo(folder, url=url)
    (folder / "migrations" / "versions").mkdir(parents=True)
    project.write("alembic.ini", ini)
    project.set_url(url)
    (folder / "migrations" / "env.py").write_text(env)
    if history:
        project.history()
    return project


def initialised(folder: Path, url: sa.URL, template: str) -> Zoo:
    """What `alembic init -t TEMPLATE migrations` makes, untouched but for the URL."""
    from alembic import command
    from alembic.config import Config

    config = Config(folder / "alembic.ini", stdout=io.StringIO())
    command.init(config, str(folder / "migrations"), template=template)
    project = Zoo(folder, url=url)
    if template != "multidb":
        project.set_url(url)
        project.history()
    return project


@pytest.fixture
def other(url, request, tmp_path) -> Iterator[sa.URL]:
    """A second database beside the target, with a table `kept` of one row."""
    if url.get_backend_name() == "sqlite":
        other = url.set(database=str(tmp_path / "other.db"))
        make_other(other)
        yield other
        return
    if url.get_backend_name() == "mysql":
        admin = sa.create_engine(url.set(drivername="mysql+pymysql"), poolclass=sa.NullPool)
        name = f"other_{uuid4().hex[:12]}"
        with admin.begin() as connection:
            connection.exec_driver_sql(f"create database {name}")
        other = url.set(database=name)
        make_other(other)
        yield other
        with admin.begin() as connection:
            connection.exec_driver_sql(f"drop database {name}")
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"other_{uuid4().hex[:12]}"
    on_server(server, f"create database {name} template template0")
    other = url.set(database=name)
    make_other(other)
    yield other
    on_server(server, f"drop database {name} with (force)")


def make_other(url):
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table kept (id integer)")
        connection.exec_driver_sql("insert into kept values (1)")


def on_server(server, statement):
    """Run one statement outside of transactions, as a superuser."""
    import psycopg

    with psycopg.connect(
        server.admin_url.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(statement)


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mysql", marks=pytest.mark.long)])
def url(request, tmp_path) -> sa.URL:
    """An empty database of each engine, by its usual driver."""
    return url_of(request, tmp_path, request.param)


def url_of(request, tmp_path, kind) -> sa.URL:
    """The same for a drivername: sqlite, sqlite+aiosqlite, postgresql+psycopg2, ..."""
    if kind.startswith("sqlite"):
        return sa.URL.create(kind, database=str(tmp_path / "app.db"))
    if kind.startswith(("mysql", "mariadb")):
        given = sa.make_url(request.getfixturevalue("mysql_url"))
        return given.set(drivername="mysql+pymysql" if kind == "mysql" else kind)
    pytest.importorskip("psycopg")
    given = sa.make_url(request.getfixturevalue("postgresql_url"))
    return given.set(drivername="postgresql+psycopg" if kind == "postgresql" else kind)
