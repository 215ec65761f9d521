"""What the dry run measures of a migration that does many things, on each engine: locks, rewrites, bytes."""

from pathlib import Path

from alembic_project import AlembicProject, new_project
from sqlalchemy import URL, create_engine

from ci_migrate.model import Report, Statement

VERSION = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('r1')",
)


def filled(folder: Path, url: URL, *statements: str) -> AlembicProject:
    """A project whose database is at `r1`."""
    project = new_project(folder / "project")
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "server"\n')
    engine = create_engine(
        url.set(drivername={"postgresql": "postgresql+psycopg"}.get(url.drivername, url.drivername))
    )
    with engine.connect() as connection:
        for statement in (*statements, *VERSION):
            connection.exec_driver_sql(statement)
        connection.commit()
    engine.dispose()
    return project


def by_word(report: Report) -> dict[str, Statement]:
    """The statements by the comment that they begin with."""
    assert report.evidence is not None, report
    found = [s for s in report.evidence.statements if s.sql.startswith("/* ")]
    return {s.sql.split()[1]: s for s in found}


def locks(statement: Statement) -> set[tuple[str, str, str]]:
    return {(lock.table, lock.mode, lock.blocks) for lock in statement.locks}


POSTGRESQL = """
op.execute("/* nullable */ ALTER TABLE orders ADD COLUMN note text")
for n in range(3):
    op.execute(f"/* loop */ UPDATE orders SET note = '{n}' WHERE id = {n}")
op.execute("/* index */ CREATE INDEX ix_customers ON customers (name)")
op.execute("/* rewrite */ ALTER TABLE orders ALTER COLUMN amount TYPE numeric USING amount::numeric")
op.execute("/* new */ CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES customers)")
op.execute("/* empty */ TRUNCATE old")
op.execute("/* gone */ DROP TABLE gone")
op.execute("/* slow */ DO $$ BEGIN PERFORM pg_sleep(0.3); END $$")
"""
POSTGRESQL_AFTER = """
op.execute("/* before */ UPDATE people SET id = 2")
with op.get_context().autocommit_block():
    op.execute("/* concurrently */ CREATE INDEX CONCURRENTLY ix_orders ON orders (note)")
    op.execute("/* vacuum */ VACUUM FULL customers")
op.execute("/* after */ UPDATE orders SET note = 'x' WHERE id = 1")
"""


def test_postgresql(postgresql_url: URL, tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        postgresql_url,
        "CREATE TABLE customers (id int PRIMARY KEY, name text)",
        "CREATE TABLE orders (id int PRIMARY KEY, amount int)",
        "CREATE TABLE old (id int)",
        "CREATE TABLE people (id int)",
        "CREATE TABLE gone (id int)",
        "INSERT INTO customers SELECT n, 'c' || n FROM generate_series(0, 99) n",
        "INSERT INTO orders SELECT n, n FROM generate_series(0, 99) n",
    )
    project.revision("r2", "r1", POSTGRESQL)
    project.revision("r3", "r2", POSTGRESQL_AFTER)
    report = project.gate("dry-run", lock_budget=0.2)
    ran = by_word(report)
    orders, customers = "public.orders", "public.customers"
    assert locks(ran["nullable"]) == {(orders, "ACCESS EXCLUSIVE", "reads and writes")}
    assert locks(ran["loop"]) == set()  # it holds more already
    assert ran["loop"].repeats == 3
    assert locks(ran["index"]) == {(customers, "SHARE", "writes")}
    assert ran["rewrite"].rewrites == (orders,)
    assert locks(ran["rewrite"]) == set()
    assert locks(ran["new"]) == {(customers, "SHARE ROW EXCLUSIVE", "writes")}
    assert locks(ran["empty"]) == {("public.old", "ACCESS EXCLUSIVE", "reads and writes")}
    assert locks(ran["gone"]) == {("public.gone", "ACCESS EXCLUSIVE", "reads and writes")}
    assert [s for s in ran.values() if s.rewrites] == [ran["rewrite"], ran["vacuum"]]
    assert ran["nullable"].locks[0].seconds > ran["index"].locks[0].seconds > 0.3
    assert locks(ran["before"]) == {("public.people", "ROW EXCLUSIVE", "")}
    assert locks(ran["concurrently"]) == set()  # nobody sees it afterwards
    assert locks(ran["vacuum"]) == {(customers, "ACCESS EXCLUSIVE", "reads and writes")}
    assert ran["vacuum"].rewrites == (customers,)
    assert ran["after"].locks[0].mode == "ROW EXCLUSIVE"
    evidence = report.evidence
    assert evidence.measured
    assert evidence.log_bytes > 8192
    assert 0 < evidence.size_before < evidence.size_after

    found = {(f.code, f.severity.value, f.revision, f.line) for f in report.findings if f.code[:3] == "CM3"}
    assert found == {
        ("CM301", "error", "r2", ran["nullable"].line),
        ("CM301", "error", "r2", ran["index"].line),
        ("CM302", "info", "r2", ran["rewrite"].line),
        ("CM302", "info", "r3", ran["vacuum"].line),
        ("CM303", "warning", "r3", ran["vacuum"].line),
    }
    first = next(f for f in report.findings if f.code == "CM301" and "orders" in f.message)
    assert "ACCESS EXCLUSIVE on table public.orders was held for 0." in first.message
    assert "wait" not in first.message
    assert report.exit_code == 1

    plain = project.gate("dry-run", measure=False)
    assert not plain.evidence.measured
    assert not any(s.locks or s.rewrites for s in plain.evidence.statements)
    assert plain.evidence.stream_digest == evidence.stream_digest
    assert plain.exit_code == 0


