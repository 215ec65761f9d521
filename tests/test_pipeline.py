"""The engine that walks the table: order, skips, and what may get in between."""

import os
import signal
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest

from ci_migrate import pipeline
from ci_migrate.commands.environment import Environment
from ci_migrate.errors import DatabaseError, ExitCode, LockedError, NotApprovedError, RefusedError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Outcome, Report, StageResult, TargetState

NAMES = ("check", "backup", "dry-run", "approve", "migrate", "verify", "repair")


def passes(name, **fields):
    return lambda _run, _report: StageResult(stage=name, outcome=Outcome.PASSED, **fields)


def fails(name, **fields):
    return lambda _run, _report: StageResult(stage=name, outcome=Outcome.FAILED, message="no", **fields)


def raises(error):
    def stage(_run, _report):
        raise error

    return stage


MIGRATES = passes("migrate", state=TargetState.MIGRATED)
TOUCHES = fails("migrate", state=TargetState.UNKNOWN)


@pytest.fixture
def run():
    return SimpleNamespace(interrupt=Interrupt(), settings=SimpleNamespace(auto_rollback=True))


@pytest.fixture
def walk(run, monkeypatch):
    """Walk the table with these stages in the place of the real ones; the others pass."""

    def walked(wanted=NAMES, veto=lambda *_: None, done=lambda result: result, **stages):
        stages = {name.replace("_", "-"): stage for name, stage in stages.items()}
        stages = {"migrate": MIGRATES} | stages
        table = tuple((name, stages.get(name, passes(name))) for name in NAMES)
        monkeypatch.setattr(pipeline, "PIPELINE", table)
        report = Report(run_id="1", command="run", target="t", started=datetime.now(UTC), version="0")
        return pipeline.execute(
            run,
            report,
            wanted=wanted,
            ask=lambda *_: None,
            veto=veto,
            observe=lambda result, _report: result,
            done=done,
        )

    return walked


def outcomes(report):
    return [r.outcome.value for r in report.results]


def test_the_table_is_literal_and_in_this_order():
    assert tuple(name for name, _ in pipeline.PIPELINE) == NAMES


def test_all_pass_and_repair_has_nothing_to_do(walk):
    report = walk()
    assert outcomes(report) == ["passed"] * 6 + ["skipped"]
    assert report.exit_code is ExitCode.OK


@pytest.mark.parametrize("number", range(4))
def test_a_stage_that_fails_skips_all_later_ones(walk, number):
    name = NAMES[number]
    report = walk(**{name: fails(name)})
    assert outcomes(report) == ["passed"] * number + ["failed"] + ["skipped"] * (6 - number)
    assert all(r.message for r in report.results if r.outcome is Outcome.SKIPPED), "each with its reason"
    assert report.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (RefusedError("x"), "failed", 1),
        (NotApprovedError("x"), "failed", 4),
        (LockedError("x"), "error", 5),
        (DatabaseError("x"), "error", 8),
        (RuntimeError("x"), "error", 3),
        (SystemExit(0), "error", 3),
        (AssertionError(), "error", 3),
    ],
)
def test_what_a_stage_raises_becomes_its_result(walk, error, outcome, code):
    report = walk(backup=raises(error))
    assert outcomes(report)[:3] == ["passed", outcome, "skipped"]
    assert report.exit_code == code
    assert report.state is TargetState.UNTOUCHED
    assert "Traceback" not in report.results[1].message


def test_from_migrate_to_repair_nothing_gets_in_between(walk):
    report = walk(migrate=raises(RuntimeError("bug")), repair=raises(KeyError("bug")))
    assert outcomes(report)[4:] == ["error", "skipped", "error"]
    assert report.exit_code is ExitCode.FAILED_DIRTY
    assert report.state is TargetState.UNKNOWN


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (TargetState.AS_BEFORE, 6),
        (TargetState.KEPT_PREFIX, 7),
        (TargetState.UNKNOWN, 7),
        (TargetState.MIGRATED, 7),
    ],
)
def test_the_exit_code_follows_what_repair_proved(walk, state, code):
    assert walk(migrate=TOUCHES, repair=passes("repair", state=state)).exit_code == code


def test_a_migrate_that_never_began_needs_no_repair(walk):
    report = walk(migrate=fails("migrate", state=TargetState.UNTOUCHED))
    assert outcomes(report)[4:] == ["failed", "skipped", "skipped"]
    assert report.exit_code is ExitCode.REFUSED


def test_verify_repairs_nothing(walk):
    report = walk(verify=fails("verify", state=TargetState.UNKNOWN))
    assert outcomes(report)[4:] == ["passed", "failed", "skipped"]
    assert report.exit_code is ExitCode.FAILED_DIRTY


def test_auto_rollback_off(walk, run):
    run.settings.auto_rollback = False
    report = walk(migrate=TOUCHES)
    assert outcomes(report)[6] == "skipped"
    assert "ci-migrate repair" in report.results[6].message
    assert report.exit_code is ExitCode.FAILED_DIRTY


