"""What the dry run measures of a migration that does many things, on each engine: locks, rewrites, bytes."""

from pathlib import Path

import pytest
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
op.execute("/* emptied /* all */ of it */ TRUNCATE older")
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
        "CREATE TABLE older (id int)",
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
    assert locks(ran["emptied"]) == {("public.older", "ACCESS EXCLUSIVE", "reads and writes")}
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


VIEWS_POSTGRESQL = """
op.execute("/* refresh */ REFRESH MATERIALIZED VIEW daily")
op.execute("/* concurrent */ REFRESH MATERIALIZED VIEW CONCURRENTLY keyed")
op.execute("/* first */ REFRESH MATERIALIZED VIEW never")
op.execute("/* view */ CREATE OR REPLACE VIEW plain AS SELECT id, amount FROM orders")
op.execute("/* read */ DO $$ BEGIN PERFORM * FROM other; PERFORM pg_sleep(0.3); END $$")
"""
VIEWS_POSTGRESQL_AFTER = """
with op.get_context().autocommit_block():
    op.execute("/* outside */ REFRESH MATERIALIZED VIEW slow")
    op.execute("/* again */ REFRESH MATERIALIZED VIEW CONCURRENTLY keyed")
"""


def test_postgresql_tells_who_waits_for_a_view(postgresql_url: URL, tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        postgresql_url,
        "CREATE TABLE orders (id int PRIMARY KEY, amount int)",
        "INSERT INTO orders SELECT n, n FROM generate_series(0, 99) n",
        "CREATE MATERIALIZED VIEW daily AS SELECT amount, count(*) FROM orders GROUP BY 1",
        "CREATE MATERIALIZED VIEW keyed AS SELECT id FROM orders",
        "CREATE UNIQUE INDEX ON keyed (id)",
        "CREATE MATERIALIZED VIEW never AS SELECT id FROM orders WITH NO DATA",
        "CREATE MATERIALIZED VIEW slow AS SELECT id FROM orders WHERE id < 30 AND pg_sleep(0.01) IS NOT NULL",
        "CREATE VIEW plain AS SELECT id FROM orders",
        "CREATE VIEW other AS SELECT id FROM orders",
    )
    project.revision("r2", "r1", VIEWS_POSTGRESQL)
    project.revision("r3", "r2", VIEWS_POSTGRESQL_AFTER)
    report = project.gate("dry-run", lock_budget=0.2)
    ran = by_word(report)
    assert ("public.daily", "ACCESS EXCLUSIVE", "reads and writes") in locks(ran["refresh"])
    assert ("public.keyed", "EXCLUSIVE", "") in locks(ran["concurrent"])
    assert locks(ran["first"]) == set(), "nobody could read it before"
    assert ("public.plain", "ACCESS EXCLUSIVE", "reads and writes") in locks(ran["view"])
    assert "public.other" not in {lock.table for s in ran.values() for lock in s.locks}
    assert locks(ran["outside"]) == {("public.slow", "ACCESS EXCLUSIVE", "reads and writes")}
    assert locks(ran["again"]) == set()
    found = {f.line: f for f in report.findings if f.code == "CM301"}
    assert {line: f.severity.value for line, f in found.items()} == {
        ran["refresh"].line: "error",
        ran["view"].line: "error",
        ran["outside"].line: "error",
    }
    assert (
        "ACCESS EXCLUSIVE on materialized view public.daily was held for"
        in found[ran["refresh"].line].message
    )
    assert "CONCURRENTLY lets others read meanwhile" in found[ran["outside"].line].fix
    assert "ACCESS EXCLUSIVE on view public.plain was held for" in found[ran["view"].line].message
    assert report.exit_code == 1


