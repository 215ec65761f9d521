"""Keys of those who call over HTTP, and the jobs that they start, on each engine."""

import pytest
from ledger_support import ledger, tamper, url

from ci_migrate.errors import UsageError
from ci_migrate.ledger import jobs, keys
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.ledger.keys import Role

__all__ = ["ledger", "tamper", "url"]


def test_a_key_is_good_for_its_target_until_it_expires_or_is_revoked(ledger, tamper):
    key, record = keys.create(ledger, name="ana", role=Role.APPROVER, target="dev", by="root", days=90)
    other, _ = keys.create(ledger, name="ana", role=Role.VIEWER, target="production", by="root", days=None)
    assert keys.find(ledger, key, "dev") == record
    assert (record.expires - record.created).days == 90
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    for bad in (wrong, "", "cim_", key + "x", other, f"cim_{record.key_id}_", "\ud800", "ü" * 60):
        assert keys.find(ledger, bad, "dev") is None
    assert keys.find(ledger, key, "production") is None
    with pytest.raises(UsageError, match="already"):
        keys.create(ledger, name="ana", role=Role.VIEWER, target="dev", by="root", days=1)
    tamper(
        "UPDATE ci_migrate_keys SET expires = '2026-01-01T00:00:00.000000+00:00' WHERE expires IS NOT NULL"
    )
    assert keys.find(ledger, key, "dev") is None
    assert keys.find(ledger, other, "production").expires is None
    assert keys.revoke(ledger, keys.find(ledger, other, "production").key_id, by="ben").revoked is not None
    assert keys.find(ledger, other, "production") is None
    assert [k.name for k in keys.list_keys(ledger)] == ["ana", "ana"]
    kinds = [r.kind for r in ledger.audit_records()]
    assert kinds == ["key created", "key created", "key revoked"]
    kept = str(tamper("SELECT * FROM ci_migrate_keys")) + str(ledger.audit_records())
    assert key.rpartition("_")[2] not in kept
    assert other.rpartition("_")[2] not in kept


def test_roles_cover_those_before_them():
    covered = [[role.covers(needed) for needed in Role] for role in Role]
    assert covered == [[i >= j for j in range(4)] for i in range(4)]


@pytest.mark.parametrize(
    ("name", "days"), [("", 1), ("a b", 1), ("a\n", 1), ("x" * 65, 1), ("a", 0), ("a", 9999)]
)
def test_names_and_days_that_make_no_sense(name, days, tmp_path):
    with pytest.raises(UsageError):
        keys.create(None, name=name, role=Role.VIEWER, target="dev", by="root", days=days)


def test_a_job_ends_once(ledger):
    job = jobs.begin(ledger, target="dev", action="run", actor="ana", address="127.0.0.1")
    assert jobs.get(ledger, job.job_id, "dev") == job
    assert jobs.get(ledger, job.job_id, "other") is None
    assert jobs.running(ledger, "dev") == (job,)
    stage = {"stage": "check", "outcome": "passed", "seconds": 0.1, "message": "x" * 5000}
    jobs.progress(ledger, job.job_id, [stage])
    (found,) = jobs.get(ledger, job.job_id, "dev").stages
    assert found == {**stage, "message": "x" * 1000}
    answer = {"message": "done \ud800", "findings": ["x" * 1000] * 100, "statement": "y" * 70_000}
    assert jobs.end(ledger, job.job_id, JobStatus.FAILED, 6, answer)
    assert not jobs.end(ledger, job.job_id, JobStatus.FINISHED, 0, {"message": "later"})
    ended = jobs.get(ledger, job.job_id, "dev")
    assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 6)
    assert ended.answer == {"message": "done \\ud800", "statement": "y" * 4000}  # too long for MySQL's TEXT
    assert jobs.running(ledger, "dev") == ()
    assert [j.job_id for j in jobs.latest(ledger, "dev")] == [job.job_id]
    assert ledger.verify_audit() == []
