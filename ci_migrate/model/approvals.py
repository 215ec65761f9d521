"""Approvals: what one can be given for, what it says, and what the ledger knows of its token."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from ci_migrate.model.base import Frozen, canonical_json, sha256_hex
from ci_migrate.model.evidence import NamedRehearsal
from ci_migrate.model.plan import Identity, Plan


class Purpose(StrEnum):
    """What an approval is for: the directions of plans, and what is no migration.

    Signed payloads and the ledger call it `direction`.
    """

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    RESTORE = "restore"
    PROTECTION = "protection"
    REMOVAL = "removal"  # of backups, or of what restores kept
    REPAIR = "repair"
    BACKFILL = "backfill"


@runtime_checkable
class Approvable(Protocol):
    """What an approval can be given for: a Plan, or one of `_OTHER_THAN_PLANS`, or a Restoration."""

    @property
    def target(self) -> str:
        """The target's name in the settings."""

    @property
    def identity(self) -> Identity:
        """Which database it is about."""

    @property
    def purpose(self) -> str:
        """One of Purpose."""

    @property
    def destination(self) -> str:
        """Where it leads: a revision, a backup's id, what becomes of the protection."""

    @property
    def from_heads(self) -> tuple[str, ...]:
        """The heads that it starts from; () where it does not depend on them."""

    @property
    def digest(self) -> str:
        """What the approval binds."""


class _NoMigration(Frozen, frozen=True, kw_only=True):
    """Base of what is approved and is no plan."""

    target: str
    identity: Identity
    direction: str

    @property
    def purpose(self) -> Purpose:
        """What an approval of it is for."""
        return Purpose(self.direction)

    @property
    def from_heads(self) -> tuple[str, ...]:
        """None, unless it says otherwise: it is the same wherever the target is at."""
        return ()

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return sha256_hex(canonical_json(self))


class ProtectionChange(_NoMigration, frozen=True, kw_only=True):
    """A change of a target's protection. `destination` says what becomes of it.

    In JSON it looks like a plan that migrates nothing. Version 0.1.0 wrote it so, and its digest, which approvals
    bind, is of that text; hence the fields that are always empty.
    """

    direction: Literal["protection"] = "protection"
    destination: str
    contexts: tuple[()] = ()
    revisions: tuple[()] = ()
    env_sha256: Literal[""] = ""
    script_heads: tuple[()] = ()


class Restoration(_NoMigration, frozen=True, kw_only=True):
    """A backup over a target: this one, as its manifest has it and where it lies, over the target at these heads.

    `tables` are those whose rows alone are put back, () for the whole database.
    """

    direction: Literal["restore"] = "restore"
    backup_id: str
    manifest_sha256: str  # of the manifest as it was read, with the digests of all files
    place: str  # of the backup, without secrets
    heads: tuple[str, ...]
    tables: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        """The backup and its place, and which tables of it."""
        rows = f"rows of {', '.join(self.tables)} from " if self.tables else ""
        return f"{rows}{self.backup_id} in {self.place}"

    @property
    def from_heads(self) -> tuple[str, ...]:
        """What the target is at when it is replaced."""
        return self.heads


class Removal(_NoMigration, frozen=True, kw_only=True):
    """Ways back that are taken away: backups by their ids in one place, or databases that restores kept.

    `manifests` has the sha256 of the manifest of each backup, as it was read; "" for one that was never finished.
    """

    direction: Literal["removal"] = "removal"
    what: Literal["backups", "replaced databases"]
    names: tuple[str, ...]
    place: str = ""  # of the backups: the same ids elsewhere were not approved
    manifests: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        """What is removed, for people."""
        return f"{self.what}: {', '.join(self.names)}{f' in {self.place}' if self.place else ''}"


class RunRepair(_NoMigration, frozen=True, kw_only=True):
    """The repair of a run that did not end: `forward` runs what is left of its plan, else it is led back.

    Where it `accepts` something, it is neither: these changes of the schema, which somebody else made meanwhile, stay.
    `does` says of each repair that fits what it would do: its statements, tables, or backup with place and manifest.
    """

    direction: Literal["repair"] = "repair"
    run_id: str
    forward: bool
    plan_digest: str  # of what that run was to do
    accepts: tuple[str, ...] = ()  # in words
    does: tuple[str, ...] = ()

    @property
    def destination(self) -> str:
        """The run, and which way; or all that is accepted."""
        if self.accepts:
            return f"{self.run_id} accepts {'; '.join(self.accepts)}"
        return f"{self.run_id} {'forward' if self.forward else 'back'}"


class BackfillRun(_NoMigration, frozen=True, kw_only=True):
    """A registered backfill, run until its end: the name of its checkpoint, and all that decides what it writes.

    `key` is () for the primary key. `again`: its checkpoint is forgotten first, so that all rows are done once more.
    """

    direction: Literal["backfill"] = "backfill"
    name: str
    table: str
    statement: str
    key: tuple[str, ...] = ()
    schema: str | None = None
    remaining: str | None = None
    again: bool = False

    @property
    def destination(self) -> str:
        """Its name, and whether it begins at the beginning."""
        return f"{self.name}{' again' if self.again else ''}"


_OTHER_THAN_PLANS: dict[str, type[Frozen]] = {
    Purpose.PROTECTION: ProtectionChange,
    Purpose.REMOVAL: Removal,
    Purpose.REPAIR: RunRepair,
    Purpose.BACKFILL: BackfillRun,
}


def decode_approvable(kind: type, value: Any) -> Any:
    """A `dec_hook` for msgspec: an Approvable from what its JSON holds."""
    if kind is not Approvable:
        raise NotImplementedError(f"{kind} can't be decoded")
    purpose = value.get("direction") if isinstance(value, dict) else None
    # version 0.1.0 approved a plan that names the backup
    if purpose == Purpose.RESTORE and "manifestSha256" in value:
        return msgspec.convert(value, Restoration)
    return msgspec.convert(value, _OTHER_THAN_PLANS.get(str(purpose), Plan))


class TokenKind(StrEnum):
    """What makes a token good: the ledger that knows its hash, or the signatures of approvers."""

    CONFIRMATION = "confirmation"
    SIGNED = "signed"


class Approval(Frozen, frozen=True, kw_only=True):
    """A grant that fits one plan on one target. The token itself is never kept.

    `rehearsal` is the dry run that it was given for; None where it names none.
    """

    approval_id: str
    kind: TokenKind
    plan_digest: str
    target: str
    approved_by: tuple[str, ...]
    reason: str
    created: datetime
    expires: datetime
    rehearsal: NamedRehearsal | None = None


class TokenRecord(Frozen, frozen=True, kw_only=True):
    """What the ledger knows of one approval token. `status`: "valid", "used", "revoked" or "expired"."""

    approval: Approval
    status: str
    direction: Purpose
    destination: str
    from_heads: tuple[str, ...]
    used_by: str | None = None  # the run that claimed it
    used: datetime | None = None
    revoked: datetime | None = None
    stages: tuple[str, ...] = ()  # what a signed one names as allowed
