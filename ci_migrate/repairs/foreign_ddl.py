"""Somebody else's DDL while a run was at work: told from what the run did, and accepted as the ground it stands on."""

import re
from collections.abc import Iterable, Mapping

from ci_migrate.model import Evidence, Fingerprint, ObjectKind, Schema, delta, names_of, split_key
from ci_migrate.run.since_last_run import definitions_of, difference

SHOWN = 3
"""Differences that are named in one sentence; all of them where somebody is to accept them."""


def find_foreign(before: Fingerprint, now: Schema, evidence: Evidence) -> dict[str, str]:
    """What changed in the schema and is nothing that the dry run did: the object, and in words what became of it.

    What was added counts as somebody else's wherever it is. What was changed or dropped does so only where the
    migration does not come: it changes nothing of that table and names it in no statement. Nobody accepts the loss of
    what was rehearsed as somebody else's doing.
    """
    rehearsed = set(delta(evidence.before, evidence.after)).union(*(c.delta for c in evidence.commit_points))
    changed = delta(before, Fingerprint.of(now)).keys() - rehearsed
    if not changed:
        return {}
    tables = names_of(ObjectKind.TABLE, before.objects.keys() | evidence.after.objects.keys() | now.keys())
    touched = {_table_of(key, tables) for key in rehearsed}
    named = {word for s in evidence.statements for word in re.findall(r"\w+", s.sql.lower())}
    known = definitions_of(evidence)

    def is_away(key: str) -> bool:
        table = _table_of(key, tables)
        return table not in touched and not named & set(re.findall(r"\w+", table.rpartition(".")[2].lower()))

    found = sorted(key for key in changed if key not in before.objects or is_away(key))
    return {key: difference(key, before, now, known) for key in found}


def _table_of(key: str, tables: Iterable[str]) -> str:
    """The table that an object is part of, by its name; the object's own name where it is part of none."""
    _, name = split_key(key)
    return max((t for t in tables if name == t or name.startswith(f"{t}.")), key=len, default=name)


def with_foreign(before: Fingerprint, now: Schema, foreign: Iterable[str]) -> Fingerprint:
    """The schema as it was before the run, but for what somebody else has done to these objects since."""
    found: Mapping[str, str] = Fingerprint.of(now).objects
    objects = {key: text for key, text in before.objects.items() if key not in set(foreign)}
    return Fingerprint(objects=objects | {key: found[key] for key in foreign if key in found})
