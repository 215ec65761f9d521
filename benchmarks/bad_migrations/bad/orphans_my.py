"""Foreign key on rows whose parent is gone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/concretecms/concretecms/issues/5562",
    schema="""
        CREATE TABLE attribute_values (id integer PRIMARY KEY);
        CREATE TABLE at_number (id integer PRIMARY KEY, value_id integer);
    """,
    rows="""
        INSERT INTO attribute_values VALUES (1), (2);
        INSERT INTO at_number VALUES (1, 1), (2, 3);
    """,
    upgrade='op.create_foreign_key("fk_value", "at_number", "attribute_values", ["value_id"], ["id"])',
    downgrade='op.drop_constraint("fk_value", "at_number", type_="foreignkey")',
    expected="foreign key constraint fails",
)
