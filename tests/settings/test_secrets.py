"""The registry of secrets: whole values, in every form, and no word of a message beside them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.settings.secrets import SECRETS, Secrets, hide_secrets_in

LONG = "c@n:a/r%y 4711"


def known(*urls: str, environ: dict[str, str] | None = None) -> Secrets:
    found = Secrets()
    for url in urls:
        found.add_url(url)
    found.add_environment(environ or {})
    return found


@pytest.mark.parametrize("password", ["p", "x1", "42", "12345678", "password", "null", "Postgres"])
def test_F29_a_password_that_is_part_of_our_words_garbles_none_of_them(password):
    hide = known(f"postgresql://app:{password}@db.example.com/shop").hide
    words = (
        "OperationalError: password authentication failed for user app (x1x, 42 rows, 12345678 bytes, null) "
        "Postgres at postgresql.example"
    )
    assert hide(words) == words
    assert hide(f"postgresql://app:{password}@db") == "postgresql://app:***@db"
    assert hide(f"host=db password={password} user=app") == "host=db password=*** user=app"
    assert hide(json.dumps({"pwd": password})) == '{"pwd": "***"}'
    assert hide(f"ALTER ROLE app IDENTIFIED BY '{password}'") == "ALTER ROLE app IDENTIFIED BY '***'"


def test_F29_what_the_url_shows_anyway_is_hidden_only_as_a_password():
    hide = known("postgresql://shopadmin9:shopadmin9@db.example.com/shopadmin9").hide
    assert hide("role shopadmin9 in database shopadmin9") == "role shopadmin9 in database shopadmin9"
    assert hide("mysql://shopadmin9:shopadmin9@db") == "mysql://shopadmin9:***@db"


def test_a_word_is_hidden_as_a_word():
    hide = known("postgresql://app:operational@db/shop").hide
    assert hide("OperationalError operationals it_operational_x: operational.") == (
        "OperationalError operationals it_operational_x: ***."
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunter2-4711@db/shop",
        "postgresql://app:hunter2-4711@db/shop?user=a@b",
        "postgresql://:hunter2-4711@/shop",
        "postgresql:///shop?host=/run&user=app&password=hunter2-4711",
        "postgresql://db/shop?sslpassword=hunter2-4711",
        "mysql://db/shop?passwd=hunter2-4711",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BUID%3Du%3BPWD%3Dhunter2-4711",
        "postgresql://app:hunter2-4711@one:5432,two:5433/shop",
    ],
)
def test_F29_a_password_is_found_wherever_a_url_has_it(url):
    assert known(url).hide("xhunter2-4711x") == "x***x"
    assert known(environ={"ANY": f"urls: {url}"}).hide("hunter2-4711") == "***"


def test_F29_each_form_of_it_is_hidden():
    from urllib.parse import quote, quote_plus

    from sqlalchemy import URL

    url = URL.create("postgresql", "app", LONG, "db", database="shop")
    hide = known(url.render_as_string(hide_password=False)).hide
    for form in (
        LONG,
        quote(LONG, safe=""),
        quote_plus(LONG),
        quote_plus(LONG).lower(),
        repr(LONG),
        json.dumps(LONG),
    ):
        assert "4711" not in hide(f"<{form}>"), form
    assert "4711" not in hide(repr(url.render_as_string(hide_password=False)))


def test_F29_variables_that_hold_nothing_else_and_keys_of_several_lines():
    found = known(
        environ={
            "PGPASSWORD": "hunter2-4711",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7",
            "OTHER": "visible-1",
        }
    )
    found.add("# created: today\n# public key: age1abc\nAGE-SECRET-KEY-1QQQ\n")
    assert found.hide("hunter2-4711 wJalrXUtnFEMI/K7 visible-1") == "*** *** visible-1"
    assert found.hide("age1abc AGE-SECRET-KEY-1QQQ") == "age1abc ***"


def test_a_password_in_a_url_that_nobody_registered_is_hidden_too():
    assert known().hide("see amqp://u:other-one@h and http://a.example:80/x@y") == (
        "see amqp://u:***@h and http://a.example:80/x@y"
    )


def test_a_variable_that_is_no_utf_8_hinders_nobody():
    """It may be one that no setting names: each command failed on it, with a traceback."""
    found = known(environ={"SMTP_URL": "smtp://u:canary\udcff@h", "PGPASSWORD": "hunter\udce9-4711"})
    assert found.hide("smtp://u:canary\udcff@h, canary%FF") == "smtp://u:***@h, ***"
    assert found.hide("hunter%e9-4711 hunter\\udce9-4711") == "*** ***"


@pytest.mark.parametrize("text", ["", " ", "\n", "# a comment", "-----BEGIN KEY-----\n-----END KEY-----"])
def test_what_is_no_secret_replaces_nothing(text):
    found = Secrets()
    found.add(text)
    assert not found.holds("# a comment, and a text: -----BEGIN KEY-----")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no url",
        "env:NAME",
        "file:/x",
        "postgresql://h/db",
        "postgresql://u@h",
        "postgresql://:@h",
        "://u:p",
    ],
)
def test_a_url_without_a_password_has_no_secret(url):
    assert known(url).hide("u p h db x NAME no url") == "u p h db x NAME no url"


def test_a_secret_can_be_left_out_again():
    """A token that was shown to its owner on purpose."""
    found = Secrets()
    found.add("hunter2-4711")
    found.add("other-secret-1")
    assert "hunter2-4711" in found
    found.forget("hunter2-4711")
    assert "hunter2-4711" not in found
    assert found.hide("hunter2-4711 other-secret-1") == "hunter2-4711 ***"


def test_of_two_secrets_the_longer_one_is_hidden_whole():
    found = Secrets()
    found.add("hunter2-47")
    found.add("hunter2-4711")
    assert found.hide("hunter2-4711 hunter2-47") == "*** ***"


def test_dicts_and_lists_are_looked_through():
    SECRETS.add("hunter2-4711")
    assert hide_secrets_in(
        {"a": ["x hunter2-4711", 3, None, ("hunter2-4711",)], "b": {"c": "hunter2-4711"}}
    ) == {
        "a": ["x ***", 3, None, ["***"]],
        "b": {"c": "***"},
    }
    assert hide_secrets_in(True) is True


SECRET_TEXTS = st.text("ab1@:/%+ é\"'\\\n", min_size=4, max_size=12)


@given(SECRET_TEXTS, SECRET_TEXTS)
def test_hiding_twice_is_hiding_once(secret, text):
    found = Secrets()
    found.add(secret)
    once = found.hide(f"{text} {secret} {text}")
    assert found.hide(once) == once
