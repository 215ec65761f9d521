import os

import pytest
from sqlalchemy import make_url

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import LedgerError, SettingsError, UsageError
from ci_migrate.ledger.place import NAME_LIMIT, ledger_url, place


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{}/app.db",
        "sqlite+pysqlite:///{}/app.db",
        "sqlite+aiosqlite:///{}/app.db?timeout=20",
        "sqlite:///file:{}/app.db?uri=true&mode=rw",
        "sqlite:///file://{}/app.db?uri=true",
    ],
)
def test_a_sqlite_ledger_stands_beside_the_file(url, tmp_path):
    found = ledger_url(make_url(url.format(tmp_path)), None)
    assert found.drivername == "sqlite"
    assert found.database == f"{tmp_path}/app.db.ci-migrate"
    assert not found.query


def test_a_link_to_the_database_leads_to_the_same_ledger(tmp_path):
    (tmp_path / "real.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    found = ledger_url(make_url(f"sqlite:///{tmp_path}/link.db"), None)
    assert found.database == os.path.realpath(tmp_path / "real.db") + ".ci-migrate"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_has_no_ledger(url):
    with pytest.raises(UsageError, match="memory"):
        ledger_url(make_url(url), None)


@pytest.mark.parametrize(
    "driver", ["mysql", "mysql+mysqldb", "mysql+aiomysql", "mysql+asyncmy", "mariadb+pymysql"]
)
def test_a_mysql_ledger_is_a_database_on_the_same_server(driver):
    url = make_url(f"{driver}://ana:s%40cret@db/shop?unix_socket=/run/s&charset=latin1")
    found = ledger_url(url, None)
    assert found.drivername == "mysql+pymysql"
    assert (found.host, found.database, found.password) == ("db", "shop_ci_migrate", "s@cret")
    assert dict(found.query) == {"unix_socket": "/run/s"}
    assert place(found) == "socket:/run/s/shop_ci_migrate"
    assert place(found.set(query={})) == "db:3306/shop_ci_migrate"


@pytest.mark.parametrize("driver", ["", "+psycopg", "+psycopg2", "+asyncpg", "+pg8000"])
def test_a_postgresql_ledger_is_a_database_on_the_same_server(driver):
    found = ledger_url(make_url(f"postgresql{driver}://ana:s%40cret@db:5433/shop"), None)
    assert found.drivername == "postgresql+psycopg"
    assert (found.host, found.port, found.database) == ("db", 5433, "shop_ci_migrate")
    assert (found.username, found.password) == ("ana", "s@cret")
    assert place(found) == "db:5433/shop_ci_migrate"


def test_arguments_of_the_server_are_kept_and_those_of_the_driver_are_not():
    query = "sslmode=verify-full&host=/run/pg&prepared_statement_cache_size=0&async_fallback=true"
    found = ledger_url(make_url(f"postgresql+asyncpg:///shop?{query}"), None)
    assert dict(found.query) == {"sslmode": "verify-full", "host": "/run/pg"}


def test_the_word_of_asyncpg_for_ssl_is_translated():
    assert ledger_url(make_url("postgresql+asyncpg://h/shop?ssl=require"), None).query == {
        "sslmode": "require"
    }


def test_a_database_named_in_the_query_gives_the_ledger_its_name():
    found = ledger_url(make_url("postgresql://h/?dbname=shop&user=u&password=p"), None)
    assert found.database == "shop_ci_migrate"
    assert "dbname" not in found.query


@pytest.mark.parametrize("letter", ["a", "ä", "🚚"])
def test_long_names_are_cut_to_what_postgresql_takes_and_stay_apart(letter):
    names = [
        ledger_url(make_url("postgresql://h/x").set(database=letter * 15 + "x" * 40 + end), None).database
        for end in ("one", "two")
    ]
    assert names[0] != names[1]
    assert all(len(name.encode()) <= NAME_LIMIT and name.endswith("_ci_migrate") for name in names)


def test_the_longest_name_that_fits_is_not_cut():
    name = "n" * (NAME_LIMIT - len("_ci_migrate"))
    assert ledger_url(make_url("postgresql://h/x").set(database=name), None).database == f"{name}_ci_migrate"


def test_state_wins(tmp_path):
    target = make_url("postgresql+asyncpg://h/shop")
    assert ledger_url(target, f"sqlite:///{tmp_path}/state.db").database == f"{tmp_path}/state.db"
    assert ledger_url(target, "postgresql://other/state").render_as_string() == (
        "postgresql+psycopg://other/state"
    )


def test_another_engine_needs_state(tmp_path):
    other = make_url("oracle+oracledb://h/shop")
    with pytest.raises(LedgerError) as caught:
        ledger_url(other, None)
    assert "state" in caught.value.hint
    assert ledger_url(other, f"sqlite:///{tmp_path}/state.db").database == f"{tmp_path}/state.db"


@pytest.mark.parametrize(
    ("target", "state"),
    [
        ("postgresql+asyncpg://a:pw@localhost/shop", "postgresql://b:other@127.0.0.1:5432/shop"),
        ("sqlite+aiosqlite:///app.db", "sqlite:///./app.db"),
    ],
)
def test_the_target_itself_is_refused_as_state(target, state):
    with pytest.raises(SettingsError, match="the target itself") as caught:
        ledger_url(make_url(target), state)
    assert "pw" not in " ".join(caught.value.lines)


def test_a_state_that_is_no_url_is_refused_without_repeating_it():
    with pytest.raises(SettingsError) as caught:
        ledger_url(make_url("sqlite:///app.db"), "postgresql//ana:s3cret@db")
    assert "s3cret" not in " ".join(caught.value.lines)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://h/?dbname=other", "other"),
        ("postgresql+psycopg://h/shop?dbname=other", "other"),
        ("postgresql+asyncpg://h/shop?database=other", "other"),
        ("postgresql+psycopg2://h/?database=other", "other"),
        ("postgresql+psycopg://u@h/", "of_the_environment"),
    ],
)
def test_F7_the_ledger_is_beside_the_database_that_sessions_come_to(monkeypatch, url, name):
    monkeypatch.setenv("PGDATABASE", "of_the_environment")
    target = PostgreSQL(make_url(url))
    assert repr(target) == f"PostgreSQL('h:5432/{name}')"
    assert ledger_url(make_url(url), None).database == f"{name}_ci_migrate"


def test_F7_a_search_path_of_the_targets_url_is_not_the_ledgers():
    found = ledger_url(
        make_url("postgresql://h/shop?options=-csearch_path%3Devil%20-c%20work_mem%3D1MB"), None
    )
    assert dict(found.query) == {"options": "-c work_mem=1MB"}
    assert (
        "options"
        not in ledger_url(make_url("postgresql://h/shop?options=-c%20search_path%3Da,b"), None).query
    )
