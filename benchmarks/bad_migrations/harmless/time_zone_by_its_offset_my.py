"""CONVERT_TZ with offsets, which need no tables."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE notifications (id integer PRIMARY KEY, modified datetime NULL);",
    rows="INSERT INTO notifications VALUES (1, '2025-01-01 10:00:00'), (2, '2025-06-01 10:00:00');",
    upgrade="""
        op.execute("UPDATE notifications SET modified = CONVERT_TZ(modified, '+01:00', '+00:00')")
    """,
)
