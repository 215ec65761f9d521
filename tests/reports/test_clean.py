import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_migrate.model import canonical_json
from ci_migrate.reports.clean import LIMIT, clean, clean_report, one_line, plan_digest

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("foreign", "cleaned"),
    [
        ("plain", "plain"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://x\x1b\\y", "xy"),
        ("\x9b31mred", "red"),
        ("nul\x00", "nul\ufffd"),
        ("\ufffe\uffff", "\ufffd\ufffd"),
        ("\udc80\ud800", "\ufffd\ufffd"),
        ("\u202eevil", "\ufffdevil"),
        ("grüße 🚀 مرحبا", "grüße 🚀 مرحبا"),
        ("a\u2028b\u0085c", "a\nb\nc"),
        ("\x1b", "\ufffd"),
        ("\x1b\x1b[0m[31mred", "\ufffd[31mred"),
    ],
)
def test_unfit_characters_go(foreign, cleaned):
    assert clean(foreign) == cleaned


@settings(deadline=None)  # a busy machine is no failure
@given(ANY_TEXT)
def test_any_text_can_be_encoded_and_stays_clean(text):
    once = clean(text)
    once.encode()
    assert clean(once) == once
    assert not {"\x00", "\x1b", "\x9b", "\r", "\x7f", "\ufffe", "\uffff"} & set(once)


def test_a_long_text_keeps_its_ends_and_says_how_much_is_missing():
    text = "start " + "x" * 5_000_000 + " end"
    short = clean(text)
    assert len(short) <= LIMIT
    assert short.startswith("start ")
    assert short.endswith(" end")
    head, _, tail = short.partition("\n[... ")
    count, _, tail = tail.partition(" characters left out ...]\n")
    assert len(head) + len(tail) + int(count.replace(",", "")) == len(text)
    assert clean(short) == short


def test_a_text_at_the_limit_stays_whole():
    assert clean("x" * LIMIT) == "x" * LIMIT


def test_one_line_collapses_and_cuts_with_a_count():
    assert one_line(" a\n\tb \x1b[1mc ") == "a b c"
    assert one_line("x" * 310, 300) == "x" * 300 + "... (10 more characters)"


def test_a_clean_report_is_the_same_report(samples):
    report = samples.green()
    assert clean_report(report) == report


def test_every_text_of_a_report_is_cleaned(samples):
    report = samples.hostile()
    with pytest.raises(UnicodeEncodeError):
        msgspec.json.encode(report)
    text = canonical_json(clean_report(report)).decode()
    assert "\\u001b" not in text
    assert "\\u0000" not in text
    assert "\u202e" not in text


def test_the_plan_digest_is_that_of_the_original_plan(samples):
    long_message = samples.plan(destination="x" * 30_000)
    report = samples.report(samples.passed("check", 0.1, "", plan=long_message))
    assert plan_digest(report) == long_message.digest != clean_report(report).plan.digest
    assert plan_digest(samples.hostile()) == ""
    assert plan_digest(samples.report()) == ""
