"""What a revision that stopped half-way has added is dropped again; what others wrote meanwhile is kept."""

import subprocess
import sys

import pytest
from kill_support import Shop, new_shop, only_for_real

from ci_migrate.model import ColumnContent, TableContent
from ci_migrate.repairs.undo_additions import list_losses

ADDS = """
op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id", name="fk_notes")), sa.Column("text", sa.Text),
    sa.CheckConstraint("customer_id > 0", name="ck_id"))
op.execute("INSERT INTO notes VALUES (1, 1, 'seeded')")
op.add_column("customers", sa.Column("email", sa.String(80)))
op.add_column("customers", sa.Column("kind", sa.String(80), server_default="none"))
op.create_index("ix_email", "customers", ["email"])
op.create_check_constraint("ck_points", "customers", "points >= 0")
op.execute("CREATE VIEW shown AS SELECT id, email FROM customers")
op.execute("UPDATE customers SET email = 'known' WHERE id < 10")
op.execute("CREATE TRIGGER tr_notes BEFORE INSERT ON notes FOR EACH ROW SET NEW.text = 'x'")
"""
BOOM = only_for_real('raise ValueError("boom")')
WRITES = """\
import sqlalchemy as sa
with sa.create_engine({url!r}).begin() as connection:
    connection.execute(sa.text({sql!r}))
"""
KILLED = """\
import os, signal, sys
from ci_migrate.__main__ import main
from ci_migrate.ledger.journal import Journal
from ci_migrate.model import EntryKind
append, sent = Journal.append, []

def killing(self, *entries):
    append(self, *entries)
    sent.extend(e for e in entries if e.kind is EntryKind.UNDO)
    if len(sent) == 6:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.append = killing
main()
"""


def words(done) -> str:
    return " ".join(done.text.split())


def by_hand(shop: Shop) -> None:
    """Nothing is repaired unless somebody asks for it."""
    shop.settings(
        'backup-dir = "./backups"\nauto-rollback = false\n[targets.dev]\nurl = "env:DATABASE_URL"\n'
    )


def writes(shop: Shop, sql: str) -> dict[str, str]:
    """Another client, after the rehearsal."""
    return {"FAULT_WRITE": WRITES.format(url=shop.url, sql=sql)}


# --------------------------------------------------------------------------- MariaDB


@pytest.fixture
def mariadb(tmp_path, mysql_url) -> Shop:
    return new_shop(tmp_path, mysql_url)


def test_mariadb_additions_are_dropped_and_what_others_wrote_is_kept(mariadb: Shop) -> None:
    mariadb.revision("r1", "r0", ADDS + BOOM)
    before = mariadb.everything_in_it()
    done = mariadb.gate("run", "--to", "r1", write=True)
    assert done.code == 6, done.text
    repair = done.stage("repair")
    assert (repair["diagnosis"]["found"], repair["state"]) == ("half a revision", "as before")
    after = mariadb.everything_in_it()
    rows, those_before = after["customers"].pop("rows"), before["customers"].pop("rows")
    assert {(1000, "came later", 7), (1, "renamed later", 1)} < set(rows)
    assert len(rows) == len(those_before) + 1
    assert after == before
    assert mariadb.query("SHOW TABLES LIKE 'shown'") == []
    assert mariadb.here("status").code == 0


