"""CM205: a sequence gives numbers that rows have already: it was set back, or rows came with ids of their own."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.databases.base import KnowsSequences, SequenceUse
from ci_migrate.databases.names import column_of
from ci_migrate.databases.statements import Verb
from ci_migrate.model import Direction, Evidence, Finding, Severity


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error where a column holds the next number or later ones; a warning where no column is known.

    A warning, too, where nobody is known to use the sequence: its table is new, or it never gave a number, as that of a
    table of constants whose rows come with ids.

    Of sequences alone that the migration moved or made, compared with how far they were when the backup was taken, and
    of those whose column it changed. One that stood behind its rows before is not the migration's.
    """
    copy = facts.copies["after"]
    if facts.plan.direction is not Direction.UPGRADE or not isinstance(copy, KnowsSequences):
        return
    now = copy.sequences()
    moved = {name for name, was in facts.sequences.items() if now.get(name, was) != was}
    created = {c.name for c in evidence.changes if c.before is None}
    made = {name for name in now if f"sequence {name}" in created}
    written = {table for table, found in evidence.tables.items() if found.before != found.after}
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    sets = blamed.last_saying("RESTART", "SETVAL")
    for name, use in copy.sequence_uses(now).items() if moved or made or written else ():
        if name not in moved:
            table, column = column_of(f"column {use.column}") if use.column else ("", "")
            if use.taken and (name in made or (table in written and _changed(evidence, table, column))):
                # `evidence.tables` has those alone whose contents changed: rows stay where only a sequence is made
                unused = f"table {table}" in created or (
                    name not in made and not now[name].endswith("given out")
                )
                yield _overtaken(check, blamed, name, use, Severity.WARNING if unused else None)
            continue
        back = _number(now[name]) - _number(facts.sequences[name])
        if back * use.increment >= 0:
            continue
        if use.column and not use.taken:
            continue  # its table was emptied, say
        fix, statement = "", sets
        message = f"Sequence {name} was set back ({facts.sequences[name]} before, {now[name]} after)"
        if use.column:
            statement = sets or blamed.last_saying("IDENTITY", table=column_of(f"column {use.column}")[0])
            message += f", and {use.column} holds {use.furthest:,} already: inserts will fail, or give a number twice."
            fix = f"Set it behind that: SELECT setval('{name}', {use.furthest})"
        else:
            message += ": it gives numbers again. No column is known that holds them."
        yield check.finding(
            message,
            fix=fix,
            severity=None if use.column else Severity.WARNING,
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


def _changed(evidence: Evidence, table: str, column: str) -> bool:
    """Whether the column holds other numbers than before, as far as that was measured."""
    found = evidence.tables[table]
    was = found.before.columns.get(column) if found.before else None
    now = found.after.columns.get(column) if found.after else None
    return was is None or now is None or was.digest is None or was.digest != now.digest


def _overtaken(
    check: Check, blamed: Blamed, name: str, use: SequenceUse, severity: Severity | None
) -> Finding:
    table, _ = column_of(f"column {use.column}")
    statement = blamed.last_to(table, Verb.INSERT, Verb.UPDATE, Verb.COPY)
    statement = statement or blamed.last_saying("IDENTITY", table=table)
    return check.finding(
        f"Sequence {name} gives {use.following:,} next, and {use.column} holds {use.furthest:,} already: "
        "inserts will fail, or give a number twice.",
        fix=f"Set it behind that: SELECT setval('{name}', {use.furthest})",
        severity=severity,
        revision=statement.revision if statement else None,
        file=statement.file if statement else None,
        line=statement.line if statement else None,
    )


def _number(words: str) -> int:
    """Of `500 given out` and `1 comes next`, which is one less far."""
    number, _, rest = words.partition(" ")
    return 2 * int(number) + (rest == "given out")


CHECK = Check("CM205", "numbers-again", Severity.ERROR, measured=True, find=find, copies=frozenset({"after"}))
