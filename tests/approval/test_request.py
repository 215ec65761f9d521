import json
import shlex
from pathlib import Path

import pytest
from ledger_support import a_plan, some_evidence

from ci_migrate.approval.payload import evidence_digest
from ci_migrate.approval.request import FILE_NAME, approval_request, read_request, write_request
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.model import (
    Finding,
    ProtectionChange,
    SchemaChange,
    Severity,
    Statement,
    TableContent,
    TableEvidence,
    WayBack,
)

STATEMENT = Statement(
    position=1, context=0, revision="2222", file="b.py", line=3, sql="UPDATE users SET email = 'ana@example.com'",
    digest="d", seconds=0.1, rows=3, repeats=4,
)  # fmt: skip


def a_request(**changes: object):
    fields: dict = {
        "plan": a_plan(),
        "evidence": None,
        "findings": (),
        "target": "production",
        "command_line": "ci-migrate run --target production",
    }
    return approval_request(**{**fields, **changes})


def test_it_holds_the_plan_the_evidence_and_the_findings(tmp_path):
    evidence = some_evidence(
        statements=(STATEMENT,),
        stream_digest="s" * 64,
        changes=(SchemaChange(name="column users.email", before=None, after="TEXT"),),
        tables={
            "users": TableEvidence(before=TableContent(rows=3), after=TableContent(rows=2)),
            "orders": TableEvidence(before=TableContent(rows=9), after=TableContent(rows=9)),
            "old": TableEvidence(before=TableContent(rows=1), after=None),
        },
        way_back=WayBack(tried=False, reason="no downgrade()"),
    )
    finding = Finding(
        code="CM202", name="rows-lost", severity=Severity.ERROR, message="1 row", acknowledged="moved"
    )
    path = write_request(a_request(evidence=evidence, findings=(finding,)), tmp_path / "reports" / FILE_NAME)
    found = json.loads(path.read_text())
    assert found["planDigest"] == a_plan().digest
    assert found["plan"]["revisions"][0]["sha256"] == "b" * 64
    assert found["findings"][0]["acknowledged"] == "moved"
    assert found["place"] == "/srv/app.db"
    summary = found["evidence"]
    assert (summary["proven"], summary["statements"], summary["streamDigest"]) == (True, 4, "s" * 64)
    assert summary["changes"] == ["column users.email added"]
    assert summary["rows"] == {"users": {"before": 3, "after": 2}, "old": {"before": 1, "after": None}}
    assert (summary["wayBackProven"], summary["wayBackReason"]) == (False, "no downgrade()")
    assert "ana@example.com" not in path.read_text()


def test_it_says_how_to_approve_and_how_to_go_on():
    assert a_request().how_to_approve == (
        "ci-migrate token generate --target production --reason '...'",
        "CI_MIGRATE_TOKEN=TOKEN ci-migrate run --target production",
    )


def test_its_commands_can_be_pasted_whatever_the_names():
    request = a_request(plan=a_plan(destination="3333", target="it's $(prod)"))
    words = shlex.split(request.how_to_approve[0])
    assert words[3:7] == ["--target", "it's $(prod)", "--to", "3333"]


def test_hostile_text_is_written_all_the_same(tmp_path):
    finding = Finding(code="CM101", name="x", severity=Severity.INFO, message="\x00 \udcff ]]> 🚚")
    path = write_request(a_request(findings=(finding,)), tmp_path / FILE_NAME)
    assert json.loads(path.read_text())["findings"][0]["message"] == "\x00 \\udcff ]]> 🚚"


def test_it_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_text("old")
    write_request(a_request(), path)
    assert [found.name for found in tmp_path.iterdir()] == [FILE_NAME]
    assert json.loads(path.read_text())["target"] == "production"


def test_a_folder_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CiMigrateError, match="could not be written"):
        write_request(a_request(), tmp_path / "file" / FILE_NAME)


def test_what_is_bound_does_not_depend_on_measured_seconds():
    def digest(code, severity):
        finding = Finding(code=code, name="n", severity=Severity(severity), message="m", revision="r1")
        return evidence_digest("p", "f0", "stream", [finding])

    nothing = evidence_digest("p", "f0", "stream", [])
    assert digest("CM301", "warning") == digest("CM302", "info") == nothing
    assert digest("CM303", "warning") != nothing


def test_who_approves_a_dry_run_with_rows_approves_none_without():
    assert evidence_digest("p", "f0", "stream", []) != evidence_digest(
        "p", "f0", "stream", [], without_rows=True
    )


OF_0_1_0 = Path(__file__).with_name("request_of_0_1_0.json")


def test_a_request_for_a_change_of_the_protection_is_read_whichever_version_wrote_it(tmp_path):
    old = read_request(OF_0_1_0)
    change = ProtectionChange(target="production", identity=a_plan().identity, destination="unprotect")
    assert old.plan == change
    assert old.plan.digest == old.plan_digest, "what an approval of then binds"
    new = a_request(plan=change, target_uuid=old.target_uuid, requester="bo")
    path = write_request(new, tmp_path / FILE_NAME)
    assert json.loads(path.read_text())["plan"] == json.loads(OF_0_1_0.read_text())["plan"]
    assert read_request(path).plan == change


def test_a_request_for_a_plan_is_read_as_it_was_written(tmp_path):
    request = a_request(target_uuid="u-1", requester="bo")
    assert read_request(write_request(request, tmp_path / FILE_NAME)) == request


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("destination", "unfreeze"),
        ("direction", "upgrade"),
        ("contexts", [{}]),
        ("envSha256", "e" * 64),
        ("identity", None),
    ],
)
def test_an_edited_change_is_refused(tmp_path, field, value):
    document = json.loads(OF_0_1_0.read_text())
    document["plan"][field] = value
    (tmp_path / FILE_NAME).write_text(json.dumps(document))
    with pytest.raises(UsageError):
        read_request(tmp_path / FILE_NAME)
    document["plan"] = [document["plan"]]
    (tmp_path / FILE_NAME).write_text(json.dumps(document))
    with pytest.raises(UsageError, match="is no approval request"):
        read_request(tmp_path / FILE_NAME)
