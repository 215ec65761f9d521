"""The whole gate on MariaDB and MySQL, where something stands beside or in the way."""

import threading
from contextlib import closing

import pytest
from alembic_project import AlembicProject, new_project
from mysql_support import execute, schema, url_of


@pytest.fixture
def project(either, tmp_path) -> AlembicProject:
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = url_of(either)
    project.settings('lock-timeout = 1\n[targets.dev]\nurl = "env:DATABASE_URL"\n')
    return project


def test_F91_a_lock_on_the_servers_statistics_is_outlived(either, project):
    execute(either, "CREATE TABLE t (id INT PRIMARY KEY, x INT)", "INSERT INTO t VALUES (1, 1)")
    project.revision("r1", None, 'op.create_index("by_x", "t", ["x"])\nop.execute("ANALYZE TABLE t")')
    holding, done = threading.Event(), threading.Event()

    def hold():
        with closing(either.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM mysql.innodb_table_stats FOR UPDATE")
            cursor.execute("SELECT * FROM mysql.innodb_index_stats FOR UPDATE")
            holding.set()
            done.wait(6)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    try:
        ran = project.run("run")
    finally:
        done.set()
        thread.join()
    assert ran.code == 0, ran.text
    assert "index t.by_x" in schema(either)


@pytest.mark.parametrize("unlock", [True, False])
def test_F54_a_revision_may_lock_tables(either, project, unlock):
    execute(
        either, "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT)", "INSERT INTO t VALUES (1)"
    )
    body = ["LOCK TABLES t WRITE, u WRITE, alembic_version WRITE", "ALTER TABLE t ADD COLUMN x INT", "INSERT INTO u VALUES (1)",
            "UPDATE t SET x = 5", "ALTER TABLE u ADD COLUMN y INT", *(["UNLOCK TABLES"] if unlock else [])]  # fmt: skip
    project.revision("r1", None, "\n".join(f'op.execute("{one}")' for one in body))
    ran = project.run("run")
    assert ran.code == 0, ran.text
    assert execute(either, "SELECT x FROM t") == ((5,),)


def test_F91_a_lock_timeout_on_the_copy_is_tried_again_on_a_fresh_one(either, project, tmp_path):
    execute(either, "CREATE TABLE t (id INT PRIMARY KEY, x INT)", "INSERT INTO t VALUES (1, 1)")
    # a session that nobody knows to be the revision's holds the row in the first dry run; no later run makes one
    seen = tmp_path / "seen"
    project.revision(
        "r1",
        None,
        "import os, pathlib\n"
        f"seen = pathlib.Path({str(seen)!r})\n"
        "if os.environ.get('CI_MIGRATE_STAGE') == 'dry-run' and not seen.exists():\n"
        "    seen.touch()\n"
        "    op.execute('SET SESSION innodb_lock_wait_timeout = 1')\n"
        "    import pymysql\n"
        "    u = op.get_bind().engine.url\n"
        "    other = pymysql.connect(\n"
        "        host=u.host, port=u.port, user=u.username, password=u.password, database=u.database\n"
        "    )\n"
        "    other.cursor().execute('UPDATE t SET x = 2')\n"
        "    op.execute('UPDATE t SET x = 3')\n"
        "op.execute('UPDATE t SET x = 3')",
    )
    ran = project.run("run")
    assert "lock timeout in r1 on the copy; once more on a fresh one" in ran.text
    assert ran.code == 0, ran.text
    assert execute(either, "SELECT x FROM t") == ((3,),)
