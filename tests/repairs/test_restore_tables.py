"""Half a revision left nothing but rows: its tables come back from the backup, and what others wrote elsewhere stays."""

import pytest
from half_shop import MakeShop, shop_maker
from kill_support import Shop

from ci_migrate.model import (
    CommitPoint,
    Direction,
    Evidence,
    Fingerprint,
    Identity,
    Plan,
    PlannedContext,
    TableContent,
    TableEvidence,
    VersionTable,
    WayBack,
)
from ci_migrate.repairs import restore_tables
from ci_migrate.repairs.restore_tables import HalfDone, half_done

ROWS = "ci_migrate.repairs.restore_tables"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def make_shop(request, tmp_path) -> MakeShop:
    return shop_maker(request, tmp_path, request.param)


def killed(shop: Shop, call: str) -> None:
    done = shop.gate("repair", env={"FAULT_CALL": call})
    assert done.code == -9, done.text


def test_rows_of_half_a_revision_go_back_and_no_others_whenever_the_repair_is_killed(make_shop) -> None:
    shop = make_shop()
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    half = shop.everything_in_it()
    assert len(half["log"]["rows"]) == 4
    shop.query("INSERT INTO orders VALUES (2, 7)")
    shop.query("UPDATE orders SET total = 6 WHERE id = 1")
    theirs = {"orders": shop.everything_in_it()["orders"]}
    assert "put the rows of" in " ".join(shop.here("repair", "--dry-run").text.split())
    killed(shop, f"{ROWS}:restore_tables:before")
    assert shop.everything_in_it() == half | theirs
    killed(shop, f"{ROWS}:restore_tables:after")  # done, and nobody was told
    assert shop.everything_in_it() == before | theirs
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "as before"
    assert shop.everything_in_it() == before | theirs


KILLS = [
    f"{ROWS}:_try:before",
    f"{ROWS}:_try:after",
    f"{ROWS}:restore_tables:before",
    f"{ROWS}:restore_tables:after",
    "ci_migrate.stages.repair:_conclude:before",
]


@pytest.fixture(
    params=[
        pytest.param((engine, call), marks=() if (engine, call) == ("sqlite", KILLS[3]) else pytest.mark.long)
        for engine in ("sqlite", "postgresql", "mariadb")
        for call in KILLS
    ],
    ids=lambda both: f"{both[0]}-{both[1].partition(':')[2]}",
)
def killed_in_repair(request, tmp_path) -> Shop:
    """A migration that was killed where its rows were committed, and then its repair."""
    engine, call = request.param
    shop = shop_maker(request, tmp_path, engine)(fails=False)
    assert shop.gate("run", fault="both:before:5").code == -9
    killed(shop, call)
    return shop


@pytest.mark.parametrize("then", [["repair"], ["repair", "--forward"]])
def test_rows_are_there_once_whatever_follows_a_repair_that_was_killed(
    killed_in_repair, then: list[str]
) -> None:
    """Going on, too, knows whether the rows are there or were put back."""
    shop = killed_in_repair
    repaired = shop.here(*then)
    assert repaired.code == 0, repaired.text
    assert shop.here("run").code == 0
    assert shop.query("SELECT count(*) FROM log") == [(4,)]
    assert shop.query("SELECT points FROM customers WHERE id = 1") == [(2,)]
    assert shop.heads_now() == ["r1"]


def test_M15_rows_that_somebody_else_wrote_there_are_counted_and_not_restored_over(make_shop) -> None:
    shop = make_shop()
    before = shop.everything_in_it()
    assert shop.here("run").code == 7
    shop.query("INSERT INTO log VALUES (200, 1), (201, 1)")
    left = shop.everything_in_it()
    refused = shop.here("repair")
    assert refused.code == 7, refused.text
    result = refused.stage("repair")
    message = result["message"].replace("public.", "")
    assert "table log: 2 rows that the backup and the rehearsal do not explain" in message
    assert "customers:" not in message  # those are explained
    assert shop.everything_in_it() == left
    command = next(c for c in result["diagnosis"]["commands"] if "--table" in c["command"])
    assert command["why"] == "loses 2 rows written since"
    restored = shop.here(*command["command"].split()[1:], "--yes")
    assert restored.code == 0, restored.text
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "as before"
    assert shop.everything_in_it() == before


def test_without_leave_to_restore_the_exact_command_is_shown(tmp_path, request) -> None:
    shop = shop_maker(request, tmp_path, "sqlite")()
    text = (shop.folder / "ci-migrate.toml").read_text()
    (shop.folder / "ci-migrate.toml").write_text(text.replace('restore = "auto"', 'restore = "never"'))
    before = shop.everything_in_it()
    done = shop.here("run")
    refused = shop.here("repair")
    assert (done.code, refused.code) == (7, 7), refused.text
    commands = refused.stage("repair")["diagnosis"]["commands"]
    command = next(c for c in commands if "--table" in c["command"])
    assert command["command"].endswith(" --table customers --table log --target dev")
    assert command["why"] == "loses nothing"
    assert shop.here(*command["command"].split()[1:], "--yes").code == 0
    assert shop.here("repair").code == 0
    assert shop.everything_in_it() == before


