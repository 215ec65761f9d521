"""The mark in a protected database: it says that it is protected, and which ledger holds the protection.

The ledger is found by the target's address, and an address has many spellings. The mark is found by whoever gets to the
database: where the ledger that was found is not the one that it names, nothing is written.
"""

import json
from typing import Any

import msgspec

from ci_migrate.databases.base import Database, KeepsMark
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Frozen, NextCommand, as_hint

FACTS = ("system_identifier", "oid", "server", "database", "file", "inode")
"""What tells a database from a copy of it; of those, the ones that its engine has."""


class Mark(Frozen, frozen=True, kw_only=True):
    """What the mark says; `facts` are those of the database that it was made for."""

    ledger: str  # its uuid
    place: str  # where that was, for people
    facts: dict[str, str]


def read_mark(database: Database) -> Mark | None:
    """The mark of one database; None where there is none.

    Raises:
        RefusedError: what stands there can't be read: then nobody may assume that nothing protects it.
    """
    text = database.read_mark() if isinstance(database, KeepsMark) else ""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Mark)
    except msgspec.DecodeError as error:
        raise RefusedError(
            f"The mark of {database.identity().place} that it is protected can't be read.",
            hint="It was made by a newer ci-migrate, or edited: see docs/protection.md.",
        ) from error


def is_marked(database: Database) -> bool:
    """Whether it, or one of several, says that it is protected."""
    return any(read_mark(member) is not None for member in members_of(database).values())


def find_objection(
    database: Database, ledger: Ledger | None, target: str, *, protecting: bool = False
) -> RefusedError | None:
    """Why nothing may be written here, by the marks; None where they say nothing against it.

    Args:
        database: the target.
        ledger: the one that was found by its address.
        target: its name in the settings.
        protecting: it is about to be protected by that ledger.
    """
    protected = protecting or protection.read(ledger).protected
    for name, member in members_of(database).items():
        mark = read_mark(member)
        if mark is None:
            continue
        if ledger is not None and ledger.uuid == mark.ledger:
            if not protected:
                return _forgotten(_label(name, member), ledger, target)
        elif is_copy(member, mark):
            return _copied(_label(name, member), mark, target)
        elif not name:
            return _elsewhere(_label(name, member), mark, ledger, target)
        elif not protected:  # a member may be a target of its own, if this one is protected as well
            return RefusedError(
                f"{_label(name, member)} is protected, and this target is not.",
                hint=protect_too(target),
            )
    return None


def protect_too(target: str) -> str:
    """The hint where a database is protected and the target that it is one of is not."""
    command = f"ci-migrate protect --target {target}"
    return as_hint(NextCommand(command=command, why="protects this target too (docs/several-databases.md)"))


def refuse_by_mark(
    database: Database, ledger: Ledger | None, target: str, *, protecting: bool = False
) -> None:
    """Raise RefusedError where the mark says that something else protects it than what was found."""
    if objection := find_objection(database, ledger, target, protecting=protecting):
        raise objection


def is_copy(database: Database, mark: Mark) -> bool:
    """Whether the mark was made for another database, and came here with a copy of it."""
    was, now = mark.facts, facts_of(database)
    if "file" in now:  # another name of the same file is no copy
        return was.get("file") != now["file"] and was.get("inode") != now.get("inode")
    if "oid" in now:  # not every role may read the identifier
        unlike = {was.get("system_identifier"), now.get("system_identifier")} - {"", None}
        return was.get("oid") != now["oid"] or len(unlike) > 1
    return any(was.get(name) != fact for name, fact in now.items())


def place_marks(database: Database, ledger: Ledger) -> bool:
    """Mark a database as protected by this ledger, and each one of several; returns whether a mark was missing.

    Raises:
        DatabaseError: this role may not; with what somebody else can run.
    """
    placed = False
    for member in members_of(database).values():
        if not isinstance(member, KeepsMark):
            continue
        mark = Mark(ledger=ledger.uuid, place=ledger.place, facts=facts_of(member))
        there = read_mark(member)
        if there is not None and there.ledger != mark.ledger and not is_copy(member, there):
            continue  # it is a target of its own
        if there != mark:
            member.write_mark(_text(mark))
            placed = placed or there is None
    return placed


def take_marks(database: Database, ledger: Ledger) -> None:
    """Take the marks of this ledger away. Raises DatabaseError."""
    for member in members_of(database).values():
        mark = read_mark(member)
        if mark is not None and mark.ledger == ledger.uuid and isinstance(member, KeepsMark):
            member.write_mark("")


def take_copied_marks(database: Database, ledger: Ledger) -> list[Mark]:
    """Take the marks away that came with a copy; returns them. Raises DatabaseError."""
    taken = []
    for member in members_of(database).values():
        mark = read_mark(member)
        copied = mark is not None and mark.ledger != ledger.uuid and is_copy(member, mark)
        if mark is not None and copied and isinstance(member, KeepsMark):
            member.write_mark("")
            taken.append(mark)
    return taken


def keep_marks(database: Database, ledger: Ledger) -> str:
    """The marks of a protected database as they should be; returns what there is to say about it, mostly nothing.

    They are missing where version 0.1.0 protected it, or somebody took them away; they are stale after a restore.
    """
    if not protection.read(ledger).protected or ledger.identity_differences(database.identity()):
        return ""
    try:
        placed = place_marks(database, ledger)
    except DatabaseError as error:
        return (
            f"The database is protected by its ledger alone, it has no mark of it. {error.what} {error.hint}"
        )
    return (
        "The database has a mark now that says that it is protected, so that no other address leads past its ledger."
        if placed
        else ""
    )


def facts_of(database: Database) -> dict[str, str]:
    """What tells one database from a copy of it, as far as its engine has that."""
    told: dict[str, Any] = {**database.wall().identity, **database.identity().facts}
    return {name: str(told[name]) for name in FACTS if told.get(name)}


def _text(mark: Mark) -> str:
    # ASCII: a mark must come back from any encoding of a database
    return json.dumps(msgspec.to_builtins(mark), ensure_ascii=True)


def _label(name: str, member: Database) -> str:
    place = member.identity().place
    return f"databases.{name} ({place})" if name else place


def _copied(place: str, mark: Mark, target: str) -> RefusedError:
    origin = mark.facts.get("file") or mark.facts.get("database", "another database")
    return RefusedError(
        f"{place} is a copy of {origin}, which is protected (its ledger: {mark.place}).",
        hint=as_hint(
            NextCommand(
                command=f"ci-migrate unprotect --copy --target {target}",
                why="where the copy may be migrated without approval",
            )
        ),
    )


def _elsewhere(place: str, mark: Mark, ledger: Ledger | None, target: str) -> RefusedError:
    found = (
        f"the ledger that was found is another one ({ledger.place})" if ledger else "that was not found here"
    )
    return RefusedError(
        f"{place} is protected, and its ledger is {mark.place}: {found}.",
        hint=as_hint(
            NextCommand(
                command=f"ci-migrate status --target {target}",
                why='once the target\'s url is as it was when it was protected, or state = "URL" names its ledger',
            )
        ),
    )


def _forgotten(place: str, ledger: Ledger, target: str) -> RefusedError:
    return RefusedError(
        "The ledger was put back to an older state: it says that nothing is protected, and the mark in "
        f"{place} says that this ledger ({ledger.place}) protects it.",
        hint=f"ci-migrate protect --target {target}",
    )
