"""Half a revision left nothing but rows: its tables come back from the backup, and what others wrote elsewhere stays."""

from collections.abc import Callable

import pytest
from kill_support import Shop, new_shop, only_for_real

BOOM = only_for_real('raise ValueError("boom")')

BLOCK_R1 = """
with op.get_context().autocommit_block():
    op.execute("UPDATE customers SET points = points + 1")
    op.execute("INSERT INTO log SELECT id, points FROM customers WHERE id <= 3")
"""
MARIADB_R1 = """
op.execute("UPDATE customers SET points = points + 1")
op.execute("INSERT INTO log SELECT id, points FROM customers WHERE id <= 3")
"""
THEN = """
op.create_index("ix_log", "log", ["points"])
"""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def make_shop(request, tmp_path) -> Callable[..., Shop]:
    """A shop with two more tables, whose r1 changes rows of `customers` and `log` and commits them, and then fails."""

    def make(settings: str = 'restore = "auto"') -> Shop:
        fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}.get(request.param)
        url = request.getfixturevalue(fixture) if fixture else None
        shop = new_shop(tmp_path, url, mode="per-migration", settings=settings)
        for revision in ("r2", "r3"):
            (shop.folder / "migrations" / "versions" / f"{revision}.py").unlink()
        shop.query("CREATE TABLE log (id INTEGER NOT NULL, points INTEGER)")
        shop.query("CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, total INTEGER)")
        shop.query("INSERT INTO log VALUES (100, 1)")
        shop.query("INSERT INTO orders VALUES (1, 5)")
        shop.revision("r1", "r0", rows_then(request.param, BOOM + THEN))
        return shop

    return make


def rows_then(engine: str, rest: str) -> str:
    """Rows that are committed before the rest runs: MariaDB commits them before a statement of DDL."""
    if engine == "mariadb":
        return MARIADB_R1 + rest.replace(
            BOOM, only_for_real('op.execute("ALTER TABLE log ADD CONSTRAINT c CHECK (nosuch > 1)")')
        )
    return BLOCK_R1 + rest


WROTE = (
    "INSERT INTO orders VALUES (2, 7)",
    "UPDATE orders SET total = 6 WHERE id = 1",
)


def test_M3_rows_of_half_a_revision_go_back_and_no_others(make_shop) -> None:
    shop = make_shop('auto-rollback = false\nrestore = "auto"')
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    assert shop.query("SELECT count(*) FROM log") == [(4,)]
    for statement in WROTE:
        shop.query(statement)
    shown = shop.here("repair", "--dry-run")
    assert "put the rows of" in " ".join(shown.text.split()), shown.text
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "as before, proved"
    assert shop.query("SELECT id, total FROM orders ORDER BY id") == [(1, 6), (2, 7)]
    left = shop.everything_in_it()
    assert {t: c for t, c in left.items() if t != "orders"} == {
        t: c for t, c in before.items() if t != "orders"
    }


def test_M15_rows_that_somebody_else_wrote_there_are_counted_and_not_restored_over(make_shop) -> None:
    shop = make_shop('auto-rollback = false\nrestore = "auto"')
    before = shop.everything_in_it()
    assert shop.here("run").code == 7
    shop.query("INSERT INTO log VALUES (200, 1), (201, 1)")
    left = shop.everything_in_it()
    refused = shop.here("repair")
    assert refused.code == 7, refused.text
    result = refused.stage("repair")
    message = result["message"].replace("public.", "")
    assert "table log: 2 rows that the backup and the rehearsal do not explain" in message
    assert "customers:" not in message  # those are explained
    assert shop.everything_in_it() == left
    command = next(c for c in result["diagnosis"]["nextCommands"] if "--table" in c)
    assert command.endswith("(loses 2 rows written since)")
    restored = shop.here(*command.split("   ")[0].split()[1:], "--yes")
    assert restored.code == 0, restored.text
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "as before, proved"
    assert shop.everything_in_it() == before
