"""CM210: what goes although no statement names it: views, triggers, keys, indexes, privileges, attributes."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed, Did
from ci_migrate.databases.composite.names import bare
from ci_migrate.databases.effects import cascades, drops, drops_without_names, renames, rewritten_columns
from ci_migrate.databases.names import parts
from ci_migrate.databases.statements import Action, Verb
from ci_migrate.migrations.worker.tokens import POSTGRESQL, Cursor, Name, tokens_of
from ci_migrate.model import (
    Direction,
    Evidence,
    Finding,
    ObjectKind,
    SchemaChange,
    Severity,
    Statement,
    split_key,
)
from ci_migrate.schema_text import attributes, mentions

# What these patterns read is what a catalog of ours has written, in one form whatever the revision's SQL looked like.
_WITH_OTHERS = re.compile(r"(?P<kind>view|materialized view|trigger|rule|policy) (?P<name>.+)")
_OF_A_TYPE = re.compile(r"CHECK\s*\(\s*\W?\w+\W?\s+IN\s*\([^()]*\)\s*\)", re.IGNORECASE)
"""What SQLAlchemy's Boolean and Enum write; it goes with their type."""
_BATCH = "_alembic_tmp_"
"""Batch mode's table: what it takes over stands in the revision's Python, and no statement names what it leaves out."""
_SORTED = re.compile(r" DESC\b| COLLATE \w+", re.IGNORECASE)
_OF_TEXT = re.compile(r"\w*(?:char|text|clob|enum|set|string)", re.IGNORECASE)
"""Types that have a collation to lose."""
_OPTIONS = re.compile(r"; with (.+)", re.DOTALL)
_STATE = re.compile(r" (DISABLED|REPLICA|ALWAYS)$")
_KEPT = {
    "NOT NULL": "NOT NULL",
    "DEFAULT": "its default",
    "AUTO_INCREMENT": "AUTO_INCREMENT",
    "ON UPDATE": "ON UPDATE",
    "COLLATE": "its collation",
    "COMMENT": "its comment",
}
_NOTHING = ("", "DEFAULT", "DEFAULT NULL")  # the NULL behind a default is taken for an attribute of its own

Lost = tuple[str, str, Severity, Statement | None]
"""What is lost, what to write instead, how bad that is, and the statement that did it."""


class _Seen(Blamed):
    """What many changes ask of all statements: found once, since a history has hundreds."""

    @cached_property
    def rebuilds(self) -> dict[str, Did]:
        """See `_rebuilds`."""
        return _rebuilds(self.did)

    @cached_property
    def cascade(self) -> Statement | None:
        """The last statement that drops by CASCADE, in a program too."""
        return self.last(cascades) or self.last_saying_all("DO", "DROP", "CASCADE")

    @cached_property
    def unseen(self) -> bool:
        """Whether something may be dropped that no statement names."""
        return any(drops_without_names(text) for _, text in self.texts)

    def dropping(self, *names: str) -> Statement | None:
        """The last statement that drops something of one of these names."""
        return self.last(lambda action: any(drops(action, name) for name in names))


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Objects that are gone after an upgrade although no statement named them."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    seen = _Seen(evidence, facts.plan.identity.dialect)
    for change in evidence.changes:
        for look in _LOOKS:
            for message, fix, severity, statement in look(seen, change):
                yield check.finding(
                    message,
                    fix=fix,
                    severity=severity,
                    revision=statement.revision if statement else None,
                    file=statement.file if statement else None,
                    line=statement.line if statement else None,
                )


