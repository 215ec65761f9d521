"""From exit 4 to a signed token: what an approver types on a machine that reaches no database."""

import json
import shutil

import pytest
from approval_support import key_file, public_line

from ci_migrate.approval.signers import parse_signers
from ci_migrate.approval.trust import Trust
from ci_migrate.approval.verification import verify
from ci_migrate.model import now

LIVE = '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
CI = {"GITHUB_ACTOR": "bob", "GITHUB_SHA": "c" * 40}
REQUEST = ".ci-migrate/reports/approval-request.json"


def trust():
    return Trust(signers=parse_signers([f"alice {public_line()}", f"carol {public_line('carol')}"]))


@pytest.fixture
def laptop(alembic_project, tmp_path):
    """The project after a run that stopped for want of an approval, and its database out of reach."""
    alembic_project.settings(LIVE)
    done = alembic_project.call("run", "--target", "live", env=CI)
    assert done.code == 4, done.text
    for path in alembic_project.folder.glob("app.db*"):
        path.rename(tmp_path / f"away-{path.name}")
    for path in (alembic_project.folder / "migrations", alembic_project.folder / ".ci-migrate" / "backups"):
        shutil.rmtree(path, ignore_errors=True)
    return alembic_project


def test_T1_T4_a_request_is_signed_far_from_the_database(laptop, tmp_path):
    key, second = key_file(tmp_path), key_file(tmp_path, "carol")
    request = json.loads((laptop.folder / REQUEST).read_text())
    done = laptop.call("approve", "--key", str(key), "--reason", "seen by two")
    assert done.code == 0, done.text
    assert "upgrade of" in done.err
    assert "asked for by bob" in done.err
    verified = verify(done.out, trust(), now())
    payload = verified.payload
    assert (verified.approved_by, payload.requester, payload.reason) == (("alice",), "bob", "seen by two")
    assert (payload.commit, payload.stages) == ("c" * 40, ("migrate", "undo", "downgrade"))
    assert payload.target_uuid == request["targetUuid"] != ""
    assert payload.evidence_digest == request["evidenceDigest"] is not None
    assert payload.plan_digest == request["planDigest"]

    # another one signs too, or apart from the first one
    (laptop.folder / "first").write_text(done.out)
    both = laptop.call("approve", "--key", str(second), "--token-file", "first")
    assert verify(both.out, trust(), now()).approved_by == ("alice", "carol")
    assert "seen by two" in both.err, "who signs sees what"
    (laptop.folder / "both").write_text(both.out)
    merged = laptop.call("token", "merge", "first", "both", "first")
    assert merged.out == both.out
    shown = laptop.call("token", "show", "--token-file", "both")
    assert shown.code == 0, shown.text
    assert shown.out.count("signed by") == 2
    assert "seen by two" in shown.out
    assert "bob" in shown.out

    # the same by another name
    arguments = ("--request", REQUEST, "--key", str(key), "--reason", "why")
    again = laptop.call("token", "generate", *arguments)
    assert verify(again.out, trust(), now()).payload.nonce != payload.nonce
    apart = laptop.folder / "apart"
    apart.write_text(again.out)
    refused = laptop.call("token", "merge", "first", "apart")
    assert refused.code == 4
    assert "say different things" in refused.text
    altered = both.out.strip()[:-30] + "A" + both.out.strip()[-29:]
    apart.write_text(altered)
    assert laptop.call("token", "show", "--token-file", "apart").code == 4
    assert laptop.call("token", "show").code == 4, "no token at all"
    for wrong in (("--request", REQUEST), ("--key", str(key)), (*arguments[:4], "--to", "r2")):
        assert laptop.call("token", "generate", *wrong, "--reason", "why").code == 2

    # what has been edited is not signed
    edits = {
        "planDigest": "0" * 64,
        "evidenceDigest": "0" * 64,
        "targetUuid": "",
        "requester": "",
        "plan": {**request["plan"], "destination": "other"},
        "findings": [
            *request["findings"],
            {"code": "CM999", "name": "x", "severity": "info", "message": "x"},
        ],
        "evidence": None,
        "target": "staging",
        "stages": ["rollback"],
    }
    for field, value in edits.items():
        (laptop.folder / "edited.json").write_text(json.dumps({**request, field: value}))
        done = laptop.call("approve", "edited.json", "--key", str(key), "--reason", "why")
        assert (done.code, done.out) == (2, ""), field
        assert "Traceback" not in done.text
    # what is approved can't hide behind what a terminal makes of it
    hidden = {"code": "CM999", "name": "x", "severity": "error", "message": "rows lost\x1b[2K\r\n  ok \u202e"}
    findings = [{**hidden, "severity": "info", "message": "m"}] * 30 + [hidden]
    edited = {**request, "evidence": None, "evidenceDigest": None, "findings": findings}
    (laptop.folder / "edited.json").write_text(json.dumps(edited))
    done = laptop.call("approve", "edited.json", "--key", str(key), "--reason", "why\n\x1b[2J")
    assert done.code == 0, done.text
    assert "  error CM999 x: rows lost\\x1b[2K\\r\\n  ok \\u202e\n" in done.err
    assert "and 11 more findings" in done.err
    (laptop.folder / "first").write_text(done.out)
    shown = laptop.call("token", "show", "--token-file", "first")
    assert "why\\n\\x1b[2J\n" in shown.out
    for text in ("", "{}", "[" * 100_000, "\x00"):
        (laptop.folder / "edited.json").write_text(text)
        assert laptop.call("approve", "edited.json", "--key", str(key), "--reason", "why").code == 2
    assert laptop.call("approve", "nowhere.json", "--key", str(key), "--reason", "why").code == 2
    assert laptop.call("approve", "--key", str(key)).code == 2, "no reason"
    assert laptop.call("approve", "--key", str(key), "--reason", " ").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing option '--key'"),
        (["--key", "none"], "An approval needs a reason."),
        (
            ["--key", "none", "--reason", "x"],
            "approval-request.json can't be read: No such file or directory.",
        ),
        ([".", "--key", "none", "--reason", "x"], "can't be read: Is a directory."),
        (["alembic.ini", "--key", "none", "--reason", "x"], "is no approval request."),
        (["--key", "none", "--reason", "x", "--minutes", "0"], "0 is not in the range"),
        (["--key", "none", "--reason", "x", "--minutes", "10081"], "10081 is not in the range"),
        (["--key", "none", "--reason", "x", "--back", "magic"], "'magic' is not one of"),
        (["--key", "none", "--token-file", "t", "--reason", "x"], "What a token says can't be changed"),
        (["--key", "none", "--token-file", "t", "--minutes", "5"], "What a token says can't be changed"),
        (["--key", "none", "--token-file", "t"], "The token file t can't be read"),
    ],
)
def test_what_signs_nothing(alembic_project, arguments, words):
    done = alembic_project.call("approve", *arguments)
    assert done.code == 2, done.text
    assert words in done.words
    assert done.out == ""
    assert not alembic_project.database.exists()


