"""A piece of work in the child: whatever happens there is an answer, no secret in it, and the ledger knows how it ended."""

import inspect
import re
import shutil
import signal

import pytest
from alembic_project import new_project
from ledger_support import a_run
from sqlalchemy import make_url

from ci_migrate.ledger import jobs
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.ledger.place import ledger_url
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Outcome, Report, Severity, StageResult, TargetState, now
from ci_migrate.model.finding import Finding
from ci_migrate.server import pages, routes, service
from ci_migrate.server.work import ACTIONS, FINDINGS, Answer, JobContext, Work, body_of, perform, status_of
from ci_migrate.settings.secrets import SECRETS


@pytest.fixture
def done(alembic_project):
    """Has a piece of work done here; its fields as in Work."""

    def run(action: str, interrupt: Interrupt | None = None, **fields) -> Answer:
        asked = Work(action=action, target=fields.pop("target", "dev"), actor="ana", **fields)
        return perform(asked, alembic_project.folder, alembic_project.environment(), interrupt or Interrupt())

    return run


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A project that was migrated once, for all tests of this module."""
    project = new_project(tmp_path_factory.mktemp("shop") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("run").exit_code == 0
    return project


@pytest.fixture
def migrated(shop, tmp_path):
    """The same, put back after each of them."""
    kept = tmp_path / "kept"
    shutil.copytree(shop.folder, kept)
    yield shop
    shutil.rmtree(shop.folder)
    shutil.move(kept, shop.folder)


def perform_on(project, action: str, **fields) -> Answer:
    asked = Work(action=action, target="dev", actor="ana", **fields)
    return perform(asked, project.folder, project.environment(), Interrupt())


def run_of(project) -> str:
    with project.ledger() as ledger:
        return ledger.history(ledger.database_id(None))[0].run_id


@pytest.fixture
def job(alembic_project):
    """A job in the project's ledger, and the fields that tell a child of it."""
    with alembic_project.ledger(create=True) as ledger:
        begun = jobs.begin(ledger, target="dev", action="run", actor="ana", address="")
    url = ledger_url(make_url(f"sqlite:///{alembic_project.database}"), None)
    return {"job_id": begun.job_id, "ledger": url.render_as_string(hide_password=False)}


def ended(project, job) -> jobs.Job:
    with project.ledger() as ledger:
        found = jobs.get(ledger, job["job_id"], "dev")
    assert found is not None
    return found


# --------------------------------------------------------------------------- whatever happens


def test_a_job_that_migrated_is_in_the_ledger_with_its_stages_and_its_answer(done, job, alembic_project):
    alembic_project.sql("select 1")
    answer = done("run", **job)
    assert (answer.exit_code, answer.body["migrationsRun"], answer.body["targetVersion"]) == (0, 2, "r2")
    found = ended(alembic_project, job)
    assert (found.status, found.exit_code, found.answer) == (JobStatus.FINISHED, 0, answer.body)
    assert [stage["stage"] for stage in found.stages][-2:] == ["verify", "repair"]
    with alembic_project.ledger() as ledger:
        assert ledger.run(answer.body["runId"]).actor == "ana", "who called, not who serves"


def test_an_error_of_ours_is_told_with_its_code_and_as_calls(done, job, alembic_project):
    alembic_project.settings('[targets.dev]\nurl = "sqlite:///app.db"\nproduction = true\n')
    answer = done("migrate", **job)
    assert answer.exit_code == 2
    assert "ci-migrate run" not in answer.body["message"]
    assert ended(alembic_project, job).status is JobStatus.FAILED


def test_a_target_that_is_not_there_is_told(done):
    answer = done("status", target="nowhere")
    assert answer.exit_code == 2
    assert "nowhere" in answer.body["message"]


@pytest.mark.parametrize(
    "error", [ValueError("postgresql://ana:hunter2-4711@db"), RecursionError(), MemoryError()]
)
def test_a_bug_is_told_by_its_kind_and_its_traceback_is_in_the_log(
    done, job, alembic_project, monkeypatch, capfd, error
):
    def fail(_bench: JobContext) -> Answer:
        raise error

    monkeypatch.setitem(ACTIONS, "run", fail)
    answer = done("run", token="hunter2-4711", **job)
    assert answer.exit_code == 3
    assert answer.body["message"] == f"Bug in ci-migrate: {type(error).__name__}. The service's log has more."
    assert ended(alembic_project, job).answer == answer.body
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert "hunter2" not in logged


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_statement_left_the_database_as_it_was(done, job, alembic_project, number):
    alembic_project.sql("select 1")
    before = alembic_project.dump()
    interrupt = Interrupt()
    interrupt.set(number)
    answer = done("run", interrupt, **job)
    assert answer.exit_code == 128 + number
    assert alembic_project.dump() == before
    assert ended(alembic_project, job).exit_code == 128 + number
    assert interrupt.defer_signals, "the end is written whatever comes then"


