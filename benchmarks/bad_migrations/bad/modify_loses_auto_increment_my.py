"""int becomes bigint, and AUTO_INCREMENT is lost: no row can be added."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/eduMFA/eduMFA/pull/804",
    schema="CREATE TABLE tokens (id integer PRIMARY KEY AUTO_INCREMENT, name varchar(20));",
    rows="INSERT INTO tokens (name) VALUES ('a'), ('b');",
    upgrade="""
        op.alter_column("tokens", "id", type_=sa.BigInteger(), existing_type=sa.Integer(),
                        existing_nullable=False)
    """,
    downgrade="""
        op.alter_column("tokens", "id", type_=sa.Integer(), existing_type=sa.BigInteger(),
                        existing_nullable=False, autoincrement=True)
    """,
    expected="CM210",
)
