"""Putting a backup in the place of a live database, and what that would lose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.comparison import compare_contents, compare_restored, describe_wrong
from ci_migrate.backups.fetch import most_unpacked
from ci_migrate.databases.base import Database, Unless, takes_tables
from ci_migrate.errors import BackupError, DirtyError, RefusedError
from ci_migrate.model import Backup, Fingerprint, ObjectKind, Permit, Purpose, now, split_key
from ci_migrate.tempdirs import private_folder


def restore(
    permit: Permit,
    database: Database,
    backup: Backup,
    catalog: Catalog,
    *,
    clone: Callable[[Backup], AbstractContextManager[Database]],
    expected: Fingerprint | None = None,
    before_swap: Callable[[Database, str], None] = lambda _copy, _label: None,
) -> str:
    """Restore a backup: verified, restored beside, compared, and only then put in the live database's place.

    Args:
        permit: to restore this backup.
        database: the target; untouched until the restored copy is proved.
        backup: what to restore.
        catalog: where it is.
        clone: makes a database of its own of a provider's backup.
        expected: the schema that the restored copy must have; the manifest's by default.
        before_swap: called with the restored copy and the label of `replace`, just before it takes the place.

    Returns:
        Words that say where the replaced database is, and which definitions read differently now.

    Raises:
        RefusedError: the backup is of another engine, or something else was permitted.
        BackupError: the backup is damaged, or its restored copy is not what the manifest says.
    """
    permit.require(Purpose.RESTORE, Purpose.REPAIR, subject=backup.backup_id)
    _refuse_other_engine(database, backup)
    if backup.partial:
        raise RefusedError(
            f"{backup.backup_id} has the rows of {len(backup.tables)} tables alone: {', '.join(backup.tables[:5])}.",
            hint=f"ci-migrate backup restore {backup.backup_id} --table {backup.tables[0] if backup.tables else 'T'}",
        )
    if backup.provider_id is not None:
        provider = catalog.provider_of(backup)
        if provider.restore or not provider.clone:
            return _by_provider(database, backup, catalog, expected or backup.fingerprint)
    notes: list[str] = []
    label = f"{now():%Y%m%d_%H%M%S}"
    with _payload(backup, catalog, clone) as (folder, dumped, most):

        def check(copy: Database) -> None:
            notes.extend(_compare(copy, dumped(), expected or backup.fingerprint))
            before_swap(copy, label)

        words = database.replace(folder, check, label, most=most)
    return " ".join([words, *notes])


@contextmanager
def _payload(
    backup: Backup, catalog: Catalog, clone: Callable[[Backup], AbstractContextManager[Database]]
) -> Iterator[tuple[Path, Callable[[], Backup], int | None]]:
    """A dump of what is restored, the manifest that its copy is held against, and the bytes that it may unpack to.

    That of a provider's backup is taken of its clone.
    """
    if backup.provider_id is None:
        with catalog.reading(backup) as folder:
            yield folder, lambda: catalog.with_digests(backup), most_unpacked(backup)
        return
    with private_folder() as folder:
        with clone(backup) as source:
            told = source.dump(folder, ())
        manifest = msgspec.structs.replace(
            backup,
            row_counts=told.row_counts,
            contents=told.contents,
            samples=told.samples,
            sequences=told.sequences,
            not_digested=told.not_digested,
            exceptions=dict(told.exceptions),
        )
        yield folder, lambda: manifest, None


def _by_provider(database: Database, backup: Backup, catalog: Catalog, expected: Fingerprint | None) -> str:
    provider = catalog.provider_of(backup)
    catalog.verify(backup)
    provider.bring_back(database, backup)
    try:
        notes = _compare(database, backup, expected)
    except BackupError as error:
        raise DirtyError(
            error.what, state="The provider has restored it over the database.", hint=error.hint
        ) from error
    return " ".join(
        [f"By provider-restore, from {backup.provider_id}; nothing is kept of what it replaced.", *notes]
    )


def restore_tables(
    permit: Permit,
    database: Database,
    copy: Database,
    backup: Backup,
    tables: Sequence[str],
    unless: Unless | None = None,
) -> str:
    """Put the rows that tables have in a backup in the place of those in the live database, in one transaction.

    Args:
        permit: to restore from this backup.
        database: the target; untouched until the backup is restored into `copy`.
        copy: a scratch copy with the backup in it.
        backup: of the whole database or of these tables.
        tables: as `named_tables` gives them.
        unless: may refuse at the last moment, as `take_tables` says.

    Returns:
        Words.

    Raises:
        RefusedError: the backup does not have these tables, they have another schema now, or a foreign key would
            be broken.
        BackupError: the backup is damaged.
    """
    permit.require(Purpose.RESTORE, Purpose.REPAIR, subject=backup.backup_id)
    refuse_other_tables(database, backup, tables)
    comparison = compare_contents(copy, backup, tables)
    if comparison.wrong:
        raise BackupError(
            f"{backup.backup_id} restores to something else than was backed up: {describe_wrong(comparison)}."
        )
    takes_tables(database).take_tables(copy, tables, unless)
    rows = sum(count.rows for count in database.counts(tables, exact=True).values())
    return f"{', '.join(tables)}: {rows} rows, as they were at {backup.backup_time:%Y-%m-%d %H:%M} UTC."


def refuse_other_tables(database: Database, backup: Backup, tables: Sequence[str]) -> None:
    """Raise RefusedError unless these tables can be restored from this backup. Only reads."""
    _refuse_other_engine(database, backup)
    takes_tables(database)
    absent = [table for table in tables if table not in backup.tables]
    if absent:
        raise RefusedError(
            f"{backup.backup_id} does not have {', '.join(absent)}.",
            hint=f"ci-migrate backup show {backup.backup_id}",
        )
    then = _objects_of(backup.fingerprint.objects if backup.fingerprint else {}, tables)
    now_ = _objects_of(Fingerprint.of(database.schema()).objects, tables)
    other = sorted(name for name in then.keys() | now_.keys() if then.get(name) != now_.get(name))
    if other:
        more = f", and {len(other) - 1} more" if len(other) > 1 else ""
        raise RefusedError(
            f"The tables have another schema now than in {backup.backup_id}: {other[0]}{more}.",
            hint="Go to the revision of the backup first, or restore the whole backup.",
        )


def _objects_of(objects: Mapping[str, str], tables: Sequence[str]) -> dict[str, str]:
    """The tables, columns and names of constraints; PostgreSQL writes a constraint anew after a restore."""
    wanted = tuple(tables)
    found = {}
    for name, text in objects.items():
        kind, rest = split_key(name)
        if kind == ObjectKind.TABLE and rest in wanted:
            found[name] = text
        elif kind in (ObjectKind.COLUMN, ObjectKind.CONSTRAINT) and rest.startswith(
            tuple(f"{table}." for table in wanted)
        ):
            found[name] = text if kind == ObjectKind.COLUMN else ""
    return found


def _refuse_other_engine(database: Database, backup: Backup) -> None:
    if backup.dialect not in ("", database.dialect):  # "" is a half-written one's: refused when it is read
        raise RefusedError(
            f"{backup.backup_id} is a backup of {backup.dialect}, the target is {database.dialect}.",
            hint="Name a backup of this target: `ci-migrate backup list`",
        )


def restore_loss(
    database: Database, backup: Backup, tables: Sequence[str] | None = None
) -> dict[str, tuple[int | None, int | None]]:
    """Rows now and then of each of these tables where they differ; None where the table does not exist.

    Equal counts do not prove equal rows: a restore also loses what was changed in place.
    """
    now = {name: count.rows for name, count in database.counts(tables, exact=True).items()}
    then = {name: c.rows for name, c in backup.row_counts.items() if tables is None or name in tables}
    names = sorted(now.keys() | then.keys())
    return {n: (now.get(n), then.get(n)) for n in names if now.get(n) != then.get(n)}


def _compare(copy: Database, backup: Backup, expected: Fingerprint | None) -> list[str]:
    """Raise BackupError if the restored copy is not what the backup's manifest says; returns notes."""
    comparison = compare_restored(copy, backup, expected=expected)
    if comparison.wrong:
        raise BackupError(
            f"{backup.backup_id} restores to something else than was backed up: {describe_wrong(comparison)}.",
            hint="Take another backup: `ci-migrate backup list`",
        )
    return [f"Note: {note}." for note in (*comparison.exceptions, *comparison.not_compared)]
