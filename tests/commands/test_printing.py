"""What is printed steers neither the terminal nor the CI."""

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
