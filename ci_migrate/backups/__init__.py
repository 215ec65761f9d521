"""Backups: the catalog is the storage itself, a backup is a folder whose manifest was written last."""

from collections.abc import Sequence

from ci_migrate.backups.s3 import make_s3
from ci_migrate.backups.storage import StorageFactory, make_local
from ci_migrate.markers import hookimpl

STORAGES = (
    StorageFactory(schemes=("", "file"), make=make_local),
    StorageFactory(schemes=("s3",), make=make_s3),
)


@hookimpl
def ci_migrate_storages() -> Sequence[StorageFactory]:
    """The built-in storages: a folder, and a bucket."""
    return STORAGES
