"""Gate processes without the seconds of their start: one process that has imported everything forks each of them.

Gate and child are processes of their own as ever, with pipes, sessions and locks of their own; only their interpreters
begin by fork instead of exec. A command is a JSON line on standard input: `argv`, `cwd`, `env`, `out` (a file for what
it prints); the answer is a line `{"code": ..., "cpu": ...}`. `argv` is a command line of ours, or:
`@alembic ...` plain Alembic's; `@stop` `run` up to where the migration of the target would begin (code 99);
`@go-on` the rest of it, in a folder and on a database that are as they were then.
"""

import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import alembic.config
import alembic.script
import gate_with_faults
import psycopg  # noqa: F401 - imported here once for all
import pymysql  # noqa: F401
import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401

import ci_migrate
from ci_migrate import cli, gate, pipeline
from ci_migrate import session as opening
from ci_migrate.migrations.lender import WORKER
from ci_migrate.session import GateRequest, create_manager, open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

STOPPED = 99
SCRIPTS = ("ci_migrate.__main__", "ci_migrate.migrations.worker.__main__")
RUN_BY_ALEMBIC = "ci_migrate.ledger.migrations"
by_exec = subprocess.Popen


class ForkedChild(subprocess.Popen):
    """The child process: begins where `python SCRIPT` would, with nothing open but its pipes."""

    def _execute_child(self, args, *rest) -> None:
        _, _, _, pass_fds, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_ = (
            rest
        )
        script = args[1]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                gc.freeze()  # the parent's connections are never told goodbye from here
                for number, fd in enumerate((p2cread, c2pwrite, errwrite)):
                    os.dup2(fd, number)
                keep = sorted({0, 1, 2, *pass_fds})
                for low, high in zip(keep, [*keep[1:], 4096], strict=True):
                    os.closerange(low + 1, high)
                for fd in pass_fds:
                    os.set_inheritable(fd, True)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.chdir(cwd)
                os.environ.clear()
                os.environ.update(env)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                sys.path.insert(0, str(Path(script).parent))
                runpy.run_path(script, run_name="__main__")
            finally:
                os._exit(1)
        self._child_created = True
        for theirs, ours in ((p2cread, p2cwrite), (c2pwrite, c2pread), (errwrite, errread)):
            if ours != -1:
                os.close(theirs)


def stop() -> int:
    """`run`, ended without a goodbye where the migration of the target would begin."""
    before = [row for row in pipeline.PIPELINE if row[0] in ("check", "backup", "dry-run", "approve")]
    pipeline.PIPELINE = (*before, ("migrate", lambda *_: os._exit(STOPPED)))
    return cli.run(["run"])


def go_on() -> int:
    """The rest of that run: its id, plan, backup and evidence are in the ledger."""
    settings = load(Path(), dict(os.environ), {})
    request = GateRequest(VERBS["run"], tell=print)
    with open_session(settings, GateRequest(VERBS["history"]), ledger=True) as looking:
        (record,) = looking.ledger.history(looking.ledger.database_id(None), limit=1)
        looking.ledger.pin_identity(looking.database.identity(), replace=True)  # it is a copy
    pipeline.PIPELINE = tuple(row for row in pipeline.PIPELINE if row[0] in ("migrate", "verify", "repair"))
    opening.new_run_id = lambda: record.run_id
    manager = create_manager(settings)
    with open_session(settings, request, manager=manager) as run:
        _, report = gate.resume_run(run, record)
        report = gate.walk(run, report, manager, request)
        report = gate._finish(run, report)
    for result in report.results:
        print(result.stage, result.outcome.value, result.message)
    if report.diagnosis is not None:
        print(f"FOUND {report.diagnosis.found}:")
    return int(report.exit_code)


def start(command: dict) -> None:
    """In the forked process: become the gate of this command. Does not return."""
    code = 1
    try:
        os.setsid()
        gc.freeze()
        out = os.open(command["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, fd in enumerate((null, out, out)):
            os.dup2(fd, number)
        os.closerange(3, 64)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.stdin = os.fdopen(0, closefd=False)
        os.chdir(command["cwd"])
        os.environ.clear()
        os.environ.update(command["env"])
        code = obey(command["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def obey(argv: list[str]) -> int:
    gate_with_faults.install()
    if argv[0] == "@alembic":
        alembic.config.main(argv[1:], prog="alembic")
        return 0
    if argv[0] == "@stop":
        return stop()
    if argv[0] == "@go-on":
        return go_on()
    return cli.run(argv)


def main() -> None:
    for module in pkgutil.walk_packages(ci_migrate.__path__, "ci_migrate."):
        if not module.name.startswith(RUN_BY_ALEMBIC) and module.name not in SCRIPTS:
            importlib.import_module(module.name)
    subprocess.Popen = by_fork
    gc.collect()
    gc.freeze()  # no collector touches, and so copies, the pages that all forks share
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            start(command)
        _, status = os.waitpid(pid, 0)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = {"code": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps(answer), flush=True)


def by_fork(argv, **keywords):
    """Our child by fork, any other program as ever."""
    forked = list(argv[1:2]) == [str(WORKER)]
    return (ForkedChild if forked else by_exec)(argv, **keywords)


if __name__ == "__main__":
    main()
