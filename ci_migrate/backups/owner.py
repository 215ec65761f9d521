"""Whose backups are meant: those of one database. A target's name is a label, which people may change."""

from dataclasses import dataclass

from ci_migrate.model import Backup


@dataclass(frozen=True)
class Owner:
    """A database, as the manifests of its backups name it.

    Args:
        target: what it is called now.
        keys: `Identity.key`, each that it ever had; None where nobody knows it: then names have to do.
        name_key: `Identity.name_key`, where it is known.
        read_key: `Identity.key` of the server that `read-url` leads to, where that is another one.
    """

    target: str
    keys: frozenset[str] | None = None
    name_key: str = ""
    read_key: str = ""

    def owns(self, backup: Backup) -> bool:
        """Whether it is certainly one of this database: what deletes or chooses backups goes by this."""
        named = backup.target == self.target
        if backup.identity is None or self.keys is None:
            return named
        key = backup.identity.key
        return key in self.keys or (named and key == self.read_key)

    def may_own(self, backup: Backup) -> bool:
        """Whether it may be one of this database: what lists backups goes by this.

        A database that was restored by a rename while it had no ledger has backups under a key that nobody wrote down.
        Those without a manifest are anybody's.
        """
        if self.owns(backup) or not (backup.target or backup.identity):
            return True
        return backup.identity is not None and backup.identity.name_key == self.name_key
