"""The database knows that it is production: protect, freeze, unprotect, a database that moved, on SQLite."""

import json
import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from approval_support import public_line

UNTAGGED = '[targets.shop]\nurl = "sqlite:///app.db"\n'
KEY = "ana@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8ZVjQXn2GEPTpTUeVKy0gQEHxEGSBBUHpHHDKTCbyn"


@pytest.fixture
def shop(alembic_project):
    """An untagged target: its settings ask for no approval."""
    alembic_project.settings(UNTAGGED)
    return alembic_project


def kinds(project) -> list[str]:
    done = project.call("audit", "show")
    return [json.loads(line)["kind"] for line in done.out.splitlines()]


def token(project, *arguments: str) -> dict[str, str]:
    done = project.call("token", "generate", "--reason", "ticket 4711", "--quiet", "--by", "ana", *arguments)
    assert done.code == 0, done.text
    return {"CI_MIGRATE_TOKEN": done.out.strip()}


def ok(done):
    assert done.code == 0, done.text
    return done


def refused(done, *words: str, code: int = 4):
    assert done.code == code, done.text
    assert "Traceback" not in done.text
    text = " ".join(done.text.split())
    for word in words:
        assert word in text, (word, text)
    return done


def test_a_protected_database_needs_an_approval_whatever_the_settings_say(shop):
    ok(shop.call("protect"))
    shop.settings("require-confirmation = false\n" + UNTAGGED)
    refused(shop.call("run"), "the database is protected since")
    assert shop.heads == []
    refused(shop.call("migrate"), "leaves out the dry run", code=1)
    shop.settings('dry-run = "off"\n' + UNTAGGED)
    refused(shop.call("run"), "dry-run is off", code=1)
    shop.settings("auto-backup = false\n" + UNTAGGED)
    refused(shop.call("run"), "auto-backup is off", code=1)
    shop.settings(UNTAGGED)
    ok(shop.call("run", env=token(shop)))
    assert shop.heads == ["r2"]
    # going back, and a restore, are other approvals
    refused(shop.call("rollback", "--to", "r1"), "--rollback --to r1")
    backup = shop.call("backup", "list").out.split()[0]
    refused(shop.call("backup", "restore", backup, "--yes"), "protected since", f"--restore {backup}")
    ok(shop.call("audit", "verify"))
    found = kinds(shop)
    for kind in ("protected", "approval requested", "refused", "stage", "token used", "run finished"):
        assert kind in found


def test_the_command_of_the_page_with_keys_in_it(shop):
    page = (Path(__file__).parents[2] / "docs" / "protection.md").read_text()
    shown = page.split("## Protect it")[1].split("```sh\n")[1].split("```")[0]
    for name in ("alice", "bob", "safe"):
        shown = shown.replace("ssh-ed25519 AAAA...", public_line(name), 1)
    words = shlex.split(shown.replace("\\\n", " ").replace("--target production", "--target shop"))
    ok(shop.call(*words[1:]))
    trail = shop.call("audit", "show").out.splitlines()
    written = json.loads(next(line for line in trail if json.loads(line)["kind"] == "protected"))
    assert public_line("safe") in json.dumps(written), written


def test_one_key_is_not_two_approvers(shop):
    key = public_line("ana")
    done = shop.call("protect", "--approver", f"ana {key}", "--approver", f"bob {key}")
    assert done.code == 2, done.text
    assert "bob's key is ana's too: SHA256:" in done.text


def test_unprotect_needs_an_approval_of_its_own(shop):
    ok(shop.call("protect"))
    done = refused(shop.call("unprotect"), "needs an approval")
    go_on = token(shop)
    refused(shop.call("unprotect", env=go_on), "another plan", "direction")
    command = shlex.split(done.text.split("ci-migrate ", 1)[1].split(", then")[0])
    assert command[:2] == ["token", "generate"]
    go_on = token(shop, *command[2:-2])
    ok(shop.call("unprotect", env=go_on))
    ok(shop.call("protect"))
    refused(shop.call("unprotect", env=go_on), "used already")
    assert kinds(shop).count("unprotected") == 1


