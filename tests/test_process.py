"""Processes: what a tool prints is read whole, or the call fails; complaints keep their end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci_migrate import process
from ci_migrate.errors import ToolError
from ci_migrate.migrations import forking

PYTHON = sys.executable


def printing(code: str) -> list[str]:
    return [PYTHON, "-c", f"import sys; {code}"]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
def test_F43_output_that_is_data_is_read_whole(size):
    printed = process.run_tool(printing(f"sys.stdout.write('x' * {size} + 'end')"))
    assert len(printed) == size + 3
    assert printed.endswith("end")


def test_F43_more_than_can_be_kept_is_an_error_and_not_a_part(monkeypatch):
    monkeypatch.setattr(process, "DATA_LIMIT", 1000)
    assert process.run_tool(printing("sys.stdout.write('x' * 1000)")) == "x" * 1000
    with pytest.raises(ToolError, match="printed more than 1000 bytes"):
        process.run_tool(printing("sys.stdout.write('x' * 1001)"))


def test_a_failure_names_the_last_complaint():
    with pytest.raises(ToolError, match="failed with exit code 3: at last"):
        process.run_tool(printing("sys.stderr.write('at first\\n' * 30000 + 'at last\\n'); sys.exit(3)"))


def test_a_tool_that_takes_too_long_is_ended():
    with pytest.raises(ToolError, match="took longer than"):
        process.run_tool(printing("import time; time.sleep(60)"), timeout=0.3)


def test_complaints_keep_their_end():
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as pipe:
        tail = process.Tail(pipe, limit=10)
        os.write(write, b"0123456789" * 20)
        os.write(write, b"the end")
        os.close(write)
        assert tail.text() == "[197 bytes left out]\n789the end"
        assert tail.dropped == 197


@pytest.mark.parametrize("limit", [5, 64 * 1024])
def test_a_command_of_the_users_is_told_with_its_code_and_the_end_of_what_it_printed(limit):
    code, printed = process.run_command(
        printing("print('hello'); sys.exit(4)"), env={}, cwd=None, timeout=30, limit=limit
    )
    assert code == 4
    assert printed.strip().endswith("ello")


def test_a_command_that_takes_too_long_has_no_code():
    assert process.run_command(printing("import time; time.sleep(60)"), env={}, cwd=None, timeout=0.3) == (
        None,
        "",
    )


def test_a_program_that_is_not_there():
    with pytest.raises(ToolError, match="/nowhere/tool could not be started"):
        process.run_tool(["/nowhere/tool"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_F28_no_child_reads_its_parents_environment_or_memory(tmp_path):
    """As root nothing holds: so the parent is somebody else."""
    if os.geteuid() == 0 and not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no interpreter that another user may run")
    code = f"""
import importlib.util, os, sys, types
package = types.ModuleType("ci_migrate"); package.__path__ = []
errors = types.ModuleType("ci_migrate.errors"); errors.ToolError = type("ToolError", (Exception,), {{}})
sys.modules["ci_migrate"], sys.modules["ci_migrate.errors"] = package, errors
exec(compile(sys.stdin.read(), {process.__file__!r}, "exec"))
look = "import os\\nfor f in ('environ', 'mem'):\\n try: open(f'/proc/{{os.getppid()}}/{{f}}').close(); print('read', f)\\n except OSError as e: print(e.strerror)"
if len(sys.argv) > 1: globals()["hide_memory"] = lambda: None
print(run_tool(["/usr/bin/python3", "-c", look], cwd="/"))
"""
    somebody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    source = Path(process.__file__).read_text()

    def printed(*arguments: str) -> list[str]:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", code, *arguments],
            input=source, text=True, capture_output=True, check=True, cwd="/", **somebody,
        )  # fmt: skip
        return done.stdout.split("\n")[:2]

    assert printed() == ["Permission denied"] * 2
    assert printed("open")[0] == "read environ"  # without it: the test can fail


REUSES = """
import socket
control = socket.socket(fileno=0)
for answer in (b"4194305\\n4194305 6\\n", b"4194305\\n"):
    socket.recv_fds(control, 1, 3)
    control.sendall(answer)
control.recv(1)
"""


ADOPTS = """
import ctypes, os, signal, sys
from pathlib import Path
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become ours, as those of a container's first
from ci_migrate.migrations.lender import Lender
lender = Lender.start(sys.executable, Path.cwd(), os.environ)
child = lender.forker.spawn()
os.kill(lender.forker._process.pid, signal.SIGKILL)
child.close()
print(child.wait(20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_a_child_whose_server_was_killed_ends_where_orphans_become_ours(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ADOPTS], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip().isdecimal(), done.stderr


def test_waiting_for_ever_is_a_wait():
    with process.running([sys.executable, "-c", "print(1)"]) as child:
        assert child.wait(float("inf")) == 0


def test_a_child_with_the_pid_of_an_earlier_one_has_not_ended():
    """On a busy machine pids come round; with the end of another child a migration would be taken for over."""
    server = forking.ForkServer([sys.executable, "-c", REUSES], env={}, cwd=None, pass_fds=())
    first, second = server.spawn(), server.spawn()
    assert (first.pid, first.wait(5)) == (second.pid, 6)
    assert second.poll() is None
    server.close()
    assert first.poll() == 6
    first.close()
    second.close()