def test_stages_that_a_command_does_not_consist_of(walk):
    report = walk(wanted=("check",))
    assert outcomes(report) == ["passed"] + ["skipped"] * 6
    assert report.exit_code is ExitCode.OK


def test_a_veto_of_migrate_leaves_the_target_untouched(walk):
    report = walk(veto=lambda stage, _: "no" if stage in ("migrate", "repair") else None)
    assert outcomes(report)[4:] == ["failed", "skipped", "skipped"]
    assert (report.exit_code, report.state) == (ExitCode.REFUSED, TargetState.UNTOUCHED)
    report = walk(veto=lambda stage, _: "no" if stage == "repair" else None, migrate=TOUCHES)
    assert outcomes(report)[6] == "passed", "nobody can forbid a repair"


def test_a_result_that_can_not_be_recorded_stops_the_run(walk):
    def done(result):
        broken = result.stage == "backup"
        return msgspec.structs.replace(result, outcome=Outcome.ERROR, exit_code=8) if broken else result

    report = walk(done=done)
    assert outcomes(report)[:3] == ["passed", "error", "skipped"]
    assert report.exit_code is ExitCode.COULD_NOT_TELL


# --------------------------------------------------------------------------- signals


@pytest.fixture
def listening(run, tmp_path):
    """The handlers of the command line, noting into this run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    Environment(directory=tmp_path, debug=False, environ={}, interrupt=run.interrupt).listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def gets(number, result, reached):
    """A stage that gets a signal in its middle."""

    def stage(_run, _report):
        os.kill(os.getpid(), number)
        reached.append(result.stage)
        return result

    return stage


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_stage_that_does_not_write(walk, number, code):
    reached = []
    report = walk(dry_run=gets(number, StageResult(stage="dry-run", outcome=Outcome.PASSED), reached))
    assert reached == []
    assert outcomes(report)[2:4] == ["error", "skipped"]
    assert (report.exit_code, report.interrupted) == (code, code)
    assert report.state is TargetState.UNTOUCHED


@pytest.mark.usefixtures("listening")
def test_a_signal_waits_for_a_stage_that_writes_and_repair_says_what_is_there(walk):
    reached = []
    result = StageResult(
        stage="migrate", outcome=Outcome.FAILED, message="stopped", state=TargetState.UNKNOWN
    )
    report = walk(migrate=gets(signal.SIGTERM, result, reached))
    assert reached == ["migrate"]
    assert outcomes(report)[4:] == ["failed", "skipped", "passed"]
    assert report.exit_code == 143


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("after", ["check", "dry-run", "verify"])
def test_a_signal_between_two_stages_is_not_lost_and_breaks_nothing(walk, run, after):
    def done(result):
        if result.stage == after:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    report = walk(done=done)
    assert report.exit_code == 143
    assert len(report.results) == 7
    assert report.result("migrate").outcome is (Outcome.PASSED if after == "verify" else Outcome.SKIPPED)
    assert run.interrupt.again


@pytest.mark.usefixtures("listening")
def test_after_the_walk_a_signal_is_only_noted(walk, run):
    assert walk().exit_code is ExitCode.OK
    os.kill(os.getpid(), signal.SIGTERM)  # the ledger is being closed, the reports are being written
    assert run.interrupt.number == signal.SIGTERM


@pytest.mark.usefixtures("listening")
def test_only_the_first_signal_is_raised(run):
    with pytest.raises(pipeline.Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.number == signal.SIGINT
    os.kill(os.getpid(), signal.SIGTERM)
    assert (run.interrupt.number, run.interrupt.again) == (signal.SIGINT, True)


# --------------------------------------------------------------------------- the plan goes stale (M8)

MOVES = """
import sqlite3
from ci_migrate import hookimpl

@hookimpl
def ci_migrate_before_stage(stage):
    if stage == "{stage}":
        other = sqlite3.connect("app.db")
        other.executescript("{sql}")
        other.close()
"""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("update alembic_version set version_num = 'r1'", "The plan is stale: the target is at r1"),
        ("create table theirs (id integer)", "schema changed since the backup"),
    ],
    ids=["heads", "schema"],
)
def test_M8_somebody_else_migrates_between_plan_and_migrate(alembic_project, sql, words):
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.revision("r3", "r2", "create table more (id integer)", "drop table more")
    alembic_project.write("moves.py", MOVES.format(stage="migrate", sql=sql))
    alembic_project.settings('plugins = ["moves.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("run")
    assert done.code == 1, done.text
    assert words in " ".join(done.text.split())
    assert "untouched" in done.text
    assert alembic_project.sql("select count(*) from sqlite_master where name = 'more'") == [(0,)]
    assert alembic_project.run("status").code == 0, "nothing to repair"


def test_M9_two_rows_in_the_version_table(alembic_project):
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("insert into alembic_version values ('r1')")
    alembic_project.revision("r3", "r2", "create table more (id integer)")
    done = alembic_project.run("run")
    assert done.code in (1, 8), done.text
    assert "Traceback" not in done.text
    assert "backup" not in done.outcomes
