"""Reaching PostgreSQL: what URLs mean, and what is said when the door stays shut."""

import shutil
import socket
import subprocess
import sys
import threading

import psycopg
import pytest
from sqlalchemy import make_url

from ci_migrate.databases.base import session
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.sessions import Access, libpq_parameters
from ci_migrate.errors import DatabaseError, UsageError


def refused(url):
    """The error of a ping: few lines, no secret, nothing touched."""
    with pytest.raises(DatabaseError) as raised:
        PostgreSQL(url).ping()
    error = raised.value
    assert all("\n" not in line for line in error.lines)
    assert not url.password or url.password not in " ".join(error.lines)
    assert error.state == "The database was not touched."
    assert error.hint
    return error


def test_a_server_that_is_reached(postgresql_url):
    PostgreSQL(postgresql_url).ping()


def test_a_server_that_is_down(postgresql_url):
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refused(postgresql_url.set(port=port))
    assert f"does not answer at 127.0.0.1:{port}" in error.what


def test_a_host_that_does_not_exist(postgresql_url):
    assert "does not answer at nowhere.invalid" in refused(postgresql_url.set(host="nowhere.invalid")).what


def test_a_wrong_password(postgresql_url):
    error = refused(postgresql_url.set(password="canary"))
    assert 'password authentication failed for user "postgres"' in error.what
    assert "password of role postgres" in error.hint


def test_a_missing_password(postgresql_url):
    error = refused(make_url(f"postgresql://postgres@127.0.0.1:{postgresql_url.port}/postgres"))
    assert "Give role postgres its password" in error.hint


def test_an_unknown_database(postgresql_url):
    error = refused(postgresql_url.set(database="no_such_database"))
    assert 'database "no_such_database" does not exist' in error.what
    assert "createdb no_such_database" in error.hint


def test_a_database_that_the_role_may_not_enter(postgresql_url, postgresql_server):
    admin = postgresql_server.admin_url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'canary'")
        connection.execute(f"REVOKE CONNECT ON DATABASE {postgresql_url.database} FROM PUBLIC")
        try:
            error = refused(postgresql_url.set(username="stranger", password="canary"))
        finally:
            connection.execute("DROP ROLE stranger")
    assert "Role stranger needs CONNECT" in error.hint