CHANGES_POSTGRESQL = """
op.execute("/* inserts */ INSERT INTO orders SELECT n, n FROM generate_series(2000, 3999) n")
op.execute("/* update */ UPDATE orders SET amount = amount + 1 WHERE id < 1500")
op.execute("/* again */ UPDATE orders SET amount = amount + 1 WHERE id < 10")
op.execute("/* function */ DO $$ BEGIN DELETE FROM people; PERFORM pg_sleep(0.1); END $$")
op.execute("/* temporary */ CREATE TEMPORARY TABLE t AS SELECT 1 AS n")
"""
CHANGES_POSTGRESQL_AFTER = """
with op.get_context().autocommit_block():
    op.execute("/* outside */ UPDATE public.orders SET amount = 0, id = id WHERE pg_sleep(0.0001) IS NOT NULL")
"""
BATCHES_POSTGRESQL = """
with op.get_context().autocommit_block():
    for first in range(0, 4000, 500):
        op.execute(f"/* batch */ UPDATE orders SET amount = {first} WHERE id BETWEEN {first} AND {first + 499}")
"""


def test_postgresql_counts_rows_that_a_transaction_keeps_locked(postgresql_url: URL, tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        postgresql_url,
        "CREATE TABLE orders (id int PRIMARY KEY, amount int)",
        "CREATE TABLE people (id int PRIMARY KEY)",
        "INSERT INTO orders SELECT n, n FROM generate_series(0, 1999) n",
        "INSERT INTO people SELECT n FROM generate_series(1, 1200) n",
    )
    project.revision("r2", "r1", CHANGES_POSTGRESQL)
    project.revision("r3", "r2", CHANGES_POSTGRESQL_AFTER)
    project.revision("r4", "r3", BATCHES_POSTGRESQL)
    report = project.gate("dry-run", lock_budget=0.05, allow=("CM601=meant",))
    ran = by_word(report)
    assert {word: {lock.table: lock.rows for lock in s.locks if lock.rows} for word, s in ran.items()} == {
        "inserts": {}, "update": {"public.orders": 1510}, "again": {}, "temporary": {},
        "function": {"public.people": 1200},
        "outside": {"public.orders": 4000},
        "batch": {"public.orders": 500},
    }  # fmt: skip
    found = {f.message.split("table ")[1].split()[0]: f for f in report.findings if f.code == "CM304"}
    held = {word: max((lock.seconds for lock in s.locks if lock.rows), default=0) for word, s in ran.items()}
    longest = max(("update", "outside"), key=held.__getitem__)
    assert {table: (f.severity.value, f.line) for table, f in found.items()} == {
        "public.orders": ("warning", ran[longest].line),
        "public.people": ("warning", ran["function"].line),
    }
    people = found["public.people"].message
    assert (
        "One transaction changed 1,200 rows of table public.people and kept them locked for up to" in people
    )


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
op.execute("/* named */ CREATE INDEX `ix ON orders` ON customers (name)")
op.execute("/* between */ ALTER /* the customers' */ TABLE orders # soon\\n MODIFY amount varchar(50)")
op.execute("/* both */ DROP TABLE lines_, `odd-name`, more")
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
        "CREATE TABLE more (id int)",
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
    assert locks(ran["named"]) == {("customers", "SHARED_UPGRADABLE (not rebuilt)", "")}
    assert {table for table, _, _ in locks(ran["between"])} == {"orders"}
    assert locks(ran["both"]) == {
        (odd, "EXCLUSIVE", "reads and writes"),
        ("more", "EXCLUSIVE", "reads and writes"),
    }
    rewritten = {word: s.rewrites for word, s in ran.items() if s.rewrites}
    assert rewritten == {"copy": ("orders",), "inplace": ("customers",), "odd": (odd,)}
    assert all(lock.seconds is not None for s in ran.values() for lock in s.locks)
    assert report.evidence.tables["counted"].after.columns["n"].values == 1
    assert report.evidence.log_bytes is None  # its binlog is off
    found = {(f.code, f.severity.value, f.line) for f in report.findings if f.code[:3] == "CM3"}
    assert found == {("CM302", "info", ran["copy"].line), ("CM302", "info", ran["odd"].line)}