MARIADB = """
op.execute("/* instant */ ALTER TABLE orders ADD COLUMN note text")
op.execute("/* index */ CREATE INDEX ix_customers ON customers (name)")
op.execute("/* copy */ ALTER TABLE orders MODIFY amount varchar(40)")
op.execute("/* inplace */ ALTER TABLE customers FORCE")
op.execute("/* new */ CREATE TABLE lines_ (id int PRIMARY KEY)")
op.execute("/* altered */ ALTER TABLE lines_ FORCE")
op.execute("/* update */ UPDATE `odd-name` SET id = id + 1")
op.execute("/* odd */ ALTER TABLE `odd-name` FORCE, ALGORITHM=COPY")
op.execute("/* gone */ DROP TABLE gone")
op.execute("/* counted */ UPDATE customers SET name = 'x' WHERE id < 3")
op.execute("INSERT INTO counted SELECT ROW_COUNT()")
"""


def test_mariadb(mysql_url: URL, tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        mysql_url,
        "CREATE TABLE customers (id int PRIMARY KEY, name varchar(40))",
        "CREATE TABLE orders (id int PRIMARY KEY, amount int)",
        "CREATE TABLE `odd-name` (id int)",
        "CREATE TABLE gone (id int)",
        "CREATE TABLE counted (n int)",
        "INSERT INTO customers SELECT seq, concat('c', seq) FROM seq_0_to_99",
        "INSERT INTO orders SELECT seq, seq FROM seq_0_to_99",
        "INSERT INTO `odd-name` VALUES (1), (2)",
    )
    project.revision("r2", "r1", MARIADB)
    report = project.gate("dry-run")
    ran = by_word(report)
    odd = '"odd-name"'
    assert odd in report.evidence.row_counts_before
    assert locks(ran["instant"]) == {("orders", "SHARED_UPGRADABLE (not rebuilt)", "")}
    assert locks(ran["index"]) == {("customers", "SHARED_UPGRADABLE (not rebuilt)", "")}
    assert locks(ran["copy"]) == {("orders", "SHARED_NO_WRITE (ALGORITHM=COPY)", "writes")}
    assert locks(ran["inplace"]) == {("customers", "SHARED_UPGRADABLE (ALGORITHM=INPLACE, rebuilt)", "")}
    assert locks(ran["altered"]) == locks(ran["new"]) == set()
    assert locks(ran["update"]) == {(odd, "SHARED_WRITE", "")}
    assert locks(ran["gone"]) == {("gone", "EXCLUSIVE", "reads and writes")}
    rewritten = {word: s.rewrites for word, s in ran.items() if s.rewrites}
    assert rewritten == {"copy": ("orders",), "inplace": ("customers",), "odd": (odd,)}
    assert all(lock.seconds is not None for s in ran.values() for lock in s.locks)
    assert report.evidence.tables["counted"].after.columns["n"].values == 1
    assert report.evidence.log_bytes is None  # its binlog is off
    found = {(f.code, f.severity.value, f.line) for f in report.findings if f.code[:3] == "CM3"}
    assert found == {("CM302", "info", ran["copy"].line), ("CM302", "info", ran["odd"].line)}


SQLITE = """
import time
op.execute("/* first */ UPDATE users SET name = 'x' WHERE id = 1")
with op.batch_alter_table("users") as batch:
    batch.alter_column("name", type_=sa.String(80))
time.sleep(0.3)
op.create_table("made", sa.Column("id", sa.Integer))
op.rename_table("made", "other")
"""


def test_sqlite(tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        URL.create("sqlite", database=str(tmp_path / "app.db")),
        "CREATE TABLE users (id integer PRIMARY KEY, name varchar(40))",
        "INSERT INTO users VALUES (1, 'a'), (2, 'b')",
    )
    project.revision("r2", "r1", SQLITE)
    report = project.gate("dry-run", lock_budget=0.2)
    evidence = report.evidence
    ran = [s for s in evidence.statements if s.revision == "r2"]
    (held,) = [(s, lock) for s in ran for lock in s.locks]
    assert held[0].sql.startswith("/* first */")
    assert (held[1].table, held[1].mode, held[1].blocks) == ("", "RESERVED", "writes")
    assert held[1].seconds >= 0.3
    (rewritten,) = [s for s in ran if s.rewrites]
    assert rewritten.rewrites == ("users",)
    assert "_alembic_tmp_users" in rewritten.sql
    assert evidence.log_bytes is None
    found = {(f.code, f.severity.value, f.line) for f in report.findings if f.code[:3] == "CM3"}
    assert found == {("CM301", "warning", held[0].line)}
