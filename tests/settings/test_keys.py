"""Kinds of values: what each takes from a file, a variable and a flag, and what it refuses."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.errors import SettingsError
from ci_migrate.settings.keys import BY_NAME, INHERITING_STAGES, KEYS, STAGES
from ci_migrate.settings.kinds import Assertion, Secret
from ci_migrate.settings.settings import load

BASE = Path("/srv/shop")


def of_file(name: str, value: object) -> object:
    """As a settings file gives it."""
    return BY_NAME[name].kind.convert(value, BASE)


def of_text(name: str, text: str) -> object:
    """As a variable or a flag gives it."""
    kind = BY_NAME[name].kind
    return kind.convert(kind.read_text(text), BASE)


# ------------------------------------------------------------------ prices


@pytest.mark.parametrize(
    ("text", "hour", "minute"),
    [("0.29 USD", "0.29 USD an hour", "less than 0.01 USD"), ("12 EUR", "12 EUR an hour", "about 0.20 EUR"),
     (" 3.5 € ", "3.5 € an hour", "about 0.06 €"), ("0 USD", "0 USD an hour", "less than 0.01 USD")],
)  # fmt: skip
def test_prices(text, hour, minute):
    for price in (of_file("provider-price", text), of_text("provider-price", text)):
        assert (str(price), price.of(60)) == (hour, minute)


@pytest.mark.parametrize(
    "bad",
    ["", "USD", "0.29", "0,29 USD", "-1 USD", "1e9 USD", "nan USD", "0.29 USD per hour", 0.29, ["1 USD"]],
)
def test_no_prices(bad):
    with pytest.raises((ValueError, TypeError)):
        of_file("provider-price", bad)


# ------------------------------------------------------------------ durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1.0), ("1.5", 1.5), ("1ms", 0.001), ("250 ms", 0.25), ("30s", 30.0), ("10min", 600.0), ("2h", 7200.0),
     ("1d", 86400.0), (" 3s ", 3.0), ("366d", 366 * 86400.0), (0.001, 0.001), (7, 7.0)],
)  # fmt: skip
def test_durations(text, seconds):
    assert of_file("lock-timeout", text) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "s", "3 weeks", "3m", "1e3", "-1s", "+1s", ".5s", "1.s", "1,5s", "1h30min", "\u0661s", "367d", "9" * 13, "1.0000001s",
     -1, math.nan, math.inf, 1e300, 10**30, True, None, [], {}],
)  # fmt: skip
def test_no_durations(value):
    with pytest.raises((ValueError, TypeError)):
        of_file("lock-timeout", value)


@pytest.mark.parametrize("value", ["0.5ms", "0.000001s", 0.0009, 1e-320, 0, "0"])
@pytest.mark.parametrize(
    "name", [key.name for key in KEYS if key.kind.words.startswith("a duration from 1 ms")]
)
def test_less_than_a_millisecond_is_no_limit(name, value):
    """PostgreSQL and MariaDB take 0 ms for "without end": the shortest limit would have become none at all."""
    with pytest.raises(ValueError):
        of_file(name, value)


@pytest.mark.parametrize("name", [key.name for key in KEYS if key.kind.words.startswith("a duration from 0")])
def test_where_nothing_means_not_at_all_it_can_be_said(name):
    assert of_file(name, 0) == of_text(name, "0") == of_file(name, "0s") == 0.0


@given(
    st.integers(1, 10**9), st.sampled_from([("ms", 0.001), ("s", 1), ("min", 60), ("h", 3600), ("d", 86400)])
)
def test_a_unit_multiplies(number, unit):
    name, factor = unit
    seconds = number * factor
    if seconds > 366 * 86400:
        with pytest.raises(ValueError):
            of_text("max-duration", f"{number}{name}")
    else:
        assert of_text("max-duration", f"{number}{name}") == pytest.approx(seconds)


# ------------------------------------------------------------------ numbers, flags, choices


@pytest.mark.parametrize("text", ["1", "+7", "64", " 8 "])
def test_whole_numbers_of_variables(text):
    assert of_text("jobs", text.strip()) == int(text)


@pytest.mark.parametrize("text", ["0", "65", "-1", "1.0", "1e1", "0x1", "\u0663", "1_0", "9" * 30, "one"])
def test_no_whole_numbers_of_variables(text):
    with pytest.raises(ValueError):
        of_text("jobs", text)


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("true", True),
        ("True", True),
        ("YES", True),
        ("1", True),
        ("false", False),
        ("no", False),
        ("0", False),
    ],
)
def test_flags_of_variables(text, flag):
    assert of_text("auto-backup", text) is flag


@pytest.mark.parametrize("text", ["on", "off", "y", "2", "none"])
def test_no_flags_of_variables(text):
    """To guess would be to switch a backup off by a typing error."""
    with pytest.raises(TypeError):
        of_text("auto-backup", text)


@pytest.mark.parametrize("value", ["Keep", "keep,back", "", None, True, ["keep"]])
def test_a_choice_is_written_as_it_is_documented(value):
    with pytest.raises((ValueError, TypeError)):
        of_file("on-failure", value)
    assert of_file("on-failure", " keep ") == "keep"


# ------------------------------------------------------------------ lists and tables


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a", ("a",)),
        ("a,b , c,", ("a", "b", "c")),
        ("a,b\nc\n", ("a,b", "c")),  # one value a line, where a value has commas
        ("a,b\n", ("a,b",)),
    ],
)
def test_lists_of_variables(text, items):
    assert of_text("x", text) == items


@pytest.mark.parametrize("value", ["a", [""], [" "], ["a\0b"], [1], [["a"]], {"a": 1}, None])
def test_no_lists(value):
    with pytest.raises((ValueError, TypeError)):
        of_file("x", value)


@pytest.mark.parametrize(
    "text",
    [
        "CM201=it is meant",
        "CM201@3f2a=it is meant; until 2027-01-31",
        "X-money=it is = meant",
        "CM201@3f2a= a\nb",
        "SHOP001=1",
    ],
)
def test_acknowledgements(text):
    assert of_file("allow", [text]) == (text.strip(),)


@pytest.mark.parametrize(
    "text", ["CM201", "CM201=", "CM201@=why", "cm201=why", "C1=why", "CM201@a@b=why", "=why", "X-=w"]
)
def test_no_acknowledgements(text):
    with pytest.raises(ValueError):
        of_file("allow", [text])


@pytest.mark.parametrize("text", ["CM201", "CM201=fatal", "cm201=error", "CM201=error=info", "=error"])
def test_no_severities_of_checks(text):
    with pytest.raises((ValueError, TypeError)):
        of_text("checks", text)


def test_severities_of_checks_by_a_variable():
    assert of_text("checks", "CM201 = warning\nX-money=ignore") == {"CM201": "warning", "X-money": "ignore"}


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "ä", "a" * 32])
def test_names_that_no_database_may_have(name):
    """A name becomes part of labels, files and variables."""
    with pytest.raises(ValueError):
        of_file("databases", {name: "env:A"})


def test_databases_are_secrets():
    found = of_text("databases", "stats=env:STATS\nother=postgresql://u:canary@h/db?a=b")
    assert found["other"].reveal() == "postgresql://u:canary@h/db?a=b"
    assert "canary" not in f"{found}"


# ------------------------------------------------------------------ paths, programs, names


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("client-tools", "bin", BASE / "bin"),
        ("client-tools", "/usr/bin", Path("/usr/bin")),
        ("squawk", "squawk", Path("squawk")),  # looked for on PATH
        ("squawk", "./squawk", BASE / "squawk"),
        ("squawk", "node_modules/.bin/squawk", BASE / "node_modules/.bin/squawk"),
        ("backup-dir", "../b", str(BASE / "../b")),
        ("backup-dir", "s3://bucket/a b", "s3://bucket/a b"),
        ("plugins", "checks.py\nshop_plugin, x", (str(BASE / "checks.py"), "shop_plugin, x")),
        ("configure", "shop.db:configure", "shop.db:configure"),
        ("previous-release-variable", "SHOP_URL_2", "SHOP_URL_2"),
    ],
)
def test_texts_that_lead_somewhere(name, text, value):
    assert of_text(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configure", "shop.db"),
        ("configure", "shop:db:configure"),
        ("configure", "shop db:configure"),
        ("configure", ":configure"),
        ("previous-release-variable", "SHOP-URL"),
        ("previous-release-variable", "A=B"),
        ("backup-dir", "a\0b"),
        ("client-tools", " "),
        ("backup-identity", "AGE-SECRET-KEY-1CANARY"),
        ("backup-identity", "command:cat key"),
        ("backup-identity", "file: "),
        ("backup-recipients", "AGE-SECRET-KEY-1CANARY"),
        ("backup-recipients", "age1UPPER"),
        ("backup-recipients", "ssh-dss AAAA"),
        ("scratch", "elsewhere"),
        ("url", "postgresql:/h"),
        ("url", "env:"),
        ("url", "command: "),
        ("state", "env:a-b"),
    ],
)
def test_texts_that_lead_nowhere(name, text):
    with pytest.raises(ValueError):
        of_text(name, text)


def test_a_private_key_in_the_place_of_a_public_one_is_not_shown(project):
    (project / "ci-migrate.toml").write_text('backup-recipients = ["AGE-SECRET-KEY-1CANARY"]\n')
    with pytest.raises(SettingsError) as caught:
        load(project, {}, {})
    assert "CANARY" not in " ".join(caught.value.lines)


# ------------------------------------------------------------------ assertions

QUERY = {"name": "no orphans", "query": "select 1"}


@pytest.mark.parametrize("expect", [0, 1.5, "a", True, [], ["a", 1], [["a", 1], ["b", 2]]])
def test_what_an_assertion_may_expect(expect):
    assert of_file("assertions", [{**QUERY, "expect": expect}]) == (
        Assertion("no orphans", "select 1", expect, "after"),
    )


@pytest.mark.parametrize(
    "table",
    [
        {},
        QUERY,  # a query that expects nothing holds whatever it gives
        {**QUERY, "expect": None},
        {**QUERY, "expect": {"a": 1}},
        {**QUERY, "expect": [[["a"]]]},
        {**QUERY, "expect": 0, "when": "always"},
        {**QUERY, "expect": 0, "whne": "before"},
        {"name": " ", "query": "select 1", "expect": 0},
        {"name": "a", "query": 1, "expect": 0},
        "select 1",
    ],
)
def test_no_assertions(table):
    with pytest.raises((ValueError, TypeError)):
        of_file("assertions", [table])


# ------------------------------------------------------------------ the table


def test_a_default_is_a_value_of_its_kind():
    for key in KEYS:
        if key.default is not None:
            key.kind.convert(key.default, BASE)


def test_what_is_secret_says_nothing_of_itself():
    secrets = [key for key in KEYS if key.secret]
    assert {"url", "read-url", "databases", "scratch", "state", "backup-identity"} <= {
        key.name for key in secrets
    }
    assert str(Secret("canary")) == "***"
    assert f"{Secret('canary')!r}" == "Secret('***')"


def test_each_key_is_meant_for_people():
    for key in KEYS:
        assert key.meaning.rstrip("`").endswith("."), key.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", key.name), "as a flag and a variable can be written"
        assert key.variable == f"CI_MIGRATE_{key.name.replace('-', '_').upper()}"


def test_only_stages_that_are_there_inherit():
    assert set(INHERITING_STAGES) <= set(STAGES)
