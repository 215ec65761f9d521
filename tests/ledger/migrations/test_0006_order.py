"""Keys, jobs and tokens that a ledger of an older version has are put into the order in which its trail tells of them."""

import pytest
from ledger_support import make_tables, tamper, url
from sqlalchemy import MetaData, create_engine

from ci_migrate.approval.tokens import list_tokens
from ci_migrate.ledger import audit, jobs, keys
from ci_migrate.ledger.ledger import open_ledger

__all__ = ["tamper", "url"]

TIMES = ("2026-03-01T00:00:00.000000+00:00", "2026-01-01T00:00:00.000000+00:00")
"""Of the first and of the second: a clock was put back in between."""


def a_token(name: str, created: str) -> dict:
    return {
        "approval_id": name, "kind": "confirmation", "target_uuid": "u", "target": "dev", "plan_digest": "d",
        "direction": "upgrade", "from_heads": "[]", "destination": "head", "reason": name, "approved_by": "[]",
        "created": created, "expires": created,
    }  # fmt: skip


def a_job(name: str, started: str) -> dict:
    return {"job_id": name, "target": "dev", "action": "run", "actor": "ana", "started": started,
            "status": "running", "answer": "{}", "stages": "[]"}  # fmt: skip


def a_key(name: str, created: str) -> dict:
    return {"key_id": name, "name": name, "role": "viewer", "target": "dev", "sha256": "0" * 64,
            "created": created, "created_by": "root"}  # fmt: skip


TOLD = {
    "ci_migrate_tokens": (a_token, "token generated", lambda name: {"approval": {"approvalId": name}}),
    "ci_migrate_jobs": (a_job, "job started", lambda name: {"jobId": name}),
    "ci_migrate_keys": (a_key, "key created", lambda name: {"key": {"keyId": name}}),
}


def make_old(url, *, begun: bool = False) -> None:
    """A ledger of revision 0005: of each kind one that no trail knows, then two between which a clock was put back."""
    engine = create_engine(url)
    with engine.begin() as connection:
        make_tables(connection, "0005")
        found = MetaData()
        found.reflect(connection)
        for name, (row, kind, facts) in TOLD.items():
            connection.execute(
                found.tables[name].insert(), row("unheard", "2026-06-01T00:00:00.000000+00:00")
            )
            for which, at in zip(("first", "second"), TIMES, strict=True):
                connection.execute(found.tables[name].insert(), row(which, at))
                audit.append(connection, kind, None, facts(which))
        audit.append(connection, "token reserved", "run-1", {"approvalId": "first"})  # which is no beginning
        audit.append(connection, "token revoked", None, {"approvalIds": ["first", "second"]})
        if begun:
            connection.exec_driver_sql("ALTER TABLE ci_migrate_keys ADD COLUMN sequence INTEGER")
    engine.dispose()


def expect_order(ledger) -> None:
    assert [key.key_id for key in keys.list_keys(ledger)] == ["unheard", "first", "second"]
    assert [job.job_id for job in jobs.latest(ledger, "dev")] == ["second", "first", "unheard"]
    assert [token.approval.approval_id for token in list_tokens(ledger)] == ["second", "first", "unheard"]


def test_F106_what_is_there_is_ordered_by_the_trail_and_what_comes_follows(url):
    make_old(url)
    with open_ledger(url, create=False) as ledger:
        expect_order(ledger)
        assert ledger.verify_audit() == []
        new = jobs.begin(ledger, target="dev", action="run", actor="ana", address="")
        assert jobs.latest(ledger, "dev")[0] == new


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_mysql_an_upgrade_that_was_killed_after_its_first_step_is_gone_on_with(url):
    """DDL is committed there by itself."""
    make_old(url, begun=True)
    with open_ledger(url, create=False) as ledger:
        expect_order(ledger)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("facts", ["", "null", "[]", '{"key":1}', '{"key":{}}'])
def test_a_record_that_somebody_altered_does_not_keep_the_ledger_shut(url, tamper, facts):
    make_old(url)
    tamper("UPDATE ci_migrate_audit SET facts = :facts WHERE sequence = 5", facts=facts)
    with open_ledger(url, create=False) as ledger:
        assert [key.key_id for key in keys.list_keys(ledger)] == ["first", "unheard", "second"]
        assert ledger.verify_audit() == ["record 5 was altered"]
