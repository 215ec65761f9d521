"""The example bookshop with plain Alembic: a history that is worth a demonstration has to work without us."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

BOOKSHOP = Path(__file__).parents[2] / "examples" / "bookshop"
REVISIONS = [f"{number:04}" for number in range(1, 9)]


class Shop:
    """A copy of the example and its database."""

    def __init__(self, folder, url):
        self.folder = folder
        self.url = url
        self.environ = {**os.environ, "BOOKSHOP_DATABASE_URL": url}

    def run(self, *argv):
        argv = (sys.executable, *argv)
        return subprocess.run(
            argv, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )

    def alembic(self, *argv):
        done = self.run("-m", "alembic", *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def snapshot(self):
        """Rows by column's name, and the schema as SQLAlchemy sees it, without the order of columns."""
        engine = sa.create_engine(self.url)
        metadata = sa.MetaData()
        metadata.reflect(engine)
        seen = sa.inspect(engine)
        found = {}
        with engine.connect() as connection:
            for name, table in metadata.tables.items():
                if name == "alembic_version":
                    continue
                columns = sorted(table.columns, key=lambda column: column.name)
                found[name] = {
                    "rows": sorted(map(repr, connection.execute(sa.select(*columns)))),
                    "columns": [
                        (
                            c.name,
                            str(c.type),
                            c.nullable,
                            repr(c.server_default and c.server_default.arg.text),
                        )
                        for c in columns
                    ],
                    "indexes": sorted(map(repr, seen.get_indexes(name))),
                    "unique": sorted(map(repr, seen.get_unique_constraints(name))),
                    "checks": sorted(map(repr, seen.get_check_constraints(name))),
                    "foreign keys": sorted(map(repr, seen.get_foreign_keys(name))),
                }
        engine.dispose()
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    folder = tmp_path / "bookshop"
    shutil.copytree(BOOKSHOP, folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__", "backups"))
    if request.param == "sqlite":
        return Shop(folder, f"sqlite:///{folder}/bookshop.db")
    return Shop(folder, request.getfixturevalue("postgresql_url").render_as_string(hide_password=False))


def seeded(shop):
    shop.alembic("upgrade", "0002")
    done = shop.run("seed.py")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 10_000
    return shop


@pytest.mark.parametrize(
    "steps",
    [["0008"], pytest.param(REVISIONS[2:], marks=pytest.mark.long)],
    ids=["all at once", "one by one"],
)
def test_downgrades_lead_back_with_all_rows(shop, steps):
    seeded(shop)
    seen = {"0002": shop.snapshot()}
    for revision in steps:
        shop.alembic("upgrade", revision)
        seen[revision] = shop.snapshot()
        assert seen[revision] != list(seen.values())[-2]
    assert len(seen["0008"]["customers"]["rows"]) == 1500
    assert any("'O\\'Neill'" in row or '"O\'Neill"' in row for row in seen["0008"]["customers"]["rows"])
    assert shop.alembic("check") == "No new upgrade operations detected.\n"
    for revision in reversed(["0002", *steps[:-1]]):
        shop.alembic("downgrade", revision)
        assert shop.snapshot() == seen[revision], revision
    shop.alembic("downgrade", "base")
    assert shop.snapshot() == {}
    shop.alembic("upgrade", "0004")  # nothing was left behind: no type, no table


def test_the_service_runs_on_the_head(shop):
    seeded(shop).alembic("upgrade", "head")
    done = shop.run("-m", "bookshop")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 10
    code = (
        "import os\nfrom sqlalchemy import create_engine\nfrom sqlalchemy.orm import Session\n"
        "from bookshop.models import Customer, Order\nfrom bookshop.shop import OutOfStockError, place_order\n"
        "with Session(create_engine(os.environ['BOOKSHOP_DATABASE_URL'])) as session:\n"
        "    customer = session.get_one(Customer, 1)\n"
        "    order = place_order(session, customer, {3: 1})\n"
        "    session.commit()\n"
        "    print(order.id, order.status, len(order.lines))\n"
        "    try:\n        place_order(session, customer, {3: 1000})\n"
        "    except OutOfStockError as error:\n        print(error)\n"
    )
    done = shop.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "3001 placed 1"
    assert "1000 wanted" in done.stdout


def test_the_seed_refuses_where_it_does_not_fit(shop):
    done = shop.run("seed.py")
    assert done.returncode == 1
    assert "alembic upgrade 0002" in done.stderr
    assert "rows already" in seeded(shop).run("seed.py").stderr


def test_the_revision_that_fails_does_so_with_rows_only(shop):
    assert shop.alembic("-c", "alembic-fails.ini", "heads").split()[0] == "0009a"
    shop.alembic("-c", "alembic-fails.ini", "upgrade", "head")
    shop.alembic("-c", "alembic-fails.ini", "downgrade", "base")
    seeded(shop).alembic("upgrade", "head")
    done = shop.run("-m", "alembic", "-c", "alembic-fails.ini", "upgrade", "head")
    assert done.returncode == 1
    assert "uq_gift_cards_code" in done.stderr or "gift_cards.code" in done.stderr
    left_behind = "gift_cards" in shop.snapshot()
    assert left_behind is shop.url.startswith("sqlite")  # what plain Alembic leaves there


def test_the_revision_that_loses_data_does_so(shop):
    assert shop.alembic("-c", "alembic-loses.ini", "heads").split()[0] == "0009b"
    seeded(shop).alembic("upgrade", "head")
    before = shop.snapshot()
    shop.alembic("-c", "alembic-loses.ini", "upgrade", "head")
    shop.alembic("-c", "alembic-loses.ini", "downgrade", "0008")
    after = shop.snapshot()
    assert before["customers"]["columns"] == after["customers"]["columns"]
    assert before["customers"]["rows"] != after["customers"]["rows"]
    assert {name for name in before if before[name] != after[name]} == {"customers"}
