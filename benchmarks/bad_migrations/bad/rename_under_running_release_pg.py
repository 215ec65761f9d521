"""A column is renamed while the old release still reads it."""

from benchmarks.bad_migrations.case import SMOKE, Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/ScreamingFace/screamingface/pull/624",
    settings='previous-release = ["{python}", "smoke.py"]',
    schema="CREATE TABLE submission (id integer PRIMARY KEY, verified boolean NOT NULL);",
    rows="INSERT INTO submission SELECT i, i % 2 = 0 FROM generate_series(1, 4) i;",
    upgrade='op.alter_column("submission", "verified", new_column_name="verified_by_us")',
    downgrade='op.alter_column("submission", "verified_by_us", new_column_name="verified")',
    files={"smoke.py": SMOKE.format(query="SELECT count(*) FROM submission WHERE verified")},
    expected="CM605",
)
