"""What repair does, and when it must say no."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from kill_support import BLOCK, R1, R2, R2_BACK, R3, R3_BACK, Shop, new_shop, only_for_real

from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.gate import resume_run
from ci_migrate.model import Outcome, Progress, Report, StageResult, TargetState
from ci_migrate.repairs import BUILT_IN, choice
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.run import WritingRun
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.stages import repair
from ci_migrate.verbs import VERBS

BOOM = only_for_real('raise ValueError("boom")')


@pytest.fixture(params=["sqlite", "postgresql"])
def make_shop(request, tmp_path) -> Callable[..., Shop]:
    def make(mode: str = "per-migration", settings: str = "") -> Shop:
        url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
        return new_shop(tmp_path, url, mode=mode, settings=settings)

    return make


def half(shop: Shop) -> None:
    """The block of r2 commits, what follows it fails."""
    shop.revision("r2", "r1", R2 + BLOCK + BOOM, R2_BACK)


# --------------------------------------------------------------------------- half a revision


def test_half_a_revision_is_left_to_people_with_the_exact_commands(make_shop) -> None:
    shop = make_shop("autocommit")
    half(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    result = done.stage("repair")
    assert (result["outcome"], result["diagnosis"]["found"]) == ("failed", "half a revision")
    backup = done.stage("backup")["backup"]["backupId"]
    commands = result["diagnosis"]["commands"]
    restoring = next(c for c in commands if "backup restore" in c["command"])
    assert restoring["command"] == f"ci-migrate backup restore {backup} --target dev"
    assert "loses what was written since" in restoring["why"]
    left = shop.everything_in_it()
    again = shop.here("repair")
    assert again.code == 7, again.text
    assert shop.here("run").code == 7
    assert shop.everything_in_it() == left
    restored = shop.here(*restoring["command"].split()[1:], "--yes")
    assert restored.code == 0, restored.text
    assert shop.everything_in_it() == before
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_half_a_revision_is_restored_where_nobody_else_wrote(make_shop) -> None:
    shop = make_shop("autocommit", 'restore = "auto"')
    half(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert shop.everything_in_it() == before
    assert done.stage("repair")["state"] == "as before"
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_M15_a_table_that_somebody_else_wrote_is_not_restored_over(make_shop) -> None:
    shop = make_shop("autocommit", 'restore = "auto"')
    half(shop)
    done = shop.gate("run", write=True)
    assert done.code == 7, done.text
    message = done.stage("repair")["message"].replace("public.", "")
    assert "table customers: 1 row that the backup and the rehearsal do not explain" in message
    assert shop.query("SELECT name FROM customers WHERE id = 1000") == [("came later",)]
    again = shop.here("repair")
    assert again.code == 7, again.text
    assert shop.query("SELECT name FROM customers WHERE id = 1000") == [("came later",)]


def test_a_schema_altered_by_hand_meanwhile_is_no_part_of_the_run_and_waits_for_a_person(make_shop) -> None:
    shop = make_shop()
    assert shop.gate("run", fault="both:after:3").code == -9
    shop.query("CREATE TABLE by_hand (x INTEGER)")
    left = shop.everything_in_it()
    repaired = shop.here("repair")
    assert repaired.code == 7, repaired.text
    diagnosis = repaired.stage("repair")["diagnosis"]
    assert diagnosis["found"] == "rolled back"
    assert any("by_hand" in words for words in diagnosis["foreign"])
    assert shop.everything_in_it() == left
    shop.query("DROP TABLE by_hand")
    assert shop.here("repair").code == 0
    assert shop.here("run").code == 0


def test_what_repair_would_do_is_shown_and_not_done(make_shop) -> None:
    shop = make_shop()
    assert shop.gate("run", fault="both:after:3").code == -9
    shown = shop.here("repair", "--dry-run")
    assert shown.code == 0, shown.text
    assert "prove that the target is as it was before" in " ".join(shown.text.split())
    assert shop.here("status").code == 7


# --------------------------------------------------------------------------- revisions that committed before


def failing_second(shop: Shop) -> None:
    shop.revision("r2", "r1", R2 + BOOM, R2_BACK)


def test_keep_leaves_the_good_prefix_and_the_next_run_goes_on(make_shop) -> None:
    shop = make_shop()
    failing_second(shop)
    done = shop.here("run")
    assert done.code == 7, done.text
    assert done.stage("repair")["state"] == "partly migrated"
    assert "boom" in done.text
    assert shop.heads_now() == ["r1"]
    assert shop.query("SELECT count(*) FROM invoices") == [(0,)]
    shop.revision("r2", "r1", R2, R2_BACK)
    again = shop.here("run")
    assert again.code == 0, again.text
    assert shop.heads_now() == ["r3"]


def test_back_downgrades_what_the_dry_run_proved(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"')
    failing_second(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "downgraded" in done.stage("repair")["message"]
    assert shop.everything_in_it() == before
    assert shop.here("status").code == 0


def test_a_way_back_that_is_not_proven_is_not_gone(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"')
    shop.revision("r1", "r0", R1, "pass")  # leads nowhere
    failing_second(shop)
    done = shop.here("run")
    assert done.code == 7, done.text
    keep = next(
        c["command"]
        for c in done.stage("repair")["diagnosis"]["commands"]
        if "ON_FAILURE=keep" in c["command"]
    )
    assert shop.heads_now() == ["r1"]
    assert shop.here("run").code == 7
    assert keep == "CI_MIGRATE_ON_FAILURE=keep ci-migrate repair --target dev"
    shop.environ["CI_MIGRATE_ON_FAILURE"] = "keep"
    kept = shop.here("repair", "--target", "dev")
    assert kept.code == 0, kept.text
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0
    assert shop.heads_now() == ["r3"]


def test_without_a_proven_way_back_the_backup_is_the_way_back(make_shop) -> None:
    shop = make_shop(settings='on-failure = "back"\nrestore = "auto"')
    shop.revision("r1", "r0", R1, "pass")
    failing_second(shop)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "Restored from the backup" in done.stage("repair")["message"]
    assert shop.everything_in_it() == before
    shop.revision("r2", "r1", R2, R2_BACK)
    assert shop.here("run").code == 0


def test_a_repair_that_is_killed_is_repaired_by_the_next(make_shop) -> None:
    """kill -9 in the downgrade, after its first commit: the next repair goes on from there."""
    shop = make_shop(settings='on-failure = "back"')
    shop.revision("r3", "r2", R3 + BOOM, R3_BACK)
    before = shop.everything_in_it()
    done = shop.gate("run", in_child="both:commit:1", env={"FAULT_STAGE": "repair"})
    assert done.code == -9, done.text
    assert shop.heads_now() == ["r1"]
    assert shop.here("run").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before


def test_auto_rollback_off_leaves_the_repair_to_the_command(make_shop) -> None:
    shop = make_shop(mode="default", settings="auto-rollback = false")
    shop.revision("r1", "r0", R1 + BOOM)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    assert shop.here("status").code == 7
    repaired = shop.here("repair")
    assert repaired.code == 0, repaired.text
    assert shop.everything_in_it() == before
    assert shop.here("repair").code == 0  # nothing left to do


# --------------------------------------------------------------------------- which repair is chosen


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Shop:
    """A shop whose first revision is committed, whose second one failed, and which nobody has repaired."""
    shop = new_shop(
        tmp_path_factory.mktemp("stopped"), mode="per-migration", settings="auto-rollback = false"
    )
    failing_second(shop)
    assert shop.here("run").code == 7
    return shop


@contextmanager
def opened(shop: Shop, *repairs: Repair, forward: bool = False) -> Iterator[tuple[WritingRun, Report]]:
    """The run that stopped, as `ci-migrate repair` opens it, with these repairs and no others."""
    settings = load(shop.folder, shop.environment(), {})
    with open_session(settings, GateRequest(VERBS["repair"], forward=forward), ledger=True) as run:
        assert isinstance(run, WritingRun)
        record = run.ledger.unfinished(run.ledger.database_id(None))
        assert record is not None
        stopped_run, report = resume_run(run, record)
        yield replace(stopped_run, repairs=repairs), report
        run.ledger.update_run(record.run_id, needs_repair=True)  # for the next one: nothing was really mended


def repaired(shop: Shop, *repairs: Repair) -> StageResult:
    with opened(shop, *repairs) as (run, report):
        return repair.run_stage(run, report)


def a_repair(
    name: str, order: int, does: Exception | TargetState = TargetState.KEPT_PREFIX, **more: Any
) -> Repair:
    """One that always fits, and whose mending ends so."""

    def mend(_context: RepairContext) -> Repaired:
        if isinstance(does, Exception):
            raise does
        return Repaired(state=does, words=f"{name} mended it.", goes_on=more.get("goes_on", False))

    options = {key: value for key, value in more.items() if key != "goes_on"}
    return Repair(name, order, lambda _context: f"do {name}", mend, **options)


def test_the_first_in_order_that_fits_mends_and_no_other(stopped) -> None:
    never = Repair("never", 1, lambda _context: None, a_repair("never", 1).mend)
    found = repaired(stopped, a_repair("late", 30), a_repair("second", 20), never, a_repair("first", 20))
    assert (found.outcome, found.state, found.message) == (
        Outcome.PASSED,
        TargetState.KEPT_PREFIX,
        "first mended it.",
    )
    assert found.diagnosis is not None
    assert found.diagnosis.found is Progress.COMMITTED


def test_F45_that_it_is_as_before_is_compared_whoever_says_so(stopped) -> None:
    found = repaired(stopped, a_repair("boasts", 1, TargetState.AS_BEFORE))
    assert (found.outcome, found.state) == (Outcome.FAILED, TargetState.UNKNOWN)
    assert found.message.startswith("boasts mended it. But: it is at r1 instead of r0; ")


def test_one_that_refuses_gives_way_to_the_next_and_is_told(stopped) -> None:
    refuses = a_repair("choosy", 1, RefusedError("Not like this."))
    assert repaired(stopped, refuses, a_repair("next", 2)).message == "next mended it."
    found = repaired(stopped, refuses, a_repair("next", 2, TargetState.UNKNOWN))
    assert found.outcome is Outcome.FAILED
    assert found.message.startswith("Not like this. next mended it.\nState: ")
    alone = repaired(stopped, refuses)
    assert alone.message.startswith("Not like this. No repair fits.\nState: ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DatabaseError("The server is gone."), "The repair plugin failed: The server is gone."),
        (KeyError("x"), "The repair plugin failed: KeyError: 'x'"),
    ],
)
def test_one_that_breaks_while_it_mends_stops_all(stopped, error: Exception, words: str) -> None:
    """Nobody knows what it did, so that no other one may go on from there."""
    found = repaired(stopped, a_repair("plugin", 1, error), a_repair("next", 2))
    assert (found.outcome, found.state) == (Outcome.FAILED, TargetState.UNKNOWN)
    assert found.message.startswith(words)


def test_one_that_breaks_while_it_is_asked_is_left_out(stopped) -> None:
    def broken(_context: RepairContext) -> str:
        raise KeyError("x")

    plugin = Repair("plugin", 1, broken, a_repair("plugin", 1).mend, explain=broken, offer=broken)
    assert repaired(stopped, plugin, a_repair("next", 2)).message == "next mended it."
    alone = repaired(stopped, plugin)
    assert alone.message.startswith("No repair fits.")
    assert alone.diagnosis is not None
    assert len(alone.diagnosis.commands) == 1


def test_what_is_only_on_the_way_is_followed_by_the_next_one(stopped) -> None:
    met: list[str] = []

    def fits_once(_context: RepairContext) -> str | None:
        met.append("asked")
        return "go half-way" if len(met) == 1 else None

    def half_way() -> Repair:
        met.clear()
        done = a_repair("half", 1, TargetState.KEPT_PREFIX, goes_on=True).mend
        return Repair("half", 1, fits_once, done)

    assert repaired(stopped, half_way(), a_repair("rest", 2)).message == "rest mended it."
    assert repaired(stopped, half_way()).state is TargetState.KEPT_PREFIX  # nothing leads on from there
    broken = repaired(stopped, half_way(), a_repair("rest", 2, TargetState.UNKNOWN))
    assert broken.state is TargetState.UNKNOWN
    assert broken.message.startswith("rest mended it.")


def test_ways_that_no_approval_names_are_not_gone(stopped) -> None:
    back = a_repair("plugin-back", 1, approval="restore")
    with opened(stopped, back, a_repair("prove", 2)) as (run, report):
        context = RepairContext.of(run, report)
        for ways, names in (
            (None, ["plugin-back", "prove"]),
            (frozenset(), ["prove"]),
            (frozenset({"restore"}), ["plugin-back", "prove"]),
        ):
            found = [r.name for r, _ in choice.find_fitting(context) if choice.is_permitted(r, ways)]
            assert found == names
    assert {r.name: r.approval for r in BUILT_IN if r.approval} == {
        "forward": "forward",
        "undo": "undo",
        "downgrade": "downgrade",
        "restore": "restore",
        "restore-tables": "restore",
    }


def test_why_nothing_is_done_and_what_can_be_typed_come_from_the_repairs(stopped) -> None:
    explains = Repair(
        "explains", 2, lambda _context: None, a_repair("explains", 2).mend,
        explain=lambda context: f"{context.diagnosis.found}: not mine.", offer=lambda _context: "second command",
    )  # fmt: skip
    offers = Repair(
        "offers", 1, lambda _context: None, a_repair("offers", 1).mend, offer=lambda _context: "first command"
    )
    found = repaired(stopped, explains, offers)
    assert found.message.startswith("revision committed: not mine.\nState: revision r1 was committed")
    assert found.diagnosis is not None
    first, second, last = found.diagnosis.commands
    assert (first.command, second.command) == ("first command", "second command")
    assert last.command == "ci-migrate repair --target dev"
    assert last.why.startswith("once the target is as it was")


def test_of_the_built_in_ones_forward_is_chosen_only_where_somebody_asks(stopped) -> None:
    for forward, names in ((False, ["keep-prefix"]), (True, ["forward", "keep-prefix"])):
        with opened(stopped, *BUILT_IN, forward=forward) as (run, report):
            context = RepairContext.of(run, report)
            assert [r.name for r, _ in choice.find_fitting(context)] == names
            offered = [one.command for one in choice.list_next_commands(context)]
            assert offered[:2] == [
                "ci-migrate repair --target dev",
                "ci-migrate repair --forward --target dev",
            ]