def _with_what_was_dropped(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """A view by CASCADE; a trigger with the table that was rebuilt."""
    found = _WITH_OTHERS.fullmatch(change.name)
    if change.after is not None or found is None:
        return
    of_table = found["kind"] in ("trigger", "rule", "policy")
    table, _, short = found["name"].rpartition(".")
    if of_table and any(c.name == f"table {table}" and c.after is None for c in seen.evidence.changes):
        return
    if seen.unseen or seen.last_naming(_plain(short)):
        return
    statement = seen.cascade
    if of_table:
        statement = seen.last(lambda a: a.verb is Verb.DROP_TABLE) or statement
    yield (
        f"{change.name[0].upper()}{change.name[1:]} goes, and no statement names it: it went with what it stands on.",
        "Make it again in the same revision, or drop it by name.",
        Severity.ERROR,
        statement,
    )


def _in_a_rebuild(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """What a table does not have any more that was made again, by batch mode or by hand."""
    kind, name = _kind(change)
    table = bare(name.partition("(")[0].rpartition(".")[0])
    before, after = change.before, change.after
    rebuilt = seen.rebuilds.get(_plain(table.rpartition(".")[2]).lower())
    if before is None or rebuilt is None:
        return
    statement, made = rebuilt
    by_hand = not made.tables[0][-1].startswith(_BATCH)
    if kind == ObjectKind.COLUMN and after is not None:
        was, is_ = attributes(before), attributes(after)
        keys = ["COLLATE"] if _OF_TEXT.match(is_["type"]) else []
        keys += ["NOT NULL", "DEFAULT"] if _is_from_select(made) else []
        lost = [_KEPT[key] for key in keys if key in was and key not in is_]
        if lost:
            what = f"Table {table} is rebuilt, and its column {name.rpartition('.')[2]} loses {' and '.join(lost)}."
            yield what, "Repeat it where the table is made again.", Severity.ERROR, statement
    elif kind == ObjectKind.INDEX:
        short = name.rpartition(".")[2]
        dropped = seen.dropping(_plain(short))
        lesser = after is not None and after != before and after == _SORTED.sub("", before)
        gone = after is None and (by_hand or "((" in before) and not _in_another_index(seen, change)
        if dropped is None and (lesser or gone):
            instead = f"as {after}" if lesser else "without it"
            yield (
                f"Table {table} had {short}, {before}, and is rebuilt {instead}.",
                "Make it again in the same revision (op.execute), or drop it by name.",
                Severity.ERROR if "UNIQUE" in before else Severity.WARNING,
                statement,
            )
    elif kind == ObjectKind.CONSTRAINT:
        yield from _constraint_of_a_rebuild(seen, change, table, statement, by_hand=by_hand)


def _constraint_of_a_rebuild(
    seen: _Seen, change: SchemaChange, table: str, statement: Statement, *, by_hand: bool
) -> Iterator[Lost]:
    before, after = change.before or "", change.after
    quoted = json.dumps(_plain(table), ensure_ascii=False)
    if after is not None and before.endswith("AUTOINCREMENT") and not after.endswith("AUTOINCREMENT"):
        yield (
            f"Table {table} is rebuilt without AUTOINCREMENT: ids of deleted rows are given again.",
            f'Write batch_alter_table({quoted}, table_kwargs={{"sqlite_autoincrement": True}}).',
            Severity.ERROR,
            statement,
        )
    elif after is not None and before.startswith(f"{after} "):
        yield (
            f"Table {table} is rebuilt with {after}: it loses {before[len(after) + 1 :]}.",
            "Repeat it where the table is made again.",
            Severity.ERROR,
            statement,
        )
    if after is not None or any(mentions(before, column) for column in _columns_gone(seen, table)):
        return
    if before.startswith("CHECK"):
        yield (
            f"Table {table} is rebuilt without its {before}, which has no name: batch mode leaves such ones out.",
            f"Write batch_alter_table({quoted}, table_args=[sa.CheckConstraint(...)]), and give it a name.",
            Severity.WARNING if _OF_A_TYPE.fullmatch(before) else Severity.ERROR,
            statement,
        )
    elif by_hand and not _in_another_index(seen, change):
        yield (
            f"Table {table} is rebuilt without its {before}.",
            "Repeat it where the table is made again. If it is to go, say so: allow CM210 in the revision.",
            Severity.ERROR,
            statement,
        )


def _with_its_columns(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """PostgreSQL drops a key, a CHECK or an index over several columns with one of them."""
    kind, name = split_key(change.name)
    before = change.before or ""
    if kind not in (ObjectKind.CONSTRAINT, ObjectKind.INDEX) or not before or change.after is not None:
        return
    short = _plain(name.rpartition(".")[2])
    if seen.last_naming(short) or _belongs_to_a_key(seen, change):
        return
    for table, found in seen.evidence.tables.items():
        if found.before is None or found.after is None or not _is_of(change, table):
            continue
        gone = found.before.columns.keys() - found.after.columns.keys()
        taken = [column for column in sorted(gone) if mentions(_parts(before), column)]
        left = [column for column in sorted(found.after.columns) if mentions(_parts(before), column)]
        statement = seen.dropping(*taken) if left else None
        if statement is not None:
            yield (
                f"{short} goes with {table}.{', '.join(taken)}, and was about {', '.join(left)} too: {before}.",
                "Drop it by name, and make it again over the columns that stay.",
                Severity.WARNING if kind == ObjectKind.INDEX and "UNIQUE" not in before else Severity.ERROR,
                statement,
            )


def _by_a_cascade(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """Foreign keys of other tables go with the key that they point to."""
    kind, name = split_key(change.name)
    statement = seen.cascade
    if kind != ObjectKind.CONSTRAINT or change.after is not None or statement is None:
        return
    table, _, short = name.rpartition(".")
    gone = f"table {table}" in {c.name for c in seen.evidence.changes if c.after is None}
    target = _referenced(change.before)
    if not target or gone or seen.last_naming(_plain(short)):
        return
    if seen.last(lambda a: a.verb is Verb.DROP_TABLE and drops(a, target[-1])):
        return
    yield (
        f"Foreign key {short} of {table} goes, and no statement names it: CASCADE took it along.",
        "Make it again in the same revision, or drop it by name.",
        Severity.ERROR,
        statement,
    )


def _points_elsewhere(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """A foreign key follows a table that is renamed away, while another one takes its name."""
    kind, name = _kind(change)
    was, now = _referenced(change.before), _referenced(change.after)
    if kind != ObjectKind.CONSTRAINT or not was or not now or was == now:
        return
    old = ".".join(was)
    taken = any(
        parts(split_key(c.name)[1])[-1:] == was[-1:] and c.after is None for c in seen.evidence.changes
    )
    statement = seen.last(lambda a: any(pair[0][-1].lower() == was[-1].lower() for pair in renames(a)))
    if statement is not None and not taken:
        yield (
            f"Foreign key {name} points to {'.'.join(now)} now, which {old} was renamed to, and not to the new {old}.",
            "Make the foreign key again in the same revision, or change the table where it is.",
            Severity.ERROR,
            statement,
        )


def _made_again_with_less(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """What PostgreSQL keeps beside a view, a table or a trigger is not there any more once that is made again."""
    kind, _, name = change.name.partition(" ")
    before, after = change.before or "", change.after
    if kind == "grant" and after is None:
        of, _, grantee = name.rpartition(" to ")
        short = of.rpartition(".")[2].rpartition(" ")[2]
        statement = seen.dropping(_plain(short))
        revoked = seen.last_saying_all("REVOKE") is not None
        if (
            statement is None
            or revoked
            or any(c.name == of and c.after is None for c in seen.evidence.changes)
        ):
            return
        what = f"{of[0].upper()}{of[1:]} is made again without its privileges: {grantee} had {before}."
        yield what, "Give them again in the same revision: GRANT ... ON ... TO ...", Severity.ERROR, statement
    elif after is not None and kind in ("view", "materialized") and (was := _OPTIONS.search(before)):
        is_ = _OPTIONS.search(after)
        lost = sorted({*was[1].split(", ")} - {*(is_[1].split(", ") if is_ else ())})
        statement = seen.last_saying_all("VIEW")
        if lost and not seen.last(_sets_options):
            what = f"View {name.removeprefix('view ')} is made again without {', '.join(lost)}."
            yield what, "Repeat it: CREATE VIEW ... WITH (...) AS ...", Severity.ERROR, statement
    elif after is not None and kind == "trigger":
        state, now = _STATE.search(before), _STATE.search(after)
        statement = seen.last_naming(_plain(name.rpartition(".")[2]))
        altered = seen.last(_switches_triggers)
        words = [found[1] if found else "enabled" for found in (state, now)]
        if words[0] != words[1] and altered is None:
            what = f"Trigger {name} was {words[0]}, and is made again {words[1]}."
            yield what, "Set it as it was: ALTER TABLE ... DISABLE TRIGGER ...", Severity.ERROR, statement
        elif words == ["enabled", "DISABLED"]:
            what = f"Trigger {name} is disabled, and stays so."
            yield (
                what,
                "Enable it in the same revision: ALTER TABLE ... ENABLE TRIGGER ...",
                Severity.WARNING,
                altered,
            )


def _by_a_modify(seen: _Seen, change: SchemaChange) -> Iterator[Lost]:
    """MODIFY and CHANGE of MySQL and MariaDB write the whole column: what is left out is gone."""
    kind, name = split_key(change.name)
    if kind != ObjectKind.COLUMN or change.before is None or change.after is None:
        return
    column = _plain(name.rpartition(".")[2]).lower()
    statement = seen.last(lambda a: column in {c.lower() for c in rewritten_columns(a)})
    if statement is None:
        return
    before, after = attributes(change.before), attributes(change.after)
    gone = [
        key
        for key in _KEPT
        if before.get(key, "").upper() not in _NOTHING and after.get(key, "").upper() in _NOTHING
        and (key != "COLLATE" or _OF_TEXT.match(after["type"]))
    ]  # fmt: skip
    if before.get("COLLATE") != after.get("COLLATE") and "COLLATE" in before.keys() & after.keys():
        said = any(
            seen.last_saying_all(*words) for words in (("COLLATE",), ("CHARSET",), ("CHARACTER", "SET"))
        )
        gone += [] if said else ["COLLATE"]  # it gets the table's
    meant = before["type"] != after["type"] or any(
        after.get(key, "").upper() not in _NOTHING and after[key] != before.get(key)
        for key in _KEPT.keys() - {"COLLATE"}
    )
    if not gone or not meant:
        return  # attributes alone were taken away: that is what was meant
    yield (
        f"Column {name} is changed and loses {' and '.join(_KEPT[k] for k in gone)}: MODIFY writes the whole column.",
        "Repeat them in op.alter_column: existing_nullable, existing_server_default, existing_comment.",
        Severity.WARNING if gone == ["COMMENT"] else Severity.ERROR,
        statement,
    )


_LOOKS = (
    _with_what_was_dropped,
    _in_a_rebuild,
    _by_a_modify,
    _with_its_columns,
    _by_a_cascade,
    _points_elsewhere,
    _made_again_with_less,
)


def _kind(change: SchemaChange) -> tuple[str, str]:
    """Kind and name; MySQL's and MariaDB's keys and checks have kinds of their own."""
    found = re.match(r"(?:foreign key|primary key|check|unique) (?P<name>.+)", change.name)
    return (ObjectKind.CONSTRAINT, found["name"]) if found else split_key(change.name)


def _columns_gone(seen: _Seen, table: str) -> list[str]:
    return [
        name.rpartition(".")[2]
        for c in seen.evidence.changes
        for kind, name in [split_key(c.name)]
        if c.after is None and kind == ObjectKind.COLUMN and bare(name.rpartition(".")[0]) == table
    ]


def _rebuilds(did: Iterable[Did]) -> dict[str, Did]:
    """From each table that was dropped and made again to the statement that made it, maybe under another name."""
    created: dict[str, Did] = {}
    dropped: set[str] = set()
    found: dict[str, Did] = {}
    for statement, action in did:
        names = [name[-1].lower() for name in action.tables]
        if action.verb is Verb.CREATE_TABLE and names:
            created[names[0]] = found[names[0]] = (statement, action)
        elif action.verb is Verb.DROP_TABLE:
            dropped.update(names)
        for (*_, old), (*_, new) in renames(action):
            if old.lower() in created:
                created[new.lower()] = found[new.lower()] = created[old.lower()]
    return {table: made for table, made in found.items() if table in dropped}


def _is_from_select(made: Action) -> bool:
    """Whether it is CREATE TABLE ... AS SELECT, without columns of its own."""
    words = [t for t in made.rest if t.is_mark("(") or t.is_word("SELECT")]
    return bool(words) and words[0].is_word("SELECT")


def _sets_options(action: Action) -> bool:
    """Whether it is ALTER VIEW ... SET (...) or RESET (...)."""
    following = zip(action.tokens, action.tokens[1:], strict=False)
    return action.has("VIEW") and any(
        t.is_word("SET", "RESET") and after.is_mark("(") for t, after in following
    )


def _switches_triggers(action: Action) -> bool:
    """Whether it is ALTER TABLE ... ENABLE or DISABLE TRIGGER."""
    return action.verb is Verb.ALTER_TABLE and any(
        part[0].is_word("ENABLE", "DISABLE") and any(t.is_word("TRIGGER") for t in part)
        for part in action.parts
    )


def _referenced(definition: str | None) -> Name:
    """The table that a foreign key's definition names; () for none. All our catalogs quote as PostgreSQL does."""
    cursor = Cursor(tokens_of(definition or "", POSTGRESQL))
    while cursor.rest and not cursor.take("REFERENCES"):
        del cursor.rest[0]
    return cursor.name()


def _plain(name: str) -> str:
    """A part of a key without its quotes."""
    return "".join(parts(name)) if name.startswith('"') else name


def _in_another_index(seen: _Seen, change: SchemaChange) -> bool:
    """Whether the same columns are in a new index or key, which is unique if they were."""
    before = change.before or ""
    wanted = _parts(before)
    return any(
        c.before is None and c.after is not None and _parts(c.after) == wanted
        and ("UNIQUE" in c.after or "UNIQUE" not in before)
        for c in seen.evidence.changes
    )  # fmt: skip


def _belongs_to_a_key(seen: _Seen, change: SchemaChange) -> bool:
    """Whether an index is that of a constraint, which is told of itself."""
    kind, name = split_key(change.name)
    short = name.rpartition(".")[2]
    keys = {
        split_key(c.name)[1].rpartition(".")[2]
        for c in seen.evidence.changes
        if c.name.startswith("constraint ")
    }
    return kind == ObjectKind.INDEX and short in keys


def _is_of(change: SchemaChange, table: str) -> bool:
    """Whether a constraint or an index is of this table; PostgreSQL's indexes have the table in their definition."""
    kind, name = split_key(change.name)
    if kind == ObjectKind.CONSTRAINT:
        return name.rpartition(".")[0] == table
    return (
        name.rpartition(".")[0] == table
        or re.search(rf" ON (ONLY )?(\w+\.)?{re.escape(bare(table))} ", change.before or "") is not None
    )


def _parts(definition: str) -> str:
    """What stands in the brackets: the columns of a key or an index, or what a CHECK says."""
    return definition[definition.find("(") : definition.rfind(")") + 1]


CHECK = Check("CM210", "lost-on-the-side", Severity.ERROR, measured=True, find=find)
