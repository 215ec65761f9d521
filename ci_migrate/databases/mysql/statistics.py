"""Histograms of MySQL, and MariaDB's own statistics of columns: both keep values of rows."""

from collections.abc import Callable

from ci_migrate.databases.mysql.catalog import quote_name, read_flavour
from ci_migrate.databases.mysql.sessions import Access, number_of
from ci_migrate.errors import DatabaseError

_MYSQL = """
SELECT TABLE_NAME, COLUMN_NAME, COALESCE(HISTOGRAM->>'$."number-of-buckets-specified"', 100)
FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = DATABASE()"""

_MARIADB = "SELECT table_name, column_name FROM mysql.column_stats WHERE db_name = DATABASE()"

_MAY_NOT_READ = (1044, 1142, 1143)


def renew_statistics(access: Access) -> None:
    """Gather those again that there are. Raises DatabaseError."""
    with access.session() as cursor:
        mariadb = read_flavour(cursor).mariadb
    try:
        with access.session() as cursor:
            cursor.execute(_MARIADB if mariadb else _MYSQL)
            found = cursor.fetchall()
    except DatabaseError as error:
        if number_of(error.__cause__) in _MAY_NOT_READ:  # nor may whoever logs in as this account later
            return
        raise
    with access.session() as cursor:

        def analyze(words: str) -> str:
            """What the server says against it; "" where it was done."""
            cursor.execute(f"ANALYZE LOCAL TABLE {words}")
            said = cursor.fetchall()
            return next((str(row[3]) for row in said if str(row[2]).lower() == "error"), "")

        for one in found:
            _renew(analyze, mariadb, *map(str, one))


def _renew(analyze: Callable[[str], str], mariadb: bool, table: str, column: str, buckets: str = "") -> None:
    name, of = quote_name(table), quote_name(column)
    if mariadb:
        words = analyze(f"{name} PERSISTENT FOR COLUMNS ({of}) INDEXES ()")
    else:
        words = analyze(f"{name} UPDATE HISTOGRAM ON {of} WITH {int(buckets)} BUCKETS")
        if words:
            words = analyze(f"{name} DROP HISTOGRAM ON {of}")
    if words:
        raise DatabaseError(f"Statistics of {table}.{column} can't be renewed: {words}.")
