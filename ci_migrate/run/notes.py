"""Where the use of a token is noted besides the ledger: create-only, so that an older ledger revives none.

The place is the one of the backups when the target was protected, or when the first note was written. `backup-dir`
stands in the repository's settings: pointed elsewhere, it would lead to a place that knows of no token.
"""

from pathlib import Path

from ci_migrate.backups.storage import Storage
from ci_migrate.errors import BackupError, CiMigrateError, NotApprovedError
from ci_migrate.ledger import protection as ledger_protection
from ci_migrate.run.run import LedgerRun


def notes_place(run: LedgerRun) -> str:
    """The place that the settings name now; of a folder the one that links lead to."""
    place = run.catalog.storage.place
    return place if "://" in place else str(Path(place).resolve())


def pin_notes(run: LedgerRun) -> None:
    """Pin the place of now, unless one is pinned."""
    if run.ledger.notes_place() is None:
        run.ledger.pin_notes(run.id, notes_place(run))


def storages_for_notes(run: LedgerRun, *, moving: bool = False) -> list[Storage]:
    """Where a token's use is looked up and noted: the pinned place, and the one of now where that is another.

    Args:
        run: this run.
        moving: the approval is of this very move: the pinned place may be out of reach.

    Raises:
        NotApprovedError: the target is protected, and the pinned place can't be reached.
    """
    here, pinned = notes_place(run), run.ledger.notes_place()
    if pinned is not None and pinned != here and not moving:
        if run.protection.protected or ledger_protection.read(run.ledger).protected:
            return [_open_pinned(run, pinned, here), run.catalog.storage]
        run.ledger.pin_notes(run.id, here)  # what only the settings guard, they can move
    pin_notes(run)
    return [run.catalog.storage]


def _open_pinned(run: LedgerRun, pinned: str, here: str) -> Storage:
    try:
        folder = None if "://" in pinned else Path(pinned)
        if run.open_storage is None or (folder is not None and not folder.is_dir()):
            raise BackupError("it is not there")
        # it was pinned with its links followed, so a link in it now was put there since
        if folder is not None and folder.resolve() != folder:
            raise BackupError("a link leads elsewhere there now")
        storage = run.open_storage(pinned)
        storage.ids()
    except (CiMigrateError, OSError) as error:
        why = error.what if isinstance(error, CiMigrateError) else error.strerror or "it can't be read"
        raise NotApprovedError(
            f"The notes of used tokens can't be reached: {why.rstrip('.')}. They are in {pinned}; backup-dir "
            f"({run.settings.sources['backup-dir']}) leads to {here} now.",
            hint=f"Set backup-dir to it, or move the notes, with an approval: "
            f"ci-migrate protect --target {run.settings.target} --move-notes",
        ) from error
    return storage


def note_use(run: LedgerRun, storages: list[Storage], approval_id: str) -> None:
    """Write down that an approval is used, in each of these places.

    Raises:
        NotApprovedError: one of them has a note of another run's.
        BackupError: it can't be written.
    """
    for storage in storages:
        try:
            mine = storage.claim(approval_id, run.subject.encode())
        except OSError as error:
            raise BackupError(
                f"The use of {approval_id} could not be noted in {storage.place}: {error.strerror}.",
                hint="Backups and notes go to the same place: make it writable.",
            ) from error
        if not mine:
            raise NotApprovedError(
                f"The token was used already: {storage.place} has a note of it, the ledger had none.",
                hint="Somebody put the ledger back to an older state: ci-migrate audit verify",
            )
