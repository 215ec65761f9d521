"""Where a target is: what `status`, `history` and `verify` tell. Reads only."""

from collections.abc import Sequence

import msgspec

from ci_migrate.errors import CiMigrateError, ExitCode, LockedError, RefusedError
from ci_migrate.gate import resume_run
from ci_migrate.migrations.graph import Inspection, are_branches
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Diagnosis,
    Frozen,
    NextCommand,
    Plan,
    RunRecord,
    now,
    read_commands,
)
from ci_migrate.repairs.choice import list_next_commands
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.approvals import protection
from ci_migrate.run.emptied import refuse_emptied
from ci_migrate.run.identity import database_of, owner_of
from ci_migrate.run.inputs import look_at_target
from ci_migrate.run.mark import find_objection
from ci_migrate.run.run import LedgerRun, Run
from ci_migrate.run.since_last_run import differs_from_end, left_by_last_run
from ci_migrate.run.version_rows import explain_trouble, look_at_unstamped, refuse_rows


class Status(Frozen, frozen=True, kw_only=True):
    """All of `ci-migrate status`. Runs and backups without what fills screens: plan, fingerprints, files."""

    target: str
    place: str
    heads: tuple[tuple[str, ...], ...]  # the version rows, per version table
    script_heads: tuple[str, ...]
    pending: tuple[str, ...]
    tables: int | None = None  # how many there are, where there is no version row
    production: str  # why it is a production target, "" where it is not
    protection: str  # what the ledger says of that, "" for nothing
    last: RunRecord | None
    unfinished: RunRecord | None
    running: str  # who holds the run lock, where the unfinished run may still be at work; "" for nobody
    diagnosis: Diagnosis | None
    outside: tuple[str, ...]  # what is not as the last run left it, in words
    proven: Backup | None
    proven_age: float | None  # seconds
    trouble: str  # version rows that make no sense, or a mark that forbids to write, in words
    commands: tuple[NextCommand, ...]  # what to type, the best first; () for nothing
    next: str  # the first of them, or "nothing to do"

    @property
    def exit_code(self) -> ExitCode:
        """5 while a run is at work, 7 for one that was left unfinished, 1 where version rows forbid to migrate."""
        if self.running:
            return ExitCode.LOCKED
        if self.unfinished is not None:
            return ExitCode.FAILED_DIRTY
        return ExitCode.REFUSED if self.trouble else ExitCode.OK


def status(run: Run) -> Status:
    """Look at scripts, target, ledger and backups.

    Raises:
        CiMigrateError: the scripts or the target can't be read.
    """
    plan, seen = look_at_target(run)
    target = run.settings.target
    last = unfinished = diagnosis = None
    running = ""
    commands: tuple[NextCommand, ...] = ()
    if isinstance(run, LedgerRun):
        database_id = database_of(run)
        last = next(iter(run.ledger.history(database_id, limit=1)), None)
        unfinished = run.ledger.unfinished(database_id)
        if unfinished is not None:
            running = find_holder(run)
            if running:  # it may hold tables under a lock that each look at them would wait for
                why = "wait for its end, then look again"
                commands = (NextCommand(command=f"ci-migrate status --target {target}", why=why),)
            else:
                context = RepairContext.of(*resume_run(run, unfinished))
                diagnosis, commands = context.diagnosis, list_next_commands(context)
    trouble, tables = (None, None) if unfinished is not None else _trouble(run, plan, seen)
    outside = [] if unfinished is not None else left_by_last_run(run)[1]
    proven = _proven(run)
    # a run that did not end is told first: it is what there is to mend
    objection = find_objection(run.database, run.ledger, target) if unfinished is None else None
    trouble = objection or trouble
    if trouble:
        commands = tuple(read_commands(trouble.hint.splitlines()))
    elif unfinished is None:
        commands = _advise(plan, outside, branches=seen.graph is not None and are_branches(seen.graph))
    return Status(
        target=target,
        place=plan.identity.place,
        heads=tuple(c.from_heads for c in plan.contexts),
        script_heads=plan.script_heads,
        pending=tuple(r for c in plan.contexts for r in c.revisions),
        tables=tables,
        production=run.settings.production_reason,
        protection=protection(run).words,
        last=_short(last),
        unfinished=_short(unfinished),
        running=running,
        diagnosis=diagnosis,
        outside=tuple(outside),
        proven=proven
        and msgspec.structs.replace(
            proven,
            fingerprint=None,
            row_counts={},
            contents={},
            samples={},
            sequences={},
            files=(),
            tables=(),
        ),
        proven_age=(now() - proven.backup_time).total_seconds() if proven else None,
        trouble=trouble.what if trouble else "",
        commands=commands,
        next=commands[0].command if commands else "nothing to do",
    )


