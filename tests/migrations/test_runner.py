"""The parent and its child: whatever happens to one of them, the other ends, and in good order."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from child_support import Seen, plain_request, start_workers
from env_zoo import PLAIN, SYNC, new_zoo
from waiting import until

from ci_migrate.errors import WorkerError
from ci_migrate.migrations import events
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.lender import Lender, without_secrets
from ci_migrate.migrations.runner import Launch, Workers
from ci_migrate.settings.secrets import register_secret

REVISION = """
op.execute("create table one (id integer)")
op.execute("create table two (id integer)")
op.execute("create table three (id integer)")
"""


@pytest.fixture
def zoo(tmp_path):
    zoo = new_zoo(
        tmp_path, sa.URL.create("sqlite", database=str(tmp_path / "app.db")), SYNC + PLAIN, history=False
    )
    zoo.revision("r1", None, REVISION)
    return zoo


def tables(zoo):
    return {name for (name,) in zoo.sql("select name from sqlite_master")} if zoo.database.exists() else set()


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_events_in_their_order(zoo):
    seen = Seen()
    ended = start_workers(zoo).run(plain_request(zoo), seen)
    assert ended.ok
    assert ended.hello.executable == sys.executable
    names = [type(e).__name__ for e in seen.events]
    assert names[0] == "Hello"
    assert names[-1] == "Finished"
    assert names[names.index("RevisionStarted") :] == [
        "RevisionStarted",
        *["StatementStarted", "StatementDone"] * 4,  # three tables and the version row
        "Stamped",
        "Committing",
        "Committed",
        "InputsSeen",
        "Finished",
    ]
    first = next(e for e in seen.events if isinstance(e, events.StatementStarted) and e.revision == "r1")
    line = (zoo.folder / "migrations/versions/r1.py").read_text().splitlines()[first.line - 1]
    assert "create table one" in line
    committed = next(e for e in seen.events if isinstance(e, events.Committed))
    assert (committed.complete, committed.revision) == (True, "r1")


def test_a_refused_statement_is_not_sent_and_rolls_back(zoo):
    seen = Seen("two", lambda _: "refuse because of the moon")
    ended = start_workers(zoo).run(plain_request(zoo), seen)
    assert ended.failed.kind == "refused"
    assert ended.failed.message == "because of the moon"
    assert ended.failed.revision == "r1"
    assert tables(zoo) == set()


def test_stop_at_a_statement_boundary(zoo):
    interrupt = Interrupt()
    seen = Seen("two", lambda _: interrupt.set(signal.SIGTERM))
    ended = start_workers(zoo, interrupt).run(plain_request(zoo), seen)
    assert ended.failed.kind == "stopped"
    assert seen.sql() == ["create table one (id integer)", "create table two (id integer)"]
    assert tables(zoo) == set()


def test_an_urgent_interrupt_does_not_wait_for_a_statement(zoo):
    interrupt = Interrupt()
    zoo.revision("r1", None, "import time\nop.execute('create table one (id integer)')\ntime.sleep(60)")
    started = time.monotonic()
    seen = Seen("one", lambda _: interrupt.set(signal.SIGTERM))
    ended = start_workers(zoo, interrupt).run(plain_request(zoo), seen, urgent=True)
    assert not ended.ok
    assert time.monotonic() - started < 30


def test_a_child_that_is_killed_is_a_result(zoo):
    seen = Seen("two", lambda _: os.kill(seen.events[0].pid, signal.SIGKILL))
    ended = start_workers(zoo).run(plain_request(zoo), seen)
    assert ended.died == "the child process was killed by signal 9"
    assert tables(zoo) == set()


def test_a_child_that_hangs_is_ended(zoo):
    zoo.revision("r1", None, "import time\nop.execute('create table one (id integer)')\ntime.sleep(600)")
    seen = Seen()
    ended = start_workers(zoo, stall_timeout=2.0).run(plain_request(zoo), seen)
    assert "stall-timeout" in ended.died
    wait_until(lambda: not alive(seen.events[0].pid))
    assert tables(zoo) == set()


def test_a_statement_in_flight_is_no_stall(zoo):
    """The server works on it; `statement-timeout` is for that."""
    nap = 'op.get_bind().connection.dbapi_connection.create_function("nap", 1, __import__("time").sleep)'
    slow = 'op.execute("insert into one select nap(6)")'
    zoo.revision("r1", None, f'op.execute("create table one (id integer)")\n{nap}\n{slow}')
    seen = Seen()
    ended = start_workers(zoo, stall_timeout=4.0).run(plain_request(zoo), seen)
    assert ended.ok, ended
    assert any(isinstance(e, events.StatementDone) and e.seconds > 4 for e in seen.events)


def test_a_handler_that_raises_ends_the_child(zoo):
    def fail(_event):
        raise ZeroDivisionError

    seen = Seen("two", fail)
    with pytest.raises(ZeroDivisionError):
        start_workers(zoo).run(plain_request(zoo), seen)
    assert not alive(seen.events[0].pid)
    assert tables(zoo) == set()


def test_something_that_is_no_event_is_an_error(zoo):
    """The channel is out of env.py's reach, unless it writes into all descriptors that it finds."""
    env = (
        SYNC
        + "import os\nfor fd in range(3, 40):\n    try: os.write(fd, b'rubbish\\n')\n    except OSError: pass\n"
        + PLAIN
    )
    (zoo.folder / "migrations" / "env.py").write_text(env)
    with pytest.raises(WorkerError, match="not an event"):
        start_workers(zoo).run(plain_request(zoo), Seen())


