"""Undoing the additions of a revision that stopped half-way: looked at, rehearsed, done, proved."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ci_migrate.databases.base import Database, UndoesAdditions
from ci_migrate.errors import DatabaseError, DirtyError, RefusedError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations.record import without_version_tables
from ci_migrate.model import (
    Diagnosis,
    Evidence,
    Fingerprint,
    JournalEntry,
    Plan,
    Schema,
    TableContent,
    schema_changes,
    sha256_hex,
)
from ci_migrate.repairs.additions import TEMPORARY, Additions, Found, additions, additions_diff
from ci_migrate.repairs.resume import sent_of
from ci_migrate.repairs.trial import try_on_copy
from ci_migrate.run.run import Run, bare_schema, heads_of, show_heads, translate_errors


@dataclass(frozen=True)
class Undo:
    """What can be undone in the target of a run, and how."""

    run: Run
    plan: Plan
    evidence: Evidence
    diagnosis: Diagnosis
    before: Fingerprint

    def found(self, database: Database) -> Found:
        """The target, or a copy of it, beside what is known."""
        return Found(
            plan=self.plan,
            evidence=self.evidence,
            diagnosis=self.diagnosis,
            before=self.before,
            now=bare_schema(database, self.plan),
            heads=heads_of(database, self.plan),
            sent=lambda ran: sent_of(self.run, ran),
        )

    def additions(self) -> Additions:
        """What is to be dropped, by which statements; or why it can't be."""
        database = self.run.database
        if not isinstance(database, UndoesAdditions):
            return Additions(f"additions to {database.dialect} can't be taken back one by one")
        added = additions(self.found(database))
        if added.why_not:
            return added
        unexplained = _unexplained(database, self.evidence, added)
        if unexplained:
            return Additions(unexplained)
        try:
            with translate_errors(database):
                return replace(added, statements=tuple(database.undo_statements(added.batches)))
        except RefusedError as error:
            return Additions(error.what.rstrip("."))

    def drop(self, added: Additions) -> list[str]:
        """Drop it, on a copy first if rows go with it; returns in words what is not as it must be then."""
        run = self.run
        assert run.ledger is not None
        assert isinstance(run.database, UndoesAdditions)
        with translate_errors(run.database):
            then = run.database.contents(added.tables | set(added.columns))
        if any(content.rows for content in then.values()):
            run.tell("rehearsing that on a copy of the target as it is")
            if wrong := self._rehearsed(added):
                return [f"on a copy of the target {words}" for words in wrong]
            if unexplained := _unexplained(run.database, self.evidence, added):  # that took its time
                return [unexplained]
        kept = {table: content for table, content in then.items() if table not in added.tables}
        with run.ledger.journal(run.subject) as journal:
            run.database.undo(added.statements, _written_down(journal), self._check(added.commit_point))
            wrong = self._not_there(added.commit_point)
            with translate_errors(run.database):
                wrong += lost(kept, run.database.contents(kept), added.columns)
            if not wrong:
                journal.append(
                    JournalEntry(kind="undone", position=added.commit_point, context=0, at=datetime.now(UTC))
                )
        return wrong

    def _rehearsed(self, added: Additions) -> list[str]:
        """What is not as it must be on a copy: only what was added may be gone, and no value of another column."""
        schema: Schema = {}
        rows: dict[str, TableContent] = {}

        def mend(copy: Database) -> None:
            assert isinstance(copy, UndoesAdditions)
            schema.update(bare_schema(copy, self.plan))
            rows.update(copy.contents(added.columns))
            copy.undo(added.statements, lambda _statement: None, lambda _schema: None)

        def proof(copy: Database) -> list[str]:
            wanted = {name: text for name, text in schema.items() if name not in added.names}
            changes = schema_changes(wanted, bare_schema(copy, self.plan))
            return [c.words for c in changes] + _other_values(
                rows, copy.contents(added.columns), added.columns
            )

        return try_on_copy(self.run, self.plan, mend, proof)

    def _check(self, commit_point: int) -> Callable[[Schema], None]:
        def check(schema: Schema) -> None:
            if wrong := self._differences(schema, commit_point):
                raise DirtyError(f"it does not lead back: {'; '.join(wrong[:3])}")

        return check

    def _differences(self, schema: Schema, commit_point: int) -> list[str]:
        now = without_version_tables(schema, self.plan)
        found = Found(self.plan, self.evidence, self.diagnosis, self.before, now, ())
        return additions_diff(found, commit_point, now)

    def _not_there(self, commit_point: int) -> list[str]:
        database = self.run.database
        heads, start = heads_of(database, self.plan), tuple(c.from_heads for c in self.plan.contexts)
        wanted = self.evidence.commit_points[commit_point - 1].heads if commit_point else start
        wrong = [f"it is at {show_heads(heads)} instead of {show_heads(wanted)}"] if heads != wanted else []
        return wrong + self._differences(bare_schema(database, self.plan), commit_point)


