"""One dry run on PostgreSQL: a type that cuts, an assertion, models that differ, the previous release, squawk."""

import sys

from alembic_project import new_project
from sqlalchemy import create_engine

CUTS = "ALTER TABLE people ALTER COLUMN note TYPE varchar(5) USING note::varchar(5)"
MODELS = """import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("people", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.String(7)))
"""


def test_what_is_asked_of_the_copy(tmp_path, postgresql_url):
    project = new_project(tmp_path)
    url = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    project.environ["DATABASE_URL"] = url
    engine = create_engine(url)
    with engine.begin() as connection:
        for sql in (
            "CREATE TABLE people (id integer PRIMARY KEY, note text)",
            "INSERT INTO people VALUES (1, 'abc'), (2, 'abcdefgh')",
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            "INSERT INTO alembic_version VALUES ('r1')",
        ):
            connection.exec_driver_sql(sql)
    engine.dispose()
    env = project.folder / "migrations" / "env.py"
    env.write_text(MODELS + env.read_text().replace("target_metadata=None", "target_metadata=metadata"))
    project.revision("r1", None, "pass")
    project.revision("r2", "r1", CUTS, "pass")
    squawk = tmp_path / "squawk"
    squawk.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "lines = open(sys.argv[-1]).read().splitlines()\n"
        "print(json.dumps([dict(line=n, rule_name='r', message=l) for n, l in enumerate(lines) if 'ALTER' in l]))\n"
    )
    squawk.chmod(0o755)
    release = "import os; url = os.environ['DATABASE_URL']; print(url); assert 'scratch' not in url"
    project.settings(
        f"""
        squawk = "{squawk}"
        assertion-timeout = "300ms"
        previous-release = [{sys.executable!r}, "-c", "{release}"]
        [[assertions]]
        name = "like a"
        query = "select count(*) from people where note like 'a%'"
        expect = 3
        [[assertions]]
        name = "slow"
        query = "select pg_sleep(60)"
        expect = 1
        when = "before"
        [[assertions]]
        name = "writes"
        query = "delete from people returning id"
        expect = []
        [targets.dev]
        url = "env:DATABASE_URL"
        """
    )
    report = project.gate("dry-run")
    said = {}
    for finding in report.findings:
        said.setdefault(finding.code, []).append(finding.message)
    assert "people.note became character varying(5) (was text), and its 2 values" in said["CM203"][0]
    assert said["CM801"] == [f"squawk r: {CUTS}."]
    assert "column people.note: type is VARCHAR(5), VARCHAR(7) in the models" in said["CM502"][0]
    like, slow, writes = sorted(said["CM604"])
    assert like == "like a, after the migration: expected 3, found 2."
    assert "statement timeout" in slow
    assert "read-only transaction" in writes
    assert "AssertionError" in said["CM605"][0]
    password = postgresql_url.password
    details = report.result("dry-run").details
    assert "Traceback" in details
    assert password is None or str(password) not in details
