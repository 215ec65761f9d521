"""A dump in the place of a live database: restored beside it, checked, and swapped in by one RENAME of all tables.

RENAME can't take triggers and views along, so they are dropped and made again. What was there is written down before
in the database beside (`JOURNAL`): a swap that is killed is taken back while no table has moved, finished afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_migrate.databases.mysql.catalog import own_name, quote_name
from ci_migrate.databases.mysql.dump import reading
from ci_migrate.databases.mysql.load import load
from ci_migrate.databases.mysql.moving import (
    OURS,
    Triggers,
    make_triggers,
    move_tables,
    read_trigger_tables,
)
from ci_migrate.databases.mysql.objects import (
    Stored,
    create_programs,
    drop_programs,
    read_programs,
    rename,
)
from ci_migrate.databases.mysql.payload import read_payload
from ci_migrate.databases.mysql.refusals import refuse_strange
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.names import BEFORE, fit_name, is_kept
from ci_migrate.errors import BackupError, DatabaseError, DirtyError
from ci_migrate.model import Frozen, canonical_json

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

NEW = "_ci_migrate_new_"
"""What stands between a database's name and the label, while a restore builds its successor."""

JOURNAL = "ci_migrate_swap"
"""The table in the successor's database that says what a begun swap is about to do."""


class Swap(Frozen, frozen=True, kw_only=True):
    """A swap that was begun. `dumped_as` is the database's name in the dump's programs."""

    kept: str
    charset: str
    collation: str
    dumped_as: str
    old_tables: tuple[str, ...]
    new_tables: tuple[str, ...]
    old_programs: tuple[Stored, ...]
    new_programs: tuple[Stored, ...]
    old_triggers: dict[str, str] = msgspec.field(default_factory=dict)  # the table of each
    new_triggers: dict[str, str] = msgspec.field(default_factory=dict)


def replace(
    access: Access,
    payload: Path,
    check: Callable[[Access], None],
    label: str,
    *,
    most: int | None = None,
) -> str:
    """Put a dump in the place of this live database. See `base.Database.replace`.

    Raises:
        BackupError: it can't be restored.
        DatabaseError: a right is missing, a foreign key of another database leads here, or a table stayed locked.
            In all these cases the original is as it was.
        DirtyError: the tables were swapped, and something after it failed; the next try goes on from there.
    """
    side, kept = fit_name(access.database, NEW + label), fit_name(access.database, BEFORE + label)
    about, stored = read_payload(payload)
    refuse_strange(about, stored, copy=False)
    words = (
        f"The replaced database is kept as {quote_name(kept)} on {access.server}."
        " To drop it: ci-migrate backup restore --drop-old"
    )
    for begun in find_begun_swaps(access):
        if finish_swap(access, begun) == kept:
            return words  # this very restore, killed at its end
    _refuse(access, kept)
    drop_unused(access, side)
    with making(access, side, like=(about.charset, about.collation)):
        restored = access.elsewhere(side)
        swapping = False
        try:
            load(restored, payload, events=False, most=most)
            check(restored)
            with reading(access) as cursor:
                swap = Swap(
                    kept=kept,
                    charset=about.charset,
                    collation=about.collation,
                    dumped_as=about.database,
                    old_tables=_tables(cursor, access.database),
                    new_tables=_tables(cursor, side),
                    old_programs=read_programs(cursor, access.database),
                    new_programs=stored.programs,
                    old_triggers=read_trigger_tables(cursor, access.database),
                    new_triggers=read_trigger_tables(cursor, side),
                )
                cursor.execute(
                    # with a key: a server of MySQL can refuse all tables without one
                    f"CREATE TABLE {quote_name(side, JOURNAL)}"
                    " (id INT PRIMARY KEY DEFAULT 1, swap LONGBLOB NOT NULL) ENGINE = InnoDB"
                )
                swapping = True
                journal = quote_name(side, JOURNAL).replace("%", "%%")  # one begins a parameter
                cursor.execute(f"INSERT INTO {journal} (swap) VALUES (%s)", [canonical_json(swap)])
            _swap(access, side, swap)
        finally:
            if not swapping:
                with access.elsewhere("").session() as cursor:
                    cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(side)}")
    return words


