"""Rows of single tables put back from this run's backup: noted in the journal, tried on a copy, done, proved."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from ci_migrate.backups.restore import refuse_other_tables, restore_tables
from ci_migrate.databases.base import Database, takes_tables
from ci_migrate.errors import RefusedError
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import Backup, Evidence, Fingerprint, JournalEntry, Plan, TableContent, now
from ci_migrate.repairs.base import HalfDone
from ci_migrate.repairs.diagnosis import rows_on
from ci_migrate.repairs.foreign_writes import others_wrote_to, unexplained
from ci_migrate.repairs.journalled import diagnosis_of
from ci_migrate.repairs.trial import other_rows, try_on_copy
from ci_migrate.run.run import Run, restored_copy


def restore_rows(
    run: Run, plan: Plan, evidence: Evidence, backup: Backup, half: HalfDone, before: Fingerprint
) -> list[str]:
    """Put back the rows that half a revision changed; returns in words what is not as it should be then.

    Args:
        run: this run.
        plan: what was to run.
        evidence: what the dry run measured.
        backup: of this run.
        half: what the half revision left.
        before: the target's fingerprint before the run.

    Raises:
        RefusedError: it can't be done this way. The target is untouched.
        CiMigrateError: it failed. The target is untouched.
    """
    assert run.ledger is not None
    tables = sorted(half.tables)
    differences: list[str] = []
    if tables:
        with restored_copy(run, backup, f"{run.id}_rows") as source:
            _refuse_unseen_changes(
                run, source, version_table_names(plan) | rows_on(evidence, 0).keys() | set(tables)
            )
            expected = source.contents(tables)
            wrong = _tried(run, plan, backup, source, expected)
            if wrong:
                raise RefusedError(f"On a copy of the target it did not lead back: {'; '.join(wrong[:3])}.")
            written = others_wrote_to(run, half.tables)  # once more: the copies took their time
            if written:
                raise RefusedError(f"Somebody wrote while it was tried: {written}.")
            with journal_restore(
                run.ledger, run.subject, half.commit_point
            ):  # and again when nobody else can write there
                restore_tables(
                    run.database, source, backup, tables, lambda found: unexplained(half.tables, found)
                )
            differences = other_rows(expected, run.database.contents(tables))
        run.ledger.audit("tables restored", run.subject, backup=backup.backup_id, tables=", ".join(tables))
    else:
        with journal_restore(run.ledger, run.subject, half.commit_point):
            pass
    found = diagnosis_of(run, plan, evidence, before)
    return differences if found.commit_point == half.commit_point else [*differences, found.words]


def _tried(
    run: Run, plan: Plan, backup: Backup, source: Database, expected: Mapping[str, TableContent]
) -> list[str]:
    """What is not as it should be when it is done on a copy of the target."""
    refuse_other_tables(run.database, backup, sorted(expected))

    def mend(copy: Database) -> None:
        was = copy.schema()
        takes_tables(copy).take_tables(source, sorted(expected))
        if copy.schema() != was:
            raise RefusedError("Putting the rows back changed the schema of a copy of the target.")

    return try_on_copy(run, plan, mend, lambda copy: other_rows(expected, copy.contents(expected)))


def _refuse_unseen_changes(run: Run, source: Database, seen: Collection[str]) -> None:
    """Of a large database the dry run reads only the tables that revisions name: the others must be as backed up."""
    unseen = sorted(source.counts().keys() - set(seen))
    wrong = unexplained(source.contents(unseen), run.database.contents(unseen)) if unseen else ""
    if wrong:
        raise RefusedError(f"Not by tables: it is not known who wrote there: {wrong}.")


@contextmanager
def journal_restore(ledger: Ledger, run_id: str, commit_point: int) -> Iterator[None]:
    """Rows are put back as they were on a commit point: journalled before and after, so that a kill is seen."""

    def write(kind: str) -> None:
        with ledger.journal(run_id) as journal:
            journal.append(JournalEntry(kind=kind, position=commit_point, context=0, at=now()))

    write("restoring")
    yield
    write("restored")
