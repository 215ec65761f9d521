"""A process for a piece of work: what it is told, what is heard of it, and what its death is taken for."""

import sys
import threading
import time

import msgspec
import pytest

from ci_migrate.errors import LockedError, ToolError
from ci_migrate.server import children
from ci_migrate.server.children import Children, answer_error
from ci_migrate.server.work import Work

WORK = Work(action="status", target="größe 🚚", actor="ana", token="s3cret-token", ledger="sqlite:///x")
ECHO = """
import json, sys
told = json.load(sys.stdin)
print(json.dumps({"exitCode": 0, "body": {"message": told["target"], "actor": told["actor"]}}))
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Children whose process runs this code instead of ours."""

    def play(code: str) -> Children:
        script = tmp_path / "child.py"
        script.write_text(code)
        started = children.running
        monkeypatch.setattr(children, "running", lambda _argv: started([sys.executable, str(script)]))
        return Children(tmp_path)

    return play


def test_what_it_is_told_comes_by_standard_input_and_what_it_says_is_the_answer(played):
    answer = played(ECHO).perform(WORK)
    assert (answer.exit_code, answer.body) == (0, {"message": "größe 🚚", "actor": "ana"})


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import sys; sys.exit(3)",
        "import os; os.close(0); os.kill(os.getpid(), 9)",
        "print('Traceback'); import sys; sys.stdin.read()",
        'import sys; sys.stdin.read(); sys.stdout.write(\'{"exitCode": 0, "body": {\')',
        'import sys; sys.stdin.read(); print(\'{"exitCode": "0", "body": {}}\')',
        "import sys; sys.stdin.read(); sys.stdout.buffer.write(b'\\xff\\x00')",
        "import sys; sys.stdin.read(); print('[]')",
    ],
)
def test_one_that_dies_or_says_what_is_no_answer_has_given_none(played, caplog, code):
    """The service looks then at what it left; it must not be taken for an answer, least of all a good one."""
    assert played(code).perform(WORK) is None
    (record,) = caplog.records
    assert "said nothing" in record.message
    assert "s3cret" not in caplog.text
    assert "sqlite" not in caplog.text


def test_a_bug_is_in_the_log_with_what_it_complained_of(played, caplog):
    bug = 'import sys; sys.stdin.read(); sys.stderr.write("Traceback: why"); print(\'{"exitCode": 3, "body": {}}\')'
    assert played(bug).perform(WORK).exit_code == 3
    assert "Traceback: why" in caplog.text


def test_a_child_that_complains_without_end_does_not_stand_still(played):
    """Nobody reads its standard error while it works: a full pipe would stop it."""
    loud = "import sys; sys.stdin.read(); sys.stderr.write('x' * 3_000_000); print('{\"exitCode\": 0, \"body\": {}}')"
    assert played(loud).perform(WORK).exit_code == 0


def test_all_are_told_to_stop_also_those_that_start_after_that(played, tmp_path):
    waits = (
        "import signal, sys, time\n"
        'def told(*_):\n print(\'{"exitCode": 143, "body": {}}\'); sys.exit()\n'
        "signal.signal(signal.SIGTERM, told)\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "time.sleep(60)"
    )
    workers = played(waits)
    answers = []
    first = threading.Thread(target=lambda: answers.append(workers.perform(WORK)))
    first.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    workers.stop()
    workers.stop()
    first.join(30)
    assert [answer.exit_code for answer in answers] == [143]
    late = workers.perform(WORK)
    assert late is None or late.exit_code == 143, "dead before it could say so, or told"


def test_one_that_can_not_be_started_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(ToolError):
        Children(tmp_path).perform(WORK)


def test_what_goes_wrong_on_the_services_side_is_an_answer_too():
    ours = answer_error(LockedError("Held.", hint="Wait."))
    assert (ours.exit_code, ours.body) == (5, {"message": "Held.\nThe database was not touched.\nWait."})
    bug = answer_error(ValueError("postgresql://ana:s3cret@db"))
    assert (bug.exit_code, bug.body) == (3, {"message": "Bug in ci-migrate: ValueError"})


def test_work_survives_the_way_and_shows_no_secret():
    assert msgspec.json.decode(msgspec.json.encode(WORK), type=Work) == WORK
    assert "s3cret" not in repr(WORK)
    assert "sqlite" not in repr(WORK)
