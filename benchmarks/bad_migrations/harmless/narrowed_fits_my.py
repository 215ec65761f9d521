"""A column gets shorter, and all values fit."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE commit_files (id integer PRIMARY KEY, file_path varchar(500));",
    rows="INSERT INTO commit_files VALUES (1, 'a'), (2, repeat('x', 200));",
    upgrade='op.alter_column("commit_files", "file_path", type_=sa.String(255), existing_type=sa.String(500))',
    downgrade='op.alter_column("commit_files", "file_path", type_=sa.String(500), existing_type=sa.String(255))',
)
