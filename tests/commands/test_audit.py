"""`ci-migrate audit show|verify|export`."""

import json
import sqlite3


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
