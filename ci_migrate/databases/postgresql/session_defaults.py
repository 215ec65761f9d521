"""What sessions begin with by ALTER DATABASE and ALTER ROLE, read and written."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
"""Settings that are lists of names (GUC_LIST_QUOTE): as one literal, ALTER would take them for one name. pg_dumpall
knows the same six."""

SETTINGS = (
    "SELECT r.rolname, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)"
    " FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_roles r ON r.oid = s.setrole"
)


def spell(setting: str, value: str) -> "Composed":
    """A setting's value as ALTER takes it."""
    from psycopg import sql

    values = _split_list(value) if setting in LISTS else [value]
    return sql.SQL(", ").join(sql.Literal(each) for each in values)


def settings_of(connection: "psycopg.Connection[Any]", database: str, role: str) -> list[tuple[str, str]]:
    """What a session of this role in this database begins with by ALTER DATABASE and ALTER ROLE; of two the last wins.

    Not `role`: whose rights a copy is used with is another matter. Nor libraries to be preloaded: another machine may
    not have them.
    """
    return connection.execute(
        SETTINGS.replace("r.rolname, ", "")
        + " WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = %s))"
        " AND (r.rolname = %s OR s.setrole = 0) AND c !~ '^role=|_preload_libraries='"
        " ORDER BY r.rolname IS NOT NULL, s.setdatabase",
        [database, role],
    ).fetchall()


def put_settings(admin: "psycopg.Connection[Any]", name: str, settings: Iterable[tuple[str, str]]) -> None:
    """Let each session in a database of ours begin so."""
    from psycopg import sql

    for setting, value in settings:
        set_to = sql.SQL("ALTER DATABASE {} SET {} TO ").format(sql.Identifier(name), sql.Identifier(setting))
        admin.execute(set_to + spell(setting, value))


def _split_list(value: str) -> list[str]:
    """The names in a list of identifiers, as the server keeps it: `"$user", public`."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', value)
    return [quoted.replace('""', '"') or bare for quoted, bare in found] or [""]