@pytest.mark.parametrize(
    ("code", "died"),
    [
        ("import os; os._exit(0)", "ended with 0"),
        ("import os; os._exit(9)", "ended with 9"),
        ("import os; os.abort()", "signal 6"),
    ],
)
def test_an_env_py_that_ends_the_process(zoo, code, died):
    (zoo.folder / "migrations" / "env.py").write_text(code)
    assert died in start_workers(zoo).run(plain_request(zoo), Seen()).died


def test_an_interpreter_without_alembic_is_named(zoo, tmp_path):
    launch = Launch(
        python=sys.executable, directory=zoo.folder, environ={"PYTHONPATH": str(tmp_path / "broken")}
    )
    (tmp_path / "broken" / "alembic").mkdir(parents=True)
    (tmp_path / "broken" / "alembic" / "__init__.py").write_text(
        "raise ImportError('no alembic in this place')"
    )
    ended = Workers(launch).run(plain_request(zoo), Seen())
    assert "no alembic in this place" in ended.died


def test_M10_secrets_are_taken_out_of_all_that_is_kept(zoo):
    (zoo.folder / "migrations" / "env.py").write_text("print('hunter2')\nraise ValueError('hunter2 it is')")
    register_secret("hunter2")
    ended = start_workers(zoo).run(plain_request(zoo), Seen())
    assert "hunter2" not in repr(ended)
    assert "*** it is" in ended.words
    assert "***" in ended.output


def test_the_interpreter_starts_once_and_each_child_is_a_fork_that_knows_nothing_of_the_others(zoo):
    env = zoo.folder / "migrations" / "env.py"
    env.write_text(
        "import sys, os\nassert not hasattr(sys, 'seen'), 'seen'\nsys.seen = 1\nprint(os.getppid())"
    )
    with start_workers(zoo) as some:
        ended = [some.run(plain_request(zoo), Seen()) for _ in range(3)]
    assert [e.words for e in ended] == [""] * 3
    (server,) = {int(e.output) for e in ended}
    assert not alive(server)


def test_a_server_that_is_killed_fails_the_next_child_and_not_the_one_after(zoo):
    with start_workers(zoo) as some:
        seen = Seen("two", lambda _: os.kill(ppid(seen.events[0].pid), signal.SIGKILL))
        assert some.run(
            plain_request(zoo), seen
        ).ok  # the child goes on: its conversation is with its grandparent
        assert "the child process ended with -9" in some.run(plain_request(zoo), Seen()).died
        assert some.run(plain_request(zoo), Seen()).died is None


