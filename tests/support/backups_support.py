"""Whose backups tests mean."""

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.owner import Owner


def owner_of_all(catalog: Catalog, target: str = "dev") -> Owner:
    """The database of all backups that are there."""
    return Owner(target, frozenset(b.identity.key for b in catalog.list() if b.identity is not None))