def test_rules_of_a_protected_database_are_changed_by_an_approval_only(shop):
    ok(shop.call("protect"))
    done = refused(shop.call("protect", "--approver", KEY), "--protection rules-")
    change = done.text.split("--protection ", 1)[1].split()[0]
    other = token(shop, "--protection", "rules-" + "0" * 64)
    refused(shop.call("protect", "--approver", KEY, env=other), "destination")
    ok(shop.call("protect", "--approver", KEY, env=token(shop, "--protection", change)))
    # from here on nobody who merely reaches the ledger can confirm
    refused(shop.call("token", "generate", "--reason", "mine"), "has approvers")
    refused(shop.call("run", env={"CI_MIGRATE_TOKEN": "9f0d8a5e-6a0f-4f0e-8d3b-000000000000"}))
    assert shop.heads == []
    assert "is protected so already" in ok(shop.call("protect", "--approver", KEY)).out


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ana",
        "* " + KEY.split(" ", 1)[1],
        "*.example.com " + KEY.split(" ", 1)[1],
        "ana cert-authority " + KEY[16:],
    ],
)
def test_a_line_that_names_no_one_is_refused(shop, line):
    refused(shop.call("protect", "--approver", line), "approver", code=2)


def test_more_approvals_than_approvers(shop):
    refused(shop.call("protect", "--approver", KEY, "--min-approvals", "2"), "can't be had", code=2)


def test_frozen_no_token_helps(shop):
    ok(shop.call("protect"))
    go_on = token(shop)
    ok(shop.call("protect", "--freeze", "incident 42"))
    refused(shop.call("run", env=go_on), "is frozen: incident 42")
    refused(shop.call("protect", "--unfreeze"), "--protection unfreeze")
    ok(shop.call("protect", "--unfreeze", env=token(shop, "--protection", "unfreeze")))
    ok(shop.call("run", env=go_on))
    found = kinds(shop)
    assert found.index("frozen") < found.index("unfrozen")


def test_another_database_is_refused_until_the_move_is_approved(shop):
    ok(shop.call("protect"))
    shop.settings('[targets.shop]\nurl = "sqlite:///moved.db"\nstate = "sqlite:///app.db.ci-migrate"\n')
    sqlite3.connect(shop.folder / "moved.db").close()
    refused(shop.call("run"), "belongs to another database", "--accept-identity", code=1)
    refused(shop.call("protect", "--approver", KEY), "belongs to another database", code=1)
    refused(shop.call("protect", "--accept-identity"), "--protection accept-identity")
    ok(shop.call("protect", "--accept-identity", env=token(shop, "--protection", "accept-identity")))
    refused(shop.call("run"), "protected since")
    assert "identity accepted" in kinds(shop)


def test_T15_a_ledger_without_its_tables_lets_nothing_through(shop):
    ok(shop.call("protect"))
    go_on = token(shop)
    with sqlite3.connect(shop.folder / "app.db.ci-migrate") as ledger:
        ledger.execute("DROP TABLE ci_migrate_protection")
    ledger.close()
    refused(shop.call("run", env=go_on), "could not be read", code=8)
    assert shop.heads == []


def test_an_older_ledger_put_back_revives_no_token(shop):
    ok(shop.call("protect"))
    ok(shop.call("run", "--to", "r1", env=token(shop, "--to", "r1")))
    go_on = token(shop)
    kept = {p: p.read_bytes() for p in shop.folder.glob("app.db*")}
    ok(shop.call("run", env=go_on))
    for path in shop.folder.glob("app.db*"):
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    assert shop.heads == ["r1"]
    refused(shop.call("run", env=go_on), "was used already", "has a note of it")
    assert shop.heads == ["r1"]


def test_export_is_the_whole_trail_and_says_when_it_is_broken(shop):
    ok(shop.call("protect"))
    ok(shop.call("audit", "export", "trail.jsonl"))
    lines = (shop.folder / "trail.jsonl").read_text().splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    with sqlite3.connect(shop.folder / "app.db.ci-migrate") as ledger:
        ledger.execute("UPDATE ci_migrate_audit SET facts = '{}' WHERE sequence = 1")
    ledger.close()
    assert "record 1 was altered" in refused(shop.call("audit", "export", "-"), code=1).err