def ppid(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_sets_are_walked_alike_in_all_children(zoo):
    env = "open('order', 'a').write(''.join({'a', 'b', 'c', 'd', 'e', 'f', 'g'}) + '\\n')\n"
    (zoo.folder / "migrations" / "env.py").write_text(env)
    for _ in range(3):
        start_workers(zoo).run(plain_request(zoo), Seen())
    assert len(set((zoo.folder / "order").read_text().split())) == 1


# --------------------------------------------------------------------------- the parent is gone

PARENT = """
import os, sys, time
from pathlib import Path
import msgspec
from ci_migrate.migrations import events
from ci_migrate.migrations.requests import RunRequest
from ci_migrate.migrations.runner import Launch, Workers

request, at, answers = msgspec.json.decode(sys.argv[1], type=RunRequest), sys.argv[2], sys.argv[3] == "answers"

def handle(event):
    if isinstance(event, events.Hello):
        print(event.pid, flush=True)
    if type(event).__name__ + " " + getattr(event, "sql", "") == at:
        print("here", flush=True)
        if not answers:
            time.sleep(600)
    return None

Workers(Launch(python=sys.executable, directory=Path.cwd(), environ=dict(os.environ))).run(request, handle)
"""


def test_a_child_that_runs_ahead_asks_at_commits_alone(zoo):
    def word(event):
        return None if isinstance(event, events.Committed) else "refuse it was not asked"

    seen = []
    ended = start_workers(zoo).run(plain_request(zoo, asks=events.AHEAD), lambda e: seen.append(e) or word(e))
    assert ended.ok, ended
    alike = []
    (zoo.folder / "app.db").unlink()
    assert start_workers(zoo).run(plain_request(zoo), alike.append).ok
    assert [type(e) for e in seen] == [type(e) for e in alike]
    assert [e.sql for e in seen if isinstance(e, events.StatementStarted)] == [
        e.sql for e in alike if isinstance(e, events.StatementStarted)
    ]


LOOP = "import time\nfor n in range(2000):\n    op.execute('create table t%d (id integer)' % n)\n    time.sleep(0.01)"


@pytest.mark.parametrize("asks", [events.AHEAD, ()])
def test_a_child_that_runs_ahead_stops_before_its_next_statement(zoo, asks):
    zoo.revision("r1", None, LOOP)
    interrupt = Interrupt()

    def handle(event):
        if isinstance(event, events.StatementStarted) and "t3 " in event.sql:
            interrupt.number = 2

    ended = start_workers(zoo, interrupt).run(plain_request(zoo, asks=asks), handle)
    assert ended.failed is not None, ended
    assert ended.failed.kind == "stopped"
    assert tables(zoo) == set()


@pytest.mark.parametrize("asks", [events.AHEAD, ()])
def test_a_child_that_runs_ahead_ends_when_its_parent_is_killed(zoo, asks):
    zoo.revision("r1", None, LOOP)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, msgspec.json.encode(plain_request(zoo, asks=asks)), "StatementStarted create table t3 (id integer)", "answers"],
        cwd=zoo.folder,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "here\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(child), seconds=8)  # left alone it would go on for 20 seconds
    assert tables(zoo) == set()


def test_what_is_held_back_is_sent_while_the_child_is_busy(zoo):
    zoo.revision("r1", None, "import time\nop.execute('create table one (id integer)')\ntime.sleep(600)")
    ended = start_workers(zoo, stall_timeout=1.0).run(
        plain_request(zoo, asks=events.AHEAD), lambda _event: None
    )
    assert "stall-timeout" in ended.died  # no statement is in flight: the parent was told that it is done


@pytest.mark.parametrize(
    "at", ["StatementStarted create table two (id integer)", "Committing ", "Committed "]
)
def test_a_child_whose_parent_is_killed_sends_nothing_more(zoo, at):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, msgspec.json.encode(plain_request(zoo)), at, "silent"],
        cwd=zoo.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    assert parent.stdout.readline() == "here\n"
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child))
    parent.stdout.close()
    assert tables(zoo) == ({"alembic_version", "one", "two", "three", "sqlite_autoindex_alembic_version_1"} if at == "Committed " else set())  # fmt: skip


def test_a_busy_child_whose_parent_is_killed_ends_before_its_next_statement(zoo):
    zoo.revision(
        "r1",
        None,
        "import time, os\nop.execute('create table one (id integer)')\n"
        "open('sleeping', 'w').close()\ntime.sleep(2)\nopen('woke', 'w').close()\n"
        "op.execute('create table two (id integer)')\nopen('beyond', 'w').close()",
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, msgspec.json.encode(plain_request(zoo)), "never", "answers"],
        cwd=zoo.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())
    wait_until((zoo.folder / "sleeping").exists)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(child))
    assert (zoo.folder / "woke").exists()
    assert not (zoo.folder / "beyond").exists()
    assert tables(zoo) == set()


# --------------------------------------------------------------------------- one interpreter for many


@pytest.fixture
def lender(zoo):
    lender = Lender.start(sys.executable, zoo.folder, os.environ)
    yield lender
    lender.forker.close()


def lent_to(zoo, lender, lock_fds=(), python=sys.executable, **environ):
    launch = Launch(python=python, directory=zoo.folder, environ={**os.environ, **environ}, lock_fds=lock_fds)
    return Workers(launch, lender=lender)


