"""A shop whose three pending revisions mix DDL and data, on SQLite or PostgreSQL, and the command killed in it."""

import contextlib
import io
import os
import signal
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import forked_command
from alembic_project import INI, AlembicProject, Done
from sqlalchemy import URL, create_engine, inspect, make_url, text

from ci_migrate import cli

KILLING_ENV = """\
import os, signal
from alembic import context
from sqlalchemy import create_engine, event, pool

# FAULT_IN_CHILD `<who>:<what>:<number>` kills after the engine has done its part and before anybody hears of it
who, what, number = os.environ.get("FAULT_IN_CHILD", "nobody:nothing:0").split(":")
armed = os.environ.get("CI_MIGRATE_STAGE") == os.environ.get("FAULT_STAGE", "migrate")
done = {"execute": 0, "commit": 0}


def strike(kind):
    done[kind] += 1
    if armed and what == kind and done[kind] == int(number):
        open(os.environ["FAULT_STRUCK"], "w").close()
        if who == "raise":
            raise engine.dialect.dbapi.ProgrammingError("injected")
        if who == "both":
            os.kill(int(os.environ["FAULT_GATE"]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


url = os.environ["DATABASE_URL"]
pipes = {"init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"}
engine = create_engine(url, poolclass=pool.NullPool, connect_args=pipes if url.startswith("mysql") else {})
do_execute, do_commit = engine.dialect.do_execute, engine.dialect.do_commit


def killing_execute(cursor, statement, parameters, context=None):
    do_execute(cursor, statement, parameters, context)
    if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW")):
        strike("execute")


def killing_commit(connection):
    do_commit(connection)
    strike("commit")


engine.dialect.do_execute, engine.dialect.do_commit = killing_execute, killing_commit
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=%s)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
if armed and "FAULT_COUNTS" in os.environ:
    with open(os.environ["FAULT_COUNTS"], "w") as file:
        file.write(f"{done['execute']} {done['commit']}")
"""

R0 = """
op.create_table("customers", sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40)), sa.Column("points", sa.Integer))
"""
R1 = """
op.add_column("customers", sa.Column("email", sa.String(80)))
op.create_table("invoices", sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id")), sa.Column("total", sa.Integer))
"""
R1_BACK = """
op.drop_table("invoices")
op.drop_column("customers", "email")
"""
R2 = """
rows = op.get_bind().execute(sa.text("SELECT id FROM customers WHERE id % 10 = 0 ORDER BY id")).fetchall()
for row in rows:
    op.execute(f"INSERT INTO invoices VALUES ({row[0]}, {row[0]}, {row[0]})")
op.execute("UPDATE customers SET email = name || '@example.com'")
"""
R2_BACK = """
op.execute("DELETE FROM invoices")
op.execute("UPDATE customers SET email = NULL")
"""
POINTS = """
op.execute("UPDATE customers SET points = points + 1")
"""
POINTS_BACK = """
op.execute("UPDATE customers SET points = points - 1")
"""
BLOCK = """
with op.get_context().autocommit_block():
    op.execute("UPDATE customers SET points = points + 1")
    op.execute("CREATE INDEX ix_early ON customers (points)")
op.execute("UPDATE invoices SET total = total + 1")
"""
BLOCK_BACK = """
op.execute("UPDATE invoices SET total = total - 1")
op.execute("DROP INDEX ix_early")
op.execute("UPDATE customers SET points = points - 1")
"""
R3 = """
op.execute("UPDATE invoices SET total = total * 2")
with op.batch_alter_table("customers") as batch:
    batch.alter_column("email", existing_type=sa.String(80), nullable=False)
op.create_index("ix_invoices", "invoices", ["customer_id"])
"""
R3_BACK = """
op.drop_index("ix_invoices", "invoices")
with op.batch_alter_table("customers") as batch:
    batch.alter_column("email", existing_type=sa.String(80), nullable=True)
op.execute("UPDATE invoices SET total = total / 2")
"""

OTHER_CLIENT = """\
import sqlalchemy as sa
engine = sa.create_engine({url!r})
with engine.begin() as connection:
    connection.execute(sa.text("INSERT INTO customers (id, name, points) VALUES (1000, 'came later', 7)"))
    connection.execute(sa.text("UPDATE customers SET name = 'renamed later' WHERE id = 1"))
engine.dispose()
"""


