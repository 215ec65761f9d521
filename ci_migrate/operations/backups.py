"""Backups outside the pipeline: one by itself, its proof, and the restore over a live target."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial

import msgspec

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.comparison import compare_restored, describe_wrong
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.restore import refuse_other_tables, restore, restore_loss, restore_tables
from ci_migrate.backups.storage import manifest_text
from ci_migrate.databases.base import Database, KeepsReplaced, Watch, named_tables, takes_tables, unwatched
from ci_migrate.errors import BackupError, CiMigrateError, DirtyError, ExitCode, RefusedError
from ci_migrate.gate import new_record, resume_run
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Direction,
    Identity,
    NextCommand,
    Plan,
    PlannedContext,
    Purpose,
    Removal,
    Restoration,
    TargetState,
    as_hint,
    sha256_hex,
)
from ci_migrate.operations.status import current_plan, proven_backups
from ci_migrate.pipeline import Interrupted
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.restore import journal_restore
from ci_migrate.repairs.restore_tables import find_half
from ci_migrate.run.authorization import Intent, authorize, foresee
from ci_migrate.run.begun_restore import announce_restore, finish_restore
from ci_migrate.run.identity import database_of, owner_of
from ci_migrate.run.run import LedgerRun, Run, restore_copy, translate_errors
from ci_migrate.session import GateRequest, open_catalog, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.stages.backup import take_backup
from ci_migrate.verbs import VERBS


@dataclass(frozen=True)
class Restoring:
    """How a restore is done.

    `sure` is shown the backup and the rows per table now and then (None: the target can't be read), and raises to
    stop.
    """

    sure: Callable[[Backup, dict[str, tuple[int | None, int | None]] | None], None]
    safety_backup: bool = True
    tables: tuple[str, ...] = ()  # the rows of these alone; () for the whole database
    from_other_database: bool = False  # the backup may be another database's


def list_backups(settings: Settings, interrupt: Interrupt) -> tuple[list[Backup], set[str], str]:
    """The backups of a target, the ids of those that are proven, and why that is not known where it is not."""
    backups = open_catalog(settings).list()
    try:
        with open_session(settings, GateRequest(VERBS["backup list"]), interrupt) as run:
            owner = owner_of(run)
            own = [b for b in backups if owner.may_own(b)]
            return own, set(proven_backups(run, own)), ""
    except CiMigrateError as error:  # backups are looked for when the rest is down
        return [b for b in backups if Owner(settings.target).may_own(b)], set(), error.what


def create_backup(
    run: Run, tables: Sequence[str] = (), migration_version: str | None = None, description: str | None = None
) -> Backup:
    """A backup of the target as it is, or of the rows of some tables. Raises as `named_tables`, `Catalog.create`.

    `migration_version` is what the target will be migrated to, where somebody knows; otherwise it is where it is now.
    """
    plan = current_plan(run)
    if tables:
        takes_tables(run.reader)
        tables = named_tables(run.reader, tables)
        description = f"rows of {', '.join(tables[:5])}{' and others' if len(tables) > 5 else ''}"
    owner = owner_of(run)
    return take_backup(
        run,
        owner,
        run.catalog.estimate(run.reader, owner, partial=bool(tables)),
        version_tables=[c.version_table for c in plan.contexts],
        migration_version=migration_version or "+".join(plan.from_heads) or "base",
        description=description,
        tables=tables,
    )


def verify_files(catalog: Catalog, backup: Backup, watch: Watch = unwatched) -> str:
    """Compare every file of a backup with its checksum; returns words.

    Raises:
        RefusedError: it was never finished.
        BackupError: a file is missing or damaged.
    """
    complete(backup)
    with watch("verify", backup.backup_size) as progress:
        catalog.verify(backup, progress)
    return f"{backup.backup_id}: all {len(backup.files)} files have their checksums."


def verify_by_restore(run: Run, backup: Backup) -> str:
    """Prove a backup by restoring it into a scratch copy; returns words.

    Raises:
        RefusedError: it was never finished.
        BackupError: a file is missing or damaged, or what comes out is not what the manifest says.
    """
    complete(backup)
    plan = current_plan(run)
    with restore_copy(run, backup) as copy, translate_errors(copy):
        comparison = compare_restored(
            copy,
            run.catalog.with_digests(backup),
            version_tables=[c.version_table for c in plan.contexts],
        )
    if comparison.wrong:
        words = describe_wrong(comparison)
        raise BackupError(f"{backup.backup_id} does not restore to what its manifest says: {words}.")
    equal = ", ".join(comparison.compared)
    found = f"{backup.backup_id}: restored into a scratch copy; equal to its manifest: {equal}."
    notes = [f"Rightly different: {note}." for note in comparison.exceptions]
    return "\n".join([found, *notes, *(f"Not compared: {note}." for note in comparison.not_compared)])


def restoration_of(run: Run, backup: Backup, tables: Sequence[str] = ()) -> Restoration:
    """What an approval of a restore is given for: this very backup, or rows of it, over this target as it is now.

    The digest is of the manifest that was read: what lies in the place by now may be another one. Raises as
    `named_tables`.
    """
    now = current_plan(run)
    return Restoration(
        target=now.target,
        identity=now.identity,
        backup_id=backup.backup_id,
        manifest_sha256=sha256_hex(manifest_text(backup)),
        place=run.catalog.storage.place,
        heads=now.from_heads,
        tables=tuple(sorted(named_tables(run.database, tables))) if tables else (),
    )


def restore_plan(run: Run, backup_id: str) -> Plan:
    """The plan of a restore, for the ledger: this backup over this target at these heads."""
    now = current_plan(run)
    contexts = tuple(
        PlannedContext(version_table=c.version_table, from_heads=c.from_heads, to_heads=(), revisions=())
        for c in now.contexts
    )
    return msgspec.structs.replace(
        now, direction=Direction.RESTORE, destination=backup_id, contexts=contexts, revisions=()
    )


def restore_backup(run: Run, backup: Backup, how: Restoring) -> str:
    """Put a backup in the target's place; returns words that say where the replaced data is.

    Raises:
        NotApprovedError: a production-tagged target, and no token for this restore.
        RefusedError, BackupError: it can't or may not be restored; the target is untouched.
    """
    complete(backup)
    if not how.from_other_database:
        _refuse_other_owner(run, backup)
    run.catalog.check_readable(backup)
    tables = named_tables(run.database, how.tables) if how.tables else []
    if tables:
        _refuse_version_tables(run, tables)
        refuse_other_tables(run.database, backup, tables)
    intent = Intent(
        Purpose.RESTORE,
        (backup.backup_id,),
        lambda: restoration_of(run, backup, tables),
        f"A restore over target {run.settings.target}",
    )
    # looked at before anybody is asked; used up by `authorize` only once they were sure
    foresee(run, intent)
    how.sure(backup, _would_lose(run, backup, tables or None))
    safety = _safety_backup(run, backup) if how.safety_backup else None
    run.interrupt.defer_signals = (
        True  # from here on a signal waits: nobody shall read "not touched" after a swap
    )
    if run.interrupt.number is not None:
        raise Interrupted(run.interrupt.number)
    permit = authorize(run, intent)
    kept = f" What it held before is also in {safety.backup_id}." if safety is not None else ""
    if tables:
        with restore_copy(run, backup) as copy, run.watch("restore", 0), _note_restore(run, backup, tables):
            words = restore_tables(permit, run.database, copy, run.catalog.with_digests(backup), tables)
        if run.ledger is not None:
            run.ledger.audit("tables restored", run.id, backup=backup.backup_id, tables=", ".join(tables))
        return f"Restored from {backup.backup_id}: {words}{kept}"
    with _as_run(run, backup), run.watch("restore", backup.backup_size):
        words = restore(
            permit,
            run.database,
            backup,
            run.catalog,
            clone=partial(restore_copy, run),
            before_swap=_announce(run, backup),
        )
        if run.ledger is not None:
            finish_restore(run.ledger, run.database, run.settings.target, backup.backup_id, run.id, run.tell)
    return f"Restored {backup.backup_id}. {words}{kept}"


def _announce(run: Run, backup: Backup) -> Callable[[Database, str], None]:
    if run.ledger is None or run.ledger.run(run.id) is None:
        return lambda _copy, _label: None
    return announce_restore(run.ledger, run.id, run.database, backup.backup_id)


def with_heads(plan: Plan, backup: Backup) -> Plan:
    """The plan of a restore with the version rows of its backup: what a later look at the ledger compares with."""
    contexts = tuple(
        PlannedContext(version_table=c.version_table, from_heads=c.from_heads, to_heads=heads, revisions=())
        for c, heads in zip(plan.contexts, backup.heads, strict=False)
    )
    return msgspec.structs.replace(plan, contexts=contexts)


@contextmanager
def record_restore(
    run: LedgerRun, plan: Plan | None, identity: Identity | None, backup_id: str | None = None
) -> Iterator[None]:
    """Let a restore stand among the runs: then what it left is not taken for somebody else's."""
    run.ledger.begin_run(msgspec.structs.replace(new_record(run), plan=plan, backup_id=backup_id), identity)
    try:
        yield
    except DirtyError:
        raise  # it stays open: the next command brings it to an end
    except BaseException as error:
        code = error.exit_code if isinstance(error, CiMigrateError) else ExitCode.BUG
        code = ExitCode.INTERRUPTED if isinstance(error, Interrupted) else code
        run.ledger.finish_run(run.id, exit_code=int(code), state=None, needs_repair=False)
        raise
    run.ledger.finish_run(run.id, exit_code=0, state=TargetState.MIGRATED, needs_repair=False)


def _as_run(run: Run, backup: Backup) -> AbstractContextManager[None]:
    """As `record_restore`, unless this restore is a part of a run.

    Where the target or the scripts can't be read, which may be why it is restored, it is noted without a plan.
    """
    if not isinstance(run, LedgerRun) or run.ledger.run(run.id) is not None:
        return nullcontext()
    plan = identity = None
    with suppress(CiMigrateError):
        identity = run.database.identity()
        plan = with_heads(restore_plan(run, backup.backup_id), backup)
    return record_restore(run, plan, identity, backup.backup_id)


def _refuse_other_owner(run: Run, backup: Backup) -> None:
    """Raise RefusedError for another database's backup; by the target's name where nobody knows the database."""
    try:
        owner = owner_of(run)
    except CiMigrateError:
        owner = Owner(run.settings.target)
    if owner.may_own(backup) or backup.dialect not in ("", run.database.dialect):
        return  # of another engine: `restore` says so
    whose = backup.identity.place if backup.identity is not None else f"target {backup.target}"
    raise RefusedError(
        f"{backup.backup_id} is a backup of {whose} (target {backup.target}), not of target {run.settings.target}.",
        hint=as_hint(
            NextCommand(command=f"ci-migrate backup list --target {run.settings.target}"),
            NextCommand(
                command=f"ci-migrate backup restore {backup.backup_id} --target {run.settings.target} "
                "--from-other-database",
                why="or, to put the other database's data in its place",
            ),
        ),
    )


def _note_restore(run: Run, backup: Backup, tables: Sequence[str]) -> AbstractContextManager[None]:
    """Where this mends what an unfinished run left, that run's journal says so: then `repair` knows what it sees."""
    if not isinstance(run, LedgerRun):
        return nullcontext()
    record = run.ledger.unfinished(database_of(run))
    if record is None or record.backup_id != backup.backup_id or record.before is None:
        return nullcontext()
    half = find_half(RepairContext.of(*resume_run(run, record)))
    if half is None or not half.tables or not half.tables.keys() <= set(tables):
        return nullcontext()
    return journal_restore(run.ledger, record.run_id, half.commit_point)


def delete_backup(run: Run, backup_id: str, *, sure: bool) -> Backup:
    """Delete a backup; only look at it if not `sure`.

    Raises:
        UsageError: there is no such backup.
        RefusedError: it is the rollback path of a run that did not end, or another database's.
        NotApprovedError: this target asks for an approval of it, and there is none.
    """
    unfinished = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
    if unfinished is not None and unfinished.backup_id == backup_id:
        raise RefusedError(
            f"{backup_id} is the backup of the unfinished run {unfinished.run_id}.",
            hint=f"ci-migrate repair --target {run.settings.target}",
        )
    found = [b for b in run.catalog.list() if b.backup_id == backup_id]
    backup = found[0] if found else run.catalog.get(backup_id)
    _refuse_others(run, backup)
    if sure:
        _remove(run, [backup])
    return backup


def _refuse_others(run: Run, backup: Backup) -> None:
    """Raise RefusedError for the backup of another database: that one may be guarded, and this target is not it."""
    if backup.status is BackupStatus.SUCCESS and not owner_of(run).may_own(backup):
        place = backup.identity.place if backup.identity is not None else "a database that nobody knows"
        raise RefusedError(
            f"{backup.backup_id} is a backup of another database than target {run.settings.target}: {place} "
            f"(target {backup.target}).",
            hint=f"ci-migrate backup delete {backup.backup_id} --target {backup.target or 'NAME'}",
        )


def prune_backups(run: Run, keep: int, *, sure: bool) -> list[Backup]:
    """Remove backups that are older than the last migrations, as `list_prunable` has it; only tell if not `sure`.

    Raises:
        NotApprovedError: this target asks for an approval of exactly this list, and there is none.
        BackupError: one could not be removed; those before it are.
    """
    owner = owner_of(run)
    unfinished = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
    doomed = run.catalog.list_prunable(
        keep,
        owner,
        protected=[unfinished.backup_id] if unfinished is not None and unfinished.backup_id else [],
        proven=proven_backups(run, run.catalog.list(owner)),
    )
    if sure and doomed:
        _remove(run, doomed)
    return doomed


def _remove(run: Run, backups: Sequence[Backup]) -> None:
    names = [b.backup_id for b in backups]
    words = f"A removal of backups of target {run.settings.target}"
    permit = authorize(run, Intent(Purpose.REMOVAL, tuple(names), lambda: removal_of(run, backups), words))
    for name in names:
        run.catalog.delete(permit, name)
        if run.ledger is not None:
            run.ledger.audit("backup deleted", run.id, backup=name)


def removal_of(run: Run, backups: Sequence[Backup]) -> Removal:
    """What an approval is given for: the removal of these backups, as and where they are now."""
    found = sorted(backups, key=lambda b: b.backup_id)
    finished = {b.backup_id: b for b in found if b.status is BackupStatus.SUCCESS}
    digests = {name: sha256_hex(manifest_text(b)) for name, b in finished.items()}
    return Removal(
        target=run.settings.target,
        identity=run.database.identity(),
        what="backups",
        names=tuple(b.backup_id for b in found),
        place=run.catalog.storage.place,
        manifests=tuple(digests.get(b.backup_id, "") for b in found),
    )


def drop_old(run: Run, *, sure: bool) -> list[str]:
    """Drop what restores of the target kept under another name; returns the names. Only tells if not `sure`.

    Raises:
        NotApprovedError: this target asks for an approval of it, and there is none.
        DatabaseError: one could not be dropped; those before it are.
    """
    if not isinstance(run.database, KeepsReplaced):
        return []
    names = run.database.replaced()
    if sure and names:
        words = f"A removal of what restores of target {run.settings.target} kept"
        permit = authorize(run, Intent(Purpose.REMOVAL, tuple(names), lambda: replaced_of(run), words))
        for name in names:
            permit.require(Purpose.REMOVAL, subject=name)
            run.database.drop_replaced(name)
            if run.ledger is not None:
                run.ledger.audit("replaced database dropped", run.id, name=name)
    return names


def replaced_of(run: Run) -> Removal:
    """What an approval is given for: the removal of all that restores of the target have kept until now."""
    names = run.database.replaced() if isinstance(run.database, KeepsReplaced) else []
    return Removal(
        target=run.settings.target,
        identity=run.database.identity(),
        what="replaced databases",
        names=tuple(sorted(names)),
    )


def _refuse_version_tables(run: Run, tables: Sequence[str]) -> None:
    names = {context.version_table.name for context in current_plan(run).contexts}
    versions = [table for table in tables if table.rpartition(".")[2] in names]
    if versions:
        raise RefusedError(
            f"{versions[0]} is Alembic's own: with other rows in it the schema would not be what it says.",
            hint="Restore the whole backup, or `ci-migrate rollback`.",
        )


def _would_lose(
    run: Run, backup: Backup, tables: Sequence[str] | None
) -> dict[str, tuple[int | None, int | None]] | None:
    """As `restore_loss`; None where the target can't be read, which may be why it is restored."""
    try:
        with translate_errors(run.database):
            return restore_loss(run.database, backup, tables)
    except CiMigrateError:
        return None


def _safety_backup(run: Run, backup: Backup) -> Backup:
    try:
        return create_backup(run, description=f"before the restore of {backup.backup_id}")
    except CiMigrateError as error:
        raise BackupError(
            f"What is there now can't be backed up: {error.what}",
            hint=as_hint(
                NextCommand(
                    command=f"ci-migrate backup restore {backup.backup_id} --target {run.settings.target} "
                    "--no-safety-backup",
                    why="where what is there now may be lost",
                )
            ),
        ) from error


def complete(backup: Backup) -> Backup:
    """The backup, if it was finished and can be read. Raises RefusedError if not."""
    if backup.status is BackupStatus.UNREADABLE:
        raise RefusedError(
            f"{backup.backup_id} can't be used: {backup.description}. It may be a sound backup.",
            hint=f"Mend that in {backup.backup_path}, or run as the user, or with the version, that wrote it.",
        )
    if backup.status is not BackupStatus.SUCCESS:
        raise RefusedError(
            f"{backup.backup_id} was never finished: it can't be restored.",
            hint=f"ci-migrate backup delete {backup.backup_id} --yes",
        )
    return backup
