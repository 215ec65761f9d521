"""A table with an enum, and a downgrade that drops both."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings="require-downgrade = true",
    schema="CREATE TABLE other (id integer PRIMARY KEY);",
    rows="INSERT INTO other VALUES (1);",
    upgrade="""
        op.create_table("test", sa.Column("id", sa.Integer, primary_key=True),
                        sa.Column("enum_col", sa.Enum("A", "B", name="myenum"), nullable=False))
    """,
    downgrade="""
        op.drop_table("test")
        sa.Enum(name="myenum").drop(op.get_bind())
    """,
)
