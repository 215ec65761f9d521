"""A column gets shorter than a value in it."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/apache/devlake/issues/7412",
    schema="CREATE TABLE commit_files (id integer PRIMARY KEY, file_path text);",
    rows="INSERT INTO commit_files VALUES (1, 'a'), (2, repeat('x', 300));",
    upgrade='op.alter_column("commit_files", "file_path", type_=sa.String(255), existing_type=sa.Text())',
    downgrade='op.alter_column("commit_files", "file_path", type_=sa.Text(), existing_type=sa.String(255))',
    expected="Data too long",
)
