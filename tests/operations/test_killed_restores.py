"""`backup restore` killed around the swap: the next command of any kind brings it to one end or the other, and says so."""

from pathlib import Path

import pytest
from kill_support import Shop, new_shop

LEDGER = "ci_migrate.ledger.ledger:Ledger"
ON_POSTGRESQL = {
    "ci_migrate.databases.postgresql.copies:swap:before": False,
    "ci_migrate.databases.postgresql.copies:swap:after": True,
    f"{LEDGER}.pin_identity:after": True,
    f"{LEDGER}.finish_run:before": True,
}
"""Where it is killed, and whether the backup has taken the target's place then."""

ON_MARIADB = {
    "ci_migrate.databases.mysql.replace:_swap:before": False,
    "ci_migrate.databases.mysql.replace:_after:before": True,
    "ci_migrate.databases.mysql.replace:_swap:after": True,
    f"{LEDGER}.finish_run:before": True,
}
QUICK = ("copies:swap:after", "replace:_after:before")


def killed(points: dict[str, bool]) -> list:
    return [
        pytest.param(at, restored, marks=() if at.endswith(QUICK) else pytest.mark.long)
        for at, restored in points.items()
    ]


def restore_killed(shop: Shop, at: str) -> None:
    """A migrated shop whose row 1 changed since its backup; the restore of that is killed."""
    done = shop.here("run")
    assert done.code == 0, done.text
    backup = next(p.name for p in (shop.folder / "backups").iterdir() if p.name.startswith("backup_"))
    shop.query("UPDATE customers SET name = 'changed' WHERE id = 1")
    done = shop.gate("backup", "restore", backup, "--yes", env={"FAULT_CALL": at})
    assert done.code == -9, done.text
    assert shop.struck


def look(shop: Shop, *, restored: bool) -> None:
    """The next command settles it and says so; then everything goes on."""
    status = shop.here("status")
    assert ("is complete now" if restored else "the target is as it was") in status.text, status.text
    assert status.code == 0, status.text
    assert shop.query("SELECT name FROM customers WHERE id = 1") == [("name 1" if restored else "changed",)]
    assert "was killed" not in shop.here("status").text, "it is said once"
    assert shop.heads_now() == (["r0"] if restored else ["r3"])
    again = shop.here("run")
    assert again.code == 0, again.text


@pytest.mark.parametrize(("at", "restored"), killed(ON_POSTGRESQL))
def test_F105_postgresql_the_ledger_knows_what_took_the_place(
    at: str, restored: bool, tmp_path: Path, postgresql_url
) -> None:
    shop = new_shop(tmp_path / "shop", postgresql_url)
    restore_killed(shop, at)
    look(shop, restored=restored)


@pytest.mark.parametrize(("at", "restored"), killed(ON_MARIADB))
def test_F105_mariadb_the_triggers_stand_whoever_dies(
    at: str, restored: bool, tmp_path: Path, mysql_url
) -> None:
    shop = new_shop(tmp_path / "shop", mysql_url)
    shop.query("CREATE TABLE seen (id INT)")
    shop.query(
        "CREATE TRIGGER changed AFTER UPDATE ON customers FOR EACH ROW INSERT INTO seen VALUES (NEW.id)"
    )
    restore_killed(shop, at)
    shop.query("UPDATE customers SET points = 0 WHERE id = 7")
    assert shop.query("SELECT COUNT(*) FROM seen WHERE id = 7") != [(0,)], "at once, before the next command"
    look(shop, restored=restored)
    shop.query("UPDATE customers SET points = 0 WHERE id = 8")
    assert shop.query("SELECT COUNT(*) FROM seen WHERE id = 8") != [(0,)]
