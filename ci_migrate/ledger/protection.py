"""Protection, as the ledger keeps it: whether the target is protected, who may approve, whether it is frozen.

The repository's settings are not asked: its author can edit them. Every change stands in the audit trail.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ci_migrate.ledger import audit, tables
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Frozen, Permit, Purpose, canonical_json, sha256_hex

UNPROTECT, UNFREEZE, ACCEPT_IDENTITY, LIFT_GUARD, RULES, NOTES = (
    "unprotect",
    "unfreeze",
    "accept-identity",
    "lift-guard",
    "rules-",
    "move-notes-",
)
"""The destinations of a ProtectionChange; RULES and NOTES are followed by the digest of the new rules or place."""


class Rules(Frozen, frozen=True, kw_only=True):
    """What `ci-migrate protect` asks for. `approvers` and `emergency` are lines of OpenSSH's allowed-signers format."""

    approvers: tuple[str, ...] = ()
    emergency: tuple[str, ...] = ()
    min_approvals: int = 1
    forbid_self_approval: bool = False

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON: what an approval of a change of rules is given for."""
        return sha256_hex(canonical_json(self))


class Protection(Frozen, frozen=True, kw_only=True):
    """What the ledger says of its target. `since` is a time as text; `frozen` is why, "" where it is not frozen."""

    protected: bool = False
    since: str = ""
    by: str = ""
    frozen: str = ""
    rules: Rules = Rules()
    revoked: tuple[str, ...] = ()  # lines of those who may approve no more

    @property
    def words(self) -> str:
        """`since 2026-11-23, 2 approvers, 1 needed; FROZEN: incident 42`; "" where nothing protects it."""
        rules, parts = self.rules, []
        if self.protected:
            people = "1 approver" if len(rules.approvers) == 1 else f"{len(rules.approvers)} approvers"
            who = f"{people}, {rules.min_approvals} needed" if rules.approvers else "by confirmation tokens"
            parts.append(f"since {self.since[:10]}, {who}")
        if self.frozen:
            parts.append(f"FROZEN: {self.frozen}")
        return "; ".join(parts)


UNPROTECTED = Protection()


def read(ledger: Ledger | None) -> Protection:
    """What protects the target; nothing does where there is no ledger yet.

    Raises:
        LedgerError: the ledger is there and does not tell: then nobody may assume that nothing protects it.
    """
    if ledger is None:
        return UNPROTECTED
    with ledger.reading() as connection:
        return of(connection)


def of(connection: Connection) -> Protection:
    """As `read`, within a transaction."""
    row = connection.execute(select(tables.protection)).one()
    rows = connection.execute(select(tables.signers).order_by(tables.signers.c.sequence)).all()
    lines = [line for line in rows if line.revoked is None]
    return Protection(
        protected=row.protected,
        since=tables.utc_text(row.since) if row.since else "",
        by=row.protected_by or "",
        frozen=row.frozen or "",
        rules=Rules(
            approvers=tuple(line.line for line in lines if not line.emergency),
            emergency=tuple(line.line for line in lines if line.emergency),
            min_approvals=row.min_approvals,
            forbid_self_approval=row.forbid_self_approval,
        ),
        revoked=tuple(line.line for line in rows if line.revoked is not None),
    )


def protect(permit: Permit, ledger: Ledger, rules: Rules, *, by: str) -> None:
    """Protect the target by these rules; approvers that they do not name are revoked.

    Args:
        permit: for these rules.
        ledger: the target's.
        rules: they replace those that are there.
        by: who does it, for the audit trail.
    """
    permit.require(Purpose.PROTECTION, subject=RULES + rules.digest)
    with ledger.writing() as connection:
        # one change at a time: of two that both found the old approvers, each would leave the other's there
        connection.execute(select(tables.protection).with_for_update())
        now = tables.clock(connection)
        was = of(connection)
        fields: dict[str, Any] = {
            "protected": True,
            "since": now,
            "protected_by": by,
            "min_approvals": rules.min_approvals,
            "forbid_self_approval": rules.forbid_self_approval,
        }
        connection.execute(update(tables.protection).values(**fields))
        for emergency, wanted, there in (
            (False, rules.approvers, was.rules.approvers),
            (True, rules.emergency, was.rules.emergency),
        ):
            _revoke(connection, [line for line in there if line not in wanted], emergency=emergency)
            rows = [
                {"line": line, "emergency": emergency, "added": now, "added_by": by}
                for line in dict.fromkeys(wanted)
                if line not in there
            ]
            if rows:
                connection.execute(insert(tables.signers), rows)
        facts = {"rules": rules, "before": was.rules, "by": by, "approvalId": permit.approval_id}
        audit.append(connection, "protected", None, facts)


def _revoke(connection: Connection, lines: Sequence[str], *, emergency: bool) -> None:
    chosen = (
        tables.signers.c.line.in_(lines),
        tables.signers.c.emergency.is_(emergency),
        tables.signers.c.revoked.is_(None),
    )
    if lines:
        connection.execute(update(tables.signers).where(*chosen).values(revoked=tables.clock(connection)))


def unprotect(permit: Permit, ledger: Ledger, *, by: str) -> None:
    """Take the protection away, with all approvers."""
    permit.require(Purpose.PROTECTION, subject=UNPROTECT)
    with ledger.writing() as connection:
        now = tables.clock(connection)
        connection.execute(
            update(tables.protection).values(
                protected=False, since=None, protected_by=None, min_approvals=1, forbid_self_approval=False
            )
        )
        connection.execute(
            update(tables.signers).where(tables.signers.c.revoked.is_(None)).values(revoked=now)
        )
        audit.append(connection, "unprotected", None, {"by": by, "approvalId": permit.approval_id})


def freeze(ledger: Ledger, reason: str, *, by: str) -> None:
    """From now on no run may write to the target, whatever token it has."""
    with ledger.writing() as connection:  # without a permit: who stops something needs nobody's leave
        connection.execute(update(tables.protection).values(frozen=reason))
        audit.append(connection, "frozen", None, {"reason": reason, "by": by})


def unfreeze(permit: Permit, ledger: Ledger, *, by: str) -> None:
    """Runs may write again."""
    permit.require(Purpose.PROTECTION, subject=UNFREEZE)
    with ledger.writing() as connection:
        connection.execute(update(tables.protection).values(frozen=None))
        audit.append(connection, "unfrozen", None, {"by": by, "approvalId": permit.approval_id})
