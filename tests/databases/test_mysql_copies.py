"""Copies on MariaDB for real: what goes into a dump, comes out of it, and what happens when that is disturbed."""

import pytest
from mysql_support import contents, counts, databases, execute, schema

from ci_migrate.databases import mysql_copies as copies
from ci_migrate.errors import DatabaseError
from ci_migrate.model import VersionTable, schema_changes


def test_V13_everything_comes_back(rich, fresh, payload):
    execute(
        rich,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('abc')",
    )
    dumped = copies.dump(rich, payload, [VersionTable()])
    assert dumped.heads == (("abc",),)
    assert dumped.row_counts == counts(rich)
    assert dumped.schema == schema(rich)
    copies.load(fresh, payload)
    assert schema_changes(dumped.schema, schema(fresh)) == ()
    assert contents(fresh) == contents(rich)
    assert execute(fresh, "SELECT NEXTVAL(numbers)")[0][0] >= execute(rich, "SELECT NEXTVAL(numbers)")[0][0]
    assert execute(fresh, "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_NAME = 'books'"
                   " AND TABLE_SCHEMA = DATABASE()") == ((72,),)  # fmt: skip
    body = execute(fresh, "SHOW CREATE PROCEDURE clean")[0][2]
    assert f"FROM `{fresh.database}`.log" in body
    assert f"what = '{rich.database}.log'" in body


# --------------------------------------------------------------------------- scratch copies


def test_a_scratch_copy_can_reach_nothing_else(rich, payload):
    copies.dump(rich, payload, [])
    with copies.scratch(rich, "run1") as child:
        assert child.database == "ci_migrate_scratch_run1"
        assert child.user != rich.user
        copies.load(rich.elsewhere(child.database), payload, programs_as=child)
        assert schema_changes(schema(rich), schema(child)) == ()
        assert contents(child) == contents(rich)
        with pytest.raises(DatabaseError, match="denied"):
            execute(child, f"DELETE FROM {rich.database}.authors")
        definers = execute(child, "SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()")  # fmt: skip
        assert [definer.split("@")[0] for (definer,) in definers] == [child.user]
        status = execute(
            child, "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"
        )
        assert status == (("DISABLED",),)
    assert "ci_migrate_scratch_run1" not in databases(rich)
    assert execute(rich, "SELECT User FROM mysql.user WHERE User LIKE 'ci_migrate_%'") == ()
