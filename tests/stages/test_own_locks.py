"""A migration that waits for another session of its own process, and one of many tenants that fails."""

import pytest
from env_zoo import PLAIN, SYNC, new_zoo

SECOND = """
    other = sa.create_engine(op.get_bind().engine.url).connect()
    other.begin()
    other.exec_driver_sql({holds!r})
    op.execute("ALTER TABLE kept ADD COLUMN more INT")
"""


@pytest.mark.parametrize(
    ("server", "holds"),
    [
        ("postgresql_url", "SELECT * FROM kept FOR UPDATE"),
        ("mysql_url", "SELECT * FROM kept FOR UPDATE"),
        ("mysql_url", " LOCK TABLES kept WRITE"),
        ("mysql97_url", " LOCK TABLES kept WRITE"),
    ],
)
def test_F64_both_sessions_are_named(request, tmp_path, server, holds):
    zoo = new_zoo(tmp_path, request.getfixturevalue(server), SYNC + PLAIN)
    zoo.settings("[targets.default]\nlock-timeout = 1\n")
    zoo.prepare("create table kept (id int)", "insert into kept values (1)")
    zoo.revision("r3", "r2", SECOND.format(holds=holds))
    done = zoo.gate("dry-run", code=1)
    told = done.stage("dry-run")["message"]
    assert (
        "waited with: ALTER TABLE kept ADD COLUMN more INT; another session of this process, session " in told
    )
    assert f"its last statement was {holds.strip()}. Send both by op.get_bind()" in told
    assert "once more on a fresh one" not in done.text


TENANTS = """
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    for number in range(6):
        connection.exec_driver_sql(f"set search_path = tenant_{number}")
        connection.commit()
        migrate(connection, version_table_schema=f"tenant_{number}")
        connection.commit()
"""


def test_F64_the_tenant_that_fails_is_named(postgresql_url, tmp_path):
    zoo = new_zoo(tmp_path, postgresql_url, SYNC + TENANTS, history=False)
    zoo.prepare(*(f"create schema tenant_{n}" for n in range(6)), "create table tenant_4.more (id int)")
    zoo.revision("r0", None, "create table users (id int)")
    zoo.gate("run")
    zoo.revision("r1", "r0", "create table more (id int)")
    done = zoo.gate("dry-run", code=1)
    told = " ".join(done.text.split())
    assert "Revision r1 fails on a copy of the data in tenant_4.alembic_version: DuplicateTable" in told
    assert "r0, r0" not in told
    assert "r0 (6 version tables)" in told