def settle_replace(access: Access, label: str) -> bool:
    """See `base.SettlesReplace.settle_replace`."""
    side, kept = fit_name(access.database, NEW + label), fit_name(access.database, BEFORE + label)
    finish_swap(access, side)
    with access.elsewhere("").session(read_only=True) as cursor:
        return bool(
            cursor.execute("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", [kept])
        )


# --------------------------------------------------------------------------- databases of our own


@contextmanager
def making(access: Access, name: str, like: tuple[str, str] | None = None) -> Iterator[None]:
    """Create a database; while the block runs, a named lock tells others that it is in use.

    Args:
        access: the target, whose character set and collation it gets, unless `like` gives both.
        name: the new database's.
        like: character set and collation.

    Raises:
        DatabaseError: this account may not; with the GRANT.
    """
    import pymysql

    with closing(access.connect()) as holder:
        cursor = holder.cursor()
        with access.translate_errors():
            cursor.execute("SET SESSION wait_timeout = 31536000")
            cursor.execute(
                "SELECT GET_LOCK(%s, 0), CURRENT_USER(), @@character_set_database, @@collation_database",
                [_lock(name)],
            )
            taken, account, *defaults = cursor.fetchone() or (0, "", "", "")
            if taken != 1:
                raise DatabaseError(f"The database {name} at {access.server} is in use by another run.")
            charset, collation = like or defaults
            try:
                cursor.execute(
                    f"CREATE DATABASE {quote_name(name)} CHARACTER SET {charset} COLLATE {collation}"
                )
            except pymysql.MySQLError as error:
                if error.args[0] not in (1044, 1142, 1227):
                    raise
                like_it = quote_name(name.rpartition("_")[0].replace("_", r"\_") + "%")
                user, _, host = str(account).rpartition("@")
                raise DatabaseError(
                    f"{account} may not make the database {name} at {access.server}.",
                    hint=f"GRANT ALL ON {like_it}.* TO '{user}'@'{host}';",
                ) from error
        yield


def replaced(access: Access) -> list[str]:
    """The databases that restores of this one kept, the oldest first."""
    with access.elsewhere("").session(read_only=True) as cursor:
        cursor.execute("SHOW DATABASES")
        return sorted(str(name) for (name,) in cursor.fetchall() if is_kept(str(name), access.database))


def drop_replaced(access: Access, name: str) -> None:
    """Drop one of them; not where somebody is in it. Raises DatabaseError."""
    if name not in replaced(access):
        raise DatabaseError(f"No restore of {access.place} kept a database {name}.")
    with access.elsewhere("").session() as cursor:
        if in_use(cursor, name):
            raise DatabaseError(
                f"Somebody is using the database {name} on {access.server}.", hint="End that session."
            )
        cursor.execute(f"DROP DATABASE {quote_name(name)}")


def drop_unused(access: Access, name: str) -> None:
    """Drop what a killed run left under this name, unless somebody is in it."""
    with access.elsewhere("").session() as cursor:
        if not in_use(cursor, name):
            cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(name)}")


def in_use(cursor: "Cursor", name: str) -> bool:
    """Whether a run holds it, or any session that this account sees is in it."""
    cursor.execute("SELECT IS_USED_LOCK(%s)", [_lock(name)])
    row: tuple[Any, ...] = cursor.fetchone() or (None,)
    cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s LIMIT 1", [name])
    return row[0] is not None or cursor.fetchone() is not None


def _lock(name: str) -> str:
    return f"ci-migrate:{sha256(name.encode()).hexdigest()[:40]}"


