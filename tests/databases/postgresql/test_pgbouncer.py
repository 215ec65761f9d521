"""A real PgBouncer before the server: refused in words, whichever URL leads through it, before anything is written."""

from contextlib import ExitStack

import psycopg
import pytest
from alembic_project import new_project
from mysql_server import require
from pgbouncer import pgbouncer, pgbouncer_program
from postgresql_support import one, plain

PASSES_ALL = "ignore_startup_parameters = options,extra_float_digits"
"""What is set so that libraries which send settings get in: PgBouncer drops those."""

CASES = {
    "session": ("session",),
    "transaction": ("transaction",),
    "session, settings dropped": ("session", PASSES_ALL),
    "transaction, settings dropped": ("transaction", PASSES_ALL),
    "statement, settings dropped": ("statement", PASSES_ALL),
    "transaction, prepared": ("transaction", PASSES_ALL, "max_prepared_statements = 100"),
}


@pytest.fixture
def pooled(postgresql_url, postgresql_server):
    """Opens a PgBouncer; gives the URL of the target through it."""
    program = pgbouncer_program()
    if program is None:
        require("pgbouncer", "there is no PgBouncer: .ci/install-pgbouncer .servers/pgbouncer")
    with ExitStack() as stack:
        yield lambda mode, *settings: postgresql_url.set(
            port=stack.enter_context(pgbouncer(program, postgresql_server, mode, *settings))
        )


def text_of(url):
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def project_on(tmp_path, url, more="", **environ):
    project = new_project(tmp_path / "project")
    project.environ.update(DATABASE_URL=text_of(url), **{n: text_of(u) for n, u in environ.items()})
    project.settings(f'[targets.dev]\nurl = "env:DATABASE_URL"\n{more}')
    return project


def refused(project, url, *words):
    """No table is written."""
    ran = project.call("run")
    assert ran.code not in (0, 70), ran.text
    text = " ".join(ran.text.split())
    assert [word for word in words if word not in text] == [], ran.text
    assert one(url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0


@pytest.mark.parametrize("case", CASES)
def test_F104_the_target_through_a_pooler(pooled, postgresql_url, postgresql_server, tmp_path, case):
    project = project_on(tmp_path, pooled(*CASES[case]))
    refused(project, postgresql_url, "connection pooler", f"at 127.0.0.1, port {postgresql_server.port}")
    assert (
        one(
            postgresql_url,
            "SELECT count(*) FROM pg_database WHERE datname = current_database() || '_ci_migrate'",
        )
        == 0
    )


@pytest.mark.parametrize("setting", ["read-url", "scratch", "state"])
@pytest.mark.parametrize("case", ["transaction", "transaction, settings dropped"])
def test_F104_another_url_through_a_pooler(
    pooled, postgresql_url, postgresql_server, tmp_path, setting, case
):
    project = project_on(
        tmp_path, postgresql_url, f'{setting} = "env:OTHER_URL"\n', OTHER_URL=pooled(*CASES[case])
    )
    refused(project, postgresql_url, "connection pooler", f"at 127.0.0.1, port {postgresql_server.port}")


def test_F104_env_py_through_a_pooler(pooled, postgresql_url, tmp_path):
    """The settings lead to the server itself, env.py does not."""
    through = pooled(*CASES["transaction, settings dropped"])
    project = project_on(tmp_path, postgresql_url)
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace('os.environ["DATABASE_URL"]', repr(text_of(through))))
    refused(
        project,
        postgresql_url,
        "env.py asked for a connection",
        f"127.0.0.1:{through.port}",
        "not the target",
    )


@pytest.mark.parametrize("command", ["status", "backup create", "protect"])
def test_F104_other_commands_through_a_pooler(pooled, postgresql_url, tmp_path, command):
    ran = project_on(tmp_path, pooled(*CASES["transaction, settings dropped"])).call(*command.split())
    assert ran.code not in (0, 70), ran.text
    assert "pooler" in ran.text
    assert (
        one(
            postgresql_url,
            "SELECT count(*) FROM pg_database WHERE datname = current_database() || '_ci_migrate'",
        )
        == 0
    )


def test_what_a_pooler_in_transaction_mode_does_to_a_lock(pooled):
    """Why: a lock of one client is held by a session that the next client gets."""
    url = plain(pooled(*CASES["transaction, settings dropped"]))
    with psycopg.connect(url, autocommit=True) as one_client, psycopg.connect(url, autocommit=True) as other:
        taken = [
            client.execute("SELECT pg_try_advisory_lock(42)").fetchone() == (True,)
            for client in (one_client, other)
        ]
    assert taken == [True, True]
