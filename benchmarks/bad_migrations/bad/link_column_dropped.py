"""Two tables are joined by a column that goes before its values are moved."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/fedora-infra/summershum/pull/40",
    schema="CREATE TABLE files (id integer PRIMARY KEY, sha1 text, pkg_name text);",
    rows="INSERT INTO files VALUES (1, 'x', 'bash'), (2, 'y', 'zsh');",
    upgrade="""
        op.create_table("packages", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
        with op.batch_alter_table("files") as batch:
            batch.add_column(sa.Column("pkg_id", sa.Integer))
            batch.drop_column("pkg_name")
    """,
    downgrade="""
        with op.batch_alter_table("files") as batch:
            batch.add_column(sa.Column("pkg_name", sa.Text))
            batch.drop_column("pkg_id")
        op.drop_table("packages")
    """,
    expected="CM202",
)
