"""The databases of a fleet: from a file, a query, a program or a plugin. Their URLs stay in memory."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ResourceClosedError, SQLAlchemyError

from ci_migrate.databases.base import SessionOptions, session
from ci_migrate.errors import DatabaseError, SettingsError, UsageError
from ci_migrate.ledger.place import place
from ci_migrate.plugins import manager as plugins
from ci_migrate.process import run_tool
from ci_migrate.run.programs import refuse_programs
from ci_migrate.session import create_manager
from ci_migrate.settings.fleet import FLEET, MEMBER
from ci_migrate.settings.secrets import OURS
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.settings.urls import COMMAND_SECONDS, absolute_url

FORM = "a URL, or a name and a URL"


@dataclass(frozen=True)
class Member:
    """One database of a fleet. `name` and `place` are for people; `server` is "" for a file."""

    name: str
    url: Secret = field(repr=False)
    place: str
    server: str

    @property
    def parsed(self) -> URL:
        """Its URL, with the password."""
        return make_url(self.url.reveal())


def read_members(settings: Settings) -> tuple[Member, ...]:
    """All databases of a fleet, in the order of their list. Plugins that the repository names are not asked.

    Raises:
        SettingsError: an entry makes no sense, or two are the same database; the message never holds a URL.
        ToolError, DatabaseError, UsageError: the list can't be had.
    """
    refuse_none(settings)
    if settings.production:
        refuse_programs(settings)
    key = settings.fleet_key
    members = tuple(_member(settings, where, *entry) for where, entry in SOURCES[key](settings))
    _refuse_twice(members)
    if not members:
        raise SettingsError(
            f"The fleet {settings.target} ({key}) lists no database.", hint=f"It needs {FORM} a line."
        )
    return members


def find_member(settings: Settings, name: str) -> Member:
    """One database of a fleet by its name; raises as `read_members`, and UsageError where there is none."""
    members = {member.name: member for member in read_members(settings)}
    if name not in members:
        near = get_close_matches(name, members, n=1, cutoff=0.0)
        raise UsageError(
            f"The fleet {settings.target} has no database {name[:150]!a}.",
            hint=f"The nearest name is {near[0]}: --target {settings.target}/{near[0]}" if near else "",
        )
    return members[name]


def refuse_unknown_canary(settings: Settings, members: Sequence[Member]) -> None:
    """Raise SettingsError where `fleet-canary` names none of these, which are all of the fleet."""
    canary, names = settings.fleet_canary, [member.name for member in members]
    if canary is not None and canary not in names:
        near = get_close_matches(canary, names, n=1, cutoff=0.0)
        raise SettingsError(
            f"fleet-canary ({settings.sources['fleet-canary']}) is {canary[:150]!a}, which the fleet "
            f"{settings.target} does not list.",
            hint=f'The nearest name is "{near[0]}".' if near else "",
        )


def refuse_none(settings: Settings) -> None:
    """Raise UsageError where the target is no fleet, or one database of a fleet."""
    if settings.member:
        raise UsageError(
            f"Target {settings.target} is one database of a fleet, not a fleet.",
            hint=f"It alone: ci-migrate run --target {settings.target}",
        )
    if not settings.fleet_key:
        raise UsageError(
            f"Target {settings.target} is no fleet: no setting lists its databases.",
            hint=f"Set {', '.join(FLEET[:-1])} or {FLEET[-1]} in its table (docs/fleet.md).",
        )


def take_shard(members: Sequence[Member], shard: tuple[int, int] | None) -> tuple[Member, ...]:
    """Those of a shard `(number from 1, how many)`: by a hash of the name, the same on each machine."""
    if shard is None:
        return tuple(members)
    number, count = shard
    return tuple(m for m in members if shard_of(m.name, count) == number)


def shard_of(name: str, count: int) -> int:
    """In which of so many shards, from 1, a database of this name is."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count + 1


# --------------------------------------------------------------------------- where they are listed

Entry = tuple[str, ...]
"""`(url,)` or `(name, url)`."""


