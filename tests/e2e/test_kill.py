"""kill -9 of the child, of the parent and of both, at every statement and commit of a three-revision upgrade.

After each: `status` and the next run say what is found, `repair` proves a state, the run after it reaches the head, and
schema and rows are those of plain Alembic undisturbed, with what another client wrote meanwhile.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
from kill_support import OTHER_CLIENT, R1, R1_BACK, Shop, new_shop


@dataclass(frozen=True)
class Way:
    """How the upgrade runs; how many events, statements and commits the migration then has."""

    name: str
    engine: str
    mode: str
    events: int
    statements: int
    commits: int
    quick: int  # every so-manieth point is part of the quick tests


WAYS = (
    Way("sqlite", "sqlite", "default", 24, 17, 3, 17),
    Way("sqlite autocommit", "sqlite", "autocommit", 30, 19, 5, 41),
    Way("postgresql", "postgresql", "default", 17, 14, 1, 23),
    Way("postgresql per-migration", "postgresql", "per-migration", 21, 14, 3, 29),
    Way("postgresql autocommit", "postgresql", "autocommit", 26, 15, 5, 31),
)


@dataclass(frozen=True)
class Point:
    """Where a kill strikes: at an event that the parent hears of, or in the child, before anybody hears of it."""

    way: Way
    fault: str

    @property
    def who(self) -> str:
        return self.fault.split(":")[0]

    @property
    def in_child(self) -> bool:
        return self.fault.split(":")[1] in ("execute", "commit")


def points(way: Way) -> list[Point]:
    """All of them."""
    moments = ("child:after", "parent:after", "both:before", "both:after")
    found = [f"{moment}:{number}" for moment in moments for number in range(1, way.events + 1)]
    for who in ("child", "both"):
        found += [f"{who}:execute:{number}" for number in range(1, way.statements + 1)]
        found += [f"{who}:commit:{number}" for number in range(1, way.commits + 1)]
    return [Point(way, fault) for fault in found]


def every_point() -> list:
    chosen = []
    for way in WAYS:
        for number, point in enumerate(points(way)):
            marks = () if number % way.quick == 7 else pytest.mark.long
            chosen.append(pytest.param(point, id=f"{way.name}:{point.fault}".replace(" ", "-"), marks=marks))
    return chosen


@pytest.fixture
def make_shop(request, tmp_path) -> Callable[[Way], Shop]:
    """A fresh shop. In the way with a block nobody else writes, so that a restore may repair."""

    def make(way: Way) -> Shop:
        url = request.getfixturevalue("postgresql_url") if way.engine == "postgresql" else None
        folder = tmp_path / uuid4().hex[:6]
        folder.mkdir()
        settings = 'restore = "auto"' if way.mode == "autocommit" else ""
        return new_shop(folder, url, mode=way.mode, settings=settings)

    return make


UNDISTURBED: dict[str, dict] = {}


@pytest.fixture
def undisturbed(request, tmp_path_factory) -> Callable[[Way], dict]:
    """What plain Alembic makes of it, asked once per way and process."""

    def ask(way: Way) -> dict:
        if way.name not in UNDISTURBED:
            url = None
            if way.engine == "postgresql":
                import psycopg

                server, name = request.getfixturevalue("postgresql_server"), f"plain_{uuid4().hex[:8]}"
                admin = server.admin_url.render_as_string(hide_password=False)
                with psycopg.connect(admin, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}")
                url = server.url(name)
            shop = new_shop(tmp_path_factory.mktemp("plain"), url, mode=way.mode)
            if way.mode != "autocommit":
                exec(OTHER_CLIENT.format(url=shop.url), {})
            subprocess.run(
                [sys.executable, "-m", "alembic", "upgrade", "head"],
                cwd=shop.folder, env=shop.environment(), check=True, capture_output=True,
            )  # fmt: skip
            UNDISTURBED[way.name] = shop.everything_in_it()
        return UNDISTURBED[way.name]

    return ask


@pytest.mark.parametrize("way", [pytest.param(way, id=way.name.replace(" ", "-")) for way in WAYS])
def test_M1_the_points_are_all_there_are(way, make_shop, undisturbed) -> None:
    """Without a kill the run ends well, as plain Alembic does; the numbers above are those of what happens."""
    shop = make_shop(way)
    seen, inner = shop.folder / "seen", shop.folder / "inner"
    done = shop.gate(
        "run", write=way.mode != "autocommit", env={"FAULT_EVENTS": str(seen), "FAULT_COUNTS": str(inner)}
    )
    assert done.code == 0, done.text
    assert shop.everything_in_it() == undisturbed(way)
    events = len(seen.read_text().splitlines())
    assert f"{events} {inner.read_text()}" == f"{way.events} {way.statements} {way.commits}", seen.read_text()


@pytest.mark.parametrize("point", every_point())
def test_M1_L3_kill(point: Point, make_shop, undisturbed, record_property) -> None:
    shop = make_shop(point.way)
    where = {"in_child": point.fault} if point.in_child else {"fault": point.fault}
    done = shop.gate("run", write=point.way.mode != "autocommit", **where)
    assert shop.struck, "there is no such point"
    if point.who == "child":
        found = (done.stage("repair")["diagnosis"] or {"found": "it had ended"})["found"]
        record_property("kill", (point.way.name, point.who, found))
        if point.fault.endswith(f":{point.way.events}"):  # its last word was "finished"
            assert done.code == 0, done.text
        else:
            assert done.code in (6, 7), done.text
            assert done.stage("repair")["outcome"] == "passed", done.text
    else:
        found = _refused(shop)
        record_property("kill", (point.way.name, point.who, found))
        repaired = shop.here("repair")
        assert repaired.code == 0, repaired.text
        assert re.search("as it was before|exactly as in the dry run|as rehearsed", repaired.text), (
            repaired.text
        )
    assert "UNFINISHED" not in shop.here("status").text
    again = shop.here("run")
    assert again.code == 0, again.text
    assert shop.everything_in_it() == undisturbed(point.way)


def _refused(shop: Shop) -> str:
    """The next commands say what is found and change nothing; returns what."""
    status = shop.here("status")  # the first who looks, at a hot journal too
    before = shop.everything_in_it()
    refused = shop.here("run")
    shown = shop.here("repair", "--dry-run")
    assert shown.code == 0, shown.text
    assert status.code == 7, status.text
    assert refused.code == 7, refused.text
    assert "did not end" in refused.text
    assert "ci-migrate repair" in refused.text
    found = re.search(r"UNFINISHED +\S+: ([\w ]+):", status.text)
    assert found, status.text
    assert shop.everything_in_it() == before
    return found[1]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_M1_a_transaction_larger_than_the_cache_leaves_a_hot_journal(journal, tmp_path) -> None:
    """SQLite had already written into the file: who reads next rolls back, and `status` is the first who reads."""
    shop = new_shop(tmp_path)
    shop.query(f"PRAGMA journal_mode={journal}")
    shop.query("CREATE TABLE big (id INTEGER PRIMARY KEY, content TEXT)")
    shop.query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
        "INSERT INTO big SELECT i, printf('%0500d', i) FROM n"
    )
    shop.revision("r1", "r0", "op.execute(\"UPDATE big SET content = content || 'x'\")\n" + R1, R1_BACK)
    before, file = shop.everything_in_it(), shop.database.read_bytes()
    assert shop.gate("run", in_child="both:execute:3").code == -9
    left = shop.database.with_name("app.db-journal" if journal == "delete" else "app.db-wal")
    assert left.stat().st_size > 1_000_000
    assert (shop.database.read_bytes() != file) == (journal == "delete")
    assert _refused(shop) == "rolled back"
    assert shop.here("repair").code == 0
    assert shop.everything_in_it() == before
    assert shop.query("PRAGMA integrity_check") == [("ok",)]
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]
