"""The statements that make a PostgreSQL database: pg_dump's, one by one."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.baselines import Baseline
from ci_migrate.databases.postgresql.catalog import LEDGER_SCHEMA, name, pin, users_schema
from ci_migrate.databases.postgresql.dump import Job
from ci_migrate.databases.postgresql.tools import find_tool, run_client
from ci_migrate.databases.postgresql.unseen import read_sequences, read_unseen
from ci_migrate.databases.statements import Action, actions_in
from ci_migrate.migrations.worker.tokens import POSTGRESQL
from ci_migrate.model import VersionTable
from ci_migrate.tempdirs import private_folder

if TYPE_CHECKING:
    import psycopg

HEAD = (
    ("statement_timeout", "0"), ("lock_timeout", "0"), ("idle_in_transaction_session_timeout", "0"),
    ("transaction_timeout", "0"), ("client_encoding", "'UTF8'"), ("standard_conforming_strings", "on"),
    ("check_function_bodies", "false"), ("xmloption", "content"), ("client_min_messages", "warning"),
    ("row_security", "off"), ("default_tablespace", "''"), ("default_table_access_method", "heap"),
)  # fmt: skip
"""What pg_dump sets for the session of a restore. Names are written with their schemas, so that a baseline needs none
of it, but that bodies of functions are not looked at: they may name what comes later."""

RESTRICT = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)
"""Orders to psql, at the head and the end of what newer versions of pg_dump write."""

AT_ONCE = 50
"""Rows in an INSERT."""

_COLUMNS = f"""
SELECT {name("n.nspname", "c.relname")}, string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped AND {users_schema("n")}
GROUP BY 1"""


class PostgreSQLBaselines:
    """See `baselines.BaselineReader`; `reading` opens a session in one transaction."""

    def __init__(
        self, reading: "Callable[[], AbstractContextManager[psycopg.Connection[Any]]]", job: Job
    ) -> None:
        self._reading = reading
        self._job = job

    def baseline(self, version_tables: Sequence[VersionTable]) -> Baseline:
        """The statements."""
        with self._reading() as connection:
            pin(connection)
            unseen = read_unseen(connection)
            row = connection.execute("SELECT current_user").fetchone()
            major = connection.info.server_version // 10000
            version = connection.info.parameter_status("server_version")
        text = self._dump(major, version_tables)
        structure: list[str] = []
        rows: list[str] = []
        rest: list[str] = []
        for action in actions_in(text, POSTGRESQL):
            sql = _statement(action, text, row[0] if row else "")
            if not sql:
                continue
            if action.starts("INSERT", "SELECT"):  # SELECT setval(...)
                rows.append(sql)
            else:
                (rest if rows else structure).append(sql)
        if any(re.match(r"CREATE (?:FUNCTION|PROCEDURE)\b", sql) for sql in (*structure, *rest)):
            structure.insert(0, "SET check_function_bodies = false")
            rest.append("RESET check_function_bodies")
        return Baseline(
            engine=f"PostgreSQL {version}",
            structure=tuple(structure),
            rows=tuple(rows),
            rest=(*rest, *_resets([*structure, *rest])),
            unfit=tuple(f"{what}: {why}" for what, why in unseen.items() if what == "large objects"),
            not_compared=tuple(f"{what}: {why}" for what, why in unseen.items() if what != "large objects"),
        )

    def _dump(self, major: int, version_tables: Sequence[VersionTable]) -> str:
        tool = find_tool("pg_dump", at_least=major, like=major, folder=self._job.client_tools)
        with private_folder() as folder:
            file = folder / "baseline.sql"
            arguments = [
                "--no-owner",
                f"--exclude-schema={LEDGER_SCHEMA}",
                *(f"--exclude-table={_pattern(table)}" for table in version_tables),
                "--column-inserts",
                f"--rows-per-insert={AT_ONCE}",
                "--encoding=UTF8",
                "--no-sync",
                f"--file={file}",
            ]
            run_client(tool, arguments, self._job.access)
            return RESTRICT.sub("", file.read_text(encoding="utf-8"))

    def positions(self) -> dict[str, str]:
        """The order of columns, and how far sequences are."""
        with self._reading() as connection:
            pin(connection)
            found = {
                f"order of the columns of {key}": order
                for key, order in connection.execute(_COLUMNS).fetchall()
            }
            sequences = read_sequences(connection, self._job.access)
        return found | {f"sequence {key}": at for key, at in sequences.items()}


def _pattern(table: VersionTable) -> str:
    parts = (table.schema or table.search_path or "public", table.name)
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _statement(action: Action, text: str, role: str) -> str:
    """One statement of pg_dump's as a baseline has it; "" where it needs none."""
    tokens = action.tokens
    words = [token.text for token in tokens]
    if action.starts("SET") and len(words) > 3 and (words[1], "".join(words[3:])) in HEAD:
        return ""
    if action.starts("SELECT") and "set_config" in words:  # the search path
        return ""
    if words[:3] == ["COMMENT", "ON", "EXTENSION"]:  # which making it has set
        return ""
    sql = text[tokens[0].start : tokens[-1].end]
    if words[:2] == ["CREATE", "SCHEMA"]:  # env.py may have made it, for the version table
        return sql.replace("CREATE SCHEMA", "CREATE SCHEMA IF NOT EXISTS", 1)
    if words[:5] == ["ALTER", "DEFAULT", "PRIVILEGES", "FOR", "ROLE"] and tokens[5].value == role:
        return f"{text[tokens[0].start : tokens[2].end]} {text[tokens[6].start : tokens[-1].end]}"
    return sql


def _resets(statements: Sequence[str]) -> Iterator[str]:
    """What takes back those settings that a baseline needs beside that of the functions."""
    names = [found[1] for sql in statements if (found := re.match(r"SET (\w+) =", sql))]
    yield from (f"RESET {one}" for one in dict.fromkeys(names) if one != "check_function_bodies")
