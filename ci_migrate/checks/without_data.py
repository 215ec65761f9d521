"""What the new scripts of a branch ask for, told without a database: losses, locks and rewrites.

The codes are those of the checks that measure the same in the dry run, so that one acknowledgement holds for both. What
a lock keeps out is PostgreSQL's and MySQL's documentation: https://www.postgresql.org/docs/current/sql-altertable.html,
https://dev.mysql.com/doc/refman/9.4/en/innodb-online-ddl-operations.html.
"""

import ast
import copy
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from ci_migrate.checks.base import Check
from ci_migrate.checks.dropped_with_rows import COLUMN_DROPPED, TABLE_DROPPED
from ci_migrate.checks.lock_held import CHECK as LOCK_HELD
from ci_migrate.checks.rows_lost import ROWS_LOST
from ci_migrate.checks.table_rewritten import CHECK as REWRITTEN
from ci_migrate.migrations.asked import Asked, Asks
from ci_migrate.model import Backup, Finding, Replacement, Revision, Severity, plural

MANY_ROWS = 100_000
"""From here on the time under a lock is worth a warning: a choice, nothing measured."""

_LATER = "Stop using it in this release and drop it in the next one, or move what is in it elsewhere first. "
_MEANT = "If the loss is meant, say so in the revision:"
_STEPS = "Do it in steps that keep nobody waiting:"
_NEW_COLUMN = (
    "Add a column of the new type, fill it in batches (ci_migrate.backfill), and let the next release read it "
    "alone."
)


def told_without_data(
    scripts: Iterable[tuple[Revision, Sequence[Asked]]], dialect: str, backup: Backup | None
) -> Iterator[Finding]:
    """Findings at the lines of the scripts.

    Args:
        scripts: the new revisions, in their order, each with what it asks for.
        dialect: SQLAlchemy's name; "" where nothing tells: then locks are not spoken of.
        backup: the last one of the target, which says how many rows there were; None where none is at hand.
    """
    fresh: set[str] = set()  # made by these revisions: nobody's rows are in them
    were: dict[str, str] = {}  # from the name that they gave a table to the one that it has in the database
    for revision, asked in scripts:
        for at, one in enumerate(asked):
            table = were.get(_bare(one.table), one.table)
            if one.asks is Asks.CREATES:
                fresh.add(_bare(one.table))
            elif one.asks is Asks.RENAMES and _bare(one.table) in fresh:
                fresh.add(_bare(one.column))
            elif one.asks is Asks.RENAMES and one.table and one.column:
                were[_bare(one.column)] = table
            elif one.table and _bare(one.table) in fresh:
                continue
            elif (
                one.asks is Asks.DROPS_TABLE
                and table
                and (_bare(table) in fresh or _made_of(table, asked[at:]))
            ):
                continue  # made again under another name, filled, renamed: what is lost then only the data tells
            else:
                for check, message, fix, example, severity in _told(one, table, dialect, backup):
                    yield check.finding(
                        message,
                        fix=fix,
                        example=example,
                        replacement=_replacement(one, example),
                        severity=severity,
                        revision=revision.id,
                        file=revision.file,
                        line=one.line,
                    )


Told = tuple[Check, str, str, str, Severity]


def _made_of(table: str, asked: Sequence[Asked]) -> bool:
    """Whether another table is given this name later."""
    return any(one.asks is Asks.RENAMES and _bare(one.column) == _bare(table) for one in asked)


