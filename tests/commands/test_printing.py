"""What is printed steers neither the terminal nor the CI."""

import json
import subprocess
import sys

import pytest

from ci_migrate.commands.printing import say, say_json
from ci_migrate.reports.clean import for_terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ok\n::error file=a::x", "ok\n: :error file=a::x"),
        ("  ::add-mask::x", "  : :add-mask::x"),
        ("see ##[error]x and ##vso[task.setvariable]x", "see # #[error]x and # #vso[task.setvariable]x"),
        ("section_start:1:x\r\x1b[0Kx", "section_start :1:x\nx"),
        ("a\x1b[2J\x1b]0;title\x07\x9b1mb\x08", "ab\N{REPLACEMENT CHARACTER}"),
        (
            "rm \u202etxt.exe\u2066\u200f",
            "rm \N{REPLACEMENT CHARACTER}txt.exe" + 2 * "\N{REPLACEMENT CHARACTER}",
        ),
        ("id\U000e0041\u200b", "id" + 2 * "\N{REPLACEMENT CHARACTER}"),
        ("a::b, x##y, std::string", "a::b, x##y, std::string"),
        ("col\rrow", "col\nrow"),
    ],
)
def test_F32_nothing_that_is_printed_steers_a_terminal_or_a_ci(text, shown, capsys):
    say(text)
    assert capsys.readouterr().out == shown + "\n"
    say_json([text])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_colours_stay_where_a_renderer_of_ours_put_them():
    assert for_terminal("\x1b[1;31mFAILED\x1b[0m \x1b[2Kx", coloured=True) == "\x1b[1;31mFAILED\x1b[0m x"
    assert for_terminal("\x1b[8mhidden") == "hidden"


def test_what_a_plugin_writes_to_the_descriptor_does_not_spoil_json(alembic_project):
    """`print` is seen to; a library in C, or a program that a plugin starts, knows the descriptor alone."""
    alembic_project.settings('plugins = ["prints.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    alembic_project.write(
        "prints.py",
        'import os\nprint("a plugin prints")\nos.write(1, b"and writes")\nos.system("echo runs")\n',
    )
    for command in ("check", "plan", "status", "history", "doctor", "settings"):
        done = alembic_project.run(command, "--json")
        assert json.loads(done.out) is not None, command
    assert "and writes" in alembic_project.run("check", "--json").err


def test_json_into_a_closed_pipe_ends_quietly(alembic_project):
    done = subprocess.run(
        ["sh", "-c", '"$0" -m ci_migrate status --json | true; exit 0', sys.executable],
        cwd=alembic_project.folder, env=alembic_project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
