"""Finds the statement that is to blame for a loss: who took these rows, emptied this column, dropped this table.

The evidence of a dry run says what is gone, and which statements were sent, but not which of them did it. So each
statement is read by the lexer, and judged by what it does to which table, under the names that the table had at that
time. A word in a text or in a comment blames nobody; two last resorts go by words: `last_saying`, where what is
looked for has no verb of its own, and `schema_text.mentions`. Where several statements may have done it, only their
revision is told, or nothing.
"""

from collections.abc import Callable, Collection, Iterator
from functools import cached_property

import msgspec

from ci_migrate.databases.effects import (
    dropped_columns,
    means,
    names_table,
    renamed_columns,
    renames,
    set_columns,
    takes_rows,
)
from ci_migrate.databases.names import parts
from ci_migrate.databases.statements import Action, Verb, Within, actions_within, within
from ci_migrate.migrations.worker.tokens import Name, dialect_of
from ci_migrate.model import Evidence, Statement
from ci_migrate.schema_text import mentions

Did = tuple[Statement, Action]

_SETS_VALUES = (Verb.UPDATE, Verb.ALTER_TABLE, Verb.INSERT, Verb.REPLACE, Verb.MERGE)
_SETS_ROWS = (Verb.UPDATE, Verb.INSERT, Verb.REPLACE, Verb.MERGE)
_MAY_DO_ANYTHING = ("BEGIN", "CALL", "DO", "EXECUTE", "SELECT", "WITH")
"""Such a SELECT calls a function: those that only read are no part of the evidence."""


