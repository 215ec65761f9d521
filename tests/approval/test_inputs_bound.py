"""Approvals bind the whole set of inputs: what the plan names, and what the rehearsal executed and read besides."""

import json
from datetime import UTC, datetime

import pytest
from ledger_support import a_plan
from signing_support import Approver

from ci_migrate.approval.payload import (
    ApprovalPayload,
    Facts,
    decode_payload,
    files_digest,
    payload_diff,
)
from ci_migrate.approval.plan_diff import input_refusal, plan_diff
from ci_migrate.model import Inputs, Purpose

MOMENT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ONE = Inputs(files={"migrations/env.py": "1"}, distributions={"alembic": "1.20"})


@pytest.fixture
def project(alembic_project):
    """On a target that needs a token; its second revision reads a file."""
    alembic_project.settings('[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\n')
    alembic_project.write("seed.json", "1")
    alembic_project.revision(
        "r2", "r1", 'op.execute("INSERT INTO users (id) VALUES (" + open("seed.json").read() + ")")'
    )
    return alembic_project


def token_of(project):
    done = project.run("token", "generate", "--reason", "test", "--quiet")
    assert done.code == 0, done.text
    return done.out.strip()


def test_a_confirmation_token_covers_what_the_last_rehearsal_read_and_nothing_more(project):
    first = project.run("run")
    assert first.code == 4, first.text
    asked = json.loads((project.reports / "approval-request.json").read_text())
    assert asked["evidence"]["inputs"]["files"].keys() == {"seed.json"}
    assert "migrations/versions/r2.py" in asked["plan"]["inputs"]["files"]
    token = token_of(project)
    project.write("seed.json", "2")
    edited = project.run("run", env={"CI_MIGRATE_TOKEN": token})
    assert edited.code == 4, edited.text
    assert "The token does not cover what the dry run read: file seed.json was changed" in edited.text
    assert "ci-migrate token generate --target live" in edited.text
    assert project.heads == []
    project.write("seed.json", "1")
    done = project.run("run", env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 0, done.text
    assert project.sql("select id from users") == [(1,)]


def test_a_token_that_was_made_without_a_rehearsal_covers_what_the_plan_names(project):
    assert project.run("check").code == 0
    token = project.run("token", "generate", "--reason", "test", "--quiet")
    if token.code:  # no ledger yet: the first run makes it
        project.run("run")
        project.revision("r3", "r2", "pass")
        token = project.run("token", "generate", "--reason", "test", "--quiet")
    done = project.run("run", env={"CI_MIGRATE_TOKEN": token.out.strip()})
    assert done.code == 4, done.text
    assert "file seed.json came in" in done.text
    again = project.run("run", env={"CI_MIGRATE_TOKEN": token_of(project)})
    assert again.code == 0, again.text


def test_a_plan_says_which_input_is_not_the_approved_one():
    approved = a_plan(inputs=ONE)
    now = a_plan(inputs=Inputs(files={"migrations/env.py": "2"}, distributions={"alembic": "1.21"}))
    assert approved.digest != now.digest
    assert plan_diff(approved, now) == [
        "file migrations/env.py was changed",
        "distribution alembic was changed from 1.20 to 1.21",
    ]
    assert plan_diff(a_plan(), now) == ["it names no inputs, as those of ci-migrate 0.1.0"]


def test_what_an_approval_covers_besides_is_no_difference():
    more = ONE.plus(Inputs(files={"seed.json": "1"}))
    covers, plan = a_plan(inputs=more), a_plan(inputs=ONE)
    assert plan_diff(covers, a_plan(inputs=ONE, destination="r9")) == ["destination was head, is r9"]
    assert input_refusal(covers, more) == ""
    assert input_refusal(covers, ONE) == ""
    assert input_refusal(plan, more) == "file seed.json came in"


def test_a_plan_of_0_1_0_keeps_its_digest():
    assert a_plan().digest == "4043974f39b92b95896f729efd6d33908b25375b7fda71097b813612c1660f75"


def test_F20_a_payload_of_0_1_0_is_read_and_fits_no_run_that_has_inputs():
    plan = a_plan(inputs=ONE)
    fields = {
        "target": "production",
        "target_uuid": "u",
        "identity": plan.identity,
        "plan_digest": plan.digest,
        "direction": Purpose.UPGRADE,
        "from_heads": ("1111",),
        "destination": "head",
        "files_digest": files_digest(plan),
        "stages": ("migrate",),
        "requester": "ana",
        "reason": "why",
        "issued": MOMENT,
        "not_before": MOMENT,
        "expires": MOMENT,
        "nonce": "0" * 32,
        "tool_version": "0.1.0",
    }
    old = ApprovalPayload(**fields)
    assert b"inputs" not in old.encode()
    assert decode_payload(old.encode()) == old
    facts = Facts(plan=plan, target_uuid="u", inputs_digest=ONE.digest)
    assert payload_diff(old, facts) == [f"inputs: approved was none, here it is {ONE.digest[:12]}"]
    new = ApprovalPayload(**fields, inputs_digest=ONE.digest)
    assert decode_payload(new.encode()) == new
    assert payload_diff(new, facts) == []
    more = ONE.plus(Inputs(files={"seed.json": "1"}))
    assert payload_diff(new, Facts(plan=plan, target_uuid="u", inputs_digest=more.digest))


def test_F20_a_signature_covers_all_inputs_and_what_is_not_covered_is_named(alembic_project, tmp_path):
    project, ana = alembic_project, Approver("ana", tmp_path)
    project.settings('[targets.live]\nurl = "sqlite:///app.db"\n')
    project.write("seed.json", "1")
    project.revision(
        "r2", "r1", 'op.execute("INSERT INTO users (id) VALUES (" + open("seed.json").read() + ")")'
    )
    assert project.call("protect", "--approver", ana.line, "--by", "admin").code == 0

    def token():
        signing = project.call("approve", "--key", str(ana.file), "--reason", "seen")
        assert signing.code == 0, signing.text
        return signing

    assert project.call("run").code == 4
    signed = token()
    assert "inputs: 5 files" in signed.err
    assert "since the last approved run" not in signed.err
    project.write("seed.json", "2")
    done = project.call("run", env={"CI_MIGRATE_TOKEN": signed.out.strip()})
    assert done.code == 4, done.text
    words = " ".join(done.text.split())
    assert "made for something else: file seed.json was changed; inputs: approved was" in words, words
    assert project.heads == []
    assert project.call("run", env={"CI_MIGRATE_TOKEN": token().out.strip()}).code == 0
    project.revision("r3", "r2", "pass")
    assert project.call("run").code == 4
    again = token().err
    assert "since the last approved run" in again
    assert "file migrations/versions/r3.py came in" in again
