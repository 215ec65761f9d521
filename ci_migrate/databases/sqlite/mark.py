"""The mark that a SQLite file is protected: a view, which Alembic's autogenerate does not see.

Our own reading of the schema and our dumps leave it out; a copy of the file has it, and it says by itself which file it
was made for.
"""

import sqlite3

NAME = "ci_migrate_mark"
READ = f"SELECT mark FROM main.{NAME}"


def read(connection: sqlite3.Connection) -> str:
    """The mark; "" where there is none."""
    there = "SELECT 1 FROM main.sqlite_master WHERE type = 'view' AND name = ?"
    if connection.execute(there, [NAME]).fetchone() is None:
        return ""
    row = connection.execute(READ).fetchone()
    return str(row[0]) if row else ""


def write(connection: sqlite3.Connection, mark: str) -> None:
    """Put the mark there, in the place of another one; "" takes it away. The connection is in autocommit mode."""
    if not mark and not read(connection):
        return
    text = mark.replace("'", "''")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DROP VIEW IF EXISTS main.{NAME}")
    if mark:
        connection.execute(f"CREATE VIEW main.{NAME} AS SELECT '{text}' AS mark")
    connection.execute("COMMIT")