def test_keys_that_can_not_sign(laptop, tmp_path):
    (tmp_path / "text").write_text("no key")
    for key in ("none", str(tmp_path), str(tmp_path / "text")):
        done = laptop.call("approve", "--key", key, "--reason", "x")
        assert done.code in (2, 8), done.text
        assert "Bug in" not in done.text
        assert done.out == ""


def test_how_long_and_which_ways_back(laptop, tmp_path):
    key = str(key_file(tmp_path))
    done = laptop.call("approve", "--key", key, "--reason", "x", "--minutes", "5", "--back", "restore")
    assert done.code == 0, done.text
    payload = verify(done.out, trust(), now()).payload
    assert payload.stages == ("migrate", "restore")
    assert 0 < (payload.expires - now()).total_seconds() <= 300
    none = laptop.call("approve", "--key", key, "--reason", "x", "--back", "none")
    assert verify(none.out, trust(), now()).payload.stages == ("migrate",)


def test_F86_a_passphrase_and_no_terminal(laptop, tmp_path):
    key = key_file(tmp_path, passphrase="secret")
    done = laptop.run("approve", "--key", str(key), "--reason", "why")
    assert (done.code, done.out) == (2, "")
    assert "has a passphrase, and there is no terminal to ask for it on" in done.err
    assert f"\nssh-add {key}\n" in done.err
    assert "Warning" not in done.err
