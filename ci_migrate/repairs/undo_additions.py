"""A revision that stopped half-way and had only added something: what it added is dropped again.

It is looked at, rehearsed on a copy where rows go with it, done, and proved.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ci_migrate.databases.base import Database, UndoesAdditions, undoes_additions
from ci_migrate.errors import CiMigrateError, DatabaseError, DirtyError, RefusedError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations.record import without_version_tables
from ci_migrate.model import (
    EntryKind,
    Evidence,
    JournalEntry,
    ObjectKind,
    Progress,
    Schema,
    TableContent,
    TargetState,
    schema_changes,
    sha256_hex,
    show_heads,
    split_key,
)
from ci_migrate.repairs.additions import TEMPORARY, Additions, Found, additions_diff, find_additions
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import AS_REHEARSED, RepairContext
from ci_migrate.repairs.diagnosis import sent_of, standing_commits
from ci_migrate.repairs.trial import try_on_copy
from ci_migrate.run.run import bare_schema, translate_errors

UNDONE = frozenset({Progress.HALF, Progress.UNKNOWN})
"""What a diagnosis has found where there may be additions to undo."""


SHOWN_FIRST = (ObjectKind.TABLE, ObjectKind.COLUMN, ObjectKind.INDEX, ObjectKind.VIEW)
"""What a person knows by name; constraints and the like come along."""


def fits(context: RepairContext) -> str | None:
    """Half a revision, or what the failed statement itself left; nobody asked to go on; all of it can be dropped."""
    if context.run.forward or context.diagnosis.found not in UNDONE:
        return None
    added = plan_undo(context)
    if added.why_not:
        return None
    return f"drop what was added, and nothing else: {'; '.join(added.statements)}"


def mend(context: RepairContext) -> Repaired:
    """Drop it, prove that the target is as before, or as the last complete revision left it."""
    evidence, added = context.evidence, plan_undo(context)
    if evidence is None or added.why_not:
        raise RefusedError(f"What was added is not dropped: {added.why_not}.")
    differences = _undo(context, evidence, added)
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN, words=f"What was added is not undone: {'; '.join(differences[:3])}."
        )
    names = sorted(n for n in added.names if split_key(n)[0] in SHOWN_FIRST) or sorted(added.names)
    undone = f"what was added is dropped ({', '.join(names[:5])}{' and more' if len(names) > 5 else ''})"
    if not added.commit_point:
        return Repaired(
            state=TargetState.AS_BEFORE, words=f"{undone[0].upper()}{undone[1:]}; nothing else was dropped."
        )
    at = show_heads(context.heads_at(added.commit_point))
    return Repaired(
        state=TargetState.KEPT_PREFIX,
        words=f"The target is at {at}, with the schema of the dry run there: {undone}; nothing else was dropped.",
        proof=AS_REHEARSED,
        goes_on=context.run.settings.on_failure == "back",
    )


def explain(context: RepairContext) -> str:
    """Why what was added is not dropped."""
    why_not = plan_undo(context).why_not if context.diagnosis.found in UNDONE else ""
    return f"No repair fits; what was added is not dropped: {why_not}." if why_not else ""


def plan_undo(context: RepairContext) -> Additions:
    """What is to be dropped, by which statements; or why it can't be."""
    evidence, database = context.evidence, context.run.database
    if evidence is None:
        return Additions("there was no dry run to compare with")
    if not isinstance(database, UndoesAdditions):
        return Additions(f"additions to {database.dialect} can't be taken back one by one")
    try:
        added = find_additions(_look(context, evidence))
        if added.why_not:
            return added
        unexplained = _unexplained(database, evidence, added)
        if unexplained:
            return Additions(unexplained)
        with translate_errors(database):
            return replace(added, statements=tuple(database.undo_statements(added.batches)))
    except CiMigrateError as error:
        return Additions(error.what.rstrip("."))


def _look(context: RepairContext, evidence: Evidence) -> Found:
    """The target beside what is known of it."""
    return Found(
        plan=context.plan,
        evidence=evidence,
        diagnosis=context.diagnosis,
        before=context.before,
        now=context.read_schema(),
        heads=context.read_heads(),
        sent=lambda ran: sent_of(context.read_journal(), ran),
        commits=len(standing_commits(context.read_journal())),
    )


def _undo(context: RepairContext, evidence: Evidence, added: Additions) -> list[str]:
    """Drop it, on a copy first if rows go with it; returns in words what is not as it must be then."""
    run, number = context.run, added.commit_point
    then = context.read_contents(added.tables | set(added.columns))
    if any(content.rows for content in then.values()):
        run.tell("rehearsing that on a copy of the target as it is")
        if wrong := _rehearse(context, added):
            return [f"on a copy of the target {words}" for words in wrong]
        if unexplained := _unexplained(run.database, evidence, added):  # that took its time
            return [unexplained]
    kept = {table: content for table, content in then.items() if table not in added.tables}

    def differences(schema: Schema) -> list[str]:
        now = without_version_tables(schema, context.plan)
        found = Found(context.plan, evidence, context.diagnosis, context.before, now, ())
        return additions_diff(found, number, now)

    def check(schema: Schema) -> None:
        if wrong := differences(schema):
            raise DirtyError(f"it does not lead back: {'; '.join(wrong[:3])}")

    context.permit_for("undo")
    with run.ledger.journal(run.subject) as journal:
        undoes_additions(run.database).undo(added.statements, _write_ahead(journal), check)
        wrong = context.prove_heads(number) + differences(context.read_schema())
        wrong += list_losses(kept, context.read_contents(kept), added.columns)
        if not wrong:
            journal.append(
                JournalEntry(kind=EntryKind.UNDONE, position=number, context=0, at=datetime.now(UTC))
            )
    return wrong


def _rehearse(context: RepairContext, added: Additions) -> list[str]:
    """What is not as it must be on a copy: only what was added may be gone, and no value of another column."""
    schema: Schema = {}
    rows: dict[str, TableContent] = {}

    def undo(copy: Database) -> None:
        schema.update(bare_schema(copy, context.plan))
        rows.update(copy.contents(added.columns))
        undoes_additions(copy).undo(added.statements, lambda _statement: None, lambda _schema: None)

    def proof(copy: Database) -> list[str]:
        wanted = {name: text for name, text in schema.items() if name not in added.names}
        changes = schema_changes(wanted, bare_schema(copy, context.plan))
        return [c.words for c in changes] + _other_values(rows, copy.contents(added.columns), added.columns)

    return try_on_copy(context, undo, proof)


def _write_ahead(journal: Journal) -> Callable[[str], None]:
    """The intent of each statement, in the journal before it is sent."""
    count = 0

    def before(statement: str) -> None:
        nonlocal count
        count += 1
        digest = sha256_hex(statement.encode("utf-8", "replace"))
        entry = JournalEntry(
            kind=EntryKind.UNDO,
            position=count,
            context=0,
            digest=digest,
            note=statement[:500],
            at=datetime.now(UTC),
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


def list_losses(
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
                beyond = undoes_additions(database).beyond_default(table, column)
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


REPAIR = Repair("undo", 35, fits, mend, approval="undo", explain=explain)
