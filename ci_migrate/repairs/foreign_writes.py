"""Did somebody else write since the backup? Told from every row; what can't be told counts as written.

PostgreSQL, MySQL and MariaDB read a table of any size by one query of their own. No engine's own count of what was
written to a table can be trusted here: PostgreSQL's comes up to ten seconds late from a session that stays (before 15
it may get lost), and counts what was rolled back; MariaDB's is off by default, MySQL's can be emptied and ends with the
server; SQLite's data_version is moved by the migration itself.
"""

from collections.abc import Mapping

from ci_migrate.model import TableContent

UNKNOWN = "it can't be told whether somebody else wrote since the backup"


def find_unexplained(expected: Mapping[str, TableContent | None], found: Mapping[str, TableContent]) -> str:
    """Rows that neither backup nor dry run explain, in words, the first three tables; "" for none.

    Args:
        expected: what each table that matters should hold; None where it should not exist.
        found: what they hold.
    """
    words = [w for table in sorted(expected) if (w := _words(table, expected[table], found.get(table)))]
    more = f"; and {len(words) - 3} tables more" if len(words) > 3 else ""
    return "; ".join(words[:3]) + more


def _words(table: str, then: TableContent | None, now: TableContent | None) -> str:
    if now is None or then is None:
        return "" if now is then else f"table {table} is {'gone' if now is None else 'new'}"
    if now.rows > then.rows:
        return f"table {table}: {rows(now.rows - then.rows)} that the backup and the rehearsal do not explain"
    if now.rows < then.rows:
        return f"table {table} lacks {rows(then.rows - now.rows)} of the backup and the rehearsal"
    # more or fewer rows are told above, whatever the size; equal counts of what nobody read prove nothing
    if now.rows and now.digest is None:
        return f"table {table} is too large to tell whether somebody else wrote"
    if now == then:
        return ""
    columns = [name for name in sorted(now.columns) if now.columns[name] != then.columns.get(name)]
    return (
        f"table {table}: values in {', '.join(columns[:5]) or 'its rows'} that the backup and the rehearsal do not "
        f"explain ({rows(now.rows)})"
    )


def describe_loss(expected: Mapping[str, TableContent], found: Mapping[str, TableContent]) -> str:
    """What a restore of these tables would lose, in words: what is there beyond what the dry run left in them."""
    more = sum(max(0, found[t].rows - c.rows) for t, c in expected.items() if t in found)
    if more:
        return f"loses {rows(more)} written since"
    return "loses what was changed in them since" if find_unexplained(expected, found) else "loses nothing"


def rows(number: int) -> str:
    """`1 row`, `1,204 rows`."""
    return "1 row" if number == 1 else f"{number:,} rows"
