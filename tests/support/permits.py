"""Permits for tests of what lies behind the door. In the package only the door makes one."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.restore import restore
from ci_migrate.databases.base import Database
from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.protection import RULES, UNFREEZE, UNPROTECT, Rules
from ci_migrate.model import Approval, Backup, Permit, Purpose, TokenKind, now
from ci_migrate.model.permit import SEAL


def permit(purpose: Purpose, *subjects: str, approval_id: str | None = None) -> Permit:
    """For these, as if somebody had approved it where an id is given."""
    approval = None
    if approval_id is not None:
        approval = Approval(
            approval_id=approval_id, kind=TokenKind.CONFIRMATION, plan_digest="", target="dev",
            approved_by=("ana",), reason="why", created=now(), expires=now(),
        )  # fmt: skip
    return Permit("test", purpose, subjects, approval, seal=SEAL)


def to_restore(backup: Backup) -> Permit:
    return permit(Purpose.RESTORE, backup.backup_id)


def restored(database: Database, backup: Backup, catalog: Catalog, **how: Any) -> str:
    def clone(_backup: Backup) -> AbstractContextManager[Database]:
        raise AssertionError("there is no provider whose clone could be asked for")

    return restore(to_restore(backup), database, backup, catalog, clone=clone, **how)


def delete(catalog: Catalog, backup_id: str) -> None:
    catalog.delete(permit(Purpose.REMOVAL, backup_id), backup_id)


def prune(
    catalog: Catalog, keep: int, owner: Owner, *, dry: bool = False, **kept: Sequence[str]
) -> list[Backup]:
    """What the command does: the list, and then each of it."""
    doomed = catalog.list_prunable(keep, owner, **kept)
    for backup in [] if dry else doomed:
        delete(catalog, backup.backup_id)
    return doomed


def protect(ledger: Ledger, rules: Rules, *, by: str, approval_id: str | None = None) -> None:
    allowed = permit(Purpose.PROTECTION, RULES + rules.digest, approval_id=approval_id)
    protection.protect(allowed, ledger, rules, by=by)


def unprotect(ledger: Ledger, *, by: str, approval_id: str | None = None) -> None:
    protection.unprotect(permit(Purpose.PROTECTION, UNPROTECT, approval_id=approval_id), ledger, by=by)


def unfreeze(ledger: Ledger, *, by: str, approval_id: str | None = None) -> None:
    protection.unfreeze(permit(Purpose.PROTECTION, UNFREEZE, approval_id=approval_id), ledger, by=by)
