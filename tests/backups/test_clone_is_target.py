"""A provider's clone that is the target, or what `read-url` leads to, by another address or login, is refused."""

import json
import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest
from physical_shop import Shop

from ci_migrate.backups.provider import refuse_same
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import RefusedError
from ci_migrate.model import Identity
from ci_migrate.run.run import restore_copy

KINDS = {"mysql_url": MySQL, "mysql97_url": MySQL, "postgresql_url": PostgreSQL}

SCRIPT = """
    import os, sys
    print("x" if sys.argv[1] == "create" else os.environ["CLONE"])
"""


def refused(one, other) -> bool:
    try:
        refuse_same(one, other)
    except RefusedError as error:
        assert "the target itself" in error.what
        return True
    return False


def poor(url):
    """The URL for an account that may see nobody else's session; made here."""
    name = f"poor_{uuid4().hex[:8]}"
    if url.get_backend_name() == "postgresql":
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as admin:
            admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    else:
        with MySQL(url)._access.session() as cursor:
            cursor.execute(f"CREATE USER {name} IDENTIFIED BY 'x'")
            cursor.execute(f"GRANT SELECT ON {url.database}.* TO {name}")
    return url.set(username=name, password="x")


def on_server(url, statement):
    if url.get_backend_name() == "postgresql":
        server = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(statement)
    else:
        with MySQL(url)._access.session() as cursor:
            cursor.execute(statement)


def beside(url, name):
    """The URL of a new database on the same server."""
    on_server(url, f"CREATE DATABASE {name}")
    return url.set(database=name)


def drop(url, name):
    on_server(url, f"DROP DATABASE {name}")


@pytest.mark.parametrize("fixture", KINDS)
def test_by_another_address_and_login(request, fixture):
    url, kind = request.getfixturevalue(fixture), KINDS[fixture]
    target = kind(url.set(host="127.0.0.1"))
    alias = url.set(host="localhost")
    assert refused(target, kind(alias))
    assert refused(target, kind(poor(alias))), "it can't see the sessions of others"
    name = f"{url.database}_clone"
    try:
        assert not refused(target, kind(beside(alias, name))), "another database on the same server"
    finally:
        drop(url, name)


@pytest.fixture
def shop(alembic_project, mysql_url):
    (alembic_project.folder / "provider.py").write_text("\n".join(x.strip() for x in SCRIPT.splitlines()))
    return Shop(alembic_project, mysql_url.set(host="127.0.0.1"))


def clones(shop, more=""):
    commands = [
        f"provider-{verb} = {json.dumps([sys.executable, 'provider.py', verb])}"
        for verb in ("create", "clone", "drop")
    ]
    (shop.project.folder / "mask.sql").write_text("UPDATE users SET name = 'masked';\n")
    shop.project.settings(
        "\n".join(
            ['mask = "mask.sql"\n[targets.dev]\nurl = "env:SHOP"\nprovider = "command"', *commands, more]
        )
    )


def test_the_target_keeps_its_rows(shop):
    clones(shop)
    alias = shop.url.set(host="localhost").render_as_string(hide_password=False)
    done = shop.run("dry-run", CLONE=alias)
    assert (done.code, "the target itself" in " ".join(done.text.split())) == (1, True), done.text
    assert shop.sql("select count(*) from users where name = 'masked'") == [(0,)]
    assert shop.sql("select version_num from alembic_version") == [("r1",)]


def test_what_read_url_leads_to_is_no_clone(mysql_url, postgresql_url):
    """Where that is a replica of the target: here databases that differ stand for both."""
    target, replica = PostgreSQL(postgresql_url), MySQL(mysql_url.set(host="127.0.0.1"))

    @contextmanager
    def clone_of(*_):
        yield mysql_url.set(host="localhost")

    provider = SimpleNamespace(clone=("clone",), clone_of=clone_of)
    target.identity = lambda: Identity(dialect="mysql", place="target", facts={})
    target.is_same = lambda _: False
    run = SimpleNamespace(
        database=target,
        reader=replica,
        catalog=SimpleNamespace(provider_of=lambda _: provider),
        open_database=MySQL,
        watch=lambda *_: nullcontext(),
    )
    with (
        pytest.raises(RefusedError, match="the database that read-url leads to"),
        restore_copy(run, SimpleNamespace(provider_id="x")),
    ):
        pass
    run.reader = target
    with restore_copy(run, SimpleNamespace(provider_id="x")):
        pass