def told_by_env_py(zoo, workers, expression):
    (zoo.folder / "migrations" / "env.py").write_text(f"import os, sys\nprint({expression})")
    with workers:
        ended = workers.run(plain_request(zoo), Seen())
    assert ended.words == ""
    return ended.output.strip()


def test_what_is_lent_is_what_would_have_been_started(zoo, lender, tmp_path):
    started = start_workers(zoo)
    for expression in (
        "os.getcwd()",
        "sys.path",
        "sys.flags",
        "sorted(sys.modules)",
        "hash('a')",
        "sys.argv",
    ):
        lent = told_by_env_py(zoo, lent_to(zoo, lender), expression)
        assert lent == told_by_env_py(zoo, started, expression), expression


def test_each_has_its_own_variables_and_none_of_another_s(zoo, lender):
    asked = "(os.environ.get('ONE'), os.environ.get('TWO'))"
    one, two = lent_to(zoo, lender, ONE="hunter2", TZ="Asia/Tokyo"), lent_to(zoo, lender, TWO="2")
    assert told_by_env_py(zoo, one, asked) == "('hunter2', None)"
    assert told_by_env_py(zoo, two, asked) == "(None, '2')"
    assert told_by_env_py(zoo, lent_to(zoo, lender, TZ="Asia/Tokyo"), "__import__('time').tzname[0]") == "JST"


def test_it_is_forked_and_not_started(zoo, lender):
    lent = int(
        told_by_env_py(zoo, lent_to(zoo, lender), "open(f'/proc/{os.getppid()}/stat').read().split()[3]")
    )
    assert lent == lender.forker._process.pid


def test_the_lock_s_descriptor_stays_open_in_a_lent_one(zoo, lender, tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        links = (
            "[os.readlink(f'/proc/{os.getppid()}/fd/{fd}') for fd in os.listdir(f'/proc/{os.getppid()}/fd')]"
        )
        told = told_by_env_py(zoo, lent_to(zoo, lender, lock_fds=(lock.fileno(),)), links)
    assert str(tmp_path / "lock") in told


@pytest.mark.parametrize("environ", [{"PYTHONPATH": "/nowhere"}, {"LC_ALL": "C"}])
def test_where_another_one_would_start_it_starts(zoo, lender, environ):
    asked = "open(f'/proc/{os.getppid()}/stat').read().split()[3]"
    assert told_by_env_py(zoo, lent_to(zoo, lender, **environ), asked) != str(lender.forker._process.pid)


def test_many_locks_stay_open_in_a_lent_one(zoo, lender, tmp_path):
    """Those of a target of many databases."""
    many = [(tmp_path / f"lock{number}").open("w") for number in range(60)]
    links = "len([1 for fd in os.listdir(f'/proc/{os.getppid()}/fd') if '/lock' in os.readlink(f'/proc/{os.getppid()}/fd/{fd}')])"
    told = told_by_env_py(zoo, lent_to(zoo, lender, lock_fds=tuple(file.fileno() for file in many)), links)
    assert told == "60"
    for file in many:
        file.close()


def test_what_decides_how_python_starts_is_there_and_what_may_be_a_secret_is_not():
    given = {
        "HOME": "/h",
        "OPENSSL_CONF": "/o",
        "PYENV_VERSION": "3",
        "COVERAGE_PROCESS_START": "/c",
        "PWD": "/p",
    }
    secret = {
        "DB_PASSWORD": "x",
        "LANGSMITH_API_KEY": "x",
        "PATHS_TOKEN": "x",
        "PGPASSWORD": "x",
        "MYSQL_PWD": "x",
    }
    urls = {"DATABASE": "postgresql://u:pw@h/x", "PYTHON_DB": "sqlite:///app.db", "CI_MIGRATE_STATE": "x"}
    assert without_secrets({**given, **secret, **urls}) == {"PYTHONHASHSEED": "0", **given}


def test_one_that_is_gone_is_replaced(zoo, lender):
    os.kill(lender.forker._process.pid, signal.SIGKILL)
    assert told_by_env_py(zoo, lent_to(zoo, lender), "'well'") == "well"


def test_what_was_lent_goes_on_when_the_lender_has_ended(zoo, lender):
    workers = lent_to(zoo, lender)
    (zoo.folder / "migrations" / "env.py").write_text("")
    assert workers.run(plain_request(zoo), Seen()).ok
    pid = workers._server._process.pid
    lender.forker.close()
    assert workers.run(plain_request(zoo), Seen()).ok
    workers.close()
    until(lambda: not Path(f"/proc/{pid}").exists())