def _tables(cursor: "Cursor", database: str) -> tuple[str, ...]:
    cursor.execute(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW'"
        # as bytes: to the catalog's own collation T and t are equal, and come in any order
        " AND TABLE_NAME <> %s ORDER BY CAST(TABLE_NAME AS BINARY)",
        [database, JOURNAL],
    )
    return tuple(str(name) for (name,) in cursor.fetchall() if not str(name).startswith(OURS))


def _refuse(access: Access, kept: str) -> None:
    """What makes a swap impossible, said before anything is restored."""
    with access.session() as cursor:
        cursor.execute("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", [kept])
        if cursor.fetchone():
            raise DatabaseError(
                f"There is a database {kept} at {access.server} already.", hint="Drop or rename it."
            )
        cursor.execute(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
            " WHERE REFERENCED_TABLE_SCHEMA = %s AND TABLE_SCHEMA <> %s LIMIT 1",
            [access.database, access.database],
        )
        if row := cursor.fetchone():
            raise DatabaseError(
                f"{access.place} can't be replaced by a rename: a foreign key of {row[0]}.{row[1]} leads into it.",
                hint="Restore the backup into another database, and move the rows that you need.",
            )


# --------------------------------------------------------------------------- the swap


def find_begun_swaps(access: Access) -> list[str]:
    """Databases beside this one in which a swap was begun and not ended."""
    with access.elsewhere("").session() as cursor:
        cursor.execute("SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_NAME = %s", [JOURNAL])
        return sorted(
            str(name) for (name,) in cursor.fetchall() if str(name).startswith(access.database + NEW)
        )


def finish_swap(access: Access, side: str) -> str | None:
    """Take back or finish the swap that was begun in `side`, and drop that.

    Returns:
        where the replaced database is kept, '' if the swap was taken back, None if none was begun.
    """
    with access.session() as cursor:
        if side not in find_begun_swaps(access):
            return None
        cursor.execute(f"SELECT swap FROM {quote_name(side, JOURNAL)}")
        row = cursor.fetchone()
    if row is None:  # killed before it was written: nothing was touched
        return None
    swap = msgspec.json.decode(row[0], type=Swap)
    with access.session() as cursor:
        moved = bool(_tables(cursor, swap.kept)) or set(swap.new_tables) != set(_tables(cursor, side))
    if moved:
        _swap(access, side, swap)
        return swap.kept
    _take_back(access, side, swap)
    return ""


def _swap(access: Access, side: str, swap: Swap) -> None:
    """From any point at which a swap was left to its end."""
    with reading(access) as cursor:
        old = [name for name in swap.old_tables if name not in _tables(cursor, swap.kept)]
        new = [name for name in _tables(cursor, side) if name in swap.new_tables]
        if old or new:
            try:
                _rename(cursor, access, side, swap, old, new)
            except DatabaseError:
                if set(_tables(cursor, side)) & set(
                    swap.new_tables
                ):  # that is one statement: none of them has moved
                    _take_back(access, side, swap)
                    raise
    try:
        _after(access, side, swap)
    except (DatabaseError, BackupError) as error:
        raise DirtyError(
            f"The tables of {access.place} were replaced; then: {error.what}",
            state="Views, triggers, routines or events are missing. They are written down in "
            f"{quote_name(side, JOURNAL)}, the old tables are in {quote_name(swap.kept)}.",
            hint="Mend what is said above, and restore again: it goes on from there.",
        ) from error


