"""What an approval can be asked for and given: one thing, found on the target as it is now."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from alembic_project import AlembicProject, new_project

from ci_migrate.errors import NotApprovedError, RefusedError, UsageError
from ci_migrate.ledger.protection import Rules
from ci_migrate.model import Direction, Plan, ProtectionChange, Purpose, Removal, Restoration, RunRepair
from ci_migrate.operations.tokens import (
    Wanted,
    ask_for_approval,
    confirm,
    find_approvable,
    last_evidence,
)
from ci_migrate.run.run import LedgerRun, require_ledger
from ci_migrate.session import open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

KEY = "ana@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8ZVjQXn2GEPTpTUeVKy0gQEHxEGSBBUHpHHDKTCbyn"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> AlembicProject:
    """At r1 of two revisions, with one backup. Tests look at it and leave records in its ledger."""
    project = new_project(tmp_path_factory.mktemp("tokens") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    return project


@contextmanager
def session(
    project: AlembicProject, wanted: Wanted, env: dict[str, str] | None = None, **flags
) -> Iterator[LedgerRun]:
    settings = load(project.folder, project.environment(env), flags)
    with open_session(settings, wanted.ask(VERBS["token generate"])) as run:
        yield require_ledger(run)


# ------------------------------------------------------------------ one thing


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"forward": True}, "--forward needs --repair RUN: it says how that run is repaired."),
        ({"accept_foreign": True}, "--accept-foreign needs --repair RUN."),
        ({"repair": "1", "forward": True, "accept_foreign": True}, "--forward or --accept-foreign."),
        ({"tables": ("users",)}, "--table needs --restore BACKUP"),
        ({"rollback": True, "stamp": True, "destination": "r1"}, "either for --rollback or for --stamp."),
        ({"rollback": True}, "--rollback needs --to REVISION."),
        ({"stamp": True}, "--stamp needs --to REVISION."),
        ({"backup_id": "b", "drop_old": True}, "A token is for one thing: name one."),
        ({"backup_id": "b", "backups": ("b",)}, "A token is for one thing: name one."),
        ({"repair": "1", "change": "unprotect"}, "A token is for one thing: name one."),
        ({"rollback": True, "destination": "r1", "backups": ("b",)}, "A token is for one thing: name one."),
    ],
)
def test_several_things_or_half_of_one_are_refused(flags, words):
    with pytest.raises(UsageError) as caught:
        Wanted(**flags)
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("flags", "others", "direction"),
    [
        ({}, 0, Direction.UPGRADE),
        ({"destination": "r1"}, 0, Direction.UPGRADE),
        ({"rollback": True, "destination": "r1"}, 0, Direction.DOWNGRADE),
        ({"stamp": True, "destination": "r1"}, 0, Direction.STAMP),
        ({"backup_id": "b", "tables": ("users",)}, 1, Direction.UPGRADE),
        ({"backups": ("b", "c")}, 1, Direction.UPGRADE),
        ({"repair": "1", "forward": True}, 1, Direction.UPGRADE),
        ({"change": "unprotect"}, 1, Direction.UPGRADE),
    ],
)
def test_what_is_asked_of_the_gate(flags, others, direction):
    wanted = Wanted(**flags)
    request = wanted.ask(VERBS["token generate"])
    assert (wanted.others, wanted.anything) == (others, bool(flags))
    assert (request.direction, request.destination) == (direction, flags.get("destination"))


# ------------------------------------------------------------------ found on the target


@pytest.mark.parametrize(
    ("flags", "kind", "purpose"),
    [
        ({}, Plan, Purpose.UPGRADE),
        ({"rollback": True, "destination": "base"}, Plan, Purpose.DOWNGRADE),
        ({"stamp": True, "destination": "r2"}, Plan, Purpose.STAMP),
        ({"backup_id": "BACKUP"}, Restoration, Purpose.RESTORE),
        ({"backup_id": "BACKUP", "tables": ("users",)}, Restoration, Purpose.RESTORE),
        ({"backups": ("BACKUP",)}, Removal, Purpose.REMOVAL),
        ({"change": "unprotect"}, ProtectionChange, Purpose.PROTECTION),
    ],
)
def test_each_thing_is_found(shop, flags, kind, purpose):
    backup = next((shop.folder / ".ci-migrate" / "backups").glob("backup_*")).name
    text = msgspec.json.encode(flags).replace(b"BACKUP", backup.encode())
    wanted = Wanted(
        **{n: tuple(v) if isinstance(v, list) else v for n, v in msgspec.json.decode(text).items()}
    )
    with session(shop, wanted) as run:
        found = find_approvable(run, wanted)
        assert isinstance(found, kind)
        assert (found.purpose, found.target) == (purpose, "dev")
        assert find_approvable(run, wanted).digest == found.digest, "asked for twice it is the same"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"backup_id": "nothing"}, "'nothing' is no backup id."),
        ({"backup_id": "backup_r1_20200101_000000"}, "There is no backup backup_r1_20200101_000000 in"),
        ({"backups": ("backup_r1_20200101_000000",)}, "There is no backup"),
        (
            {"repair": "nothing"},
            "Run nothing is not the one of target dev that is to be repaired: there is none.",
        ),
        ({"change": "nothing"}, "nothing is no change of a protection."),
        ({"change": "rules-" + "0" * 63}, "is no change of a protection."),
    ],
)
def test_what_is_not_there_can_not_be_approved(shop, flags, words):
    wanted = Wanted(**flags)
    with session(shop, wanted) as run, pytest.raises(UsageError) as caught:
        find_approvable(run, wanted)
    assert words in caught.value.what


def test_rows_that_make_no_sense_hinder_a_stamp_only(alembic_project):
    """A stamp is what takes them away."""
    assert alembic_project.gate("migrate").exit_code == 0
    alembic_project.put_version_rows("zzz")
    stamp = Wanted(stamp=True, destination="r2")
    with session(alembic_project, stamp) as run:
        assert find_approvable(run, stamp).purpose == Purpose.STAMP
        with pytest.raises(RefusedError, match="zzz"):
            find_approvable(run, Wanted())


def test_a_repair_is_found_by_its_run_alone(alembic_project):
    report = alembic_project.gate("run")
    alembic_project.leave_unfinished(report.run_id)
    wanted = Wanted(repair=report.run_id)
    with session(alembic_project, wanted) as run:
        found = find_approvable(run, wanted)
        assert isinstance(found, RunRepair)
        assert (found.run_id, found.forward, found.accepts) == (report.run_id, False, ())
        with pytest.raises(UsageError, match=f"it is {report.run_id}"):
            find_approvable(run, Wanted(repair="another"))
        with pytest.raises(UsageError, match="Nothing was changed by somebody else"):
            find_approvable(run, Wanted(repair=report.run_id, accept_foreign=True))
        forward = find_approvable(run, Wanted(repair=report.run_id, forward=True))
        assert forward.digest != found.digest


# ------------------------------------------------------------------ confirmed


def test_a_token_for_what_is_pending(shop):
    with session(shop, Wanted()) as run:
        token, approval, plan = confirm(run, Wanted(), reason="ticket 4711", by="ana")
        assert (approval.approved_by, approval.reason, approval.target) == (("ana",), "ticket 4711", "dev")
        assert approval.plan_digest == plan.digest
        assert 0 < (approval.expires - approval.created).total_seconds() <= 30 * 60
        again, other, _ = confirm(run, Wanted(), reason="ticket 4711", by="ana", expected=plan.digest)
        assert (again, other.approval_id) != (token, approval.approval_id)


@pytest.mark.parametrize("expected", ["0" * 64, "", "PREFIX"])
def test_another_plan_than_was_looked_at(shop, expected):
    with session(shop, Wanted()) as run:
        digest = find_approvable(run, Wanted()).digest
        with pytest.raises(RefusedError, match="it changed since that one was looked at") as caught:
            confirm(run, Wanted(), reason="x", by="ana", expected=expected.replace("PREFIX", digest[:63]))
    assert digest[:12] in caught.value.what


def test_where_nothing_is_pending_nothing_is_confirmed(shop):
    wanted = Wanted(destination="r1")
    with session(shop, wanted) as run, pytest.raises(RefusedError, match="there is nothing to approve"):
        confirm(run, wanted, reason="x", by="ana")


def test_where_approvers_are_registered_they_sign(shop):
    """Whoever reaches the ledger could otherwise approve in their place."""
    with session(shop, Wanted(), env={"CI_MIGRATE_TRUST": KEY}) as run, pytest.raises(NotApprovedError):
        confirm(run, Wanted(), reason="x", by="ana")
    assert Rules(approvers=(KEY,)).approvers


# ------------------------------------------------------------------ asked for


def test_who_asks_first_is_who_asked(shop):
    wanted = Wanted(change="accept-identity")
    for actor in ("bob", "eve"):
        with session(shop, wanted, env={"CI_MIGRATE_ACTOR": actor}) as run:
            request = ask_for_approval(run, find_approvable(run, wanted))
            assert request.requester == "bob", "who looks at it again does not become who asks"
            assert request.target_uuid == run.ledger.uuid
            assert run.ledger.requesters(request.plan_digest) == {"bob"}


def test_without_a_dry_run_there_is_no_evidence(shop):
    with session(shop, Wanted()) as run:
        plan = find_approvable(run, Wanted())
        assert last_evidence(run, plan) == (None, ())
        request = ask_for_approval(run, plan)
    assert (request.evidence, request.evidence_digest, request.findings) == (None, None, ())


def test_the_evidence_of_this_very_plan_that_is_not_too_old(alembic_project):
    alembic_project.settings(
        '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
    )
    rehearsed = alembic_project.gate("run")
    assert rehearsed.exit_code == 4, "it stops for want of an approval"
    with session(alembic_project, Wanted()) as run:
        evidence, findings = last_evidence(run, find_approvable(run, Wanted()))
        assert evidence.stream_digest == rehearsed.evidence.stream_digest
        assert findings == rehearsed.findings
        assert last_evidence(run, find_approvable(run, Wanted(change="unprotect"))) == (None, ())
    with session(alembic_project, Wanted(), max_evidence_age=0.0) as run:
        assert last_evidence(run, find_approvable(run, Wanted())) == (None, ())
    alembic_project.revision("r3", "r2", "create table t (id integer)", "drop table t")
    with session(alembic_project, Wanted()) as run:
        assert last_evidence(run, find_approvable(run, Wanted())) == (None, ()), "another plan by now"
