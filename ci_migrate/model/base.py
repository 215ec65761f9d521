"""The base of all frozen values, and their canonical JSON."""

import hashlib
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec


# no default is left out: a reader in another language need not know ours, and no digest changes where one does
class Frozen(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of all values: immutable, camelCase in JSON."""


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: the keys of dicts sorted, no white space. What digests are taken of.

    Fields stand in the order of their definition: who moves one changes every digest that was ever taken.
    """
    return msgspec.json.encode(value, order="deterministic")


def sha256_hex(data: bytes) -> str:
    """The sha256 of some bytes, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


T = TypeVar("T")


def decode_foreign(data: bytes, kind: type[T]) -> T:
    """A value from JSON that somebody else wrote. Raises msgspec.DecodeError, also where it is nested without end."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error


def now() -> datetime:
    """The time of this machine, UTC."""
    return datetime.now(UTC)