def test_no_secret_that_came_with_the_call_is_in_the_answer(done, job, alembic_project, monkeypatch):
    said = {
        "message": "of hunter2-4711 and ci-migrate repair",
        "deep": [{"x": "hunter2-4711"}],
        "odd": "\udcff",
    }
    monkeypatch.setitem(ACTIONS, "status", lambda _bench: Answer(exit_code=0, body=said))
    answer = done("status", token="hunter2-4711", **job)
    assert "hunter2" not in str(answer)
    assert answer.body["message"].startswith("of *** and POST "), "and commands are told as calls"
    assert answer.body["odd"] == "\\udcff", "which JSON can hold"
    assert ended(alembic_project, job).answer == answer.body


def test_the_password_of_the_ledger_is_a_secret_of_the_child(done):
    done("nothing of ours", job_id="job_x", ledger="postgresql+psycopg://ana:hunter2-4712@127.0.0.1:1/x")
    assert "hunter2-4712" in SECRETS


@pytest.mark.parametrize("ledger", ["sqlite:////nowhere/at/all", "postgresql+psycopg://a@127.0.0.1:1/x"])
def test_a_ledger_that_does_not_answer_changes_nothing_of_the_work(done, alembic_project, ledger, capfd):
    """The service looks at how the process ended, and writes it then."""
    alembic_project.sql("select 1")
    answer = done("plan", job_id="job_x", ledger=ledger)
    assert (answer.exit_code, len(answer.body["pending"])) == (0, 2)
    assert ("Traceback" in capfd.readouterr().err) is ledger.startswith("postgresql")


def test_what_is_no_job_leaves_none(done, alembic_project):
    alembic_project.sql("select 1")
    alembic_project.ledger(create=True).close()
    assert done("status").exit_code == 0
    with alembic_project.ledger() as ledger:
        assert jobs.latest(ledger, "dev") == ()


def test_work_in_a_log_shows_nothing_secret():
    asked = Work(
        action="run",
        target="dev",
        actor="ana",
        token="s3cret",
        ledger="postgresql://a:s3cret@h/x",
        job_id="j",
    )
    assert repr(asked) == "Work(run, dev, j)"


@pytest.mark.parametrize(
    ("reason", "by", "told"),
    [
        ("", "", ""),
        ("why", "", "why"),
        ("why", "ana", "why (confirmed by ana)"),
        ("", "ana", " (confirmed by ana)"),
    ],
)
def test_who_the_caller_says_confirmed_it_stands_with_the_reason(reason, by, told):
    asked = Work(action="run", target="dev", actor="x", reason=reason, confirmed_by=by)
    assert JobContext(asked, None, Interrupt(), print).reason == told
    assert JobContext(asked, None, Interrupt(), print).token is None


@pytest.mark.parametrize("code", [0, 1, 3, 8, 130])
def test_only_what_went_well_is_finished(code):
    assert (status_of(Answer(exit_code=code, body={})) is JobStatus.FINISHED) is (code == 0)


# --------------------------------------------------------------------------- what is told of a run


def a_report(*results: StageResult, command: str = "run") -> Report:
    return Report(run_id="run-1", command=command, target="dev", started=now(), version="1", results=results)


def test_of_very_many_findings_the_first_are_told():
    found = tuple(
        Finding(code="CM202", name="n", severity=Severity.WARNING, message=f"m{n}")
        for n in range(FINDINGS + 9)
    )
    body = body_of(a_report(StageResult(stage="check", outcome=Outcome.PASSED, findings=found)))
    assert [f["message"] for f in body["findings"]] == [f"m{n}" for n in range(FINDINGS)]
    assert body["findings"][0].keys() == {
        "code", "name", "severity", "message", "revision", "file", "line", "acknowledged",
    }  # fmt: skip


def test_a_run_that_came_to_no_plan_is_told_too():
    """The first stage failed."""
    body = body_of(
        a_report(
            StageResult(stage="check", outcome=Outcome.ERROR, message="The server is gone.", exit_code=8)
        )
    )
    assert (body["targetVersion"], body["migrationsRun"], body["backupId"]) == (None, 0, None)
    assert body["stage"] == "check"
    assert body["message"].startswith("The server is gone.")
    assert "planDigest" not in body


def test_a_state_is_told_once():
    """The stage's own message may end with what the report says of the database."""
    stage = StageResult(
        stage="migrate", outcome=Outcome.FAILED, message="Boom.", state=TargetState.AS_BEFORE, exit_code=6
    )
    lines = body_of(a_report(stage))["message"].splitlines()
    assert len(lines) == len(set(lines))


# --------------------------------------------------------------------------- what a process that died left


