"""The keys of those who call over HTTP: made once, shown once, kept as a hash, beside the target that they are for.

A key is 256 random bits, so nobody finds it by trying: plain sha256 is enough. Slow hashes (bcrypt, argon2) are for
passwords that people choose, and would only make each call slow.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from ci_migrate.errors import UsageError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import clock, keys
from ci_migrate.model import Frozen

MAX_DAYS = 3660

_FORM = re.compile(r"cim_([0-9a-f]{12})_([0-9A-Za-z_-]{43})", re.ASCII)
_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_NAME = re.compile(r"[\w.@+-]{1,64}")
_NOBODY = hashlib.sha256(b"").hexdigest()


class Role(StrEnum):
    """What a key allows. Each role may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what needs that one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class KeyRecord(Frozen, frozen=True, kw_only=True):
    """What the ledger knows of a key; neither the key nor its hash."""

    key_id: str
    name: str
    role: Role
    target: str
    created: datetime
    created_by: str
    expires: datetime | None = None
    revoked: datetime | None = None


def create(
    ledger: Ledger, *, name: str, role: Role, target: str, by: str, days: int | None
) -> tuple[str, KeyRecord]:
    """Make a key.

    Args:
        ledger: the target's.
        name: whom it is for; stands in the audit trail as the one who acts.
        role: what it allows.
        target: the target's name in the settings; it counts there alone.
        by: who makes it.
        days: after how many it expires, by the ledger's clock; None for never.

    Returns:
        The key, which is shown once and kept nowhere, and what is known of it.

    Raises:
        UsageError: the name or the number of days makes no sense, or a key of that name is still good.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.80} can't be a key's name.", hint="Letters, digits and . _ @ + - are fine, at most 64."
        )
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise UsageError(f"A key can't be good for {days} days.", hint=f"1 up to {MAX_DAYS}.")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = f"cim_{key_id}_{secret}"
    with ledger.writing() as connection:
        now = clock(connection)
        record = KeyRecord(
            key_id=key_id,
            name=name,
            role=role,
            target=target,
            created=now,
            created_by=by,
            expires=None if days is None else now + timedelta(days=days),
        )
        # first: it lets one writer in at a time, so that nobody makes a key of this name while others are looked at
        facts = {
            "key": record,
            "sha256": _hash(key),
        }  # so that `audit verify` sees a hash that was put in its place
        sequence = audit.append(connection, "key created", None, facts)
        for row in connection.execute(select(keys).where(keys.c.name == name, keys.c.target == target)):
            if row.revoked is None and (row.expires is None or row.expires > now):
                raise UsageError(
                    f"There is a key named {name} already ({row.key_id}).",
                    hint=f"ci-migrate serve key revoke {row.key_id}",
                )
        fields = {field: getattr(record, field) for field in KeyRecord.__struct_fields__}
        own = {"role": role.value, "sha256": _hash(key), "sequence": sequence}
        connection.execute(insert(keys).values({**fields, **own}))
    return key, record


def may_be_key(text: str) -> bool:
    """Whether it is written as keys are: all else need not be looked up."""
    return _FORM.fullmatch(text) is not None


def find(ledger: Ledger, key: str, target: str) -> KeyRecord | None:
    """Whose key this is; None where it is none, is not for this target, has expired or was revoked.

    It takes as long for a key that is wrong in its last character as for one that is wrong in its first.
    """
    form = _FORM.fullmatch(key)
    with ledger.reading() as connection:
        now = clock(connection)
        found = select(keys).where(keys.c.key_id == (form.group(1) if form else ""))
        row = connection.execute(found).one_or_none()
        record = _record(row) if row is not None else None  # in here: one that can't be read is told
    same = hmac.compare_digest(row.sha256 if row is not None else _NOBODY, _hash(key))
    if row is None or not same or row.target != target or row.revoked is not None:
        return None
    if row.expires is not None and row.expires <= now:
        return None
    return record


def list_keys(ledger: Ledger) -> tuple[KeyRecord, ...]:
    """All keys that were ever made, the oldest first."""
    with ledger.reading() as connection:
        rows = connection.execute(select(keys).order_by(keys.c.sequence)).all()
        return tuple(_record(row) for row in rows)


def revoke(ledger: Ledger, key_id: str, *, by: str) -> KeyRecord:
    """Make a key useless, at once.

    Raises:
        UsageError: there is no such key.
    """
    chosen = keys.c.key_id == key_id
    with ledger.writing() as connection:
        # what is written otherwise may be no text for a database: an argument can hold any bytes
        known = _ID.fullmatch(key_id) is not None
        row = connection.execute(select(keys).where(chosen)).one_or_none() if known else None
        if row is None:
            raise UsageError(f"There is no key {key_id!r:.80}.", hint="ci-migrate serve key list")
        if row.revoked is None:
            connection.execute(update(keys).where(chosen).values(revoked=clock(connection)))
            audit.append(connection, "key revoked", None, {"keyId": key_id, "name": row.name, "by": by})
        return _record(connection.execute(select(keys).where(chosen)).one())


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _record(row: Any) -> KeyRecord:
    fields = {field: getattr(row, field) for field in KeyRecord.__struct_fields__}
    return KeyRecord(**{**fields, "role": Role(row.role)})
