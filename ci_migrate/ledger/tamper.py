"""What the tables say, held against the audit trail: who writes a table by SQL alone leaves the trail behind.

The trail is a chain, so a record can't be put into it or taken out without breaking it; a row of a table can. Compared
are those that decide who may write: tokens, reservations, protection, approvers, keys.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from ci_migrate.ledger import audit, tables
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.protection import Protection, Rules
from ci_migrate.ledger.protection import of as protection_of
from ci_migrate.model import Approval, TokenKind, canonical_json
from ci_migrate.settings.secrets import HIDDEN


def find_tampering(ledger: Ledger) -> list[str]:
    """Records of the trail that were altered, and what the tables say and the trail does not, in words."""
    found = ledger.verify_audit()
    if found:  # its facts are anybody's, and tables that agree with them would prove nothing
        return found
    with ledger.reading() as connection:
        return [*_tokens(connection), *_made(connection), *_protection(connection), *_keys(connection)]


def _tokens(connection: Connection) -> list[str]:
    trail = select(tables.audit.c.run_id, tables.audit.c.facts).where(tables.audit.c.kind == "token used")
    used = {msgspec.json.decode(row.facts)["approvalId"]: row.run_id for row in connection.execute(trail)}
    revoked = {i for facts in audit.facts_of(connection, "token revoked") for i in facts["approvalIds"]}
    columns = (tables.tokens.c.approval_id, tables.tokens.c.claimed_by, tables.tokens.c.revoked)
    rows = {row.approval_id: row for row in connection.execute(select(*columns))}
    found = []
    for approval_id in sorted({*used, *revoked, *rows}):
        row = rows.get(approval_id)
        claimed_by = row.claimed_by if row is not None else None
        if claimed_by != used.get(approval_id):
            table, told = (
                f"by run {run}" if run else "by none" for run in (claimed_by, used.get(approval_id))
            )
            found.append(f"token {approval_id} was used {told}; its table says {table}")
        if (row is not None and row.revoked is not None) != (approval_id in revoked):
            told = "revoked" if approval_id in revoked else "not revoked"
            found.append(f"token {approval_id} was {told}; its table says otherwise")
    return found


def _made(connection: Connection) -> list[str]:
    """Confirmation tokens that nobody made so, and reservations that no run wrote. Signed ones prove themselves."""
    made = {facts["approval"]["approvalId"]: facts for facts in audit.facts_of(connection, "token generated")}
    confirmations = select(tables.tokens).where(tables.tokens.c.kind == TokenKind.CONFIRMATION.value)
    found = []
    for row in connection.execute(confirmations.order_by(tables.tokens.c.approval_id)):
        facts = made.get(row.approval_id)
        if facts is None:
            found.append(f"token {row.approval_id} was never made")
            continue
        approval = msgspec.convert(facts["approval"], Approval)
        told = {
            "expires": approval.expires,
            "plan_digest": approval.plan_digest,
            "approved_by": canonical_json(approval.approved_by).decode(),
            "token_sha256": facts.get("tokenSha256", row.token_sha256),  # version 0.1.0 did not write it down
        }
        # what one process hides as a secret another one may not know as such
        other = [
            name for name, told_ in told.items() if told_ != getattr(row, name) and HIDDEN not in str(told_)
        ]
        if other:
            words = ", ".join(other)
            found.append(f"token {row.approval_id} was made otherwise than its table says: {words}")
    trail = select(tables.audit.c.run_id, tables.audit.c.facts).where(tables.audit.c.kind == "token reserved")
    told_of = {
        (msgspec.json.decode(row.facts)["approvalId"], row.run_id) for row in connection.execute(trail)
    }
    columns = (tables.reservations.c.approval_id, tables.reservations.c.run_id)
    reserved = {(row.approval_id, row.run_id) for row in connection.execute(select(*columns))}
    return found + [
        f"token {name} was never reserved for run {run}" for name, run in sorted(reserved - told_of)
    ]


def _protection(connection: Connection) -> list[str]:
    kinds = ("protected", "unprotected", "frozen", "unfrozen")
    last: dict[str, tuple[str, dict[str, Any]]] = {}
    chosen = select(tables.audit).where(tables.audit.c.kind.in_(kinds)).order_by(tables.audit.c.sequence)
    for row in connection.execute(chosen):
        last["freeze" if "froz" in row.kind else "rules"] = (row.kind, msgspec.json.decode(row.facts))
    kind, facts = last.get("rules", ("unprotected", {}))
    rules = msgspec.convert(facts["rules"], Rules) if kind == "protected" else Rules()
    told = Protection(protected=kind == "protected", rules=rules)
    there = protection_of(connection)
    found = []
    if there.protected != told.protected:
        found.append(f"the target was {'' if told.protected else 'un'}protected; its table says otherwise")
    if _comparable(there.rules) != _comparable(told.rules):
        found.append("approvers or rules are not those that were written down last")
    kind, facts = last.get("freeze", ("unfrozen", {}))
    frozen = facts.get("reason", "") if kind == "frozen" else ""
    if bool(there.frozen) != bool(frozen):
        found.append(f"the target was {kind}; its table says otherwise")
    return found


def _comparable(rules: Rules) -> bytes:
    """Without the order of the lines, which tables and requests may have differently."""
    lines = {
        "approvers": tuple(sorted(set(rules.approvers))),
        "emergency": tuple(sorted(set(rules.emergency))),
    }
    return canonical_json(msgspec.structs.replace(rules, **lines))


def _keys(connection: Connection) -> list[str]:
    made = {
        facts["key"]["keyId"]: {**facts, **facts["key"]}
        for facts in audit.facts_of(connection, "key created")
    }
    revoked = {facts["keyId"] for facts in audit.facts_of(connection, "key revoked")}
    found = []
    for row in connection.execute(select(tables.keys).order_by(tables.keys.c.key_id)):
        told = made.get(row.key_id)
        if told is None:
            found.append(f"key {row.key_id} ({row.name}) was never made")
        elif (told["role"], told["target"]) != (row.role, row.target):
            made_for = f"{told['role']} of {told['target']}"
            found.append(f"key {row.key_id} was made for {made_for}; its table says otherwise")
        elif row.expires != _time(told["expires"]):
            found.append(f"key {row.key_id} expires otherwise than was written down")
        elif row.sha256 != told.get("sha256", row.sha256):  # version 0.1.0 did not write it down
            found.append(f"key {row.key_id} is another one than was made")
        if (row.key_id in revoked) != (row.revoked is not None):
            word = "revoked" if row.key_id in revoked else "not revoked"
            found.append(f"key {row.key_id} was {word}; its table says otherwise")
    return found


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
