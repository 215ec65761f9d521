"""PostgreSQL: whatever odd thing lives in a database, it gets through the gate and comes back out of its backup.

Compared by other means than ours: what pg_dump writes of the database before and after, sorted.
"""

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from alembic_project import new_project
from postgresql_support import ROLES, execute, one, plain

ZOO = [
    (Path(__file__).parents[1] / "rich_postgresql.sql").read_text(encoding="utf-8"),
    "DROP SCHEMA ci_migrate CASCADE",  # a ledger of its own would keep the database from being replaced
    (Path(__file__).parents[2] / "zoo" / "postgresql.sql").read_text(encoding="utf-8"),
]
DEPARSED = re.compile(r"ANY \(|'(new|old)'|'x'::text")
"""In lines that PostgreSQL itself writes otherwise after a restore: `state IN ('new', 'old')` of a varchar, a column without a name."""


SINCE = {
    15: {
        "UNIQUE NULLS NOT DISTINCT": "UNIQUE",
        ", security_invoker)": ")",
        "TABLE ONLY zoo.one (id) WHERE (id > 0)": "TABLE ONLY zoo.one",
        'CREATE PUBLICATION zoo_schema FOR TABLES IN SCHEMA "select";': "",
        # pg_dump 15 and later, the only ones for the servers of `.ci/install-postgresql`, write what 14 does not know
        "zoo.unlogged (id int GENERATED ALWAYS AS IDENTITY, a text)": "zoo.unlogged (id int, a text)",
        # its owner is a superuser there, and only an owner may say so again
        "COMMENT ON SCHEMA public IS 'another one';": "",
    },
    14: {
        "BEGIN ATOMIC SELECT a + 1, 'x'; END;": "AS $$ SELECT a + 1, 'x' $$;",
        " COMPRESSION pglz": "",
        ", (a % 2) FROM zoo.indexed": " FROM zoo.indexed",
        "tsmultirange": "text",
        "'Infinity', '0.01'": "'1', '0.01'",
        "'-Infinity', NULL": "'1', NULL",
    },
}
"""What the zoo has since a version, and what stands for it before."""


def fit(text, url):
    """The zoo without what this server does not know."""
    major = one(url, "SELECT current_setting('server_version_num')::int") // 10000
    for since, words in SINCE.items():
        for new, old in words.items():
            text = text.replace(new, old) if major < since else text
    return text