def base_backup(primary, copy):
    """The data of a running server as files, as a standby starts with it."""
    with psycopg.connect(
        primary.admin_url.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute("SELECT pg_backup_start('x', true)" if connection.info.server_version >= 150000
                           else "SELECT pg_start_backup('x', true, false)")  # fmt: skip
        shutil.copytree(primary.data, copy, ignore=shutil.ignore_patterns("postmaster.pid"))
        stop = "pg_backup_stop()" if connection.info.server_version >= 150000 else "pg_stop_backup(false)"
        label = connection.execute(f"SELECT labelfile FROM {stop}").fetchone()[0]
        (copy / "backup_label").write_text(label)
        shutil.copytree(primary.data / "pg_wal", copy / "pg_wal", dirs_exist_ok=True)


def test_L4_a_replica(start_postgresql, tmp_path):
    copy = tmp_path / "copy"
    with start_postgresql() as primary:
        base_backup(primary, copy)
    with start_postgresql(copy_of=copy) as replica:
        error = refused(replica.admin_url)
    assert "is a replica" in error.what
    assert "primary" in error.hint


def test_F6_a_standby_is_its_primary_until_it_is_promoted(start_postgresql, tmp_path):
    with start_postgresql() as primary:
        copy = tmp_path / "copy"
        base_backup(primary, copy)
        with start_postgresql(copy_of=copy) as replica:
            one, other = (PostgreSQL(server.admin_url) for server in (primary, replica))
            assert other.replicates(one)
            assert PostgreSQL(primary.socket_url()).replicates(one), "another address"
            assert not PostgreSQL(primary.url("template1")).replicates(one)
            with psycopg.connect(replica.admin_url.render_as_string(hide_password=False)) as connection:
                connection.execute("SELECT pg_promote()")
            assert not other.replicates(one)


def pooler(server):
    """What a pooler looks like to its clients: the pid that it tells at the start is one of its own."""
    listening = socket.create_server(("127.0.0.1", 0))

    def forward(source, target):
        while data := source.recv(65536):
            target.sendall(data)
        target.close()

    def answer(client):
        upstream = socket.create_connection(("127.0.0.1", server.port))
        threading.Thread(target=forward, args=(client, upstream), daemon=True).start()
        stream, seen_key = upstream.makefile("rb"), False
        while not seen_key and (kind := stream.read(1)):
            length = stream.read(4)
            body = stream.read(int.from_bytes(length, "big") - 4)
            if kind == b"K":
                seen_key, body = True, (1).to_bytes(4, "big") + body[4:]
            client.sendall(kind + length + body)
        while data := stream.read1(65536):
            client.sendall(data)
        client.close()

    def serve():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listening


def test_L4_a_pooler(postgresql_url, postgresql_server):
    with pooler(postgresql_server) as listening:
        url = postgresql_url.set(port=listening.getsockname()[1])
        url = url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        error = refused(url)
        listening.shutdown(socket.SHUT_RDWR)
    assert "connection pooler" in error.what
    assert "server's own URL" in error.hint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@db:5433/shop", {"host": "db", "port": "5433", "dbname": "shop", "user": "u", "password": "p"}),
        ("postgresql+asyncpg://u@db/shop?ssl=require&prepared_statement_cache_size=0", {"sslmode": "require", "port": "5432"}),
        ("postgresql+psycopg2://u@/shop?host=/run/pg&port=5444", {"host": "/run/pg", "port": "5444"}),
        ("postgresql://u@/shop?host=a:1&host=b:2", {"host": "a,b", "port": "1,2"}),
        ("postgresql+pg8000://u@db/shop?options=-csearch_path%3Dx&unix_sock=y", {"options": "-csearch_path=x"}),
        ("postgresql://u@db/shop?sslmode=verify-full&sslrootcert=ca.pem", {"sslmode": "verify-full", "sslrootcert": "ca.pem"}),
        ("postgresql://u@db/shop?password=p%40", {"password": "p@"}),
    ],
)  # fmt: skip
def test_what_a_url_means_to_libpq(url, expected):
    parameters = libpq_parameters(make_url(url))
    assert {name: parameters[name] for name in expected} == expected
    assert not {"ssl", "prepared_statement_cache_size", "unix_sock"} & parameters.keys()


def test_a_connection_string_for_programs_has_no_secret():
    access = Access(
        libpq_parameters(make_url("postgresql://u:canary@db/sh'op?sslpassword=canary")), "ci-migrate/x"
    )
    assert "canary" not in access.conninfo()
    assert "dbname=sh\\'op" in access.conninfo()
    assert "application_name=ci-migrate/x" in access.conninfo()
    assert "canary" not in repr(access)


def test_a_url_by_service_is_refused():
    with pytest.raises(UsageError, match="service"):
        PostgreSQL(make_url("postgresql://?service=prod"))


def test_libpq_environment_fills_what_the_url_leaves_out(monkeypatch):
    monkeypatch.setenv("PGHOST", "from.environment")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=x")
    access = PostgreSQL(make_url("postgresql://u@/shop"))._access
    assert access.place == "from.environment:5432/shop"
    assert access.arguments()["options"].startswith("-c search_path=x -c ")


def test_without_psycopg_the_extra_is_named():
    program = (
        "import sys; sys.modules['psycopg'] = None; sys.argv.append('')\n"
        "from ci_migrate.databases.postgresql.database import PostgreSQL\n"
        "from sqlalchemy import make_url\n"
        "try: PostgreSQL(make_url('postgresql://db/shop'))\n"
        "except Exception as error: print(type(error).__name__, *error.lines)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("UsageError")
    assert "pip install 'ci-migrate[postgresql]'" in done.stdout


def test_the_module_is_imported_without_the_driver():
    program = "import sys, ci_migrate.databases.postgresql.database; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_F101_too_many_connections_are_not_a_wrong_password(postgresql_url):
    database = PostgreSQL(postgresql_url)
    with database._access.session() as connection:
        connection.execute("CREATE ROLE crowded LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
    crowded = PostgreSQL(postgresql_url.set(username="crowded", password="pw"))
    try:
        with session(crowded), pytest.raises(DatabaseError, match="refused the connection") as raised:
            crowded.ping()
        assert "password" not in raised.value.hint
        assert "connections are taken" in raised.value.hint
    finally:
        with database._access.session() as connection:
            connection.execute("DROP ROLE crowded")
