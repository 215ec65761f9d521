"""The mark that a database of MySQL or MariaDB is protected: a view, which Alembic's autogenerate does not see.

Databases have no comment on MySQL. Our own reading of the schema, our dumps and our restores leave it out; a dump by
other means carries it, and it says by itself which database it was made for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_migrate.databases.mysql.sessions import Access

NAME = "ci_migrate_mark"
FIND = (
    "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'VIEW'"
    f" AND TABLE_NAME = '{NAME}'"
)
READ = f"SELECT mark FROM `{NAME}`"


def read(access: "Access") -> str:
    """The mark; "" where there is none."""
    with access.session(read_only=True) as cursor:
        if not cursor.execute(FIND, [access.database]):
            return ""
        cursor.execute(READ)
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def write(access: "Access", mark: str) -> None:
    """Put the mark there, in the place of another one; "" takes it away. Raises DatabaseError."""
    with access.session() as cursor:
        cursor.execute(statement_of(mark))


def statement_of(mark: str) -> str:
    """What writes a mark, for whoever may."""
    if not mark:
        return f"DROP VIEW IF EXISTS `{NAME}`"
    # in hex: what a backslash means depends on the session. INVOKER: whoever made it may be gone after a restore
    return (
        f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW `{NAME}` AS"
        f" SELECT CONVERT(X'{mark.encode().hex()}' USING utf8mb4) AS mark"
    )
