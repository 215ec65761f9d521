"""What the endpoints stand on: one piece of work at a time on a target, jobs that survive, ledgers that come and go."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic_project import new_project

from ci_migrate.errors import LedgerError, LockedError
from ci_migrate.ledger import jobs, keys
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.ledger.keys import Role
from ci_migrate.server import service as service_module
from ci_migrate.server.service import Service
from ci_migrate.server.work import Answer, Work
from ci_migrate.settings.settings import load

GOOD = Answer(exit_code=0, body={"message": "done"})
SETTINGS = """\
[targets.dev]
url = "sqlite:///dev.db"
[targets.shop]
url = "sqlite:///shop.db"
"""


@pytest.fixture
def service(tmp_path):
    """Two targets with ledgers; work is done by whatever `perform` is."""
    project = new_project(tmp_path / "project")
    project.settings(SETTINGS)
    environ = project.environment()
    targets = {name: load(project.folder, environ, {"target": name}) for name in ("dev", "shop")}
    for name in targets:
        made = project.call("serve", "key", "create", "ana", "--role", "viewer", "--target", name)
        assert made.code == 0, made.text
    made = Service(project.folder, targets)
    made.children.perform = lambda _work: GOOD
    yield made
    made.close()


def work(target="dev", action="run") -> Work:
    return Work(action=action, target=target, actor="ana")


def last(service, target="dev"):
    return jobs.latest(service.targets[target].book(), target)[0]


def test_of_many_that_start_at_once_one_works_and_the_others_are_told(service, monkeypatch):
    monkeypatch.setattr(
        service_module, "GOING", 0.5
    )  # who comes before the first job is written waits so long
    holding, go = threading.Event(), threading.Event()

    def perform(_work):
        holding.set()
        assert go.wait(30)
        return GOOD

    service.children.perform = perform
    target = service.targets["dev"]

    def start(_):
        try:
            return service.start(target, work(), "127.0.0.1")[1]
        except LockedError as error:
            return error

    with ThreadPoolExecutor(6) as pool:
        started = list(pool.map(start, range(6)))
    assert holding.wait(30)
    refused = [one for one in started if isinstance(one, LockedError)]
    assert len(refused) == 5
    assert {error.what for error in refused} == {"Another job works on this target."}
    other, future = service.start(
        service.targets["shop"], work("shop"), "127.0.0.1"
    )  # which is not kept waiting
    assert len(jobs.running(target.book(), "dev")) == 1
    go.set()
    (running,) = [one for one in started if not isinstance(one, LockedError)]
    assert running.result(30) == future.result(30) == GOOD
    assert len(jobs.latest(target.book(), "dev")) == 1, "what was refused left no job"
    assert last(service, "shop").job_id == other.job_id
    assert service.start(target, work(), "127.0.0.1")[1].result(30) == GOOD, "and the target is free again"


@pytest.mark.parametrize("error", [LedgerError("Down."), ValueError("postgresql://ana:s3cret@db")])
def test_a_job_whose_work_could_not_be_done_leaves_the_target_free(service, error):
    def fail(_work):
        raise error

    service.children.perform = fail
    answer = service.start(service.targets["dev"], work(), "")[1].result(30)
    assert answer.exit_code == (8 if isinstance(error, LedgerError) else 3)
    assert "s3cret" not in str(answer.body)
    service.children.perform = lambda _work: GOOD
    assert service.start(service.targets["dev"], work(), "")[1].result(30) == GOOD


def test_a_job_that_can_not_be_written_down_is_not_started(service, monkeypatch):
    def fail(*_args, **_fields):
        raise LedgerError("Down.")

    performed = []
    service.children.perform = lambda found: performed.append(found) or GOOD
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "begin", fail)
        with pytest.raises(LedgerError):
            service.start(service.targets["dev"], work(), "")
    assert performed == []
    assert service.start(service.targets["dev"], work(), "")[1].result(30) == GOOD, "nor is the target kept"


@pytest.mark.parametrize(("dies", "status"), [(True, JobStatus.INTERRUPTED), (False, JobStatus.FAILED)])
def test_how_a_job_ended_is_in_the_ledger_before_its_answer(service, dies, status):
    settled = []

    def perform(found):
        if found.action == "settle":
            settled.append(found.target)
            return Answer(exit_code=6, body={"message": "put back"})
        return None if dies else Answer(exit_code=6, body={"message": "put back"})

    service.children.perform = perform
    answer = service.start(service.targets["dev"], work(), "")[1].result(30)
    assert (answer.exit_code, answer.body["message"]) == (6, "put back")
    assert settled == (["dev"] if dies else [])
    assert (last(service).status, last(service).exit_code, last(service).answer) == (status, 6, answer.body)


def test_the_next_service_settles_what_a_killed_one_left_and_waits_for_orphans(service, monkeypatch):
    monkeypatch.setattr(service_module, "LOOK_AGAIN", 0.05)
    target = service.targets["dev"]
    left = jobs.begin(target.book(), target="dev", action="run", actor="ana", address="")
    answers = [Answer(exit_code=5, body={"message": "held"})] * 3 + [
        Answer(exit_code=6, body={"message": "put back"})
    ]
    asked = []

    def settle(found):
        asked.append(found.action)
        return answers[len(asked) - 1]

    service.children.perform = settle
    service.recover()
    with pytest.raises(LockedError):
        service.start(target, work(), "")
    assert target.busy.acquire(timeout=30)
    target.busy.release()
    assert asked == ["settle"] * 4, "as long as the orphan works, its job is its own"
    ended = jobs.get(target.book(), left.job_id, "dev")
    assert (ended.status, ended.exit_code, ended.answer["message"]) == (JobStatus.INTERRUPTED, 6, "put back")


def test_an_orphan_that_ends_its_job_itself_is_believed(service, monkeypatch):
    monkeypatch.setattr(service_module, "LOOK_AGAIN", 0.05)
    target = service.targets["dev"]
    left = jobs.begin(target.book(), target="dev", action="run", actor="ana", address="")

    def settle(_found):
        jobs.end(target.book(), left.job_id, JobStatus.FINISHED, 0, {"message": "migrated"})
        return Answer(exit_code=5, body={"message": "held"})

    service.children.perform = settle
    service.recover()
    assert target.busy.acquire(timeout=30)
    target.busy.release()
    assert jobs.get(target.book(), left.job_id, "dev").answer == {"message": "migrated"}


def test_a_ledger_that_is_out_of_reach_shuts_out_its_own_target_alone(service, monkeypatch, caplog):
    shop, dev = service.targets["shop"], service.targets["dev"]
    key, _ = keys.create(shop.book(), name="ben", role=Role.ADMIN, target="shop", by="root", days=1)

    def gone():
        raise LedgerError("The ledger is down.")

    monkeypatch.setattr(dev, "ledger", gone)
    assert service.target_of(key)[0] is shop, "a key says which target, also while another's ledger is down"
    service.recover()
    assert "jobs of an earlier service were not looked for: The ledger is down." in caplog.text
    assert service.start(shop, work("shop"), "")[1].result(30) == GOOD
    monkeypatch.setattr(shop, "ledger", gone)
    with pytest.raises(LedgerError):
        service.target_of(key)


def test_a_ledger_that_failed_once_is_opened_anew(service, monkeypatch):
    """Passwords change, servers come back."""
    dev = service.targets["dev"]
    key, record = keys.create(dev.book(), name="ben", role=Role.ADMIN, target="dev", by="root", days=1)
    before = dev.book()
    with monkeypatch.context() as patch:
        patch.setattr(keys, "find", lambda *_: (_ for _ in ()).throw(LedgerError("closed")))
        with pytest.raises(LedgerError):
            service.caller(dev, key)
    assert service.caller(dev, key) == record
    assert dev.book() is not before


@pytest.mark.parametrize(
    ("name", "found"), [("dev", "dev"), ("shop", "shop"), (None, None), ("", None), ("DEV", None)]
)
def test_a_target_is_found_by_its_name_alone(service, name, found):
    target = service.target(name)
    assert (target.name if target else None) == found


def test_told_to_stop_it_takes_nothing_new_and_can_be_closed_twice(service):
    service.stop()
    with pytest.raises(LockedError, match="stopping"):
        service.start(service.targets["dev"], work(), "")
    assert service.ask(work(action="status")) == GOOD, "who looks is still answered"
    service.close()
