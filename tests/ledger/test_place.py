import os

import psycopg
import pytest
from sqlalchemy import create_engine, make_url

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import LedgerError, SettingsError, UsageError
from ci_migrate.ledger.place import LIBPQ_ARGUMENTS, NAME_LIMIT, connectable, ledger_url, marks_in, place


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


def test_what_libpq_understands_is_what_is_kept():
    """Of a newer libpq an argument may be missing here: then it is lost in silence, be it a certificate."""
    there = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    not_for_a_ledger = {
        "dbname",  # its own name
        "fallback_application_name", "replication",  # of programs
        "authtype", "tty",  # without effect for long
        "scram_client_key", "scram_server_key", "oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope",
    }  # fmt: skip
    assert there - LIBPQ_ARGUMENTS - not_for_a_ledger == set()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("sqlite:////srv/a b.db", "/srv/a b.db"),
        ("postgresql://ana:s3cret@db/shop?sslpassword=s3cret", "db:5432/shop"),
        ("postgresql:///shop", "local socket:5432/shop"),
        ("postgresql:///shop?host=/run/pg&port=5433", "/run/pg:5433/shop"),
        ("postgresql:///shop?host=a&host=b", "a,b:5432/shop"),
        ("postgresql://[::1]:5433/shop", "::1:5433/shop"),
        ("mysql://ana:s3cret@/shop", "localhost:3306/shop"),
        ("mysql://db:3307/shop", "db:3307/shop"),
        ("mariadb+pymysql:///shop?unix_socket=/run/s", "socket:/run/s/shop"),
        ("postgresql://db/shop?unix_socket=/run/s", "db:5432/shop"),
    ],
)
def test_a_person_reads_where_it_is_and_nothing_secret(url, where):
    assert place(make_url(url)) == where


LEDGER = "mysql+pymysql://a:b@127.0.0.1/shop_ci_migrate"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("mysql+aiomysql://other:pw@localhost:3306/shop", "shop_ci_migrate"),
        ("mariadb://localhost/shop?charset=latin1", "shop_ci_migrate"),
        ("mysql://[::1]/shop", "shop_ci_migrate"),
        ("mysql://localhost:3307/shop", None),  # another server
        ("mysql://db/shop", None),
        ("mysql://localhost/shop?unix_socket=/run/other", None),  # nobody knows whether it is the same
        ("postgresql://localhost/shop", None),
        ("sqlite:///app.db", None),
    ],
)
def test_marks_are_left_only_where_one_transaction_reaches_both(target, name):
    assert marks_in(make_url(LEDGER), make_url(target)) == name
    assert marks_in(make_url("sqlite:///state.db"), make_url(target)) is None
    assert marks_in(make_url("postgresql://127.0.0.1/state"), make_url(target)) is None


def test_a_sqlite_ledger_that_is_not_there_is_not_made_by_looking(tmp_path):
    url = make_url("sqlite://").set(database=f"{tmp_path}/a?b#c%41.db")
    engine = create_engine(connectable(url))
    with pytest.raises(Exception, match="unable to open"):
        engine.connect()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a?b#c%41.db").touch()
    engine.connect().close()
    engine.dispose()
    server = make_url("postgresql://h/d?sslmode=require")
    assert connectable(server) is server


@pytest.mark.parametrize(
    ("target", "state"),
    [
        ("mysql://a@localhost/shop", "mariadb+pymysql://b@127.0.0.1:3306/shop?charset=utf8mb4"),
        ("postgresql://localhost/?dbname=shop", "postgresql+asyncpg://[::1]/shop"),
        ("postgresql:///shop?host=/run/pg", "postgresql:///shop?host=/run/pg&port=5432"),
        ("sqlite:///app.db", "sqlite:///file:app.db?uri=true&mode=rwc"),
    ],
)
def test_the_target_itself_is_refused_as_state_however_it_is_spelled(target, state):
    with pytest.raises(SettingsError, match="the target itself") as caught:
        ledger_url(make_url(target), state)
    assert "a database of its own" in caught.value.hint


def test_a_database_beside_the_target_may_be_its_state():
    assert ledger_url(make_url("mysql://h/shop"), "mysql://h/shop_state").database == "shop_state"
    assert ledger_url(make_url("postgresql://h/shop"), "postgresql://other/shop").host == "other"
    assert ledger_url(make_url("postgresql://h:1/shop"), "postgresql://h:2/shop").port == 2


@pytest.mark.parametrize("url", ["mysql://ana@db", "mysql://ana@db/", "mariadb+pymysql://db/"])
def test_a_mysql_url_without_a_database_names_no_place(url):
    with pytest.raises(LedgerError, match="names no database") as caught:
        ledger_url(make_url(url), None)
    assert "`state`" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("-c search_path=a -c work_mem=1MB", "-c work_mem=1MB"),
        ("--search_path=a\\ b,c --work_mem=1MB", "--work_mem=1MB"),
        ("-csearch_path=a", None),
        ("-c search_path = a", None),
        ("-c my_search_path=a", "-c my_search_path=a"),
        ("-c statement_timeout=5s", "-c statement_timeout=5s"),
    ],
)
def test_F7_every_spelling_of_a_search_path_is_left_out_and_nothing_else(options, kept):
    target = make_url("postgresql://h/shop").update_query_dict({"options": options, "sslmode": "require"})
    found = dict(ledger_url(target, None).query)
    assert found.pop("sslmode") == "require"
    assert found == ({} if kept is None else {"options": kept})
