"""The list of what is in an archive of pg_dump, and which entries of it a restore takes."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ci_migrate.databases.postgresql.catalog import GUARD_SCHEMA


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list: `4032; 1418 16390 USER MAPPING - USER MAPPING alice SERVER there bob`."""

    line: str

    @property
    def number(self) -> int:
        """Its number in the archive."""
        return int(self.line.partition(";")[0])

    @property
    def object(self) -> str:
        """The number of its object in the catalog of the dumped database: `1418 16390`."""
        return " ".join(self.line.split(" ", 3)[1:3])

    @property
    def oid(self) -> int:
        """The same, without the catalog's: `TABLE DATA` has none of that."""
        return int(self.line.split(" ", 3)[2])

    @property
    def text(self) -> str:
        """Kind, schema (or `-`), name and owner: words, not to be taken apart but from the left."""
        return self.line.split(" ", 3)[3]

    def is_a(self, *kinds: str) -> bool:
        """Whether it is of one of these kinds."""
        return self.text.startswith(kinds)


def entries(lines: Iterable[str]) -> list[Entry]:
    """The entries among the lines of `pg_restore -l`, without those of the guard of the dumped database."""
    return [Entry(line) for line in lines if line and not line.startswith(";") and GUARD_SCHEMA not in line]


def dependent(lines: Iterable[str], roots: Collection[str]) -> set[int]:
    """The numbers of the entries whose objects are `roots`, and of all that depends on them.

    Args:
        lines: of `pg_restore -l -v`, which has a line `;	depends on: 9 235` behind an entry.
        roots: as `Entry.object`.
    """
    found: set[int] = set()
    needs = dict(_needs(lines))
    for entry in needs:
        if entry.object in roots:
            found.add(entry.number)
    while more := {e.number for e, on in needs.items() if e.number not in found and found.intersection(on)}:
        found |= more
    return found


def _needs(lines: Iterable[str]) -> Iterator[tuple[Entry, Sequence[int]]]:
    last = None
    for line in lines:
        if line.startswith(";\tdepends on:"):
            if last is not None:
                yield last, [int(number) for number in line.partition(":")[2].split()]
            last = None
        elif line and not line.startswith(";"):
            if last is not None:
                yield last, ()
            last = Entry(line)
    if last is not None:
        yield last, ()
