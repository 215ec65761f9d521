"""The contract of what reads a schema again and again while statements change it. Dry run only."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ci_migrate.databases.base import Database
from ci_migrate.model import Schema


class SchemaReader(Protocol):
    """Looks at one scratch copy while a migration runs on it."""

    def read(self, last: Schema, statements: Sequence[str]) -> Schema:
        """The schema, given the one before these statements; what was made since is in it, and nothing of others."""

    def written(self, last: Schema, statements: Sequence[str]) -> frozenset[str] | None:
        """The tables, as `counts` calls them, whose rows these statements can have changed; None: any.

        A name may also be that of a view, or of nothing that is there. `last` is the schema before them.
        """


@runtime_checkable
class ReadsChanges(Protocol):
    """What a Database may do besides: read less than its whole schema after statements that it understands."""

    def schema_reader(self) -> AbstractContextManager[SchemaReader]:
        """A reader, which is closed with its session at the end."""


@dataclass(frozen=True)
class WholeSchema:
    """Reads everything each time."""

    database: Database

    def read(self, last: Schema, statements: Sequence[str]) -> Schema:  # noqa: ARG002 - whatever they were
        return self.database.schema()

    def written(self, last: Schema, statements: Sequence[str]) -> frozenset[str] | None:  # noqa: ARG002
        return None


def reader_of(database: Database) -> AbstractContextManager[SchemaReader]:
    """What is to be had for one database."""
    if isinstance(database, ReadsChanges):
        return database.schema_reader()
    return nullcontext(WholeSchema(database))