def _told(one: Asked, called: str, dialect: str, backup: Backup | None) -> Iterator[Told]:
    """What is to be said; `called` is the table's name in the database."""
    table = f"Table {called}" if called else "A table whose name is made at run time"
    rows = _rows(backup, called)
    match one.asks:
        case Asks.DROPS_TABLE:
            yield _loss(TABLE_DROPPED, f"{table} goes away", "row", rows, backup)
        case Asks.EMPTIES:
            yield _loss(ROWS_LOST, f"{table} is emptied", "row", rows, backup)
        case Asks.DROPS_COLUMN:
            of = called or "a table whose name is made at run time"
            about = f"Column {one.column} of {of}" if one.column else f"A column of {of}, named at run time,"
            about += " goes away"
            values = _values(backup, called, one.column)
            if values is None and rows:
                words = f"{table} had {plural(rows, 'row')} in {_named(backup)}"
                message = f"{about}. {words}; how many have a value is not known."
                yield COLUMN_DROPPED, message, _LATER + _MEANT, _meant("CM202"), Severity.WARNING
            else:
                yield _loss(COLUMN_DROPPED, about, "value", 0 if rows == 0 else values, backup)
        case Asks.DELETES if rows != 0:
            how_many = f" of {plural(rows, 'row')} in {_named(backup)}" if rows else ""
            message = (
                f"Rows are deleted from {called or 'a table'}{how_many}. How many, only a dry run tells."
            )
            yield ROWS_LOST, message, "", "", Severity.WARNING
        case _:
            yield from _locked(one, dialect, rows, backup)


def _loss(check: Check, about: str, unit: str, count: int | None, backup: Backup | None) -> Told:
    fix = _MEANT if check is ROWS_LOST else _LATER + _MEANT
    meant = _meant(check.code)
    if count is None:
        unknown = f"Whether {unit}s are in it, only a dry run on the data tells."
        return check, f"{about}. {unknown}", fix, meant, Severity.WARNING
    if count == 0:
        return check, f"{about}; it was empty in {_named(backup)}.", "", "", Severity.INFO
    message = f"{about}; it had {plural(count, unit)} in {_named(backup)}."
    return check, message, fix, meant, Severity.ERROR


def _locked(one: Asked, dialect: str, rows: int | None, backup: Backup | None) -> Iterator[Told]:
    if not one.table or (rows is not None and rows < MANY_ROWS):
        return
    words = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL}.get(dialect, {}).get(one.asks)
    if words is None:
        return
    check, what = words
    severity = Severity.INFO if rows is None else Severity.WARNING
    counted = f" It had {plural(rows, 'row')} in {_named(backup)}." if rows else ""
    example = _in_steps(one) if dialect == "postgresql" else ""
    fix = _NEW_COLUMN if one.asks is Asks.CHANGES_TYPE else _STEPS if example else ""
    yield check, f"{what.format(one.table)}{counted}", fix, example, severity


_POSTGRESQL = {
    Asks.ADDS_INDEX: (LOCK_HELD, "Nobody writes to {} while the index is built."),
    Asks.ADDS_UNIQUE: (LOCK_HELD, "Nobody reads or writes {} while the constraint's index is built."),
    Asks.ADDS_FOREIGN_KEY: (
        LOCK_HELD,
        "Nobody writes to {} while each of its rows is looked up in the other table.",
    ),
    Asks.ADDS_CHECK: (LOCK_HELD, "Nobody reads or writes {} while each of its rows is checked."),
    Asks.SETS_NOT_NULL: (LOCK_HELD, "Nobody reads or writes {} while each of its rows is looked at."),
    Asks.CHANGES_TYPE: (
        REWRITTEN,
        "Most changes of a type write {} and its indexes anew, while nobody reads it.",
    ),
}
_MYSQL = {
    Asks.ADDS_FOREIGN_KEY: (
        LOCK_HELD,
        "Nobody writes to {} while it is copied: a foreign key is checked that way.",
    ),
    Asks.CHANGES_TYPE: (REWRITTEN, "Most changes of a type copy {}, and nobody writes to it meanwhile."),
}


# --------------------------------------------------------------------------- what the last backup says


def _rows(backup: Backup | None, table: str) -> int | None:
    counts = backup.row_counts if backup is not None else {}
    found = _of(counts, table)
    return counts[found].rows if found is not None else None


def _values(backup: Backup | None, table: str, column: str) -> int | None:
    contents = backup.contents if backup is not None else {}
    found = _of(contents, table)
    content = contents[found].columns.get(column) if found is not None else None
    return content.held if content is not None else None


