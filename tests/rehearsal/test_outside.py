"""What was written outside of the copy."""

import pytest
import sqlalchemy as sa

from ci_migrate.databases.postgresql.database import PostgreSQL

CHANGES = {
    "role cim_shared": ("CREATE ROLE cim_shared", "DROP ROLE cim_shared"),
    "settings of 0 in 0": ("ALTER ROLE ALL SET work_mem = 5000", "ALTER ROLE ALL RESET work_mem"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_F61_what_all_databases_share_is_listed(postgresql_url, name):
    do, undo = CHANGES[name]
    database = PostgreSQL(postgresql_url)
    engine = sa.create_engine(postgresql_url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    before = database.shared_objects()
    with engine.begin() as connection:
        connection.exec_driver_sql(do)
    try:
        after = database.shared_objects()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(undo)
    assert {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)} == {name}