@pytest.mark.parametrize(
    ("point", "then"),
    [
        pytest.param(n, then, marks=() if n == 5 else pytest.mark.long)
        for n in range(1, 11)
        for then in (["repair"], ["repair", "--forward"])
    ],
)
def test_M3_rows_before_ddl_are_never_there_twice(request, tmp_path, point: int, then: list[str]) -> None:
    """Killed where MariaDB has committed the rows and not begun the DDL (5), and at each other point."""
    shop = shop_maker(request, tmp_path, "mariadb")(fails=False)
    done = shop.gate("run", fault=f"both:before:{point}")
    assert done.code == -9, done.text
    repaired = shop.here(*then)
    assert repaired.code == 0, repaired.text
    if point == 5:
        assert len(shop.query("SELECT 1 FROM log")) == (1 if then == ["repair"] else 4)
    assert shop.here("run").code == 0
    assert shop.query("SELECT count(*) FROM log") == [(4,)]
    assert shop.query("SELECT points FROM customers WHERE id = 1") == [(2,)]
    assert shop.heads_now() == ["r1"]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_what_was_committed_before_half_a_revision_stays(engine: str, request, tmp_path) -> None:
    """On PostgreSQL the block commits the revision before it, and nothing of its own yet."""
    shop = shop_maker(request, tmp_path, engine)(before='op.execute("UPDATE orders SET total = total + 1")')
    start = shop.everything_in_it()
    assert shop.here("run").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert repaired.stage("repair")["state"] == "partly migrated"
    assert shop.heads_now() == ["r1"]
    left = shop.everything_in_it()
    assert left["orders"]["rows"] == [(1, 6)]
    assert (left["log"], left["customers"]) == (start["log"], start["customers"])


def test_who_writes_while_it_is_tried_loses_nothing(request, tmp_path, monkeypatch) -> None:
    shop = shop_maker(request, tmp_path, "sqlite")()
    assert shop.here("run").code == 7
    tried = restore_tables._try

    def busy(*arguments):
        found = tried(*arguments)
        shop.query("INSERT INTO log VALUES (200, 1)")
        return found

    monkeypatch.setattr(restore_tables, "_try", busy)
    refused = shop.here("repair")
    assert refused.code == 7, refused.text
    message = refused.stage("repair")["message"]
    assert "Somebody wrote while it was tried: table log: 1 row that the backup" in message
    assert shop.query("SELECT points FROM log WHERE id = 200") == [(1,)]
    assert shop.query("SELECT count(*) FROM log") == [(5,)]


def test_rows_that_the_dry_run_of_a_large_database_did_not_look_at_count_as_written(
    request, tmp_path, monkeypatch
) -> None:
    """A trigger writes to a table that no revision names."""
    monkeypatch.setattr("ci_migrate.stages.dry_run.WHOLE_LIMIT", 0)
    shop = shop_maker(request, tmp_path, "sqlite")()
    shop.query("CREATE TABLE trail (id INTEGER)")
    shop.query("CREATE TRIGGER t AFTER INSERT ON log BEGIN INSERT INTO trail VALUES (NEW.id); END")
    assert shop.here("run").code == 7
    left = shop.everything_in_it()
    refused = shop.here("repair")
    assert refused.code == 7, refused.text
    assert (
        "table trail: 3 rows that the backup and the rehearsal do not explain"
        in refused.stage("repair")["message"]
    )
    assert shop.everything_in_it() == left


# --------------------------------------------------------------------------- when it fits


def content(rows: int) -> TableContent:
    return TableContent(rows=rows, digest=str(rows))


def ladder(*commit_points: tuple[bool, dict, dict, dict | None]) -> Evidence:
    """Rungs as (complete, what changed in the schema, rows, rows that are not those of the start)."""
    nothing = Fingerprint(objects={"table a": "1"})
    return Evidence(
        proven=True,
        before=nothing,
        after=nothing,
        way_back=WayBack(tried=False),
        tables={"a": TableEvidence(before=content(1), after=content(9))},
        commit_points=tuple(
            CommitPoint(position=n, context=0, revision="r", complete=complete, statements=n, heads=(("r",),),
                 delta=changes, contents=rows, changed=changed)
            for n, (complete, changes, rows, changed) in enumerate(commit_points, start=1)
        ),
    )  # fmt: skip


TABLE = VersionTable()
PLAN = Plan(
    target="dev",
    identity=Identity(dialect="sqlite", place="app.db", facts={}),
    direction=Direction.UPGRADE,
    destination="head",
    contexts=(PlannedContext(version_table=TABLE, from_heads=("r",), to_heads=("s",), revisions=("s",)),),
    revisions=(),
    env_sha256="",
    script_heads=("s",),
)
END = (True, {}, {"a": content(9), "b": content(2)}, None)


@pytest.mark.parametrize(
    ("commit_points", "expected"),
    [
        pytest.param(
            [(False, {}, {}, {"a": content(3)})],
            HalfDone(commit_point=0, tables={"a": content(3)}),
            id="rows",
        ),
        pytest.param([(False, {}, {}, None)], None, id="nobody looked"),
        pytest.param([(False, {"table b": "2"}, {}, None)], None, id="schema"),
        pytest.param([(True, {}, {}, None)], None, id="a whole revision"),
        pytest.param(
            [
                (True, {}, {"a": content(1), "b": content(2)}, None),
                (False, {}, {"a": content(3), "b": content(2)}, {}),
            ],
            HalfDone(commit_point=1, tables={"a": content(3)}),
            id="others were written before",
        ),
        pytest.param(
            [
                (True, {}, {"a": content(2), "b": content(2)}, None),
                (False, {}, {"a": content(3), "b": content(2)}, {}),
            ],
            None,
            id="the same was written before",
        ),
        pytest.param(
            [(True, {}, {}, None), (False, {}, {}, {"a": content(3)})], None, id="rows were not kept"
        ),
    ],
)
def test_when_tables_alone_can_come_back(commit_points, expected) -> None:
    assert half_done(PLAN, ladder(*commit_points, END), len(commit_points)) == expected
