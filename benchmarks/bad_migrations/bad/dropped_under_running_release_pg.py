"""Contract before expand: a column goes in the release that stops reading it."""

from benchmarks.bad_migrations.case import SMOKE, Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/langwatch/langwatch/pull/4073",
    settings='previous-release = ["{python}", "smoke.py"]',
    schema="CREATE TABLE organization (id integer PRIMARY KEY, default_model text);",
    rows="INSERT INTO organization (id) SELECT i FROM generate_series(1, 4) i;",
    upgrade='op.drop_column("organization", "default_model")',
    downgrade='op.add_column("organization", sa.Column("default_model", sa.Text))',
    files={"smoke.py": SMOKE.format(query="SELECT default_model FROM organization")},
    expected="CM605",
)
