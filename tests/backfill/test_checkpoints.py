"""What a later revision may demand, and what a downgrade must say."""

import types

import pytest
import sqlalchemy as sa
from backfill_shop import Shop

from ci_migrate.backfill import BackfillError, backfill, forget_backfill, requires_backfill

COUNT = "UPDATE t SET n = n + 1 WHERE {batch}"


@pytest.fixture
def one(tmp_path):
    shop = Shop(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    shop.fill(30)
    return shop


def demand(shop, **options):
    shop.call(lambda c: requires_backfill(c, "count", **options), autocommit=False)


def test_what_never_ran_is_demanded(shop):
    shop.fill(30)
    with pytest.raises(BackfillError, match="has not run on this database") as refused:
        demand(shop)
    assert "Nothing of the revision was run" in str(refused.value)
    demand(shop, unless="SELECT 1 FROM t WHERE n = 5")  # no row is left to be filled
    with pytest.raises(BackfillError, match="has not run"):
        demand(shop, unless="SELECT 1 FROM t WHERE n = 0")
    shop.call(lambda c: backfill(c, "count", COUNT, table="t"))
    demand(shop)


def test_what_stopped_in_its_middle_is_demanded(one):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.call(lambda c: backfill(c, "count", COUNT, table="t", batch_size=10, on_progress=stop))
    with pytest.raises(BackfillError, match=r"stopped after 10 rows .*ci-migrate repair --forward"):
        demand(one)
    one.call(lambda c: backfill(c, "count", COUNT, table="t"))
    demand(one)
    assert one.counts() == {1: 30}


def test_what_is_forgotten_is_done_again(one):
    one.call(lambda c: forget_backfill(c, "count"))  # there is no table of checkpoints yet
    one.call(lambda c: backfill(c, "count", COUNT, table="t"))
    one.call(lambda c: forget_backfill(c, "count"))
    one.call(lambda c: backfill(c, "count", COUNT, table="t"))
    assert one.counts() == {2: 30}


def revision(downgrade):
    """A module as Alembic loads one."""
    module = types.ModuleType("r2")
    source = f"""
from ci_migrate.backfill import backfill, forget_backfill
revision, down_revision = "r2", "r1"
def upgrade(connection):
    backfill(connection, "count", {COUNT!r}, table="t")
def downgrade():
    {downgrade}
"""
    exec(compile(source, "r2.py", "exec"), module.__dict__)
    return module


def test_a_downgrade_that_does_not_forget_it_is_refused_before_a_row_is_changed(one):
    """The next upgrade would take the rows for filled, and leave the new column empty."""
    with pytest.raises(BackfillError, match=r"downgrade\(\) of revision r2 does not forget it") as refused:
        one.call(revision('op.drop_column("t", "n")').upgrade)
    assert "forget_backfill(op.get_bind(), 'count')" in str(refused.value)
    assert one.counts() == {0: 30}
    for leaves_the_rows in ("pass", "raise NotImplementedError", "'no way back'"):
        one.call(revision(leaves_the_rows).upgrade)
    one.call(revision('forget_backfill(op.get_bind(), "count"); op.drop_column("t", "n")').upgrade)
    assert one.counts() == {1: 30}


def test_offline_it_says_that_it_cannot_be_written_as_sql():
    with pytest.raises(BackfillError, match="alembic upgrade --sql"):
        backfill(None, "count", COUNT, table="t")
    requires_backfill(None, "count")
    forget_backfill(None, "count")


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_name_that_does_not_fit_is_refused(one, name):
    with pytest.raises(BackfillError, match="1 to 200 characters"):
        one.call(lambda c: backfill(c, name, COUNT, table="t"))


def test_a_backfill_on_the_way_back_is_forgotten_on_the_way_forth(one):
    module = types.ModuleType("r2")
    source = f"""
from ci_migrate.backfill import backfill, forget_backfill
revision, down_revision = "r2", "r1"
def upgrade():
    op.drop_column("t", "n")
def fill(connection):
    backfill(connection, "count", {COUNT!r}, table="t")
def downgrade(connection):
    fill(connection)
"""
    exec(compile(source, "r2.py", "exec"), module.__dict__)
    with pytest.raises(
        BackfillError, match=r"upgrade\(\) of revision r2 does not forget it, .* next downgrade"
    ):
        one.call(module.downgrade)
    module.upgrade = revision('forget_backfill(op.get_bind(), "count")').downgrade
    one.call(module.downgrade)
    assert one.counts() == {1: 30}


def test_each_schema_of_a_search_path_has_checkpoints_of_its_own(postgresql_url):
    """That of a tenant is not hidden by the one that is seen in public."""
    shop = Shop(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    shop.fill(5)
    shop.call(lambda c: backfill(c, "count", COUNT, table="t"))
    for tenant in ("one", "Two"):
        shop.run(f'CREATE SCHEMA "{tenant}"', f'CREATE TABLE "{tenant}".t (LIKE t INCLUDING ALL)')
        shop.run(f'INSERT INTO "{tenant}".t SELECT i, 0 FROM generate_series(1, 7) i')

        def run(connection, tenant=tenant):
            connection.execute(sa.text(f'SET search_path TO "{tenant}", public'))
            with pytest.raises(BackfillError, match="has not run"):
                requires_backfill(connection, "count")
            done = backfill(connection, "count", COUNT, table="t")
            requires_backfill(connection, "count")
            forget_backfill(connection, "count")
            return done.rows

        assert shop.call(run) == 7
        assert shop.run(f'SELECT n, count(*) FROM "{tenant}".t GROUP BY n') == [(1, 7)]
    assert shop.counts() == {1: 5}
    assert shop.run("SELECT count(*) FROM ci_migrate_backfills") == [(1,)]
