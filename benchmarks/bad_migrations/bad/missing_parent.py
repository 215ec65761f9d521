"""The revision that the database stands at was deleted from the scripts."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/vectorize-io/hindsight/pull/1117",
    schema="CREATE TABLE documents (id integer PRIMARY KEY);",
    rows="""
        INSERT INTO documents VALUES (1);
        UPDATE alembic_version SET version_num = 'd6e7f8a9b0c1';
    """,
    upgrade='op.add_column("documents", sa.Column("tags", sa.Text))',
    downgrade='op.drop_column("documents", "tags")',
    expected="d6e7f8a9b0c1",
)
