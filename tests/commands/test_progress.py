"""What is shown while something takes long."""

import os
import pty
import sys
import time
from pathlib import Path

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.progress import line, watch_progress

CODE = """
import sys, time
from pathlib import Path
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.progress import watch_progress
with watch_progress(Environment(Path(), False, {}, terminal=sys.stderr.isatty()))("backup", 2_000_000) as progress:
    for done in range(0, 1_000_001, 100_000):
        progress(done, 0)
        time.sleep(0.05)
print("the answer")
"""


def test_a_plain_line_every_few_seconds(capsys):
    watch = watch_progress(Environment(Path(), False, {}), every=0.1)
    with watch("backup", 800_000_000) as progress:
        progress(120_000_000, 0)
        time.sleep(0.25)
    with watch("restore", 0):  # nobody reports: still a sign of life
        time.sleep(0.15)
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert "    backup: 120.0 MB of ~800.0 MB, 0 s" in lines, "too early for a rate"
    assert "    restore: 0 s" in lines
    assert shown.out == ""
    time.sleep(0.25)
    assert capsys.readouterr().err == "", "it ends with its block"


def test_what_is_quick_says_nothing(capsys):
    with watch_progress(Environment(Path(), False, {}))("verify", 10) as progress:
        progress(10, 10)
    assert capsys.readouterr().err == ""


def test_words():
    assert line("backup", 120_000_000, 800_000_000, 12.3) == (
        "backup: 120.0 MB of ~800.0 MB, 12 s, 9.8 MB/s, about 70 s left"
    )
    assert line("restore", 0, 800, 7) == "restore: 7 s"
    assert line("backup", 500, 0, 7) == "backup: 500 bytes, 7 s, 71 bytes/s"


def test_a_bar_on_a_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", CODE], {**os.environ, "TERM": "xterm"})
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # Linux says so at the end of a terminal
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"backup" in shown
    assert b"MB" in shown or b"kB" in shown
    assert shown.endswith(b"the answer\r\n")


TICKS = """
import time
from ci_migrate.commands.printing import say
from ci_migrate.commands.ticker import Ticker
ticker = Ticker()
ticker.start("dry-run", terminal=True)
time.sleep(2.3)
with ticker.still():
    say("a line")
    time.sleep(1.2)
ticker.name("")
ticker.end()
print("the answer")
"""


def test_F83_seconds_are_counted_on_a_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", TICKS], {**os.environ, "TERM": "xterm"})
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    counted, line, rest = shown.partition(b"a line")
    assert b"\r    dry-run: 1 s\x1b[K" in counted
    assert b"\r    dry-run: 2 s\x1b[K" in counted
    assert counted.endswith(b"\r\x1b[K"), "what counts is taken away before anything else is printed"
    assert line
    assert rest == b"\r\nthe answer\r\n", "and nothing is counted in between, or left at the end"
