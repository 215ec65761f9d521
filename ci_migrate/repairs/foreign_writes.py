"""Did somebody else write since the backup? Told from every row; what can't be told counts as written.

PostgreSQL, MySQL and MariaDB read a table of any size by one query of their own. No engine's own count of what was
written to a table can be trusted here: PostgreSQL's comes up to ten seconds late from a session that stays (before 15
it may get lost), and counts what was rolled back; MariaDB's is off by default, MySQL's can be emptied and ends with the
server; SQLite's data_version is moved by the migration itself.
"""

from collections.abc import Mapping

from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import Backup, Evidence, Plan, TableContent
from ci_migrate.repairs.diagnosis import rows_on
from ci_migrate.run.run import Run, restored_copy, translate_errors

UNKNOWN = "it can't be told whether somebody else wrote since the backup"


def others_wrote(
    run: Run, plan: Plan, evidence: Evidence | None, backup: Backup | None, commit_point: int | None
) -> str:
    """What somebody else wrote since the backup, in words; "" for nothing.

    Every row is compared with the restored backup or, in tables that the run touched, with the dry run.
    """
    if backup is None or evidence is None or commit_point is None:
        return UNKNOWN
    with restored_copy(run, backup, f"{run.id}_cmp") as copy, translate_errors(copy):
        then = copy.contents(copy.counts())
    with translate_errors(run.database):
        now = run.database.contents(run.database.counts())
    rehearsed = rows_on(evidence, commit_point) if commit_point else {}
    dropped = dict.fromkeys(rows_on(evidence, 0).keys() - rehearsed.keys()) if rehearsed else {}
    expected = {**then, **dropped, **rehearsed}
    ours = version_table_names(plan)
    return unexplained({t: expected.get(t) for t in expected.keys() | now.keys() if t not in ours}, now)


def others_wrote_to(run: Run, expected: Mapping[str, TableContent]) -> str:
    """The same for some tables, held against what the dry run left in them."""
    with translate_errors(run.database):
        return unexplained(expected, run.database.contents(expected))


def unexplained(expected: Mapping[str, TableContent | None], found: Mapping[str, TableContent]) -> str:
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
    if now.rows and now.digest is None:
        return f"table {table} is too large to tell whether somebody else wrote"
    if now == then:
        return ""
    columns = [name for name in sorted(now.columns) if now.columns[name] != then.columns.get(name)]
    return (
        f"table {table}: values in {', '.join(columns[:5]) or 'its rows'} that the backup and the rehearsal do not "
        f"explain ({rows(now.rows)})"
    )


def rows_loss(run: Run, expected: Mapping[str, TableContent]) -> str:
    """What a restore of these tables would lose, in words: what is there beyond what the dry run left in them."""
    with translate_errors(run.database):
        found = run.database.contents(expected)
    more = sum(max(0, found[t].rows - c.rows) for t, c in expected.items() if t in found)
    if more:
        return f"loses {rows(more)} written since"
    return "loses what was changed in them since" if unexplained(expected, found) else "loses nothing"


def rows(number: int) -> str:
    """`1 row`, `1,204 rows`."""
    return "1 row" if number == 1 else f"{number:,} rows"