@dataclass
class Shop(AlembicProject):
    """The project; `url` is its database."""

    url: str = ""

    @property
    def struck(self) -> bool:
        """Whether the fault came."""
        return (self.folder / "struck").exists()

    def gate(self, *arguments: str, fault: str = "", in_child: str = "", write: bool = False,
             env: Mapping[str, str] | None = None, timeout: float = 120) -> Done:  # fmt: skip
        """Run the command with a fault."""
        variables = {"FAULT_STRUCK": str(self.folder / "struck"), **(env or {})}
        if fault:
            variables["FAULT"] = fault
        if in_child:
            variables["FAULT_IN_CHILD"] = in_child
        if write:
            variables["FAULT_WRITE"] = OTHER_CLIENT.format(url=self.url)
        done = forked_command.run(
            arguments, folder=self.folder, environ=self.environment(variables), timeout=timeout, faults=True
        )
        return Done(done.returncode, done.stdout, done.stderr, self.folder)

    def here(self, *arguments: str) -> Done:
        """Run the command in this process: quicker by its start, where no fault is wanted."""
        out, handlers = io.StringIO(), {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            with (
                mock.patch.dict(os.environ, self.environment(), clear=True),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
            ):
                code = cli.run(["-C", str(self.folder), *arguments])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(code, out.getvalue(), "", self.folder)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement, committed."""
        engine = create_engine(self.url)
        with engine.begin() as connection:
            result = connection.execute(text(sql))
            rows = [tuple(row) for row in result] if result.returns_rows else []
        engine.dispose()
        return rows

    def heads_now(self) -> list[str]:
        return sorted(row[0] for row in self.query("SELECT version_num FROM alembic_version"))

    def everything_in_it(self) -> dict[str, Any]:
        """Schema and all rows, in an order of their own."""
        engine = create_engine(self.url)
        found: dict[str, Any] = {}
        with engine.connect() as connection:
            look = inspect(connection)
            for name in sorted(look.get_table_names()):
                columns = look.get_columns(name)
                found[name] = {
                    "columns": sorted((c["name"], str(c["type"]), c["nullable"]) for c in columns),
                    "indexes": sorted((i["name"], tuple(i["column_names"])) for i in look.get_indexes(name)),
                    "keys": sorted(tuple(k["constrained_columns"]) for k in look.get_foreign_keys(name)),
                    "rows": sorted(
                        connection.execute(text(f"SELECT {', '.join(sorted(c['name'] for c in columns))} FROM {name}"))
                        .all(), key=repr,
                    ),
                }  # fmt: skip
        engine.dispose()
        return found


def new_shop(folder: Path, url: URL | None = None, *, mode: str = "default", settings: str = "") -> Shop:
    """A shop at revision r0 with thirty customers; r1, r2, r3 are pending.

    Args:
        folder: an empty one.
        url: PostgreSQL or MariaDB; None is SQLite in the folder.
        mode: "default" (on PostgreSQL one transaction), "per-migration", or "autocommit" (r2 has a block).
        settings: further lines of the target.
    """
    url = url or make_url(f"sqlite:///{folder}/app.db")
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "mysql":
        url = url.set(drivername="mysql+pymysql")
    written = url.render_as_string(hide_password=False)
    shop = Shop(folder, environ={"DATABASE_URL": written}, url=written)
    (folder / "migrations" / "versions").mkdir(parents=True)
    shop.write("alembic.ini", INI)
    shop.write("migrations/env.py", KILLING_ENV % (mode != "default"))
    shop.settings(
        f'backup-dir = "./backups"\nrun-lock-timeout = 15\n[targets.dev]\nurl = "env:DATABASE_URL"\n{settings}'
    )
    shop.revision("r0", None, R0)
    block = mode == "autocommit"
    shop.revision("r1", "r0", R1, R1_BACK)
    shop.revision(
        "r2", "r1", R2 + (BLOCK if block else POINTS), (BLOCK_BACK if block else POINTS_BACK) + R2_BACK
    )
    shop.revision("r3", "r2", R3, R3_BACK)
    fill(url)
    return shop


def only_for_real(code: str) -> str:
    """Code of a revision that runs in the migrate stage alone: what no rehearsal can see."""
    return 'import os, time\nif os.environ.get("CI_MIGRATE_STAGE") == "migrate":\n' + textwrap.indent(
        textwrap.dedent(code).strip(), "    "
    )


def fill(url: URL) -> None:
    """What r0 makes, by hand: quicker, and it is no part of what is tested."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('r0')",
            "CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40), points INTEGER)",
            *(f"INSERT INTO customers VALUES ({n}, 'name {n}', {n})" for n in range(1, 31)),
        ):
            connection.execute(text(statement))
    engine.dispose()
