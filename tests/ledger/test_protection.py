"""Protection in the ledger, on each engine."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from ledger_support import ledger, on_sqlite, tamper, url
from permits import permit, protect, unfreeze, unprotect

from ci_migrate.ledger import protection
from ci_migrate.ledger.protection import RULES, UNFREEZE, UNPROTECT, Rules
from ci_migrate.ledger.tamper import find_tampering
from ci_migrate.model import Purpose

__all__ = ["ledger", "tamper", "url"]

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


LINES = ("größe ssh-ed25519 AAAA", 'a@b.c,d@e.f namespaces="x" ssh-rsa BBBB', "x" * 3000)


def test_each_line_is_kept_as_it_was_written_in_its_order(ledger):
    rules = Rules(approvers=LINES, emergency=LINES[::-1], min_approvals=3, forbid_self_approval=True)
    protect(ledger, rules, by="größe 🚚")
    found = protection.read(ledger)
    assert found.rules == rules
    assert found.by == "größe 🚚"
    assert found.rules.digest == rules.digest, "which an approval of it was given for"


def test_a_line_may_be_an_approvers_and_an_emergency_key_and_each_is_revoked_by_itself(ledger):
    both = Rules(approvers=("ana key",), emergency=("ana key",))
    protect(ledger, both, by="ana")
    protect(ledger, Rules(approvers=("ana key",)), by="ana", approval_id="a1")
    found = protection.read(ledger)
    assert (found.rules.approvers, found.rules.emergency, found.revoked) == (("ana key",), (), ("ana key",))


def test_the_same_rules_again_add_nobody(ledger):
    for _ in range(3):
        protect(ledger, FIRST, by="ana", approval_id="a1")
    assert protection.read(ledger).rules == FIRST
    assert protection.read(ledger).revoked == ()


def test_a_freeze_stands_beside_the_protection_and_the_last_reason_counts(ledger):
    protection.freeze(ledger, "incident 41", by="ana")
    protection.freeze(ledger, "incident 42", by="ben")
    found = protection.read(ledger)
    assert (found.protected, found.frozen, found.words) == (False, "incident 42", "FROZEN: incident 42")
    protect(ledger, FIRST, by="ana")
    assert protection.read(ledger).words.endswith("2 approvers, 2 needed; FROZEN: incident 42")
    unprotect(ledger, by="ana", approval_id="a3")
    assert protection.read(ledger).frozen == "incident 42", "who takes the protection away lets no run in"


def test_what_was_permitted_is_these_rules_and_no_others(ledger):
    """A permit for one change is none for another; nothing of it is written."""
    for change in (
        lambda: protection.protect(
            permit(Purpose.PROTECTION, RULES + FIRST.digest), ledger, SECOND, by="eve"
        ),
        lambda: protection.unprotect(permit(Purpose.PROTECTION, UNFREEZE), ledger, by="eve"),
        lambda: protection.unfreeze(permit(Purpose.PROTECTION, UNPROTECT), ledger, by="eve"),
        lambda: protection.unprotect(permit(Purpose.RESTORE, UNPROTECT), ledger, by="eve"),
    ):
        with pytest.raises(Exception, match="Permitted is"):
            change()
    assert protection.read(ledger) == protection.UNPROTECTED
    assert ledger.audit_records() == ()


def test_of_several_who_change_it_at_once_the_last_counts_and_the_trail_names_all(ledger):
    wanted = [Rules(approvers=(f"p{n} key{n}",)) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda rules: protect(ledger, rules, by="ana", approval_id="a"), wanted))
    told = [r.facts["rules"]["approvers"] for r in ledger.audit_records() if r.kind == "protected"]
    assert sorted(told) == sorted(list(rules.approvers) for rules in wanted)
    assert list(protection.read(ledger).rules.approvers) == told[-1], "one of them, and whole"
    assert find_tampering(ledger) == []


# --------------------------------------------------------------------------- in words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, ""),
        ({"protected": True}, "since 2026-11-23, by confirmation tokens"),
        ({"protected": True, "rules": Rules(approvers=("a",))}, "since 2026-11-23, 1 approver, 1 needed"),
        ({"protected": True, "rules": FIRST}, "since 2026-11-23, 2 approvers, 2 needed"),
        ({"frozen": "incident 42"}, "FROZEN: incident 42"),
        ({"protected": True, "frozen": "x"}, "since 2026-11-23, by confirmation tokens; FROZEN: x"),
    ],
)
def test_what_protects_it_is_told_in_a_line(found, words):
    assert protection.Protection(since="2026-11-23T08:00:00+00:00", **found).words == words


def test_a_digest_is_of_each_rule_and_of_the_order_of_its_lines():
    """What was approved is exactly what is written: another order is another request."""
    rules = [
        FIRST, SECOND, Rules(), Rules(min_approvals=2), Rules(forbid_self_approval=True), Rules(approvers=("a",)),
        Rules(emergency=("a",)), Rules(approvers=("a", "b")), Rules(approvers=("b", "a")),
    ]  # fmt: skip
    assert len({one.digest for one in rules}) == len(rules)
    assert Rules(approvers=("a",)).digest == Rules(approvers=("a",)).digest


@on_sqlite
def test_a_line_that_is_named_twice_stands_there_once(ledger):
    protect(ledger, Rules(approvers=("ana key", "ben key", "ana key")), by="ana")
    assert protection.read(ledger).rules.approvers == ("ana key", "ben key")
    assert find_tampering(ledger) == []


@on_sqlite
def test_what_came_before_is_in_the_trail_with_the_approval(ledger):
    protect(ledger, FIRST, by="ana")
    protect(ledger, SECOND, by="ben", approval_id="a1")
    unprotect(ledger, by="cem", approval_id="a2")
    protection.freeze(ledger, "incident", by="ana")
    unfreeze(ledger, by="ben", approval_id="a3")
    first, second, gone, frozen, unfrozen = (record.facts for record in ledger.audit_records())
    assert (first["before"]["approvers"], first["approvalId"]) == ([], None)
    assert (second["before"]["minApprovals"], second["approvalId"]) == (2, "a1")
    assert gone == {"by": "cem", "approvalId": "a2"}
    assert frozen == {"reason": "incident", "by": "ana"}
    assert unfrozen == {"by": "ben", "approvalId": "a3"}


@on_sqlite
def test_of_whoever_was_revoked_the_time_stays_when_others_are(ledger, tamper):
    protect(ledger, FIRST, by="ana")
    protect(ledger, SECOND, by="ana", approval_id="a1")
    query = "SELECT line, revoked FROM ci_migrate_signers WHERE revoked IS NOT NULL ORDER BY line"
    revoked = tamper(query)
    assert [line for line, _ in revoked] == ["ana key-a", "eve key-e"]
    unprotect(ledger, by="ana", approval_id="a2")
    assert [row for row in tamper(query) if row[0] in ("ana key-a", "eve key-e")] == revoked
