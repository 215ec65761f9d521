"""The mark that a PostgreSQL database is protected: a line in its comment.

The comment belongs to the database itself: it stays through a rename, no dump of a single database carries it, no
`search_path` leads past it, and Alembic's autogenerate does not see it. Its owner may write it, without being a
superuser, who alone may write settings of a name of our own (ALTER DATABASE ... SET ci_migrate.mark).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_migrate.databases.postgresql.sessions import Access

LINE = "ci-migrate: "
"""How the line begins; what else is in the comment is the user's."""

READ = (
    "SELECT pg_catalog.shobj_description(d.oid, 'pg_database') FROM pg_catalog.pg_database d"
    " WHERE d.datname = pg_catalog.current_database()"
)


def read(access: "Access") -> str:
    """The mark; "" where there is none."""
    lines = _comment(access).splitlines()
    return next((line.removeprefix(LINE) for line in lines if line.startswith(LINE)), "")


def write(access: "Access", mark: str) -> None:
    """Put the mark there, in the place of another one; "" takes it away. Raises DatabaseError."""
    statement = statement_of(access, mark)
    with access.session() as connection:
        connection.execute(statement.encode(connection.info.encoding))


def statement_of(access: "Access", mark: str) -> str:
    """What writes a mark, for whoever may."""
    from psycopg import sql

    lines = [line for line in _comment(access).splitlines() if not line.startswith(LINE)]
    text = "\n".join([*lines, *([LINE + mark] if mark else [])])
    name = sql.Identifier(access.database).as_string()
    # on one line, so that it can be pasted from wherever it is shown
    literal = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"COMMENT ON DATABASE {name} IS " + (f"E'{literal}'" if text else "NULL")


def _comment(access: "Access") -> str:
    with access.session(read_only=True) as connection:
        row = connection.execute(READ).fetchone()
    return str(row[0] or "") if row else ""
