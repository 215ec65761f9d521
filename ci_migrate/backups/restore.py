"""Putting a backup in the place of a live database, and what that would lose."""

from ci_migrate.backups.catalog import Catalog
from ci_migrate.databases.base import Database
from ci_migrate.errors import BackupError, RefusedError
from ci_migrate.model import Backup, Fingerprint, now


def restore(
    database: Database, backup: Backup, catalog: Catalog, *, expected: Fingerprint | None = None
) -> str:
    """Restore a backup: verified, restored beside, compared, and only then put in the live database's place.

    Args:
        database: the target; untouched until the restored copy is proved.
        backup: what to restore.
        catalog: where it is.
        expected: the schema that the restored copy must have; the manifest's by default.

    Returns:
        Words that say where the replaced database is, and which definitions read differently now.

    Raises:
        RefusedError: the backup is of another engine.
        BackupError: the backup is damaged, or its restored copy is not what the manifest says.
    """
    if backup.dialect not in ("", database.dialect):  # "" is a half-written one's: refused when it is read
        raise RefusedError(
            f"{backup.backup_id} is a backup of {backup.dialect}, the target is {database.dialect}.",
            hint="Name a backup of this target: `ci-migrate backup list`",
        )
    notes: list[str] = []

    def check(copy: Database) -> None:
        notes.extend(_compared(copy, backup, expected or backup.fingerprint))

    with catalog.reading(backup) as folder:
        words = database.replace(folder, check, f"{now():%Y%m%d_%H%M%S}")
    return " ".join([words, *notes])


def same(expected: Fingerprint, found: Fingerprint, *, stable: bool) -> tuple[list[str], list[str]]:
    """Compare the schema of a restored copy with that of its backup.

    Args:
        expected: the backup's.
        found: the restored copy's.
        stable: whether the engine writes a restored definition as it was before. Where it does not, the same
            objects must be there, and a definition that reads differently is only worth a note.

    Returns:
        What is wrong, and what is worth a note.
    """
    missing = [f"{name} is missing" for name in sorted(expected.objects.keys() - found.objects.keys())]
    extra = [f"{name} is new" for name in sorted(found.objects.keys() - expected.objects.keys())]
    both = sorted(expected.objects.keys() & found.objects.keys())
    changed = [f"{name} reads differently" for name in both if expected.objects[name] != found.objects[name]]
    return (missing + extra + changed, []) if stable else (missing + extra, changed)


def would_lose(database: Database, backup: Backup) -> dict[str, tuple[int | None, int | None]]:
    """Rows now and then of each table where they differ; None where the table does not exist.

    Equal counts do not prove equal rows: a restore also loses what was changed in place.
    """
    now = {name: count.rows for name, count in database.counts(exact=True).items()}
    then = {name: count.rows for name, count in backup.row_counts.items()}
    names = sorted(now.keys() | then.keys())
    return {n: (now.get(n), then.get(n)) for n in names if now.get(n) != then.get(n)}


def _compared(copy: Database, backup: Backup, expected: Fingerprint | None) -> list[str]:
    """Raise BackupError if the restored copy is not what the backup's manifest says; returns notes."""
    wrong: list[str] = []
    notes: list[str] = []
    if expected is not None:
        found = Fingerprint.of(copy.schema())
        wrong, notes = same(expected, found, stable=copy.capabilities.stable_definitions)
    exact = {name: count.rows for name, count in backup.row_counts.items() if count.exact}
    rows = {name: count.rows for name, count in copy.counts(exact, exact=True).items()} if exact else {}
    wrong += [
        f"table {name} has {rows.get(name, 'no')} rows, {then} were backed up"
        for name, then in exact.items()
        if rows.get(name) != then
    ]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BackupError(
            f"{backup.backup_id} restores to something else than was backed up: {wrong[0]}{more}.",
            hint="Take another backup: `ci-migrate backup list`",
        )
    return [f"Note: {note}." for note in notes]
