"""A column is added while the old release runs."""

from benchmarks.bad_migrations.case import SMOKE, Case

CASE = Case(
    engine="postgresql",
    settings='previous-release = ["{python}", "smoke.py"]',
    schema="CREATE TABLE submission (id integer PRIMARY KEY, verified boolean NOT NULL);",
    rows="INSERT INTO submission SELECT i, i % 2 = 0 FROM generate_series(1, 4) i;",
    upgrade='op.add_column("submission", sa.Column("verified_by", sa.Text))',
    downgrade='op.drop_column("submission", "verified_by")',
    files={"smoke.py": SMOKE.format(query="SELECT count(*) FROM submission WHERE verified")},
)
