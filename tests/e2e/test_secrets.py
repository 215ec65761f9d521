"""Passwords of every URL that a run resolves, printed by a revision: none reaches a file or the terminal."""

import json

from sqlalchemy import URL

LEDGER, SCRATCH, OTHER = "ledger-s3cret", "scratch s3cret/%", "other-s3cret"


def test_F29_no_report_holds_what_a_revision_prints(alembic_project):
    """The ledger's, the scratch server's, one that no setting names, and a short one."""
    scratch = URL.create("postgresql", "u", SCRATCH, "db.example.com").render_as_string(hide_password=False)
    alembic_project.settings("""
        [targets.dev]
        url = "env:DATABASE_URL"
        state = "file:ledger-url"
        scratch = "env:SCRATCH"
    """)
    alembic_project.write("ledger-url", f"sqlite:///{alembic_project.folder}/ledger.db?password={LEDGER}\n")
    alembic_project.revision(
        "r3",
        "r2",
        "import os\n"
        "text = open('ledger-url').read() + os.environ['QUEUE_URL'] + ' ' + os.environ['CACHE_URL']\n"
        f"print(text, {SCRATCH!r}, {LEDGER!r})\n"
        f"raise RuntimeError(text + {SCRATCH!r} + ' OperationalError')",
    )
    done = alembic_project.run(
        "run",
        "--json",
        env={
            "DATABASE_URL": f"sqlite:///{alembic_project.database}",
            "SCRATCH": scratch,
            "QUEUE_URL": f"amqp://u:{OTHER}@queue/x",
            "CACHE_URL": "redis://u:p@cache/0",
        },
    )
    assert done.code == 1, done.text
    texts = {path.name: path.read_text() for path in alembic_project.reports.iterdir()}
    assert len(texts) > 5
    for name, text in {**texts, "terminal": done.text}.items():
        for secret in (LEDGER, SCRATCH, OTHER, "scratch+s3cret", "scratch%20s3cret", "u:p@"):
            assert secret not in text, (name, secret)
    assert "OperationalError" in done.text
    json.loads(done.out)


SEES = """
import gc, json, os
from pathlib import Path

def seen():
    texts = [json.dumps(dict(os.environ))]
    for place in ("self", os.getppid()):
        texts.append(Path(f"/proc/{place}/environ").read_bytes().decode())
    for thing in gc.get_objects():  # what the parent has told: requests live in memory
        if isinstance(thing, dict):
            texts += [value for value in thing.values() if isinstance(value, str)]
    return "\\n".join(texts)

with open("seen.txt", "a") as file:
    print(os.environ["CI_MIGRATE_STAGE"], *(n for n in ("writer", "reader", "ledger") if n + "-s3cret" in seen()), file=file)
"""


def test_F28_each_stage_meets_the_logins_that_it_needs(alembic_project, postgresql_url):
    """In its variables, in what it started with, in its parent's, and in its memory; whatever env.py logs in with."""
    import psycopg

    project, admin = alembic_project, postgresql_url.render_as_string(hide_password=False)
    roles = {name: f"{name}_{postgresql_url.database}" for name in ("writer", "reader")}
    write, read = (
        postgresql_url.set(drivername="postgresql+psycopg", username=role, password=f"{name}-s3cret")
        for name, role in roles.items()
    )
    project.settings("""
        [targets.dev]
        url = "env:DATABASE_URL"
        read-url = "env:READ_URL"
        state = "env:LEDGER"
    """)
    project.environ = {
        "DATABASE_URL": write.render_as_string(hide_password=False),
        "READ_URL": read.render_as_string(hide_password=False),
        "DB_PASSWORD": "writer-s3cret",
        "LEDGER": f"sqlite:///{project.folder}/ledger.db?password=ledger-s3cret",
    }
    env = (project.folder / "migrations" / "env.py").read_text()
    # as a project that keeps its login elsewhere: the wall logs the reader in
    login = "(os.environ['DATABASE_URL'] if os.environ['CI_MIGRATE_STAGE'] == 'migrate' else open('login.txt').read())"
    env = env.replace('os.environ["DATABASE_URL"]', login)
    env = env.replace(
        "with context.begin_transaction():",
        "print(connection.exec_driver_sql('select current_user').scalar(), file=open('roles.txt', 'a'))\n"
        "        with context.begin_transaction():",
    )
    project.write("migrations/env.py", SEES + env)
    # a file in the working folder is read by anybody: it holds no password
    project.write("login.txt", write.set(password=None).render_as_string())
    with psycopg.connect(admin.replace("+psycopg", "")) as connection:
        connection.execute(f"CREATE ROLE {roles['writer']} SUPERUSER LOGIN PASSWORD 'writer-s3cret'")
        connection.execute(f"CREATE ROLE {roles['reader']} LOGIN PASSWORD 'reader-s3cret'")
    try:
        done = project.run("run")
        assert done.code == 0, done.text
        seen = (project.folder / "seen.txt").read_text().splitlines()
        # a copy on the target's own server has the target's login
        assert set(seen) == {"check reader", "dry-run writer", "migrate writer reader"}
        logins = (project.folder / "roles.txt").read_text().split()
        assert logins[0] == roles["reader"]
        assert set(logins[1:]) == {roles["writer"]}
    finally:
        with psycopg.connect(admin.replace("+psycopg", "")) as connection:
            for role in roles.values():
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
