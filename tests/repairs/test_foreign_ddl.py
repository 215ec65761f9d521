"""Somebody else's DDL while the gate migrates: told from what is ours, and accepted by a person, by name."""

import re

import pytest
from alembic_project import Done
from kill_support import Shop, new_shop, only_for_real

PLUGIN = """
from sqlalchemy import create_engine
from ci_migrate import hookimpl

@hookimpl
def ci_migrate_after_stage(result):
    if result.stage == {stage!r}:
        engine = create_engine({url!r})
        with engine.begin() as connection:
            for sql in {statements!r}:
                connection.exec_driver_sql(sql)
        engine.dispose()
"""
OURS = """
op.create_table("invoices", sa.Column("id", sa.Integer, primary_key=True))
op.create_index("ix_points", "customers", ["points"])
"""
PARTED = {
    "sqlite": ("CREATE TABLE events_2026_11 (at INTEGER)", "CREATE TABLE events_2026_12 (at INTEGER)"),
    "postgresql": (
        "CREATE TABLE events (at integer PRIMARY KEY) PARTITION BY RANGE (at)",
        "CREATE TABLE events_2026_12 PARTITION OF events FOR VALUES FROM (1) TO (100)",
    ),
    "mariadb": (
        "CREATE TABLE events (at integer PRIMARY KEY) PARTITION BY RANGE (at) (PARTITION p1 VALUES LESS THAN (1))",
        "ALTER TABLE events ADD PARTITION (PARTITION events_2026_12 VALUES LESS THAN (100))",
    ),
}
PARTED["mysql"] = PARTED["mariadb"]
"""By engine: what makes a table that is parted by time, and what makes its next part."""


@pytest.fixture(
    params=["sqlite", *(pytest.param(e, marks=pytest.mark.long) for e in PARTED if e != "sqlite")]
)
def engine(request) -> str:
    return str(request.param)


@pytest.fixture
def shop(request, tmp_path, engine) -> Shop:
    fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}.get(engine)
    shop = new_shop(tmp_path, request.getfixturevalue(fixture) if fixture else None)
    settings = (tmp_path / "ci-migrate.toml").read_text()
    shop.settings(f'plugins = ["somebody.py"]\n{settings}')
    somebody_else(shop)
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    shop.revision("r1", "r0", OURS, "pass")
    shop.query(PARTED[engine][0])
    return shop


def somebody_else(shop: Shop, *statements: str, stage: str = "migrate") -> None:
    """Runs these after a stage of ours; none: nobody does any more."""
    shop.write("somebody.py", PLUGIN.format(stage=stage, url=shop.url, statements=statements))


def words(done: Done) -> str:
    return " ".join(done.text.split())


def test_F104_a_partition_that_somebody_else_made_is_named_and_accepted(shop, engine) -> None:
    somebody_else(shop, PARTED[engine][1])
    done = shop.here("run")
    somebody_else(shop)
    assert done.code == 7, done.text
    assert "migration is complete, as rehearsed; somebody else changed the schema meanwhile" in words(done)
    assert "events_2026_12" in words(done)
    assert done.stage("verify")["diagnosis"]["foreign"]
    accept = "ci-migrate repair --accept-foreign --target dev"
    assert accept in done.text

    for command in (
        "run",
        "stamp r1 --reason why",
        "repair --forward",
        "repair",
    ):  # all name the same way out
        refused = shop.here(*command.split())
        assert refused.code == 7, refused.text
        assert accept in refused.text
        assert "events_2026_12" in words(refused)
    looked = shop.here("verify")
    assert looked.code == 1
    assert "events_2026_12" in looked.text
    assert "ci-migrate repair --dry-run --target dev" in looked.text
    shown = shop.here("repair", "--dry-run")
    assert accept in shown.text
    status = shop.here("status")
    assert status.code == 7
    assert accept in status.text

    accepted = shop.here(*accept.split()[1:])
    assert accepted.code == 0, accepted.text
    assert "accepted as somebody else's" in words(accepted)
    assert "events_2026_12" in words(accepted)
    trail = shop.here("audit", "show").text
    assert "foreign changes accepted" in trail
    assert "events_2026_12" in trail
    for command in ("status", "verify", "run", "repair"):
        calm = shop.here(command)
        assert calm.code == 0, calm.text
        assert "events_2026_12" not in calm.text


