"""Backups: the catalog is the storage itself, a backup is a folder whose manifest was written last."""

from collections.abc import Sequence

from ci_migrate.backups.storage import BUILT_IN, StorageFactory
from ci_migrate.markers import hookimpl


@hookimpl
def ci_migrate_storages() -> Sequence[StorageFactory]:
    """The built-in storage: a folder."""
    return BUILT_IN
