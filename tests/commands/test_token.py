"""`ci-migrate token generate|request|validate|list|revoke|merge|show`."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from alembic_project import ended

LIVE = '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'


@pytest.fixture
def live(alembic_project):
    """The project, whose only target is a production one."""
    alembic_project.settings(LIVE)
    return alembic_project


def generate(project, *flags: str) -> str:
    done = project.call("token", "generate", "--reason", "ticket 4711", "--by", "ana", "--quiet", *flags)
    assert done.code == 0, done.text
    return done.out.strip()


def test_a_token_is_good_once(live, ledger_of):
    assert live.call("token", "list").out == "No tokens.\n"
    token = generate(live)
    assert ledger_of(live) is not None, "there is a ledger from the first token on"
    env = {"CI_MIGRATE_TOKEN": token}
    valid = live.call("token", "validate", env=env)
    assert valid.code == 0, valid.text
    assert "ticket 4711 (ana)" in valid.out
    assert live.call("run", env=env).code == 0
    assert live.heads == ["r2"]
    assert live.call("token", "validate", env=env).code == 4
    listed = live.call("token", "list").out
    assert "ticket 4711" in listed
    assert token not in listed


def test_a_token_that_was_revoked(live):
    env = {"CI_MIGRATE_TOKEN": generate(live)}
    approval = live.call("token", "list").out.split()[0]
    assert live.call("token", "revoke", approval).out == f"Revoked: {approval}.\n"
    assert live.call("token", "validate", env=env).code == 4
    assert live.call("run", env=env).code == 4
    assert live.heads == []


def test_a_request_for_what_no_run_asks_for(live):
    done = live.call("token", "request", "--protection", "unprotect", "--out", "request.json")
    assert done.code == 0, done.text
    request = json.loads((live.folder / "request.json").read_text())
    assert request["target"] == "live"
    refused = live.call("token", "request")
    assert refused.code == 2
    assert "--backfill NAME or --protection CHANGE" in refused.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rollback"], "--rollback needs --to"),
        (["--rollback", "--stamp", "--to", "r1"], "either for --rollback or for --stamp"),
        (["--key", "k"], "--request and --key go together"),
    ],
)
def test_flags_that_do_not_fit(live, flags, words):
    done = live.call("token", "generate", "--reason", "x", *flags)
    assert done.code == 2
    assert words in done.err
    assert not list(live.folder.glob("*.ci-migrate"))


def test_what_is_no_signed_token(live):
    (live.folder / "token").write_text("nonsense")
    for arguments in (["show", "--token-file", "token"], ["merge", "token"]):
        done = live.call("token", *arguments)
        assert done.code in (2, 4), done.text
        assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "--reason", "x", "--forward"], "--forward needs --repair RUN"),
        (["generate", "--reason", "x", "--accept-foreign"], "--accept-foreign needs --repair RUN."),
        (["generate", "--reason", "x", "--table", "t"], "--table needs --restore BACKUP"),
        (["generate", "--reason", "x", "--drop-old", "--repair", "r"], "A token is for one thing: name one."),
        (["generate", "--reason", "x", "--rollback", "--to", "r1", "--drop-old"], "A token is for one thing"),
        (["generate", "--reason", "x", "--stamp"], "--stamp needs --to REVISION."),
        (["generate", "--reason", "x", "--restore", "nothing"], "'nothing' is no backup id."),
        (["generate", "--reason", "x", "--repair", "nothing"], "Run nothing is not the one of target dev"),
        (["generate", "--reason", "x", "--protection", "nothing"], "nothing is no change of a protection."),
        (["request", "--repair", "nothing"], "Run nothing is not the one of target dev"),
        (["revoke"], "Name one token, or a time before which all are revoked."),
        (["revoke", "nothing"], "The ledger knows no such token."),
        (["revoke", "--all-before", "yesterday"], "'yesterday' does not match"),
    ],
)
def test_what_is_for_nothing(shop, arguments, words):
    done = shop.call("token", *arguments)
    ended(done, 2, words)
    assert done.out == ""


def test_where_nothing_is_pending_there_is_nothing_to_approve(shop):
    ended(shop.call("token", "generate", "--reason", "x"), 1, "Nothing is pending on", "nothing to approve")
    assert ended(shop.call("token", "list"), 0) == "No tokens.\n"


def test_all_before_a_time_are_revoked_and_later_ones_stay(live):
    generate(live)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    ended(live.call("token", "revoke", "--all-before", "2020-01-01"), 0, "Revoked: none.")
    ended(live.call("token", "revoke", "--all-before", tomorrow), 0, "Revoked: approval-")
    ended(live.call("token", "revoke", "--all-before", tomorrow), 0, "Revoked: none.")
    assert "revoked" in ended(live.call("token", "list"), 0)


def test_an_approval_has_a_reason(live):
    ended(live.call("token", "generate", "--reason", " "), 2, "An approval needs a reason.")
    assert ended(live.call("token", "list"), 0) == "No tokens.\n"


def test_another_plan_than_was_looked_at_is_not_approved(live):
    done = live.call("token", "generate", "--reason", "x", "--plan", "0" * 64)
    ended(done, 1, "not 000000000000: it changed since that one was looked at.")
    assert done.out == ""
    digest = live.call("check").report["results"][0]["plan"]
    assert digest["target"] == "live"
    found = json.loads((live.reports / "report.json").read_text())["planDigest"]
    ended(live.call("token", "generate", "--reason", "x", "--plan", found), 0)


def test_a_reason_of_several_lines_is_listed_on_one(live):
    generate(live)
    done = live.call(
        "token", "generate", "--reason", "why\napproval-0  valid", "--by", "e\x1b[2Kve", "--quiet"
    )
    ended(done, 0)
    lines = ended(live.call("token", "list"), 0).splitlines()
    assert len(lines) == 2
    assert not any("\x1b" in line for line in lines)


def test_one_revision_is_not_several(live):
    done = live.call("token", "generate", "--reason", "x", "--to", "r1")
    ended(done, 0, "Approved: 1 revision on")
