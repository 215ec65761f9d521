"""kill -9 on MariaDB, which commits at each DDL statement: what `status` names brings every point to the same end."""

import re
import subprocess
import sys
from uuid import uuid4

import pytest
from kill_support import OTHER_CLIENT, Shop, new_shop
from sqlalchemy import create_engine

EVENTS, STATEMENTS, COMMITS = 27, 15, 4
"""Of an undisturbed migration: what the parent hears of, what the child sends, what it commits by COMMIT."""

QUICK = {
    "child:after:1",
    "both:before:10",
    "child:execute:2",
    "both:execute:10",
    "parent:after:16",
    "both:commit:3",
    "parent:after:23",
}


def every_point() -> list:
    found = [
        f"{who}:{n}" for who in ("child:after", "parent:after", "both:before") for n in range(1, EVENTS + 1)
    ]
    for who in ("child", "both"):
        found += [f"{who}:execute:{number}" for number in range(1, STATEMENTS + 1)]
        found += [f"{who}:commit:{number}" for number in range(1, COMMITS + 1)]
    return [pytest.param(p, marks=() if p in QUICK else pytest.mark.long) for p in found]


@pytest.fixture
def shop(tmp_path, mysql_url) -> Shop:
    return new_shop(tmp_path, mysql_url)


@pytest.fixture(scope="session")
def undisturbed(mariadb_server, tmp_path_factory) -> dict:
    """What plain Alembic makes of it."""
    import pymysql

    name = f"plain_{uuid4().hex[:8]}"
    admin = mariadb_server.admin_url
    with pymysql.connect(
        host=admin.host, port=admin.port, user=admin.username, password=admin.password
    ) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    shop = new_shop(tmp_path_factory.mktemp("plain"), mariadb_server.url(name))
    exec(OTHER_CLIENT.format(url=shop.url), {})
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=shop.folder, env=shop.environment(), check=True, capture_output=True,
    )  # fmt: skip
    return shop.everything_in_it()


def next_command(shop: Shop) -> list[str]:
    """What `status` says to do; [] for nothing."""
    status = shop.here("status")
    found = re.search(r"^next\s+ci-migrate ([^(\n]*)", status.text, re.MULTILINE)
    assert found or "nothing to do" in status.text, status.text
    return found[1].split() if found else []


def test_M1_the_points_are_all_there_are(shop, undisturbed) -> None:
    seen, inner = shop.folder / "seen", shop.folder / "inner"
    done = shop.gate("run", write=True, env={"FAULT_EVENTS": str(seen), "FAULT_COUNTS": str(inner)})
    assert done.code == 0, done.text
    assert shop.everything_in_it() == undisturbed
    events = len(seen.read_text().splitlines())
    assert f"{events} {inner.read_text()}" == f"{EVENTS} {STATEMENTS} {COMMITS}", seen.read_text()


@pytest.mark.parametrize("point", every_point())
def test_M1_L3_kill(point: str, shop, undisturbed, record_property) -> None:
    """Only what `status` names is typed; the end is that of a run without a kill, with what others wrote meanwhile."""
    inner = point.split(":")[1] in ("execute", "commit")
    done = shop.gate("run", write=True, **({"in_child": point} if inner else {"fault": point}))
    assert shop.struck, "there is no such point"
    typed = []
    while command := next_command(shop):
        assert len(typed) < 4, typed
        typed.append([c for c in command if c not in ("--target", "dev")])
        answer = shop.here(*command)
        assert answer.code == 0, f"{typed}\n{done.text}\n{answer.text}"
    record_property(
        "kill",
        ("mariadb", point.split(":", maxsplit=1)[0], ", ".join(" ".join(command) for command in typed)),
    )
    assert shop.everything_in_it() == undisturbed


def test_L9_a_lock_that_goes_is_outlived(tmp_path, mysql_url) -> None:
    """ALTER TABLE waits for whoever reads the table in an open transaction; it gives up in time and tries again."""
    shop = new_shop(tmp_path, mysql_url, settings="lock-timeout = 1\nlock-tries = 20")
    engine = create_engine(shop.url)
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM customers")
        running = shop.start("run")
        lines: list[str] = []
        while "lock timeout in r1 (try 1 of 20)" not in "".join(lines):
            line = running.stdout.readline()
            assert line, f"{lines} {running.stderr.read()}"
            lines.append(line)
    engine.dispose()
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert shop.heads_now() == ["r3"]