def test_the_way_back_when_all_keys_are_lost_is_as_the_page_says(shop):
    ok(shop.call("protect", "--approver", KEY))
    refused(shop.call("unprotect"), "token request")
    page = (Path(__file__).parents[2] / "docs" / "protection.md").read_text()
    statements = re.search(r"`(UPDATE ci_migrate_protection.*?)`", page)[1]
    with sqlite3.connect(shop.folder / "app.db.ci-migrate") as ledger:
        ledger.executescript(statements)
    ledger.close()
    ok(shop.call("protect"))
    ok(shop.call("token", "generate", "--protection", "unprotect", "--reason", "r"))
    ok(shop.call("audit", "verify"))


@pytest.mark.parametrize(
    ("destination", "known"),
    [
        ("unprotect", True),
        ("unfreeze", True),
        ("accept-identity", True),
        ("lift-guard", True),
        ("Unprotect", False),
        ("unprotect ", False),
        ("", False),
        ("rules-" + "0" * 63, False),
        ("rules-" + "G" * 64, False),
        ("0" * 64, False),
    ],
)
def test_changes_that_an_approval_may_name(shop, destination, known):
    """What is none of them is refused when it is asked for, not when it is too late to ask for another."""
    done = shop.call("token", "request", "--protection", destination, "--out", "request.json")
    if known:
        assert json.loads((shop.folder / "request.json").read_text())["plan"]["destination"] == destination
        return
    refused(done, code=2)
    assert not (shop.folder / "request.json").exists()


def test_what_protect_printed_is_what_it_then_takes(shop):
    ok(shop.call("protect"))
    asked = refused(shop.call("protect", "--approver", KEY))
    (change,) = re.findall(r"--protection (\S+)", asked.text)[:1]
    ok(shop.call("protect", "--approver", KEY, env=token(shop, "--protection", change)))
    other = refused(shop.call("protect", "--approver", f"bob {public_line('bob')}"))
    assert change not in other.text, "other approvers are another change"


def test_white_space_in_a_line_makes_no_other_rules(shop):
    """A line that was pasted from a file is the line that was typed."""
    ok(shop.call("protect", "--approver", KEY))
    again = ok(shop.call("protect", "--approver", f"  {KEY.replace(' ', '   ')} "))
    assert "is protected so already, since" in again.out


def test_a_second_freeze_tells_the_newer_reason(shop):
    ok(shop.call("protect", "--freeze", "incident 42"))
    ok(shop.call("protect", "--freeze", "incident 43"))
    refused(shop.call("run"), "is frozen: incident 43.")
    assert kinds(shop).count("frozen") == 2, "the trail keeps both"
    ok(shop.call("protect", "--unfreeze"))
    ok(shop.call("plan"))


def test_a_freeze_stops_what_writes_and_nothing_else(shop):
    ok(shop.call("migrate", "r1"))
    ok(shop.call("protect", "--freeze", "incident 42"))
    before = shop.dump()
    for arguments in (
        ["run"], ["migrate"], ["stamp", "r2", "--reason", "x"], ["rollback", "--to", "base", "--yes"],
    ):  # fmt: skip
        refused(shop.call(*arguments), "is frozen: incident 42.")
    for arguments in (
        ["plan"],
        ["check"],
        ["status"],
        ["history"],
        ["verify"],
        ["backup", "list"],
        ["backup", "create"],
    ):
        ok(shop.call(*arguments))
    assert shop.dump() == before


def test_who_did_it_is_whom_the_call_names_or_the_ci_s_actor(shop):
    ok(shop.call("protect", "--freeze", "x", "--by", "ana"))
    ok(shop.call("protect", "--unfreeze", env={"CI_MIGRATE_ACTOR": "bob"}))
    trail = [json.loads(line) for line in shop.call("audit", "show").out.splitlines()]
    assert [(r["kind"], r["facts"]["by"]) for r in trail if "by" in r["facts"]] == [
        ("frozen", "ana"),
        ("unfrozen", "bob"),
    ]


def test_the_use_of_tokens_is_noted_elsewhere_only_by_an_approval(shop):
    """Who moved the place of the notes could use a token twice."""
    ok(shop.call("protect"))
    shop.settings('backup-dir = "elsewhere"\n' + UNTAGGED)
    asked = refused(shop.call("protect", "--move-notes"))
    (change,) = re.findall(r"--protection (\S+)", asked.text)[:1]
    moved = ok(shop.call("protect", "--move-notes", env=token(shop, "--protection", change)))
    assert f"is noted in {shop.folder / 'elsewhere'} now" in moved.out
    assert "is noted in" in ok(shop.call("protect", "--move-notes")).out, "and that is so already"