def _written_down(journal: Journal) -> Callable[[str], None]:
    """The intent of each statement, in the journal before it is sent."""
    count = 0

    def before(statement: str) -> None:
        nonlocal count
        count += 1
        digest = sha256_hex(statement.encode("utf-8", "replace"))
        entry = JournalEntry(
            kind="undo", position=count, context=0, digest=digest, note=statement[:500], at=datetime.now(UTC)
        )
        journal.append(entry)

    return before


def _other_values(
    then: Mapping[str, TableContent], now: Mapping[str, TableContent], dropped: Mapping[str, Collection[str]]
) -> list[str]:
    """Columns of tables that stay and that hold something else: on a copy nobody else writes."""
    return [
        f"column {table}.{name} has other values"
        for table, content in then.items()
        for name, column in content.columns.items()
        if name not in dropped[table] and (table not in now or now[table].columns.get(name) != column)
    ]


def lost(
    then: Mapping[str, TableContent], now: Mapping[str, TableContent], dropped: Mapping[str, Collection[str]]
) -> list[str]:
    """Tables that stay and columns that were emptied, in words. Single rows may come and go: others write meanwhile."""
    words = []
    for table, content in then.items():
        after = now.get(table)
        if after is None or (content.rows and not after.rows):
            words.append(f"table {table} has lost its rows")
            continue
        words += [
            f"column {table}.{name} has lost its values"
            for name, column in content.columns.items()
            if name not in dropped.get(table, ()) and column.values and not _values(after, name)
        ]
    return words


def _values(content: TableContent, column: str) -> int:
    found = content.columns.get(column)
    return found.values if found is not None else 0


def _unexplained(database: Database, evidence: Evidence, added: Additions) -> str:
    """What in the additions the rehearsal does not explain, in words: somebody else may have written it."""
    assert isinstance(database, UndoesAdditions)
    with translate_errors(database):
        contents = database.contents(added.tables | set(added.columns))
    for table in sorted(added.tables):
        here = contents.get(table)
        if here is None or not here.rows or table.rpartition(".")[2].strip('"').startswith(TEMPORARY):
            continue
        known = _rehearsed(evidence, table)
        if here.digest is None or here.digest not in {c.digest for c in known}:
            return f"table {table} holds {here.rows} rows, and the dry run does not explain all of them"
    for table, columns in sorted(added.columns.items()):
        for column in sorted(columns):
            here = contents.get(table)
            values = here.columns.get(column) if here is not None else None
            if values is None or not values.values:
                continue
            known_values = {c.columns[column] for c in _rehearsed(evidence, table) if column in c.columns}
            if values.digest is not None and values in known_values:
                continue
            try:
                beyond = database.beyond_default(table, column)
            except DatabaseError:
                beyond = values.values
            if beyond:
                return (
                    f"column {table}.{column} holds values in {beyond} rows that the dry run does not explain"
                )
    return ""


def _rehearsed(evidence: Evidence, table: str) -> list[TableContent]:
    """What a table held in the dry run: at its end, and wherever that was kept."""
    measured = evidence.tables.get(table)
    found = [measured.after] if measured is not None and measured.after is not None else []
    return found + [
        commit_point.contents[table]
        for commit_point in evidence.commit_points
        if table in commit_point.contents
    ]