class Blamed:
    """Looks for culprits among the statements of a dry run.

    Args:
        evidence: of the dry run.
        engine: by which SQL is read, as `Identity.dialect` calls it.
    """

    def __init__(self, evidence: Evidence, engine: str) -> None:
        self.evidence = evidence
        self._dialect = dialect_of(engine)
        self._called: dict[str, list[str]] = {}

    @cached_property
    def did(self) -> list[Did]:
        """All actions in the order in which they were sent, each with its statement."""
        return [
            (s, action) for s in self.evidence.statements for action in actions_within(s.sql, self._dialect)
        ]

    @cached_property
    def texts(self) -> list[tuple[Statement, Within]]:
        """All statements with the words and names in them."""
        return [(s, within(s.sql, self._dialect)) for s in self.evidence.statements]

    def last(
        self, wanted: Callable[[Action], object], among: Collection[str | None] | None = None
    ) -> Statement | None:
        """The last statement of which this is true; of these revisions alone, if `among` names some."""
        return next(
            (s for s, a in reversed(self.did) if (among is None or s.revision in among) and wanted(a)), None
        )

    def last_to(self, table: str, *verbs: Verb) -> Statement | None:
        """The last statement that does one of these to a table."""
        return self.last(lambda a: a.verb in verbs and self.about(a, table))

    def last_saying(self, *words: str, table: str = "") -> Statement | None:
        """The last statement that has one of these words, in a program too; and names the table, if one is given."""
        return next(
            (
                s
                for s in reversed(self.evidence.statements)
                if (not table or mentions(s.sql, parts(table)[-1]))
                and not within(s.sql, self._dialect).words.isdisjoint(words)
            ),
            None,
        )

    def last_saying_all(self, *words: str) -> Statement | None:
        """The last statement that has all of these words, in a program too."""
        return next((s for s, text in reversed(self.texts) if text.words.issuperset(words)), None)

    def last_naming(self, name: str) -> Statement | None:
        """The last statement that has this name outside of texts and comments."""
        return next((s for s, text in reversed(self.texts) if name.lower() in text.names), None)

    def about(self, action: Action, table: str) -> bool:
        """Whether it names a table where its verb wants one, be it by a name that it had before it was renamed."""
        if table not in self._called:
            self._called[table] = [table, *self._earlier_names(table)]
        return any(names_table(action, name) for name in self._called[table])

    @cached_property
    def _renames(self) -> list[tuple[Name, Name]]:
        return [pair for _, action in reversed(self.did) for pair in renames(action)]

    def _earlier_names(self, table: str) -> list[str]:
        """What a table was called: Alembic's batch mode fills one of another name."""
        found = [table]
        for old, new in self._renames:
            if any(means(new, name) for name in found):
                found.append(_as_key(old))
        return found[1:]

    def was_called(self, table: str) -> str:
        """The key that a table's rows were counted under before the migration; its own where none is known."""
        before = self.evidence.row_counts_before
        if table in before:
            return table
        names = [parts(name) for name in self._earlier_names(table)]
        return next((key for name in names for key in before if means(name, key)), table)

    # ---------------------------------------------------------------- who lost rows and values

    def for_rows(self, table: str, lost: int) -> tuple[Statement | None, bool]:
        """Who took rows out of a table, and whether it names the table.

        A DELETE only if as many rows as are lost are known to have gone by it and its like. Otherwise rows of another
        table took these along (ON DELETE CASCADE, a trigger): of several statements that may have done it nothing is
        told but the revision.
        """
        own = [(s, a) for s, a in self.did if takes_rows(a) and names_table(a, table)]
        deleted = [(s, s.rows or 0) for s, a in own if a.verb is Verb.DELETE and (s.rows or 0) > 0]
        whole = [s for s, a in own if a.verb is not Verb.DELETE]
        most = max(deleted, key=lambda one: one[1])[0] if deleted else None
        if sum(rows for _, rows in deleted) >= lost:
            return most, True
        if whole:
            return whole[-1], True
        unknown = [s for s, a in own if s.rows is None or s.rows < 0]
        if unknown:
            return unknown[-1], True
        others = [s for s, a in self.did if self._sets_off(s, a) and not names_table(a, table)]
        others = others or [s for s, a in self.did if a.starts(*_MAY_DO_ANYTHING)]
        return (_common(others), False) if others or most is None else (most, True)

    def _sets_off(self, statement: Statement, action: Action) -> bool:
        """Whether rows of other tables may have gone with those that it took."""
        if (
            action.verb is Verb.DROP_TABLE and self._dialect.engine == "sqlite"
        ):  # which deletes the rows first
            counts = self.evidence.row_counts_before.items()
            return any(count.rows and names_table(action, table) for table, count in counts)
        if action.verb is Verb.TRUNCATE:
            return action.has("CASCADE")
        return takes_rows(action) and action.verb is not Verb.DROP_TABLE and statement.rows != 0

    def for_values(self, table: str, column: str) -> Statement | None:
        """Who left less in a column; nobody who is known to have written no row, if somebody else did."""
        wrote = [(s, a) for s, a in reversed(self.did) if a.verb in _SETS_VALUES and not renames(a)]
        about = [
            (s, a) for s, a in wrote if self.about(a, table) and (s.rows != 0 or a.verb is Verb.ALTER_TABLE)
        ]
        sets = (s for s, a in about if column.lower() in {c.lower() for c in set_columns(a)})
        named = (s for s, _ in about if mentions(s.sql, column))
        others = (s for s, _ in about)
        along = self.last(takes_rows)  # ON DELETE SET NULL
        return next(sets, None) or next(named, None) or next(others, None) or along

    def carried(self, table: str, column: str, place: str) -> bool:
        """Whether statements read the column and wrote to the other table, be it by way of Python."""
        read = (
            (a.has("SELECT") or a.verb in (Verb.UPDATE, Verb.MERGE))
            and mentions(s.sql, parts(table)[-1])
            and mentions(s.sql, column)
            for s, a in self.did
        )
        return any(read) and self.last_to(place, *_SETS_ROWS) is not None

    # ---------------------------------------------------------------- who dropped it

    def for_table(self, table: str) -> Statement | None:
        """Who dropped a table."""
        among = self._revisions_of(f"table {table}")
        gone: Statement | None = None
        renamed = False  # what it is dropped as after that is another revision's, maybe
        for statement, renames_it in self._left(table):
            if renamed or among is None or statement.revision in among:
                gone, renamed = statement, renames_it
        return gone or self.last(
            lambda a: a.has("DROP") and any(t.value == parts(table)[-1] for t in a.tokens), among
        )

    def was_renamed(self, table: str) -> bool:
        """Whether a table stands under another name, and was never dropped under any."""
        left = [renames_it for _, renames_it in self._left(table)]
        return bool(left) and all(left)

    def _left(self, table: str) -> Iterator[tuple[Statement, bool]]:
        """What dropped a table, by the name that it had then, or gave it another; and whether it did that."""
        called = table
        for statement, action in self.did:
            if action.verb is Verb.DROP_TABLE and names_table(action, called):
                called = table
                yield statement, False
            for old, new in renames(action):
                if means(old, called):
                    called = _as_key(new)
                    yield statement, True

    def for_column(self, table: str, column: str) -> Statement | None:
        """Who dropped a column, be it with its table, which was made anew without it."""
        among = self._revisions_of(f"column {table}.{column}")
        gone: Statement | None = None
        called, renamed = column.lower(), False
        for statement, action in self.did:
            if not names_table(action, table) or not (
                renamed or among is None or statement.revision in among
            ):
                continue
            if called in {c.lower() for c in dropped_columns(action)}:
                gone, called, renamed = statement, column.lower(), False
            for old, new in renamed_columns(action):
                if old.lower() == called:
                    gone, called, renamed = statement, new.lower(), True
        return gone or self._rebuilt_without(table, column, among) or self.for_table(table)

    def _rebuilt_without(
        self, table: str, column: str, among: Collection[str | None] | None
    ) -> Statement | None:
        """The first statement that made a table anew without a column that it had up to then."""
        found: Statement | None = None
        names = self._earlier_names(table)
        for statement, action in self.did:
            made = action.verb is Verb.CREATE_TABLE and any(names_table(action, name) for name in names)
            if made and (among is None or statement.revision in among):
                has_it = any(token.value.lower() == column.lower() for token in action.tokens)
                found = None if has_it else found or statement
        return found

    def _revisions_of(self, name: str) -> set[str | None] | None:
        """The revision that removed an object, if commit points tell it; None for any."""
        points = [r for r in self.evidence.commit_points if name in r.delta and r.delta[name] is None]
        covered = {r.revision for r in self.evidence.commit_points if r.complete}
        sent = {s.revision for s in self.evidence.statements if s.revision}
        return {points[-1].revision} if points and covered == sent else None


def _as_key(name: Name) -> str:
    """A name as the keys of a schema write it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)


def _common(statements: list[Statement]) -> Statement | None:
    """The one that it was; of several of one revision only that, and its file."""
    if len({(s.file, s.line) for s in statements}) == 1:
        return statements[-1]
    if statements and len({(s.revision, s.file) for s in statements}) == 1:
        return msgspec.structs.replace(statements[-1], line=None)
    return None
