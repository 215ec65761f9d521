"""Every driver by which env.py may connect: a run, a revision that fails, and another database than the target."""

import pytest
import sqlalchemy as sa
from env_zoo import initialised, url_of

DRIVERS = {
    "postgresql+psycopg": ("psycopg", "generic"),
    "postgresql+psycopg2": ("psycopg2", "generic"),
    "postgresql+pg8000": ("pg8000", "generic"),
    "postgresql+asyncpg": ("asyncpg", "async"),
    "mysql+pymysql": ("pymysql", "generic"),
    "mysql+mysqldb": ("MySQLdb", "generic"),
    "mysql+aiomysql": ("aiomysql", "async"),
    "mysql+asyncmy": ("asyncmy", "async"),
}
"""With the module that each needs, and Alembic's template for it."""

FAILS = """
import os
op.create_table("half", sa.Column("id", sa.Integer))
if os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    raise ValueError("boom")
"""


@pytest.mark.parametrize("driver", DRIVERS)
def test_F1_each_driver_migrates_is_put_back_and_goes_nowhere_else(request, tmp_path, driver):
    module, template = DRIVERS[driver]
    pytest.importorskip(module, reason=f"the driver {module} is not installed")
    url = url_of(request, tmp_path, driver)
    zoo = initialised(tmp_path, url, template)
    zoo.target()
    zoo.gate("run")
    assert zoo.versions() == ["r2"]
    zoo.revision("r3", "r2", FAILS)
    failed = zoo.gate("run", code=6)
    assert "boom" in failed.text
    assert zoo.versions() == ["r2"]
    assert "half" not in zoo.tables
    other = f"{url.database}_other"
    zoo.prepare(f"create database {other}") if zoo.dialect == "mysql" else create(zoo, other)
    env, there = (
        tmp_path / "migrations" / "env.py",
        url.set(database=other).render_as_string(hide_password=False),
    )
    lead = (
        f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {there.replace('%', '%%')!r})\n"
    )
    env.write_text(env.read_text().replace("config = context.config\n", lead))
    refused = zoo.gate("run", code=1)
    assert other in refused.text
    assert sa.inspect(zoo.engine(url.set(database=other))).get_table_names() == []


def create(zoo, name):
    engine = zoo.engine().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name} template template0")


def test_a_driver_that_is_not_watched_is_refused_by_its_name(request, tmp_path):
    pytest.importorskip("mysql.connector", reason="mysql-connector-python is not installed")
    zoo = initialised(tmp_path, url_of(request, tmp_path, "mysql+mysqlconnector"), "generic")
    zoo.target()
    refused = zoo.gate("run", code=1)
    assert "by the driver mysqlconnector" in " ".join(refused.text.split())
    assert zoo.tables == set()
