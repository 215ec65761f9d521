"""Backups copied from one storage to another, verified on both sides."""

import msgspec

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.encryption import refuse_secrets
from ci_migrate.backups.fetch import check_listing, fetch
from ci_migrate.backups.room import Estimate, room_for
from ci_migrate.errors import BackupError, RefusedError
from ci_migrate.model import Backup


def copy(backup: Backup, source: Catalog, destination: Catalog) -> Backup:
    """Copy a complete backup to another storage, verified on both sides.

    Returns:
        The copy: the same backup in another place.

    Raises:
        RefusedError: it is there already, or is kept by a provider.
        BackupError: it is damaged here, or did not arrive there as it is; then nothing is left there.
    """
    if backup.provider_id is not None:
        raise RefusedError(
            f"{backup.backup_id} is the provider's {backup.provider_id}: there are no files of it to copy.",
            hint="Use the provider's own tools.",
        )
    check_listing(source.storage, backup)
    there = destination.storage
    refuse_secrets(backup.secrets, there, encrypted=backup.encryption is not None)
    if backup.backup_id in destination.ids():
        raise RefusedError(
            f"{backup.backup_id} is in {there.place} already.",
            hint="Verify it there: set backup-dir to it, then `ci-migrate backup verify`",
        )
    copied = msgspec.structs.replace(backup, backup_path=there.path(backup.backup_id))
    needed = sum(file.size for file in backup.files)
    with room_for(Estimate(needed, needed), there, encrypted=False):
        there.sweep()
        with there.writing(backup.backup_id) as folder:
            fetch(source.storage, backup, folder)
            there.publish(backup.backup_id, lambda _files: copied)
    try:
        destination.verify(copied)
    except BackupError:
        there.delete(backup.backup_id)
        raise
    return copied
