"""MySQL and MariaDB: when something is committed, as the drivers let one see it."""

import pymysql
import pytest
from env_zoo import initialised, url_of

from ci_migrate.migrations.worker.statements import commits_first
from ci_migrate.migrations.worker.tokens import MYSQL

SENT = (
    "CREATE TABLE made (id int)",
    "/* app=shop */ ALTER TABLE made ADD a int",
    "# the index\nCREATE INDEX i ON made (a)",
    "/*!50001 CREATE VIEW v AS SELECT 1 */",
    "/*!40000 ALTER TABLE made DISABLE KEYS */",
    "CREATE TEMPORARY TABLE hidden (id int)",
    "CREATE /* for now */ TEMPORARY TABLE hidden_too (id int)",
    "DROP TEMPORARY TABLE hidden",
    "UPDATE written SET n = n",
    "SELECT 'CREATE TABLE x (id int)'",
    "SET @a = 1",
    "ANALYZE TABLE made",
    "CHECK TABLE made",
    "TRUNCATE made",
    "RENAME TABLE made TO remade",
    "LOCK TABLES written WRITE",
    "DROP TABLE remade",
)


@pytest.mark.parametrize("server", ["mysql_url", "mysql97_url"])
def test_what_commits_first_is_what_the_server_commits(server, request):
    url = request.getfixturevalue(server)
    given = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
    }
    with pymysql.connect(**given) as connection, pymysql.connect(**given) as other:
        cursor, seen = connection.cursor(), other.cursor()
        cursor.execute("CREATE TABLE written (n int)")
        for number, sql in enumerate(SENT):
            connection.begin()
            cursor.execute("INSERT INTO written VALUES (%s)", [number])
            cursor.execute(sql)
            connection.rollback()
            cursor.execute("UNLOCK TABLES")
            seen.execute("SELECT count(*) FROM written WHERE n = %s", [number])
            committed = seen.fetchone()[0] == 1
            # else it holds up LOCK TABLES
            other.rollback()
            assert commits_first(sql, MYSQL) is committed, sql


def test_the_first_version_row_is_committed_with_its_transaction(request, tmp_path):
    """INSERT ... RETURNING: after rows PyMySQL keeps the server's status of before the statement."""
    zoo = initialised(tmp_path, url_of(request, tmp_path, "mysql"), "generic")
    report = zoo.gate("run").report
    evidence = next(s["evidence"] for s in report["results"] if s["stage"] == "dry-run")
    assert any("RETURNING" in s["sql"] for s in evidence["statements"]), "else it tells nothing"
    complete = {r["revision"]: r["heads"] for r in evidence["rungs"] if r["complete"] and r["revision"]}
    assert complete == {"r1": [["r1"]], "r2": [["r2"]]}
