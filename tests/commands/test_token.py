"""`ci-migrate token generate|request|validate|list|revoke|merge|show`."""

import json

import pytest

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
    assert "--repair RUN or --protection CHANGE" in refused.err


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
