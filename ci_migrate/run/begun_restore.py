"""A restore over a live target that was killed in its swap: journalled before, brought to an end by the next command.

The database that takes the place may be another one to its server (another `oid`), on which the ledger is pinned; and
not every engine swaps in one step. So the ledger says before what is about to come.
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress

import msgspec

from ci_migrate.databases.base import Database, SettlesReplace
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import CiMigrateError, ExitCode, LockedError
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import (
    EntryKind,
    Frozen,
    Identity,
    JournalEntry,
    RunRecord,
    TargetState,
    canonical_json,
    now,
)
from ci_migrate.run.mark import keep_marks

Tell = Callable[[str], None]


class Swapping(Frozen, frozen=True, kw_only=True):
    """What is about to take the target's place: the label of `Database.replace`, and the key that it will have.

    The key is "" where the target could not say what it is.
    """

    label: str
    key: str


def announce_restore(
    ledger: Ledger, run_id: str, database: Database, backup_id: str
) -> Callable[[Database, str], None]:
    """What is to be called just before a restored copy takes the place of a target: then a kill is seen."""

    def write(copy: Database, label: str) -> None:
        if not _settles(database):
            return
        key = ""
        with suppress(CiMigrateError):
            here, other = database.identity(), copy.identity()
            oids = {name: fact for name, fact in other.facts.items() if name.rpartition(".")[2] == "oid"}
            key = Identity(dialect=here.dialect, place=here.place, facts={**here.facts, **oids}).key
        note = canonical_json(Swapping(label=label, key=key)).decode()
        ledger.update_run(run_id, phase="restoring", backup_id=backup_id)
        with ledger.journal(run_id) as journal:
            journal.append(JournalEntry(kind=EntryKind.RESTORING, position=0, context=0, note=note, at=now()))

    return write


def settle_restore(ledger: Ledger, database: Database, run_id: str, *, locked: bool, tell: Tell) -> None:
    """Bring a restore to its end whose process was killed: in the database, and in the ledger.

    Args:
        ledger: the target's.
        database: the target.
        run_id: this run's.
        locked: this run holds the run lock. Otherwise it is taken for it; whoever has it is at work on that restore.
        tell: says what was done.

    Raises:
        CiMigrateError: it can't be finished or taken back.
    """
    database_id = ledger.database_id(database.identity())
    if not ledger.restoring(database_id):
        return
    with suppress(LockedError), nullcontext() if locked else database.lock(run_id, 0):
        for record in ledger.restoring(database_id):
            _settle(ledger, database, record, tell)


def _settle(ledger: Ledger, database: Database, record: RunRecord, tell: Tell) -> None:
    with ledger.journal(record.run_id) as journal:
        notes = [e.note for e in journal.entries() if e.kind is EntryKind.RESTORING]
    if not notes or not isinstance(
        database, SettlesReplace
    ):  # killed before it was written: nothing had begun
        _close(ledger, record, tell)
        return
    begun = msgspec.json.decode(notes[-1], type=Swapping)
    restored = database.settle_replace(begun.label)
    if restored is None:
        tell(
            f"The restore of {record.backup_id} by run {record.run_id} was killed when it had replaced some of the "
            f"databases: ci-migrate backup restore {record.backup_id} --target {record.target}"
        )
    elif not restored:
        _close(ledger, record, tell)
    elif begun.key in ("", database.identity().key):
        finish_restore(ledger, database, record.target, record.backup_id or "", record.run_id, tell)
        ledger.finish_run(record.run_id, exit_code=0, state=TargetState.MIGRATED, needs_repair=False)
        tell(
            f"The restore of {record.backup_id} by run {record.run_id} was killed in its last moments: it is complete "
            "now."
        )
    else:
        tell(
            f"The restore of {record.backup_id} by run {record.run_id} was killed in its last moments, and the target "
            "is not the database that was about to take its place: somebody has replaced it since. This is said until "
            f"another restore is complete: ci-migrate backup restore {record.backup_id} --target {record.target}"
        )


def _close(ledger: Ledger, record: RunRecord, tell: Tell) -> None:
    """Nothing has taken the target's place."""
    ledger.finish_run(record.run_id, exit_code=int(ExitCode.INTERRUPTED), state=None, needs_repair=False)
    tell(
        f"The restore of {record.backup_id} by run {record.run_id} was killed before it replaced anything: "
        "the target is as it was."
    )


def finish_restore(
    ledger: Ledger, database: Database, target: str, backup_id: str, run_id: str, tell: Tell
) -> None:
    """What the ledger and the marks must know once a backup has taken the place of a target."""
    identity = database.identity()
    ledger.pin_identity(identity, replace=True)  # a swap by rename gives it another oid
    if marked := keep_marks(database, ledger):
        tell(marked)
    ledger.audit("backup restored", run_id, backup=backup_id, target=target)
    # each was of the database that is gone now: none of them can be repaired here any more
    while (
        unfinished := ledger.unfinished(ledger.database_id(identity))
    ) is not None:  # all that it left is gone
        ledger.finish_run(unfinished.run_id, exit_code=7, state="restored by hand", needs_repair=False)
    for other in ledger.restoring(ledger.database_id(identity)):
        if other.run_id != run_id:
            ledger.finish_run(other.run_id, exit_code=7, state="restored by hand", needs_repair=False)


def _settles(database: Database) -> bool:
    return all(isinstance(member, SettlesReplace) for member in members_of(database).values())