def _rename(
    cursor: "Cursor", access: Access, side: str, swap: Swap, old: Sequence[str], new: Sequence[str]
) -> None:
    """One statement for all tables: it happens as a whole or not at all."""
    with access.translate_errors():
        cursor.execute("SELECT @@character_set_database, @@collation_database")
        charset, collation = cursor.fetchone() or ("", "")
        cursor.execute(
            f"CREATE DATABASE IF NOT EXISTS {quote_name(swap.kept)} CHARACTER SET {charset} COLLATE {collation}"
        )
        if swap.old_tables != _tables(cursor, access.database) and len(old) == len(swap.old_tables):
            raise DatabaseError(
                f"Tables of {access.place} were made or dropped while the backup was restored beside it.",
                hint="Stop what changes the schema, and try again.",
            )
        for name in read_trigger_tables(cursor, side):
            cursor.execute(f"DROP TRIGGER IF EXISTS {quote_name(side, name)}")
        moves = [(name, access.database, swap.kept) for name in old]
        moves += [(name, side, access.database) for name in new]
    move_tables(access, moves, _old_triggers(access, swap), _new_triggers(swap))


def _old_triggers(access: Access, swap: Swap) -> Triggers:
    return Triggers(_only_triggers(swap.old_programs), access.database, swap.old_triggers)


def _new_triggers(swap: Swap) -> Triggers:
    return Triggers(_only_triggers(swap.new_programs), swap.dumped_as, swap.new_triggers)


def _only_triggers(programs: Sequence[Stored]) -> tuple[Stored, ...]:
    return tuple(p for p in programs if p.kind == "TRIGGER")


def _take_back(access: Access, side: str, swap: Swap) -> None:
    """Tables that have left come back, and the triggers that were dropped; what stands beside goes."""
    with reading(access) as cursor:
        back = [(name, swap.kept, access.database) for name in _tables(cursor, swap.kept)]
        if back:
            nothing = Triggers((), access.database, {})
            move_tables(access, back, nothing, _old_triggers(access, swap))
        there = {(p.kind, p.name) for p in read_programs(cursor, access.database)}
        gone = [p for p in swap.old_programs if (p.kind, p.name) not in there]
        try:
            create_programs(access, gone, named=access.database, definers=True, events=True)
        except BackupError as error:
            raise DirtyError(
                f"{access.place} was not replaced, and its triggers can't be made again: {error.what}",
                state=f"All tables are as they were. The triggers are written down in {quote_name(side, JOURNAL)}.",
                hint=error.hint,
            ) from error
        if not _tables(cursor, swap.kept):
            cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(swap.kept)}")
        cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(side)}")


def _after(access: Access, side: str, swap: Swap) -> None:
    """All tables have moved: what stands on them is made again on both sides."""
    kept = access.elsewhere(swap.kept)
    with reading(access) as cursor:
        # where there was no table to move
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {quote_name(swap.kept)}")
        drop_programs(cursor, access.database, triggers=False)
        _move_defaults(cursor, side, access.database)
        cursor.execute(
            f"ALTER DATABASE {quote_name(access.database)} CHARACTER SET {swap.charset} COLLATE {swap.collation}"
        )
        there = read_trigger_tables(cursor, access.database)
    # they stand since the tables came, unless the server itself was killed
    make_triggers(access, _new_triggers(swap).without(there))
    others = [p for p in swap.new_programs if p.name not in swap.new_triggers or p.kind != "TRIGGER"]
    create_programs(access, others, named=swap.dumped_as, definers=True, events=True)
    with reading(kept) as cursor:
        drop_programs(cursor, swap.kept)
        _move_defaults(cursor, access.database, swap.kept)
    create_programs(kept, swap.old_programs, named=access.database, definers=True, events=False)
    with access.session() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(side)}")


def _move_defaults(cursor: "Cursor", old: str, new: str) -> None:
    """Defaults that ask a sequence name its database, and do not move with it."""
    cursor.execute(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s"
        " AND COLUMN_DEFAULT LIKE '%%nextval(%%'",
        [new],
    )
    for table, column, default in cursor.fetchall():
        if any(found["own"] for found in own_name(old).finditer(str(default))):
            moved = rename(str(default), old, new)
            place = f"{quote_name(new, str(table))} ALTER COLUMN {quote_name(str(column))}"
            cursor.execute(f"ALTER TABLE {place} SET DEFAULT ({moved})")
