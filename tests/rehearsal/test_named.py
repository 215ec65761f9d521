"""CM107: code that asks for the database by its name sees another one than it is run on."""

import pytest
from alembic_project import AlembicProject
from kill_support import new_shop
from sqlalchemy import URL, make_url

from ci_migrate.migrations.worker.statements import asks_by_name
from ci_migrate.migrations.worker.tokens import MYSQL

NAME = "app"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT 1 FROM information_schema.tables WHERE table_schema = 'app'", None),
        ('SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = "app"', ()),
        ("SELECT 1 FROM information_schema.columns WHERE table_schema = %s", ("app",)),
        ("SELECT 1 FROM information_schema.columns WHERE table_schema = %(s)s", {"s": "app"}),
        ("SHOW TABLES FROM app", None),
        ("SHOW FULL TABLES IN `app` LIKE 'x'", None),
        ("SELECT count(*) FROM pg_database WHERE datname = 'app'", None),
    ],
)
def test_F10_asks_by_the_name(sql: str, values: object) -> None:
    assert asks_by_name(sql, values, NAME, MYSQL)


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE()", None),
        ("SELECT 1 FROM information_schema.tables WHERE table_schema = 'apple'", None),
        ("INSERT INTO settings VALUES ('app')", None),
        ("UPDATE settings SET name = %s", ("app",)),
        ("SHOW TABLES", None),
        ("SHOW INDEX FROM app_users", None),
    ],
)
def test_what_does_not(sql: str, values: object) -> None:
    assert not asks_by_name(sql, values, NAME, MYSQL)


@pytest.mark.parametrize(
    ("fixture", "query"),
    [
        ("mysql_url", "SELECT count(*) FROM information_schema.columns WHERE table_schema = '{name}'"),
        ("postgresql_url", "SELECT count(*) FROM information_schema.columns WHERE table_catalog = '{name}'"),
    ],
)
def test_F10_a_revision_that_asks_by_the_name_is_told(fixture: str, query: str, request, tmp_path) -> None:
    url: URL = request.getfixturevalue(fixture)
    shop: AlembicProject = new_shop(tmp_path, url)
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    asked = query.format(name=make_url(str(url)).database)
    shop.revision("r1", "r0", f'\nop.get_bind().execute(sa.text("{asked}"))\n', "pass")
    done = shop.here("dry-run")
    assert done.code == 0, done.text
    told = " ".join(done.text.split())
    assert "CM107 asks-by-name [r1]" in told
    assert "migrations/versions/r1.py:" in told
    assert "DATABASE() on MySQL" in told
