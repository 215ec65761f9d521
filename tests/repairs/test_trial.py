"""A repair that changes data is tried on a copy of the target as it is now."""

from pathlib import Path

import pytest
from kill_support import Shop, new_shop

from ci_migrate.databases.base import Database, session
from ci_migrate.errors import DatabaseError
from ci_migrate.model import Fingerprint
from ci_migrate.operations.status import current_plan
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.restore_tables import other_rows
from ci_migrate.repairs.trial import try_on_copy
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shop(request, tmp_path: Path) -> Shop:
    fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}.get(request.param)
    return new_shop(tmp_path, request.getfixturevalue(fixture) if fixture else None)


def execute(database: Database, sql: str) -> None:
    with session(database) as connection:
        connection.exec_driver_sql(sql)
        connection.commit()


def test_a_repair_is_tried_on_a_copy_and_leaves_the_target_alone(shop: Shop) -> None:
    before = shop.everything_in_it()
    settings = load(shop.folder, shop.environment(), {})
    with open_session(settings, GateRequest(VERBS["repair"])) as run:
        context = RepairContext(run, current_plan(run), Fingerprint(objects={}), evidence=None, backup=None)
        customers = next(name for name in run.database.counts() if name.endswith("customers"))
        then = run.database.contents([customers])

        def rows(copy: Database) -> list[str]:
            return other_rows(then, copy.contents([customers]))

        def tried(sql: str) -> list[str]:
            return try_on_copy(context, lambda copy: execute(copy, sql), rows)

        words = [f"table {customers} has other values in points"]
        assert tried("UPDATE customers SET points = NULL WHERE id = 1") == words
        if run.database.dialect == "sqlite":  # a copy costs nothing there
            assert tried("UPDATE customers SET points = points WHERE id = 1") == []
            assert tried("DELETE FROM customers WHERE id < 4") == [
                f"table {customers} has 27 rows instead of 30"
            ]
            assert tried("DROP TABLE customers") == [f"table {customers} is gone"]
            with pytest.raises(DatabaseError, match="nowhere"):
                tried("DELETE FROM nowhere")
    assert shop.everything_in_it() == before