def _lines(content: str, label: str) -> Iterator[tuple[str, Entry]]:
    for number, line in enumerate(content.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901
        if line and not line.startswith("#"):
            # a URL may have spaces in it, a name has none
            name, _, rest = line.partition(" ")
            named = "://" not in name and rest.strip()
            yield f"{label}:{number}", (name, rest.strip()) if named else (line,)


def _from_file(settings: Settings) -> Iterable[tuple[str, Entry]]:
    path = settings.fleet_file
    assert path is not None
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"fleet-file: {path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"fleet-file: {path} is not a text file.") from error
    return _lines(content, path.name)


def _from_command(settings: Settings) -> Iterable[tuple[str, Entry]]:
    env = {name: value for name, value in settings.environ.items() if name not in OURS}
    argv, base = list(settings.fleet_command), settings.bases["fleet-command"]
    printed = run_tool(argv, env=env, cwd=base, timeout=COMMAND_SECONDS, inherit=False)
    return _lines(printed, f"what {argv[0]} printed")


def _from_query(settings: Settings) -> Iterable[tuple[str, Entry]]:
    url = make_url(settings.resolve_fleet_query_url())
    database = plugins.make_database(
        create_manager(settings), url, SessionOptions(application_name="ci-migrate fleet")
    )
    try:
        with session(database, read_only=True) as connection:
            # as it is written: a colon begins no parameter, and a percent sign is one
            plain = connection.execution_options(no_parameters=True)
            rows = plain.exec_driver_sql(settings.fleet_query or "").fetchall()
    except ResourceClosedError as error:
        raise DatabaseError(
            f"fleet-query gives no rows at all on {place(url)}.", hint="It is a SELECT."
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"fleet-query failed on {place(url)}: {database.explain(error)}.",
            hint="See fleet-query in the settings.",
        ) from error
    return [(f"row {number} of fleet-query", _texts(row)) for number, row in enumerate(rows, 1)]


def _from_plugins(settings: Settings) -> Iterable[tuple[str, Entry]]:
    found = plugins.collect(create_manager(settings), "ci_migrate_fleet", settings=settings)
    return [
        (f"entry {number} of ci_migrate_fleet", (one,) if isinstance(one, str) else _texts(one))
        for number, one in enumerate(found, 1)
    ]


def _texts(row: Any) -> Entry:
    return tuple(str(value).strip() for value in row if value is not None)


SOURCES: dict[str, Callable[[Settings], Iterable[tuple[str, Entry]]]] = {
    "fleet-file": _from_file,
    "fleet-query": _from_query,
    "fleet-command": _from_command,
    "fleet-plugin": _from_plugins,
}
"""By the setting that lists a fleet."""


# --------------------------------------------------------------------------- one of them


def _member(settings: Settings, where: str, *entry: str) -> Member:
    if len(entry) not in (1, 2) or not re.match(r"[A-Za-z][\w+.-]*://", entry[-1]):
        raise SettingsError(f"{where} is not {FORM}.")
    url = absolute_url(entry[-1], where, settings.project_dir)
    parsed = make_url(url)
    shown = place(parsed)
    # as it is written, so that it is the same on each machine
    name = entry[0] if len(entry) == 2 else _fit(place(make_url(entry[0])))
    if not MEMBER.fullmatch(name):
        raise SettingsError(
            f"{where}: {name[:60]!a} can't be the name of a database.",
            hint="A name has up to 150 letters, digits and . : / + - _ ~ ; write NAME URL.",
        )
    server = "" if parsed.get_backend_name() == "sqlite" else shown.rpartition("/")[0]
    return Member(name, Secret(url), shown, server)


def _fit(name: str) -> str:
    return re.sub(r"[^\w.:/+~-]", "_", name, flags=re.ASCII)


def _refuse_twice(members: Sequence[Member]) -> None:
    names: set[str] = set()
    places: dict[object, str] = {}
    for member in members:
        if member.name in names:
            raise SettingsError(
                f"The fleet lists {member.name} twice.", hint="Give each database a name: NAME URL."
            )
        keys = _keys(member)
        for key in keys & places.keys():
            raise SettingsError(
                f"The fleet lists {places[key]} and {member.name}, which are the same database "
                f"({member.place}).",
                hint="Schemas of one database are migrated together, by an env.py that walks through them "
                "(docs/fleet.md).",
            )
        names.add(member.name)
        places |= dict.fromkeys(keys, member.name)


def _keys(member: Member) -> set[object]:
    """What two names of one database have in common: its place; of a file also its inode, or where links lead."""
    keys: set[object] = {member.place}
    url = member.parsed
    if url.get_backend_name() == "sqlite" and url.database:
        try:
            found = Path(url.database).stat()
        except OSError:
            keys.add(os.path.realpath(url.database))
        else:
            keys.add((found.st_dev, found.st_ino))
    return keys
