"""The base of all frozen values, and their canonical JSON."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of all values: immutable, camelCase in JSON."""


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no white space. What digests are taken of."""
    return msgspec.json.encode(value, order="deterministic")


def sha256_hex(data: bytes) -> str:
    """The sha256 of some bytes, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def now() -> datetime:
    """The time of this machine, UTC."""
    return datetime.now(UTC)
