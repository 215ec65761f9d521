"""`ci-migrate audit show|verify|export`."""

import json
import sqlite3
from itertools import pairwise

import pytest
from alembic_project import ended


def test_show_export_and_verify_are_of_one_trail(migrated):
    shown = [json.loads(line) for line in migrated.call("audit", "show").out.splitlines()]
    kinds = [record["kind"] for record in shown]
    assert kinds.index("run started") < kinds.index("run finished")
    assert migrated.call("audit", "verify").out == f"{len(shown)} records, all in order.\n"
    assert migrated.call("audit", "export", "-").out == migrated.call("audit", "show").out
    assert migrated.call("audit", "export", "trail.jsonl").code == 0
    assert len((migrated.folder / "trail.jsonl").read_text().splitlines()) == len(shown)


def test_a_trail_that_was_altered(migrated):
    with sqlite3.connect(migrated.folder / "app.db.ci-migrate") as ledger:
        tables = "select name from sqlite_master where type = ?"
        table = next(name for (name,) in ledger.execute(tables, ("table",)) if "audit" in name)
        for (trigger,) in ledger.execute(tables, ("trigger",)).fetchall():
            ledger.execute(f'drop trigger "{trigger}"')
        ledger.execute(f"delete from {table} where rowid = (select min(rowid) + 1 from {table})")
    ledger.close()
    done = migrated.call("audit", "verify")
    assert done.code == 1
    assert done.out.strip()
    assert migrated.call("audit", "export", "trail.jsonl").code == 1
    assert (migrated.folder / "trail.jsonl").exists(), "a broken trail is evidence too"


def test_without_a_ledger(alembic_project):
    assert alembic_project.call("audit", "show").out == ""
    assert alembic_project.call("audit", "verify").out == "0 records, all in order.\n"


def test_the_newest_records_are_kept_where_there_is_a_limit(shop):
    whole = ended(shop.call("audit", "show"), 0).splitlines()
    assert ended(shop.call("audit", "show", "--limit", "2"), 0).splitlines() == whole[-2:]
    for wrong in ("0", "-1", "1000001", "x"):
        ended(shop.call("audit", "show", f"--limit={wrong}"), 2, "--limit")


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("nowhere/trail", "No such file or directory"),
        (".", "Is a directory"),
        ("app.db/x", "Not a directory"),
    ],
)
def test_an_export_that_can_not_be_written(shop, file, why):
    done = shop.call("audit", "export", file)
    ended(done, 2, f"{file} can't be written: {why}.")
    assert done.out == ""


def test_an_export_is_one_record_a_line_whatever_they_hold(migrated):
    """A reason of several lines must not look like another record."""
    reason = "line 1\nline 2 \u2028 é \x1b[31m"
    ended(migrated.call("protect", "--freeze", reason, "--by", "añá"), 0)
    ended(migrated.call("audit", "export", "trail"), 0)
    lines = (migrated.folder / "trail").read_text(encoding="utf-8").split("\n")[:-1]
    records = [json.loads(line) for line in lines]
    assert records[-1]["facts"]["reason"] == reason
    assert [r["sequence"] for r in records] == list(range(1, len(records) + 1))
    assert all(a["sha256"] == b["previous"] for a, b in pairwise(records))
    shown = ended(migrated.call("audit", "show"), 0)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == len(records)


def test_an_export_takes_the_place_of_an_older_one(shop):
    (shop.folder / "old").write_text("x" * 100_000)
    ended(shop.call("audit", "export", "old"), 0)
    assert (shop.folder / "old").read_text() == ended(shop.call("audit", "export", "-"), 0)