CHANGES_MYSQL = """
op.execute("/* inserts */ INSERT INTO orders SELECT id + 5000, amount FROM orders")
op.execute("/* update */ UPDATE orders SET amount = 7 WHERE id < 1500")
op.execute("/* same */ UPDATE orders SET amount = 7 WHERE id < 10")
for n in (1, 2):
    op.execute(f"/* loop */ DELETE FROM people WHERE id % 2 = {n - 1}")
op.execute("/* joins */ UPDATE notes AS n JOIN seen ON seen.id = n.id JOIN orders o ON o.id = n.id SET n.word = 'x'")
op.execute("/* slow */ INSERT INTO counted SELECT SLEEP(0.1)")
"""
BATCHES_MYSQL = """
with op.get_context().autocommit_block():
    for first in range(0, 2000, 500):
        op.execute(f"/* batch */ UPDATE orders SET amount = {first} WHERE id BETWEEN {first} AND {first + 499}")
"""


@pytest.mark.parametrize("engine", ["mysql_url", "mysql97_url"])
def test_mysql_counts_rows_that_a_transaction_keeps_locked(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    numbers = (
        "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 999) SELECT n{} FROM s"
    )
    project = filled(
        tmp_path,
        request.getfixturevalue(engine),
        "CREATE TABLE orders (id int PRIMARY KEY, amount int)",
        "CREATE TABLE people (id int PRIMARY KEY)",
        "CREATE TABLE counted (n int)",
        "CREATE TABLE notes (id int PRIMARY KEY, word varchar(9))",
        "CREATE TABLE seen (id int PRIMARY KEY)",
        f"INSERT INTO notes {numbers.format(', NULL')}",
        f"INSERT INTO seen {numbers.format('')}",
        f"INSERT INTO orders {numbers.format(', n')}",
        f"INSERT INTO orders {numbers.format(' + 1000, n')}",
        f"INSERT INTO people {numbers.format('')}",
    )
    project.revision("r2", "r1", CHANGES_MYSQL)
    project.revision("r3", "r2", BATCHES_MYSQL)
    report = project.gate("dry-run", lock_budget=0.05, allow=("CM601=meant",))
    ran = by_word(report)
    assert {word: {lock.table: lock.rows for lock in s.locks if lock.rows} for word, s in ran.items()} == {
        "inserts": {}, "update": {"orders": 1510}, "same": {}, "loop": {"people": 1000},
        "joins": {"notes": 1000}, "slow": {}, "batch": {"orders": 500},
    }  # fmt: skip
    assert {lock.table for lock in ran["joins"].locks} == {"notes", "seen"}
    assert [(f.severity.value, f.revision, f.line) for f in report.findings if f.code == "CM304"] == [
        ("warning", "r2", ran["joins"].line),
        ("warning", "r2", ran["update"].line),
        ("warning", "r2", ran["loop"].line),
    ]


SQLITE = """
import time
op.execute("/* first */ UPDATE users SET name = 'x' WHERE id = 1")
with op.batch_alter_table("users") as batch:
    batch.alter_column("name", type_=sa.String(80))
time.sleep(0.3)
op.create_table("made", sa.Column("id", sa.Integer))
op.rename_table("made", "other")
"""


BY_HAND = """
op.execute('create /* as users */ table main . "users (new)" (id integer primary key, name varchar(80))')
op.execute('insert into "users (new)" select * from users')
op.execute("drop table /* the old */ main.users")
op.execute('/* renames */ alter table "users (new)" rename to [users]')
"""


def test_sqlite_by_hand(tmp_path: Path) -> None:
    project = filled(
        tmp_path,
        URL.create("sqlite", database=str(tmp_path / "app.db")),
        "CREATE TABLE users (id integer PRIMARY KEY, name varchar(40))",
        "INSERT INTO users VALUES (1, 'a'), (2, 'b')",
    )
    project.revision("r2", "r1", BY_HAND)
    assert by_word(project.gate("dry-run"))["renames"].rewrites == ("users",)


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
