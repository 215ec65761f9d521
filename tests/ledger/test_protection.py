"""Protection in the ledger, on each engine."""

import msgspec
from ledger_support import ledger, url
from permits import protect, unfreeze, unprotect

from ci_migrate.ledger import protection
from ci_migrate.ledger.protection import Rules

__all__ = ["ledger", "url"]

FIRST = Rules(approvers=("ana key-a", "ben key-b"), emergency=("eve key-e",), min_approvals=2)
SECOND = Rules(approvers=("ben key-b", "cem key-c"), forbid_self_approval=True)


def test_rules_are_kept_replaced_and_taken_away(ledger):
    assert protection.read(None) == protection.read(ledger) == protection.UNPROTECTED
    protect(ledger, FIRST, by="ana")
    found = protection.read(ledger)
    assert (found.protected, found.rules, found.by) == (True, FIRST, "ana")
    protect(ledger, SECOND, by="ben", approval_id="a1")
    assert protection.read(ledger).rules == SECOND
    protect(ledger, FIRST, by="ana", approval_id="a2")  # whoever was revoked may come again
    assert set(protection.read(ledger).rules.approvers) == set(FIRST.approvers)
    protection.freeze(ledger, "incident 42", by="ana")
    assert protection.read(ledger).frozen == "incident 42"
    unfreeze(ledger, by="ana", approval_id=None)
    unprotect(ledger, by="ana", approval_id="a3")
    left = protection.read(ledger)
    assert msgspec.structs.replace(left, revoked=()) == protection.UNPROTECTED
    assert set(left.revoked) >= {*FIRST.approvers, *SECOND.approvers}
    kinds = [record.kind for record in ledger.audit_records()]
    assert kinds == ["protected", "protected", "protected", "frozen", "unfrozen", "unprotected"]
    assert ledger.audit_records()[1].facts["before"]["approvers"] == list(FIRST.approvers)
    assert ledger.verify_audit() == []