def test_nothing_was_left_by_a_process_that_had_not_begun(migrated):
    answer = perform_on(migrated, "settle")
    assert answer.exit_code == 8
    assert "There is no unfinished migration in the ledger." in answer.body["message"]


def test_a_run_that_had_arrived_is_said_to_have(migrated):
    migrated.leave_unfinished(run_of(migrated))
    answer = perform_on(migrated, "settle")
    assert (answer.exit_code, answer.body["state"]) == (0, "migrated")
    assert answer.body["message"].startswith("The process that migrated died. ci-migrate repair was run:")


def test_where_nothing_is_put_back_by_itself_it_is_only_said(migrated):
    migrated.leave_unfinished(run_of(migrated))
    migrated.settings('auto-rollback = false\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    before = migrated.dump()
    answer = perform_on(migrated, "settle")
    assert answer.exit_code == 7
    assert "Next: POST /api/database/migration/repair" in answer.body["message"]
    assert migrated.dump() == before
    with migrated.ledger() as ledger:
        assert ledger.unfinished(ledger.database_id(None)) is not None, "and stays to be done"


# --------------------------------------------------------------------------- asked for


def test_every_action_that_an_endpoint_asks_for_is_there():
    """A name that is misspelled would be a bug at the first call."""
    asked = set()
    for module in (pages, routes, service):
        text = inspect.getsource(module)
        asked |= set(
            re.findall(
                r'(?:_work|_job|_done_job|sent\.work|_ask)\(\s*(?:caller|sent)?,?\s*(?:prefer,\s*)?"([a-z -]+)"',
                text,
            )
        )
        asked |= set(re.findall(r'action="([a-z -]+)"', text))
    assert len(asked) > 10
    assert asked <= ACTIONS.keys()


@pytest.mark.parametrize("made", [True, False])
def test_a_backup_is_taken_as_the_call_says_whatever_the_settings_do(done, alembic_project, made):
    alembic_project.settings(
        f'auto-backup = {str(not made).lower()}\n[targets.dev]\nurl = "sqlite:///app.db"\n'
    )
    alembic_project.sql("select 1")
    answer = done("run", create_backup=made)
    assert answer.exit_code == 0, answer.body
    assert (answer.body["backupId"] is not None) is made


def test_a_token_that_nothing_needed_is_looked_at_all_the_same(done, alembic_project):
    """Whoever sends one means it: a wrong one must not pass because nobody asked for it."""
    alembic_project.sql("select 1")
    alembic_project.ledger(create=True).close()
    answer = done("migrate", token="01234567-89ab-4def-8123-456789abcdef")
    assert answer.exit_code == 4
    assert "knows no such token" in answer.body["message"]
    assert alembic_project.heads == []


def test_of_the_history_no_plan_is_told_and_as_many_as_were_asked_for(migrated):
    with migrated.ledger() as ledger:
        for name in ("older", "newer"):
            ledger.begin_run(a_run(name))
    newer, older, first = perform_on(migrated, "history").body["runs"]
    assert [newer["runId"], older["runId"]] == ["newer", "older"]
    assert (first["fromHeads"], first["toHeads"], newer["toHeads"]) == ([[]], [["r2"]], [])
    assert (first["plan"], first["before"]) == (None, None), "megabytes of a long history"
    assert len(perform_on(migrated, "history", limit=1).body["runs"]) == 1


@pytest.mark.parametrize("name", ["backup restore", "backup delete", "backup losses"])
def test_a_backup_that_is_not_there_is_told_and_nothing_is_written_down(done, migrated, name):
    before = migrated.dump()
    answer = perform_on(migrated, name, backup_id="backup_nowhere", reason="because")
    assert answer.exit_code in (1, 2)
    assert "backup_nowhere" in answer.body["message"]
    assert migrated.dump() == before
    with migrated.ledger() as ledger:
        assert "reason given" not in [record.kind for record in ledger.audit_records()]


def test_why_something_was_deleted_is_in_the_trail_and_what_is_only_shown_is_not(migrated):
    shown = perform_on(migrated, "backup prune", dry_run=True, keep=1, reason="why")
    assert shown.body["message"] == "0 backups would be deleted; those of the last 1 migration stay."
    assert (
        perform_on(migrated, "backup drop-old", reason="why").body["message"] == "No restore kept anything."
    )
    (backup_id,) = [path.name for path in (migrated.folder / ".ci-migrate" / "backups").glob("backup_*")]
    gone = perform_on(migrated, "backup delete", backup_id=backup_id, reason="why", confirmed_by="ben")
    assert gone.body == {"backupId": backup_id, "message": f"Backup {backup_id} was deleted."}
    with migrated.ledger() as ledger:
        (record,) = [r for r in ledger.audit_records() if r.kind == "reason given"]
    assert record.facts == {"destination": backup_id, "reason": "why", "confirmedBy": "ben"}
