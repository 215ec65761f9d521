"""What an approver reads before saying yes: for each kind of intent, cut where it is long, nothing hidden in it."""

import msgspec
import pytest
from ledger_support import a_plan, some_evidence

from ci_migrate.approval.description import describe_request
from ci_migrate.approval.request import approval_request
from ci_migrate.model import (
    Finding,
    Identity,
    ProtectionChange,
    Removal,
    Restoration,
    Revision,
    RowCount,
    RunRepair,
    Severity,
    TableContent,
    TableEvidence,
)

PLACE = Identity(dialect="sqlite", place="/srv/app.db", facts={"file": "/srv/app.db"})
RESTORE = Restoration(
    target="shop", identity=PLACE, backup_id="backup_r1", manifest_sha256="a" * 64, place="/b", heads=("r2",)
)
REPAIR = RunRepair(target="shop", identity=PLACE, run_id="run-1", forward=False, plan_digest="d" * 64)


def removal(**more) -> Removal:
    return Removal(target="shop", identity=PLACE, **more)


def told(plan, evidence=None, findings=(), **more) -> list[str]:
    request = approval_request(plan, evidence, findings, "shop", "ci-migrate run", requester="olga", **more)
    return describe_request(request)


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (RESTORE, ["  backup_r1 in /b", f"  sha256 of its manifest: {'a' * 64}"]),
        (
            msgspec.structs.replace(RESTORE, tables=("users", "größe")),
            ["  rows of users, größe from backup_r1 in /b", f"  sha256 of its manifest: {'a' * 64}"],
        ),
        (REPAIR, ["  run-1 back", "  no repair fits that writes"]),
        (
            msgspec.structs.replace(REPAIR, does=("undo from commit point 1: drop x", "restore: y")),
            ["  run-1 back", "  undo from commit point 1: drop x", "  restore: y"],
        ),
        (
            msgspec.structs.replace(REPAIR, accepts=("table x added", "index y removed")),
            ["  run-1 accepts table x added; index y removed"],
        ),
        (
            ProtectionChange(target="shop", identity=PLACE, destination="unprotect"),
            ["  unprotect"],
        ),
        (
            removal(what="backups", names=("b1", "b2"), manifests=("c" * 64, ""), place="/b"),
            ["  backups: b1, b2 in /b", f"  sha256 of the manifest of b1: {'c' * 64}",
             "  sha256 of the manifest of b2: never finished"],
        ),
    ],
)  # fmt: skip
def test_each_kind_is_told_whole(plan, lines):
    first, *others = told(plan)
    assert first == f"{plan.purpose} of /srv/app.db (target shop), asked for by olga:"
    assert others == lines


def test_a_plan_that_was_not_rehearsed_says_so_and_one_that_was_says_what_it_does():
    plan = a_plan()
    assert "  There was no dry run." in told(plan)
    tables = {
        name: TableEvidence(
            before=before and TableContent(rows=before), after=after and TableContent(rows=after)
        )
        for name, before, after in (
            ("big", 1_234_567, 12),
            ("new", None, 3),
            ("gone", 3, None),
            ("same", 5, 5),
        )
    }
    evidence = some_evidence(tables=tables, row_counts_before={"big": RowCount(rows=1)}, migrate_seconds=1.25)
    lines = told(plan, evidence)
    assert "  backup proven; 0 statements in 1.2 s" in lines
    assert "  rows big: 1,234,567 -> 12" in lines
    assert "  rows new: no table -> 3" in lines
    assert "  rows gone: 3 -> no table" in lines
    assert not any("same" in line for line in lines)
    unproven = some_evidence(proven=False, unproven_reason="provider-clone is not set")
    assert any(
        line.startswith("  backup unproven: provider-clone is not set; ") for line in told(plan, unproven)
    )


def test_the_worst_findings_come_first_and_of_many_the_number_is_told():
    def finding(severity: Severity, number: int) -> Finding:
        return Finding(code="CM101", name=f"n{number}", severity=severity, message="m")

    found = [finding(severity, n) for n in range(15) for severity in reversed(Severity)]
    lines = told(a_plan(), findings=found)
    shown = [line.split()[0] for line in lines if " CM101 " in line]
    assert shown == sorted(shown, key=[s.value for s in Severity].index)
    assert len(shown) == 20
    assert lines[-1] == f"  and {len(found) - 20} more findings"


def test_of_many_revisions_the_first_are_named():
    revisions = tuple(Revision(id=f"r{n}", file=f"r{n}.py", sha256="b" * 64, message="m") for n in range(25))
    lines = told(a_plan(revisions=revisions))
    assert "  r19  m  r19.py" in lines
    assert "  and 5 more" in lines
    assert not any("r20.py" in line for line in lines)


@pytest.mark.parametrize("letter", ["\n", "\r", "\x1b", "\u202e", "\u200b", "\x00", "\x9b", "\u2028"])
def test_nothing_turns_hides_or_adds_a_line(letter):
    """A message of a revision, a name of a table, a reason of a repair: all is the author's."""
    evil = f"good{letter}evil"
    plan = a_plan(revisions=(Revision(id="r1", file=f"{evil}.py", sha256="b" * 64, message=evil),))
    for lines in (
        told(plan, findings=[Finding(code="CM101", name=evil, severity=Severity.ERROR, message=evil)]),
        told(msgspec.structs.replace(REPAIR, does=(evil,), accepts=())),
        told(msgspec.structs.replace(RESTORE, tables=(evil,))),
    ):
        assert not any(letter in line for line in lines), lines
        assert any("good\\" in line for line in lines), "its escape stands there"


def test_nobody_has_asked():
    request = approval_request(RESTORE, None, (), "shop", "ci-migrate run")
    assert describe_request(request)[0].endswith("asked for by nobody:")
