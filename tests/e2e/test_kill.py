"""kill -9 of the child, of the parent and of both, at every statement and commit of a three-revision upgrade.

After each only what `status` names is typed; the end is that of an undisturbed run, in schema and in every row, what
another client wrote after the backup included. `docs/evidence/kills.md` shows every point, `kill_matrix.py` how it is done.
"""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kill_matrix import WAYS, Forking, Point, Prepared, Way
from kill_support import R1, R1_BACK, new_shop
from sqlalchemy import create_engine

QUICK = 6
"""Points per way in the quick part, evenly spread over all of them."""
PARTS = [
    pytest.param(way, share, shares, id=f"{way.name}-{word}-{share + 1}".replace(", ", "-"), marks=mark)
    for shares, word in ((1, "quick"), (3, "all"))
    for way in WAYS
    if shares > 1 or way.quick
    for share in range(shares)
    for mark in [pytest.mark.long if shares > 1 else pytest.mark.slow if way.engine == "mysql" else ()]
]


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    forking = Forking()
    yield forking
    forking.close()


@pytest.fixture(scope="module")
def prepare(request, forking, tmp_path_factory):
    """A way, prepared once per process."""
    prepared: dict[str, Prepared] = {}

    def url(way: Way):
        name = f"kill_{uuid4().hex[:8]}"
        if way.engine == "postgresql":
            import psycopg

            server = request.getfixturevalue("postgresql_server")
            admin = server.admin_url.render_as_string(hide_password=False)
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return server.url(name).set(drivername="postgresql+psycopg")
        if way.engine in ("mariadb", "mysql"):
            server = request.getfixturevalue(f"{way.engine}_server")
            engine = create_engine(server.admin_url)
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            engine.dispose()
            return server.url(name)
        return None

    def prepare_(way: Way) -> Prepared:
        if way.name not in prepared:
            folder = tmp_path_factory.mktemp("kills") / "shop"
            prepared[way.name] = Prepared(way, folder, url(way), forking)
        return prepared[way.name]

    yield prepare_
    for each in prepared.values():
        each.copies.drop()


def cannot_be_told(way: Way, point: Point) -> bool:
    """Whether what was in flight changes rows alone and commits by itself, or comes next: the child may have asked.

    That is the UPDATE in the block, and the commit before it, which has rows alone too. No catalog shows whether it was
    done, and since somebody else wrote, the rows do not show it either.
    """
    if not way.block:
        return False
    commit = point.text.startswith("commit UPDATE customers SET email")
    return (
        commit
        or "UPDATE customers SET points" in point.text
        or point.text in ("Committing r2", "Committed r2")
    )


@pytest.mark.parametrize(("way", "share", "shares"), PARTS)
def test_M1_L3_kill(way, share, shares, prepare, record_property) -> None:
    """Every point is recovered, or exit 7 where nobody can tell; in the quick part a few points per way."""
    prepared, everything = prepare(way), shares > 1
    points, plain = prepared.all_points, prepared.plain()
    if not everything:
        points, plain = points[:: len(points) // QUICK], plain[:: len(plain) // QUICK + 1]
        assert len(points) >= QUICK
    lost = []
    for point in points[share::shares]:
        outcome = prepared.kill(point, always_again=everything)
        record_property("kill", (way.name, point.who, outcome.found, outcome.recovered, outcome.dirty))
        if not outcome.recovered and not (outcome.dirty and cannot_be_told(way, point)):
            lost.append(f"{point.fault} ({point.text}): {outcome.typed}\n{outcome.output}")
    for point in plain[share::shares]:
        record_property("plain kill", (way.name, prepared.kill_plain(point)))
    assert not lost, "\n".join(lost)


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
    refused = shop.here("run")  # the first who looks
    assert refused.code == 7, refused.text
    assert "UNFINISHED" in shop.here("status").text
    assert shop.here("repair").code == 0
    assert shop.everything_in_it() == before
    assert shop.query("PRAGMA integrity_check") == [("ok",)]
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_L9_a_lock_that_goes_is_outlived(tmp_path, mysql_url) -> None:
    """ALTER TABLE waits for whoever reads the table in an open transaction; it gives up in time and tries again."""
    shop = new_shop(tmp_path, mysql_url, settings="lock-timeout = 1\nlock-tries = 20")
    engine = create_engine(shop.url)
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM customers")
        running = shop.start("run")
        lines: list[str] = []
        while "lock timeout in r1, statement 1 (try 1 of 20), nothing done" not in "".join(lines):
            line = running.stdout.readline()
            assert line, f"{lines} {running.stderr.read()}"
            lines.append(line)
    engine.dispose()
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert shop.heads_now() == ["r3"]