def test_mariadb_it_is_shown_refused_where_others_wrote_and_outlives_a_kill(mariadb: Shop) -> None:
    by_hand(mariadb)
    mariadb.revision("r1", "r0", ADDS + BOOM)
    before = mariadb.everything_in_it()
    assert mariadb.here("run", "--to", "r1").code == 7
    left = mariadb.everything_in_it()
    status = words(mariadb.here("status"))
    assert "next # drop what was added, and nothing else:" in status
    assert (
        "# runs what is left of the migration, as rehearsed ci-migrate repair --forward --target dev"
        in status
    )
    shown = words(mariadb.here("repair", "--dry-run"))
    assert "ALTER TABLE `customers` DROP COLUMN `email`" in shown
    assert "DROP TABLE `notes`" in shown
    for written, undone, reason in (
        ("INSERT INTO notes (id) VALUES (9)", "DELETE FROM notes WHERE id = 9", "table notes holds 2 rows"),
        ("UPDATE notes SET customer_id = 2", "UPDATE notes SET customer_id = 1", "table notes holds 1 rows"),
        ("UPDATE customers SET email = 'mine' WHERE id = 20", "UPDATE customers SET email = NULL WHERE id = 20",
         "column customers.email holds values in 10 rows"),
        ("UPDATE customers SET kind = 'mine' WHERE id = 20", "UPDATE customers SET kind = 'none' WHERE id = 20",
         "column customers.kind holds values in 1 rows"),
    ):  # fmt: skip
        mariadb.query(written)
        refused = words(mariadb.here("repair", "--dry-run"))
        assert reason in refused
        mariadb.query(undone)
    assert mariadb.everything_in_it() == left
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "repair"], cwd=mariadb.folder, env=mariadb.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stdout + killed.stderr
    half = mariadb.everything_in_it()
    assert half not in (left, before)
    assert mariadb.here("repair", "--forward").code == 7
    assert mariadb.everything_in_it() == half
    repaired = mariadb.here("repair")
    assert repaired.code == 0, repaired.text
    assert mariadb.everything_in_it() == before


def test_mariadb_a_drop_in_the_half_revision_is_refused_in_words(mariadb: Shop) -> None:
    upgrade = 'op.create_table("fresh", sa.Column("id", sa.Integer))\nop.drop_column("customers", "points")\n'
    mariadb.revision("r1", "r0", upgrade + BOOM)
    done = mariadb.here("run", "--to", "r1", "--allow", "CM202@r1=meant")
    assert done.code == 7, done.text
    assert "column customers.points was dropped by it" in words(done)
    assert mariadb.query("SHOW TABLES LIKE 'fresh'") != []


# --------------------------------------------------------------------------- PostgreSQL


def test_M4_an_invalid_index_is_dropped_and_the_next_run_is_not_fooled(tmp_path, postgresql_url) -> None:
    shop = new_shop(tmp_path, postgresql_url)
    shop.revision(
        "r1",
        "r0",
        """
        op.add_column("customers", sa.Column("email", sa.String(80)))
        with op.get_context().autocommit_block():
            op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix_name ON customers (name)")
        """,
    )
    before = shop.everything_in_it()
    duplicate = writes(shop, "INSERT INTO customers (id, name) VALUES (1000, 'name 1')")
    done = shop.gate("run", "--to", "r1", env=duplicate)
    assert done.code == 6, done.text
    assert "index public.ix_name" in words(done)
    shop.query("DELETE FROM customers WHERE id = 1000")
    assert shop.everything_in_it() == before
    assert shop.here("run", "--to", "r1").code == 0
    assert shop.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_name'::regclass") == [(True,)]


def five(shop: Shop, *, fails: bool) -> None:
    """Five revisions; the third begins with a block that commits by itself, and the fourth may fail on the target."""
    block = """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix_name ON customers (name)")
"""
    for number, column in enumerate("abcde", start=1):
        upgrade = f'op.add_column("customers", sa.Column("{column}", sa.Integer))'
        back = f'op.drop_column("customers", "{column}")'
        if number == 3:
            upgrade, back = block + upgrade, f'{back}\nop.drop_index("ix_name")'
        if number == 4 and fails:
            upgrade += f"\n{BOOM}"
        shop.revision(f"r{number}", f"r{number - 1}", upgrade, back)


@pytest.mark.parametrize(
    ("mode", "at"),
    [
        # the block of r3 committed r1 and r2, the rest of r3 rolled back with r4
        ("default", "r2"),
        pytest.param("per-migration", "r3", marks=pytest.mark.long),
    ],
)
def test_M6_what_was_committed_before_the_failing_revision_is_kept(
    tmp_path, postgresql_url, mode: str, at: str
) -> None:
    shop = new_shop(tmp_path, postgresql_url, mode=mode)
    five(shop, fails=True)
    done = shop.here("run")
    assert (done.code, done.stage("repair")["state"]) == (7, "partly migrated"), done.text
    at_last = f"The database is partly migrated. The target is at {at}, with the schema of the dry run there"
    assert at_last in words(done)
    assert shop.heads_now() == [at]
    customers = shop.everything_in_it()["customers"]
    assert [name for name, *_ in customers["columns"] if len(name) == 1] == list("abc")[: int(at[1])]
    assert bool(customers["indexes"]) == (at == "r3")


