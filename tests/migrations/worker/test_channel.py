"""The child's conversation with its parent: nothing else gets into it, and without a parent nothing goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci_migrate.migrations.worker import channel as channel_module

START = """\
import os, sys
sys.path.insert(0, {folder!r})
from channel import Channel, Refused, Stopped
channel = Channel()
"""
FOLDER = str(Path(channel_module.__file__).parent)


def talk(code: str, words: bytes = b"", **how) -> subprocess.CompletedProcess:
    """A child with this code; `words` is all that its parent says before it goes away."""
    return subprocess.run(
        [sys.executable, "-S", "-c", START.format(folder=FOLDER) + code],
        input=words, capture_output=True, timeout=60, check=False, **how,
    )  # fmt: skip


def events(done: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_env_py_prints_and_reads_is_no_part_of_it():
    done = talk(
        "print('printed', flush=True)\n"
        "os.write(1, b'written')\n"
        "os.system('echo started')\n"
        "channel.send('graph', heads=[sys.stdin.read()])\n"
        "channel.ask('statement', sql='x')\n"
        "channel.send('end')",
        b"go\n",
    )
    assert [e["event"] for e in events(done)] == ["graph", "statement", "end"]
    assert events(done)[0]["heads"] == [""], "its standard input is empty, and takes no word away"
    for word in (b"printed", b"written", b"started"):
        assert word in done.stderr


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (b"go\n", "went on"),
        (b"stop\n", "Stopped"),
        (b"refuse not that table\n", "Refused: not that table"),
        (b"refuse gr\xc3\xb6\xc3\x9fe \xff\n", "Refused: größe \ufffd"),
        (b"refuse \n", "Refused: "),
    ],
)
def test_what_the_parent_says_is_done(word, said):
    code = (
        "try:\n"
        "    channel.ask('statement', sql='x')\n"
        "    channel.send('said', words='went on')\n"
        "except Refused as error:\n    channel.send('said', words=f'Refused: {error}')\n"
        "except Stopped:\n    channel.send('said', words='Stopped')\n"
    )
    assert events(talk(code, word))[-1]["words"] == said


def test_no_except_exception_of_an_env_py_holds_a_stop_up():
    code = "try:\n    channel.ask('statement')\nexcept Exception:\n    channel.send('swallowed')\n"
    done = talk(code, b"stop\n")
    assert [e["event"] for e in events(done)] == ["statement"]
    assert done.returncode == 1


@pytest.mark.parametrize("words", [b"", b"g", b"go"])
def test_without_a_whole_word_nothing_is_sent_to_the_database(words):
    """The parent is gone, or died in the middle of a word."""
    done = talk("channel.ask('statement')\nopen('/dev/full')\nprint('sent')", words)
    assert done.returncode == 70
    assert b"sent" not in done.stderr


def test_words_that_come_at_once_are_taken_one_by_one():
    code = "for n in range(3):\n    channel.ask('statement', position=n)\nchannel.send('end')"
    assert len(events(talk(code, b"go\ngo\ngo\n"))) == 4


def test_a_child_that_runs_ahead_hears_a_stop_and_the_end_of_its_parent():
    ahead = "channel.agree(['committing'])\nimport time\ntime.sleep(0.2)\nchannel.ask('statement')\nchannel.send('end')\n"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", START.format(folder=FOLDER) + ahead],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert [json.loads(line)["event"] for line in child.stdout] == ["statement", "end"], (
            "it waits for no word"
        )
    assert talk(ahead).returncode == 70
    told = ahead.replace("channel.ask", "try:\n    channel.ask").replace(
        "channel.send('end')", "    channel.send('end')\nexcept Stopped:\n    channel.send('stopped')"
    )
    assert [e["event"] for e in events(talk(told, b"stop\n"))] == ["statement", "stopped"]


def test_what_is_held_back_goes_out_with_the_next_event_in_its_order_or_by_itself():
    done = talk("for n in range(120):\n    channel.send('done', n=n)\nchannel.send('end')")
    assert [e.get("n") for e in events(done)] == [*range(120), None]
    alone = talk(
        "channel.agree(['statement'])\nchannel.send('done', n=1)\nimport time\ntime.sleep(0.5)\nos._exit(0)"
    )
    assert [e["n"] for e in events(alone)] == [1], "a statement that runs for an hour keeps no news back"


@pytest.mark.parametrize(
    "value", ["größe 🚚", "line\nbreak", "\u2028", "\x00", "\udcff", {"a": [None, 1.5]}, b"bytes"]
)
def test_each_event_is_one_line_of_json_whatever_it_holds(value):
    done = talk(f"channel.send('x', value={value!r})\nchannel.send('end')")
    first, last = done.stdout.decode().rstrip("\n").split("\n")
    told = json.loads(first)["value"]
    kept = str(value) if isinstance(value, bytes) else value
    assert told == (kept.encode(errors="replace").decode() if isinstance(kept, str) else kept)
    assert json.loads(last) == {"event": "end"}


def test_a_process_that_env_py_forks_has_no_part_in_it():
    code = (
        "if os.fork() == 0:\n"
        "    channel.send('forked')\n"
        "    try:\n        channel.ask('statement')\n"
        "    except Refused as error:\n        sys.stderr.write(str(error))\n"
        "    os._exit(0)\n"
        "os.wait()\nchannel.send('end')"
    )
    done = talk(code, b"go\n")
    assert [e["event"] for e in events(done)] == ["end"]
    assert b"a process forked by env.py may not use the database" in done.stderr


def test_a_parent_that_does_not_listen_any_more_ends_it():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        child = subprocess.run(
            [sys.executable, "-S", "-c", START.format(folder=FOLDER) + "channel.send('x')\nprint('went on')"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert child.returncode == 70
    assert b"went on" not in child.stderr
