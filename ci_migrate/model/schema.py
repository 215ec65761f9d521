"""Schemas, fingerprints and what differs between them; what tables hold."""

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum

from ci_migrate.model.base import Frozen, canonical_json, sha256_hex
from ci_migrate.schema_text import describe_change

Schema = dict[str, str]
"""From schema object (`table public.users`, `column public.users.email`) to its definition as text."""


def sorted_schema(found: Mapping[str, str]) -> Schema:
    """The objects by name. A run holds the same schema several times over: equal texts are one string in memory."""
    return {sys.intern(name): sys.intern(found[name]) for name in sorted(found)}


class ObjectKind(StrEnum):
    """Kinds of schema objects that more than their engine knows. An engine may have others besides."""

    TABLE = "table"
    COLUMN = "column"
    INDEX = "index"
    CONSTRAINT = "constraint"
    VIEW = "view"
    TRIGGER = "trigger"


def split_key(key: str) -> tuple[str, str]:
    """The kind (an `ObjectKind`, or a word of the engine's own) and the name in the key of a schema object."""
    kind, _, name = key.partition(" ")
    return kind, name


def names_of(kind: ObjectKind, keys: Iterable[str]) -> set[str]:
    """The names of the objects of one kind."""
    return {name for found, name in map(split_key, keys) if found == kind}


class Fingerprint(Frozen, frozen=True, kw_only=True):
    """From schema object to the hash of its definition."""

    objects: dict[str, str]

    @classmethod
    def of(cls, schema: Schema) -> "Fingerprint":
        """The fingerprint of a schema."""
        return cls(
            objects={name: sys.intern(sha256_hex(text.encode())[:16]) for name, text in schema.items()}
        )

    @property
    def digest(self) -> str:
        """One hash over all objects."""
        return sha256_hex(canonical_json(self.objects))


Delta = dict[str, str | None]
"""What changed between two fingerprints: object -> hash afterwards, None where it is gone."""


def delta(before: Fingerprint, after: Fingerprint) -> Delta:
    """What must be changed in `before` to get `after`."""
    found: Delta = dict.fromkeys(before.objects.keys() - after.objects.keys())
    found.update({name: after.objects[name] for name, _ in after.objects.items() - before.objects.items()})
    return found


class SchemaChange(Frozen, frozen=True, kw_only=True):
    """One object that changed. `before` or `after` is None where the object did not exist."""

    name: str
    before: str | None
    after: str | None

    @property
    def words(self) -> str:
        """`column users.email added`, `column users.email: type was varchar(255), is varchar(64)`."""
        return describe_change(self.name, self.before, self.after)


def schema_changes(before: Schema, after: Schema) -> tuple[SchemaChange, ...]:
    """All differences between two schemas, sorted by object."""
    names = sorted({name for name, _ in before.items() ^ after.items()})
    return tuple(SchemaChange(name=n, before=before.get(n), after=after.get(n)) for n in names)


class RowCount(Frozen, frozen=True, kw_only=True):
    """Rows of a table; `exact` is False for the engine's estimate (shown with ~)."""

    rows: int
    exact: bool = True


class ColumnContent(Frozen, frozen=True, kw_only=True):
    """What a column holds. `digest` does not depend on the order of rows; None where it was too much to read.

    `filled` counts the values that hold something, and `filled_digest` is the sum of their hashes modulo 2**64, in hex.
    Nothing is held by a text of white space, by {}, [] or "", and by the null of JSON, in a column of whatever type.
    Both are None where they were not counted: by earlier versions, and by databases of plugins.
    """

    values: int  # rows in which the column is not NULL
    digest: str | None = None
    filled: int | None = None
    filled_digest: str | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same: `filled` follows from the values, and what was read earlier may lack it."""
        if not isinstance(other, ColumnContent):
            return NotImplemented
        return (self.values, self.digest) == (other.values, other.digest)

    def __hash__(self) -> int:
        return hash((self.values, self.digest))

    @property
    def held(self) -> int:
        """How many values hold something; all of them where the empty ones were not told apart."""
        return self.values if self.filled is None else self.filled

    @property
    def held_digest(self) -> str | None:
        """The digest of the values that `held` counts."""
        return self.digest if self.filled is None else self.filled_digest

    def plus(self, other: "ColumnContent") -> tuple[int, str] | None:
        """What a column holds that got the values of both: how many, and their digest; None where that is not known."""
        if self.filled is None or other.filled is None or not self.filled_digest or not other.filled_digest:
            return None
        total = int(self.filled_digest, 16) + int(other.filled_digest, 16)
        return self.filled + other.filled, sum_digest(total)


def sum_digest(total: int) -> str:
    """A sum of hashes as it stands in `ColumnContent.filled_digest`."""
    return f"{total % (1 << 64):016x}"


class TableContent(Frozen, frozen=True, kw_only=True):
    """What a table holds. `digest` covers whole rows, whatever their order and the order of columns."""

    rows: int
    digest: str | None = None
    columns: dict[str, ColumnContent] = {}


class Sample(Frozen, frozen=True, kw_only=True):
    """What a table holds in some of its rows: from each start on up to `rows` of them in the order of a unique key.

    A range ends where the next one starts; starts are in the engine's text of the key's type.
    """

    key: str
    starts: tuple[str, ...]
    rows: int
    content: TableContent


def same_change(changed: Delta, rehearsed: Delta, before: Fingerprint, rehearsed_before: Fingerprint) -> bool:
    """Whether the target changed as the copy did; texts that differed before may differ after."""
    effective = {name: text for name, text in rehearsed.items() if rehearsed_before.objects.get(name) != text}
    if changed.keys() != effective.keys():
        return False
    return all(
        changed[name] == effective[name] or before.objects.get(name) != rehearsed_before.objects.get(name)
        for name in changed
    )
