"""Processes: what a tool prints is read whole, or the call fails; complaints keep their end."""

import os
import sys

import pytest

from ci_migrate import process
from ci_migrate.errors import ToolError

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