@pytest.mark.long
def test_M6_on_failure_back_undoes_the_block_and_downgrades_the_rest(tmp_path, postgresql_url) -> None:
    shop = new_shop(tmp_path, postgresql_url, settings='on-failure = "back"')
    five(shop, fails=True)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert shop.everything_in_it() == before


def test_M6_a_block_that_is_committed_is_left_out_where_the_rest_is_run(tmp_path, postgresql_url) -> None:
    """All in one transaction, and the child was killed behind the block."""
    shop = new_shop(tmp_path, postgresql_url, settings="auto-rollback = false")
    five(shop, fails=False)
    killed = shop.gate("run", fault="child:before:14")
    assert killed.code == 7, killed.text
    assert shop.heads_now() == ["r2"]
    forward = "# runs what is left of the migration, as rehearsed ci-migrate repair --forward --target dev"
    assert forward in words(shop.here("status"))
    done = shop.here("repair", "--forward")
    assert done.code == 0, done.text
    assert shop.heads_now() == ["r5"]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            3,
            "may have been written by `UPDATE customers SET name = gen_random_uuid()`, of which nobody knows",
        ),
        # the second one was not committed, the first one was: of that one nobody wonders
        (5, "rows of customers were written by `UPDATE customers SET name = gen_random_uuid()`"),
    ],
)
def test_F111_an_update_that_was_killed_in_flight(tmp_path, postgresql_url, event, told) -> None:
    """The child is killed before the server has it, and random values tell nobody: so nobody says that it wrote."""
    shop = new_shop(tmp_path, postgresql_url, settings="auto-rollback = false")
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    update = "UPDATE customers SET name = gen_random_uuid()"
    block = f"""
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX ix_points ON customers (points)")
        op.execute("{update}")
        op.execute("{update} WHERE id = 1")
    """
    shop.revision("r1", "r0", block)
    assert shop.gate("run", fault=f"child:after:{event}").code == 7
    assert told in words(shop.here("repair", "--dry-run"))


# --------------------------------------------------------------------------- SQLite


def test_sqlite_a_table_of_a_batch_that_failed_is_dropped(tmp_path) -> None:
    shop = new_shop(tmp_path)
    shop.revision(
        "r1",
        "r0",
        """
        with op.get_context().autocommit_block():
            with op.batch_alter_table("customers") as batch:
                batch.alter_column("name", existing_type=sa.String(40), nullable=False)
        """,
    )
    before = shop.everything_in_it()
    done = shop.gate("run", "--to", "r1", env=writes(shop, "INSERT INTO customers (id) VALUES (1000)"))
    assert done.code == 6, done.text
    assert "table _alembic_tmp_customers" in words(done)
    assert shop.query("SELECT * FROM customers WHERE id = 1000") == [(1000, None, None)]
    shop.query("DELETE FROM customers WHERE id = 1000")
    assert shop.everything_in_it() == before
    assert shop.here("run", "--to", "r1").code == 0


# --------------------------------------------------------------------------- the proof, where others write meanwhile


def content(rows: int, **values: int) -> TableContent:
    return TableContent(rows=rows, columns={name: ColumnContent(values=n) for name, n in values.items()})


def test_a_table_or_a_column_that_is_emptied_is_lost_and_single_rows_are_not() -> None:
    then = {"users": content(3, name=3, age=1, email=3, note=0)}
    dropped = {"users": {"email"}}
    assert list_losses(then, {"users": content(2, name=2, age=2, note=0)}, dropped) == []
    assert list_losses(then, {"users": content(3, name=3, age=0, note=0)}, dropped) == [
        "column users.age has lost its values"
    ]
    assert list_losses(then, {"users": content(0)}, dropped) == ["table users has lost its rows"]
    assert list_losses(then, {}, dropped) == ["table users has lost its rows"]
    assert list_losses(then, {"users": content(3, name=3, note=0)}, dropped) == [
        "column users.age has lost its values"
    ]