def _of(tables: Iterable[str], table: str) -> str | None:
    """The table's name in a manifest, which has the schema where it is not the usual one; None where it is not told."""
    exact = [name for name in tables if name == table]
    alike = exact or [name for name in tables if table and _bare(name) == _bare(table)]
    return alike[0] if len(alike) == 1 else None


def _bare(table: str) -> str:
    return table.rpartition(".")[2]


def _named(backup: Backup | None) -> str:
    return f"the last backup ({backup.backup_time:%Y-%m-%d})" if backup is not None else "the last backup"


# --------------------------------------------------------------------------- code to paste


def _meant(code: str) -> str:
    return f'ci_migrate = {{"allow": {{"{code}": "why nobody needs it"}}}}'


_OF_BOTH = {"table_name", "columns", "schema"}
"""Keywords of create_unique_constraint() that create_index() has as well: it has no word for DEFERRABLE, say."""


def _in_steps(one: Asked) -> str:
    """The same without a long lock, for PostgreSQL; "" where the text does not tell all names, or one needs quotes."""
    # here: a twentieth of what every command would import
    from sqlalchemy.dialects.postgresql.base import PGDialect

    names = [name for name in (*one.table.split("."), one.name, one.column) if name]
    quote = PGDialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
    if one.asks is not Asks.ADDS_INDEX and any(quote(name) != name for name in names):
        return ""
    if one.asks is Asks.ADDS_INDEX and one.call is not None:
        return f"with op.get_context().autocommit_block():\n    {_with(one.call, 'postgresql_concurrently')}"
    if one.asks is Asks.ADDS_UNIQUE and one.call is not None and one.name:
        if not {k.arg for k in one.call.keywords} <= _OF_BOTH:
            return ""
        index = _as(one.call, "create_index", unique=True)
        add = f'op.execute("ALTER TABLE {one.table} ADD CONSTRAINT {one.name} UNIQUE USING INDEX {one.name}")'
        return (
            f"with op.get_context().autocommit_block():\n    {_with(index, 'postgresql_concurrently')}\n{add}"
        )
    if one.asks in (Asks.ADDS_FOREIGN_KEY, Asks.ADDS_CHECK) and one.call is not None and one.name:
        validate = f'op.execute("ALTER TABLE {one.table} VALIDATE CONSTRAINT {one.name}")'
        added = _with(one.call, "postgresql_not_valid")
        return f"{added}\n\n# in the next revision\n{validate}"
    if one.asks is Asks.SETS_NOT_NULL and one.column:
        name = f"{_bare(one.table)}_{one.column}_not_null"
        alter = f'op.execute("ALTER TABLE {one.table} '
        return (
            f'{alter}ADD CONSTRAINT {name} CHECK ({one.column} IS NOT NULL) NOT VALID")\n\n'
            f"# in the next revision: the server believes the constraint and looks at no row\n"
            f'{alter}VALIDATE CONSTRAINT {name}")\n'
            f'{alter}ALTER COLUMN {one.column} SET NOT NULL")\n'
            f'{alter}DROP CONSTRAINT {name}")'
        )
    return ""


def _replacement(one: Asked, example: str) -> Replacement | None:
    """The example's part for this revision, where the operation is a statement of its own."""
    if one.statement is None or not example:
        return None
    last_line, indent = one.statement
    return Replacement(last_line=last_line, text=textwrap.indent(example.partition("\n\n")[0], indent))


def _with(call: ast.Call, flag: str) -> str:
    changed = copy.deepcopy(call)
    changed.keywords.append(ast.keyword(flag, ast.Constant(value=True)))
    text = ast.unparse(ast.fix_missing_locations(changed))
    return text if '"' in text else text.replace("'", '"')


def _as(call: ast.Call, operation: str, **flags: bool) -> ast.Call:
    changed = copy.deepcopy(call)
    function = changed.func
    assert isinstance(function, ast.Attribute)
    function.attr = operation
    changed.keywords += [ast.keyword(name, ast.Constant(value=value)) for name, value in flags.items()]
    return changed
