"""What is said of the target after a failure: compared, or not said; and what can be typed leads on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from kill_support import R1, R1_BACK, R2, R2_BACK, Shop, new_shop, only_for_real
from pasted import commands_to_paste
from sqlalchemy import make_url

BOOM = "\n" + only_for_real('raise ValueError("boom")')
PAST = {
    "sqlite": """
import os, sqlite3
other = sqlite3.connect(sa.engine.make_url(os.environ["DATABASE_URL"]).database, isolation_level=None)
other.execute("UPDATE customers SET points = points * 2")
other.close()
""",
    "postgresql": """
import os, psycopg
url = sa.engine.make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql")
with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as other:
    other.execute("UPDATE customers SET points = points * 2")
""",
    "mariadb": """
import os, pymysql
url = sa.engine.make_url(os.environ["DATABASE_URL"])
other = pymysql.connect(
    host=url.host, port=url.port, user=url.username, password=url.password or "", database=url.database,
    autocommit=True,
)
other.cursor().execute("UPDATE customers SET points = points * 2")
other.close()
""",
}
"""Ways past Alembic's transaction: they are committed whatever becomes of the revision."""

FIXTURES = {"sqlite": None, "postgresql": "postgresql_url", "mariadb": "mysql_url"}


@pytest.fixture(params=list(FIXTURES))
def engine(request) -> str:
    return str(request.param)


@pytest.fixture
def make_shop(engine, request, tmp_path) -> Callable[..., Shop]:
    def make(mode: str = "default", settings: str = "") -> Shop:
        fixture = FIXTURES[engine]
        url = request.getfixturevalue(fixture) if fixture else None
        return new_shop(tmp_path, url, mode=mode, settings=settings)

    return make


def alone(shop: Shop, body: str) -> Shop:
    """The shop with one pending revision, which has no downgrade."""
    for name in ("r2", "r3"):
        (shop.folder / "migrations" / "versions" / f"{name}.py").unlink()
    shop.revision("r1", "r0", body, "pass")
    return shop


def words(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def test_F40_what_a_revision_wrote_past_its_transaction_is_not_called_as_before(make_shop, engine) -> None:
    shop = alone(make_shop(), PAST[engine] + BOOM)
    points = shop.query("SELECT sum(points) FROM customers")[0][0]
    done = shop.here("run")
    assert shop.query("SELECT sum(points) FROM customers")[0][0] == 2 * points, (
        "else there is nothing to find"
    )
    assert done.code == 7, done.text
    assert "the rows of" in words(done.text)
    assert "are those that the migration leads to" in words(done.text)
    assert "The database is as it was before" not in words(done.text)
    assert not any(" run " in command for command in commands_of(done.text)), "it would double them once more"
    assert commands_of(done.text)[0].startswith("ci-migrate backup restore ")
    assert shop.here("repair", "--forward").code == 7
    assert shop.query("SELECT sum(points) FROM customers")[0][0] == 2 * points


def test_F40_rows_that_somebody_else_wrote_are_told(make_shop) -> None:
    shop = alone(make_shop(), 'op.execute("UPDATE customers SET points = points * 2")' + BOOM)
    # the other one writes after the backup
    done = shop.gate("run", write=True)
    if not shop.query("SELECT name FROM customers WHERE id = 1000"):
        pytest.skip("nobody got in")
    assert done.code == 6, done.text
    assert "other rows than before in" in words(done.text)
    assert "compared and equal" in words(done.text)
    assert "somebody has looked at the rows that differ" in words(done.text)


def test_F45_rows_that_were_compared_are_named(make_shop) -> None:
    shop = alone(make_shop(), 'op.execute("UPDATE customers SET points = points * 2")' + BOOM)
    done = shop.here("run")
    assert done.code == 6, done.text
    last = (
        "The database is as it was before, at r0: heads, schema and the rows of 1 table compared and equal."
    )
    assert last in words(done.text)
    assert "ci-migrate run --target dev" in done.text


def test_F45_without_a_dry_run_nothing_is_said_of_it(make_shop) -> None:
    shop = make_shop()
    done = shop.here("migrate")
    assert done.code == 0, done.text
    assert "as the rehearsed one" not in words(done.text)
    assert "schema: there was no dry run to compare with" in words(done.text)


def commands_of(text: str) -> list[str]:
    """The commands under `Next`, or behind `next` in `status`: what a shell would not take for a comment."""
    text = text[max(text.rfind("\nNext\n"), text.rfind("\nnext "), 0) :]
    lines = [line.strip().removeprefix("next").strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith(("ci-migrate ", "CI_MIGRATE_"))]


def test_F45_F101_run_repair_and_status_name_the_same_and_a_shell_can_read_it(make_shop, engine) -> None:
    shop = make_shop("autocommit")
    shop.revision("r1", "r0", R1, R1_BACK)
    block = "\nwith op.get_context().autocommit_block():\n    op.execute('UPDATE customers SET points = points + 1')\n"
    shop.revision("r2", "r1", R2 + block + BOOM, R2_BACK)
    done = shop.here("run")
    assert done.code == 7, done.text
    named = commands_of(done.text)
    assert named, done.text
    assert commands_of(shop.here("status").text) == named
    shown = shop.here("repair", "--dry-run")
    assert commands_of(shown.text) == named
    assert "is not known" not in words(shown.text), "it is: the half of a revision"
    assert "OK." not in shown.text
    assert any(commands_of(shop.here("run").text)), "a run that is refused for it says what to do"
    assert commands_to_paste(done.out) == commands_to_paste(shown.out) == named


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_F45_who_is_interrupted_says_what_is_there(make_shop, engine, number) -> None:
    wait = "\n" + only_for_real("import pathlib; pathlib.Path('reached').touch(); time.sleep(2)")
    shop = alone(make_shop(), R1 + 'op.execute("UPDATE customers SET points = 1")' + wait + R2)
    before = shop.everything_in_it()
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_migrate", "-C", str(shop.folder), "run"],
        env=shop.environment(), cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (shop.folder / "reached").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, text
    found = shop.here("status")
    if make_url(shop.url).get_backend_name() == "mysql":  # each DDL is committed
        assert found.code == 7
        assert commands_of(found.text) == commands_of(text)
        return
    assert "The database is as it was before, at r0: heads and schema compared and equal" in words(text)
    assert found.code == 0, found.text
    assert shop.everything_in_it() == before


def test_F101_a_run_that_is_still_at_work_is_not_called_unfinished(make_shop) -> None:
    wait = "\n" + only_for_real(
        "import pathlib; pathlib.Path('reached').touch()\n"
        "while not pathlib.Path('looked').exists(): time.sleep(0.02)"
    )
    shop = alone(make_shop(), R1 + wait)
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_migrate", "-C", str(shop.folder), "run"],
        env=shop.environment(), cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (shop.folder / "reached").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    try:
        found = shop.here("status")
    finally:
        (shop.folder / "looked").touch()
    text, _ = process.communicate(timeout=60)
    assert "RUNNING" in found.text, found.text
    assert "UNFINISHED" not in found.text
    assert found.code == 5, "no trouble that a person must look at"
    assert commands_of(found.text) == ["ci-migrate status --target dev"], "once that one has ended"
    assert process.returncode == 0, text