def _short(record: RunRecord | None) -> RunRecord | None:
    return record and msgspec.structs.replace(record, plan=None, before=None)


def _trouble(run: Run, plan: Plan, seen: Inspection) -> tuple[RefusedError | None, int | None]:
    """Version rows with which nothing can be migrated; and the tables that stand there without any."""
    troubles = seen.row_troubles
    if troubles:
        return explain_trouble(run, troubles[0], plan), None
    try:
        refuse_emptied(run, plan)
        return None, look_at_unstamped(run, plan)[0] or None
    except RefusedError as error:
        return error, None


def current_plan(run: Run) -> Plan:
    """The plan as it would be now; where version rows make no sense, nothing is pending."""
    return look_at_target(run)[0]


def sound_plan(run: Run) -> Plan:
    """The plan as it would be now.

    Raises:
        RefusedError: version rows make no sense to the scripts.
    """
    plan, found = look_at_target(run)
    refuse_rows(run, found, plan)
    return plan


def proven_backups(run: Run, backups: Sequence[Backup]) -> frozenset[str]:
    """The ids of those backups that a dry run restored and found equal."""
    if run.ledger is None:
        return frozenset()
    return run.ledger.proven(database_of(run), [b.backup_id for b in backups])


def _proven(run: Run) -> Backup | None:
    there = [b for b in run.catalog.list(owner_of(run)) if b.status is BackupStatus.SUCCESS]
    proven = proven_backups(run, there)
    return next((b for b in reversed(there) if b.backup_id in proven), None)


def find_holder(run: Run) -> str:
    """Who holds the run lock of the target, in words; "" for nobody, and where it can't be told."""
    try:
        with run.database.lock(run.id, 0):
            return ""
    except LockedError as error:
        return error.what
    except CiMigrateError:
        return ""


def _advise(plan: Plan, outside: Sequence[str], *, branches: bool = False) -> tuple[NextCommand, ...]:
    """What to type where no run is unfinished; heads of branches are not to be merged."""
    target = f"--target {plan.target}"
    if len(plan.script_heads) > 1 and plan.destination == "head" and (plan.pending or not branches):
        every = NextCommand(
            command=f"ci-migrate run --to heads {target}", why="migrates to the head of each branch"
        )
        if branches:
            return (every,)
        merge = NextCommand(
            command="alembic merge heads", why="the scripts have several heads: make them one"
        )
        return (merge, msgspec.structs.replace(every, why="or migrate to all of them"))
    if plan.pending:
        return (NextCommand(command=f"ci-migrate run {target}"),)
    return (
        (NextCommand(command=f"ci-migrate verify {target}", why="names what is different"),)
        if outside
        else ()
    )


def verify(run: Run) -> tuple[RunRecord | None, list[str]]:
    """Compare the target with what the last migration by ci-migrate left. Returns that run and the differences.

    One that did not end counts too: then with what it was to leave.
    """
    unfinished = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
    return left_by_last_run(run) if unfinished is None else (unfinished, differs_from_end(run, unfinished))
