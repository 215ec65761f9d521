"""The schema of a copy, which may be several databases, followed from commit point to commit point."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ci_migrate.databases.base import Database
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import key_of, name_of, together
from ci_migrate.databases.schema_changes import SchemaReader, WholeSchema, reader_of
from ci_migrate.model import Schema


@dataclass(frozen=True)
class SchemaReaders:
    """One for each database; the statements of a call are those that were sent to the one that committed."""

    each: Mapping[str, SchemaReader]

    def read(self, last: Schema, committed: str, statements: Sequence[str]) -> Schema:
        """The schema now; of the others, which may be in the middle, it is the last one."""
        if len(self.each) == 1:  # a long history has hundreds of commits, and each schema hundreds of objects
            return self.each[committed].read(last, statements)
        others = {key: text for key, text in last.items() if not key_of(committed, key)}
        now = self.each[committed].read(_own(last, committed), statements)
        return others | together({committed: now})

    def written(self, last: Schema, committed: str, statements: Sequence[str]) -> frozenset[str] | None:
        """The tables whose rows may have changed; None: any."""
        own = last if len(self.each) == 1 else _own(last, committed)
        found = self.each[committed].written(own, statements)
        return None if found is None else frozenset(name_of(committed, table) for table in found)


def _own(schema: Schema, database: str) -> Schema:
    return {own: text for key, text in schema.items() if (own := key_of(database, key))}


@contextmanager
def schema_readers(database: Database, *, whole: bool) -> Iterator[SchemaReaders]:
    """Readers that look at what statements can have changed, on engines that know; with `whole` at everything."""
    with ExitStack() as stack:
        yield SchemaReaders(
            {
                name: WholeSchema(one) if whole else stack.enter_context(reader_of(one))
                for name, one in members_of(database).items()
            }
        )
