"""The whole backup comes back: when that fails, and when the repair is killed in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from half_shop import EARLY, MakeShop, shop_maker
from kill_support import Shop
from sqlalchemy import make_url

RESTORE = "ci_migrate.repairs.restore"
LOOK = "ci_migrate.repairs.context:RepairContext.foreign_writes"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def make_shop(request, tmp_path) -> MakeShop:
    return shop_maker(request, tmp_path, request.param)


@contextmanager
def damaged(shop: Shop) -> Iterator[None]:
    """One byte of the backup is another one."""
    payload = next(p for p in (shop.folder / "backups").glob("backup_*/**/*.zst"))
    whole = payload.read_bytes()
    payload.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    yield
    payload.write_bytes(whole)


@contextmanager
def subscribed(shop: Shop) -> Iterator[None]:
    """A database with a logical slot can't be renamed."""
    slot = f"s_{make_url(shop.url).database}"
    shop.query(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    yield
    shop.query(f"SELECT pg_drop_replication_slot('{slot}')")


@contextmanager
def referred_to(shop: Shop) -> Iterator[None]:
    """A foreign key of another database leads to a table."""
    here = make_url(shop.url).database
    shop.query(f"CREATE DATABASE {here}_x")
    shop.query(f"CREATE TABLE {here}_x.t (id INT, FOREIGN KEY (id) REFERENCES {here}.customers (id))")
    yield
    shop.query(f"DROP DATABASE {here}_x")


HINDERED: dict[str, Callable[[Shop], Iterator[None]]] = {
    "sqlite": damaged,
    "postgresql": subscribed,
    "mysql": referred_to,
}


def killed(shop: Shop, call: str) -> None:
    done = shop.gate("repair", env={"FAULT_CALL": call})
    assert done.code == -9, done.text


def test_M16_a_restore_that_fails_or_is_killed_keeps_the_original_and_the_next_one_ends_well(
    make_shop,
) -> None:
    shop = make_shop(early=EARLY)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    backup = done.stage("backup")["backup"]["backupId"]
    half = shop.everything_in_it()
    assert half != before
    url = make_url(shop.url)
    if "mysql" in shop.url:  # M15; the other two are in test_repair.py
        shop.query("INSERT INTO orders VALUES (2, 7), (3, 7)")
        refused = shop.here("repair")
        assert refused.code == 7, refused.text
        words = "table orders: 2 rows that the backup and the rehearsal do not explain"
        assert words in refused.stage("repair")["message"]
        shop.query("DELETE FROM orders WHERE id > 1")
        assert shop.everything_in_it() == half
    with HINDERED[url.get_backend_name()](shop):
        failed = shop.here("repair")
        assert shop.everything_in_it() == half
    assert failed.code == 7, failed.text
    message = failed.stage("repair")["message"]
    assert f"The restore from {backup} failed: " in message
    assert f"{Path(str(url.database)).name} is kept as the failed migration left it" in message
    killed(shop, f"{RESTORE}:restore:before")
    assert shop.everything_in_it() == half
    killed(shop, f"{RESTORE}:restore:after")  # done, and nobody was told
    assert shop.everything_in_it() == before
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "as before"
    assert shop.everything_in_it() == before
    assert shop.here("status").code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "call", [f"{LOOK}:before", f"{LOOK}:after", "ci_migrate.stages.repair:_conclude:before"]
)
def test_a_restore_that_is_killed_is_done_by_the_next_repair(make_shop, call: str) -> None:
    shop = make_shop(early=EARLY)
    before = shop.everything_in_it()
    assert shop.here("run").code == 7
    killed(shop, call)
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before


def test_where_single_tables_cannot_come_back_the_whole_backup_does(tmp_path, request) -> None:
    """MariaDB can't switch a trigger off."""
    shop = shop_maker(request, tmp_path, "mariadb")()
    shop.query("CREATE TRIGGER twice BEFORE INSERT ON log FOR EACH ROW SET NEW.points = NEW.points * 2")
    before = shop.everything_in_it()
    assert shop.here("run").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert "the repair restore-tables does not fit after all" in " ".join(repaired.text.split())
    assert "Restored from the backup" in repaired.stage("repair")["message"]
    assert shop.everything_in_it() == before


def test_where_neither_can_come_back_both_reasons_are_told(tmp_path, request) -> None:
    """A row of somebody else's refers to one that the half revision made: without that one it would be an orphan."""
    shop = shop_maker(request, tmp_path, "sqlite")()
    shop.query("DROP TABLE log")
    shop.query("CREATE TABLE log (id INTEGER NOT NULL PRIMARY KEY, points INTEGER)")
    shop.query("CREATE TABLE notes (log INTEGER REFERENCES log (id))")
    assert shop.here("run").code == 7
    shop.query("INSERT INTO notes VALUES (1)")
    left = shop.everything_in_it()
    refused = shop.here("repair")
    assert refused.code == 7, refused.text
    message = refused.stage("repair")["message"]
    assert "1 rows would refer to others that are not there" in message
    assert "table notes: 1 row that the backup and the rehearsal do not explain" in message
    assert shop.everything_in_it() == left


def test_a_table_that_half_a_revision_dropped_comes_back(tmp_path, request) -> None:
    shop = shop_maker(request, tmp_path, "sqlite")(early='op.execute("DROP TABLE orders")')
    before = shop.everything_in_it()
    assert shop.here("run", "--allow", "CM201@r1=meant").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before
