"""Rows are copied into a partitioned table that has no partition for some of them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/darold/ora2pg/issues/1213",
    schema="CREATE TABLE history (id integer NOT NULL, day date NOT NULL);",
    rows="INSERT INTO history SELECT i, date '2024-12-30' + i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("ALTER TABLE history RENAME TO history_old")
        op.execute("CREATE TABLE history (id integer NOT NULL, day date NOT NULL) PARTITION BY RANGE (day)")
        op.execute(
            "CREATE TABLE history_2025 PARTITION OF history FOR VALUES FROM ('2025-01-01') TO "
            "('2026-01-01')"
        )
        op.execute("INSERT INTO history SELECT * FROM history_old")
        op.execute("DROP TABLE history_old")
    """,
    expected="no partition of relation",
)