def test_F104_what_somebody_else_took_back_needs_no_acceptance(shop, engine) -> None:
    somebody_else(shop, "CREATE TABLE scratch_pad (a integer)")
    assert shop.here("run").code == 7
    somebody_else(shop)
    shop.query("DROP TABLE scratch_pad")
    done = shop.here("repair")
    assert done.code == 0, done.text
    assert shop.here("verify").code == 0


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DROP TABLE invoices", "invoices.id added in the dry run, but not here"),
        ("ALTER TABLE customers RENAME COLUMN name TO title", "column customers.name"),
    ],
)
def test_F104_what_changes_or_drops_our_own_is_not_accepted(shop, engine, sql, told) -> None:
    """What was rehearsed, and what stands in the tables that the migration changes: words, and no acceptance."""
    somebody_else(shop, "CREATE TABLE scratch_pad (a integer)", sql)
    done = shop.here("run")
    somebody_else(shop)
    assert done.code == 7, done.text
    told = told if engine != "postgresql" else told.replace("invoices", "public.invoices").replace(
        "customers", "public.customers")  # fmt: skip
    assert told in words(done)
    assert "--accept-foreign" not in done.text
    refused = shop.here("repair", "--accept-foreign")
    assert refused.code == 7, refused.text
    assert told in words(refused)
    assert "foreign changes accepted" not in shop.here("audit", "show").text
    if "invoices" in sql:  # put back by hand, but for what nobody minds
        shop.query(f"CREATE TABLE invoices (id {ID[engine]}, PRIMARY KEY (id))")
        accepted = shop.here("repair", "--accept-foreign")
        assert accepted.code == 0, accepted.text
        assert "scratch_pad" in words(accepted)
    else:  # one of the ways that it names: the backup, and the run is closed
        restore = next(line.strip() for line in refused.text.splitlines() if "backup restore" in line)
        assert shop.here(*restore.split()[1:], "--yes").code == 0
        shop.here("repair")
        assert shop.here("status").code == 0


ID = {
    "sqlite": "INTEGER NOT NULL",
    "postgresql": "SERIAL NOT NULL",
    "mariadb": "INTEGER NOT NULL AUTO_INCREMENT",
    "mysql": "INTEGER NOT NULL AUTO_INCREMENT",
}


def test_F104_a_run_that_failed_beside_it_is_led_back_after_the_acceptance(shop, engine) -> None:
    """Ours failed, theirs stays: the ground that is gone back to has it."""
    shop.revision("r1", "r0", OURS + only_for_real('raise ValueError("boom")'))
    somebody_else(shop, PARTED[engine][1])
    done = shop.here("run")
    somebody_else(shop)
    assert done.code == 7, done.text
    assert "somebody else changed the schema" in words(done)
    assert "events_2026_12" in words(done)
    accepted = shop.here("repair", "--accept-foreign")
    assert accepted.code == 0, accepted.text
    assert "accepted as somebody else's" in words(accepted).lower()
    assert shop.here("status").code == 0
    assert not shop.query("SELECT 1 FROM customers WHERE 1 = 0")
    assert "events_2026_12" in str(shop.query(PARTS[engine]))


PARTS = {
    "sqlite": "SELECT name FROM sqlite_master",
    "postgresql": "SELECT relname FROM pg_class WHERE relname LIKE 'events%'",
    "mariadb": "SELECT partition_name FROM information_schema.partitions WHERE table_name = 'events'",
    "mysql": "SELECT partition_name FROM information_schema.partitions WHERE table_name = 'events'",
}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_F104_production_takes_an_approval_of_this_very_list(shop, engine) -> None:
    somebody_else(shop, PARTED[engine][1])
    assert shop.here("run").code == 7
    somebody_else(shop)
    shop.settings((shop.folder / "ci-migrate.toml").read_text() + 'tags = ["production"]\n')
    refused = shop.here("repair", "--accept-foreign")
    assert refused.code == 4, refused.text
    run = re.findall(r"--repair (\S+) --accept-foreign --reason", words(refused))[0]
    back = shop.here("token", "generate", "--repair", run, "--reason", "why", "--quiet").out.strip()
    shop.environ["CI_MIGRATE_TOKEN"] = back  # of a repair that leads back
    assert shop.here("repair", "--accept-foreign").code == 4
    made = shop.here("token", "generate", "--repair", run, "--accept-foreign", "--reason", "why", "--quiet")
    shop.environ["CI_MIGRATE_TOKEN"] = made.out.strip()
    shop.query("CREATE TABLE came_later (a INTEGER)")
    assert shop.here("repair", "--accept-foreign").code == 4
    shop.query("DROP TABLE came_later")
    assert shop.here("repair", "--accept-foreign").code == 0
    nothing = shop.here("token", "generate", "--repair", run, "--accept-foreign", "--reason", "why")
    assert nothing.code == 2, nothing.text