def load(server, url, text):
    text = fit(text, url)
    done = subprocess.run(
        [str(server.binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", plain(url)],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def text_of(server, url):
    """All that pg_dump writes: statements and rows, each line once for each time, in no order."""
    done = subprocess.run(
        [str(server.binaries / "pg_dump"), "--inserts", "--rows-per-insert=1", "-N", "ci_migrate", plain(url)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # 18 names NOT NULL constraints, those of partitions otherwise when pg_dump's own text makes them
    text = re.sub(r" CONSTRAINT \w+_not_null\d NOT NULL", " NOT NULL", done.stdout)
    return sorted(
        line
        for line in text.splitlines()
        # comments, and where the text lists columns of an inherited table in another order, and what it is deparsed as
        if not line.startswith(("--", "\\restrict", "\\unrestrict")) and not DEPARSED.search(line)
    )


@pytest.fixture(scope="module")
def template(postgresql_server):
    """The name of a database with the zoo in it, to be copied."""
    name = f"zoo_{os.urandom(4).hex()}"
    admin = postgresql_server.admin_url
    execute(admin, ROLES, f"CREATE DATABASE {name} TEMPLATE template0")
    for text in ZOO:
        load(postgresql_server, postgresql_server.url(name), text)
    yield name
    execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def zoo(postgresql_server, template):
    """The URL of a fresh zoo; what restores and ledgers leave beside it is dropped."""
    name = f"zoo_{os.urandom(4).hex()}"
    admin = postgresql_server.admin_url
    execute(admin, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgresql_server.url(name)
    with psycopg.connect(plain(admin), autocommit=True) as connection:
        for (other,) in connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [name]
        ).fetchall():
            connection.execute(f'DROP DATABASE "{other}" WITH (FORCE)')


@pytest.fixture
def project(tmp_path, zoo):
    return for_target(new_project(tmp_path / "project", revisions=False), zoo)


def for_target(project, url, more=""):
    project.environ["DATABASE_URL"] = url.set(drivername="postgresql+psycopg").render_as_string(
        hide_password=False
    )
    project.settings(f'[targets.dev]\nurl = "env:DATABASE_URL"\n{more}')
    return project


def backup_of(done):
    found = re.search(r"backup_\S+_\d{8}_\d{6}", done.text)
    assert found, done.text
    return found[0].rstrip(":.,")


def test_F50_the_zoo_comes_back_out_of_its_backup(project, zoo, postgresql_server):
    before = text_of(postgresql_server, zoo)
    made = project.call("backup", "create")
    assert made.code == 0, made.text
    backup = backup_of(made)
    verified = project.call("backup", "verify", backup, "--restore")
    assert verified.code == 0, verified.text
    execute(zoo, "DROP SCHEMA zoo CASCADE", "DELETE FROM shop.orders", "SELECT lo_unlink(4000000000)")
    restored = project.call("backup", "restore", backup, "--target", "dev", "--yes")
    assert restored.code == 0, restored.text
    assert text_of(postgresql_server, zoo) == before


def test_F50_a_migration_of_the_zoo_and_a_repair_of_one_that_fails(project, zoo, postgresql_server):
    before = text_of(postgresql_server, zoo)
    project.revision("0001", None, "CREATE TABLE zoo.added (id int PRIMARY KEY, note text)")
    done = project.call("run")
    assert done.code == 0, done.text
    after = text_of(postgresql_server, zoo)
    assert [line for line in before if line not in after] == []
    assert any("zoo.added" in line for line in after)
    project.revision(
        "0002", "0001",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX CONCURRENTLY half ON zoo.indexed (a)')\n"
        "if 'scratch' not in op.get_bind().exec_driver_sql('SELECT current_database()').scalar():\n"
        "    raise RuntimeError('only here')",
        "op.drop_index('half', schema='zoo')",
    )  # fmt: skip
    failed = project.call("run")
    assert failed.code in (6, 7), failed.text
    if failed.code == 7:
        repaired = project.call("repair", "--yes")
        assert repaired.code == 0, repaired.text
    assert text_of(postgresql_server, zoo) == after


def test_F51_the_zoo_of_a_role_that_is_no_superuser(tmp_path, zoo, postgresql_server):
    """It owns the database and may read all of it; some of what is in it only a superuser may make."""
    if one(zoo, "SELECT to_regrole('pg_read_all_data')") is None:
        pytest.skip("before 14 there is no role that may read all")
    role, admin = f"zoo_owner_{os.urandom(3).hex()}", postgresql_server.admin_url
    execute(
        admin,
        f"CREATE ROLE {role} LOGIN CREATEDB BYPASSRLS PASSWORD 'x' IN ROLE pg_read_all_data, rich_owner",
    )
    execute(admin, f"ALTER DATABASE {zoo.database} OWNER TO {role}")
    try:
        grants = "SELECT string_agg(format('GRANT SELECT ON LARGE OBJECT %s TO PUBLIC', oid), ';') FROM pg_largeobject_metadata"
        execute(zoo, one(zoo, grants))
        before = text_of(postgresql_server, zoo)
        project = for_target(
            new_project(tmp_path / "project", revisions=False), zoo.set(username=role, password="x")
        )
        project.revision("0001", None, "CREATE TABLE public.added (id int PRIMARY KEY, note text)")
        refused = project.call("run")
        assert refused.code != 0
        assert "may not make" in refused.text
        assert 'scratch = "URL"' in refused.text
        assert text_of(postgresql_server, zoo) == before
        project.environ["SCRATCH_URL"] = plain(admin)
        for_target(project, zoo.set(username=role, password="x"), 'scratch = "env:SCRATCH_URL"\n')
        done = project.call("run")
        assert done.code == 0, done.text
        # what only a superuser may make holds no rows any more: then its own server will do
        execute(
            zoo, "DROP EXTENSION earthdistance CASCADE", "DROP TYPE zoo.base CASCADE", "DROP TABLE zoo.in_other_heap",
            "ALTER TABLE zoo.raster OWNER TO rich_owner",
        )  # fmt: skip
        for_target(project, zoo.set(username=role, password="x"))
        project.revision("0002", "0001", "ALTER TABLE public.added ADD COLUMN more text")
        done = project.call("run")
        assert done.code == 0, done.text
        assert "event trigger watch" in done.text
    finally:
        execute(admin, f"ALTER DATABASE {zoo.database} OWNER TO postgres")
        for base in (zoo.database, "postgres"):
            execute(
                postgresql_server.url(base), f"REASSIGN OWNED BY {role} TO postgres", f"DROP OWNED BY {role}"
            )
        for name in (f"{zoo.database}_ci_migrate",):
            execute(admin, f'DROP DATABASE IF EXISTS "{name}"')
        execute(admin, f"DROP ROLE {role}")
