"""MariaDB for real, on a server of the test process: what it is, what it holds, what it says when it refuses."""

import socket
import threading
from contextlib import closing, contextmanager, suppress

import pytest
from mysql_support import execute_at as execute
from pymysql.connections import Connection
from pymysql.constants import CLIENT
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.base import session
from ci_migrate.databases.mysql import sessions
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.errors import DatabaseError
from ci_migrate.model import VersionTable


@pytest.fixture
def database(mysql_url):
    return MySQL(mysql_url)


# --------------------------------------------------------------------------- what it is


def test_it_says_which_database_it_is_and_no_secret(database, mysql_url):
    identity = database.identity()
    assert identity.place == f"127.0.0.1:{mysql_url.port}/{mysql_url.database}"
    assert identity.facts["database"] == mysql_url.database
    assert len(identity.facts["server"]) > 10
    wall = database.wall()
    assert wall.connect["password"] == mysql_url.password
    assert wall.identity["database"] == mysql_url.database
    assert wall.identity["server"] == identity.facts["server"]
    assert (
        mysql_url.password
        not in f"{database!r} {wall!r} {identity!r} {database._access!r} {database.engine()!r}"
    )
    assert not database.capabilities.transactional_ddl
    execute(mysql_url, "CREATE TABLE t (a int)")
    assert database.size() > 0


def test_all_sessions_and_engines_have_one_tls_context(database, mysql_url, monkeypatch):
    made, plain = [], Connection._create_ssl_ctx
    monkeypatch.setattr(
        Connection, "_create_ssl_ctx", lambda one, given: made.append(given) or plain(one, given)
    )
    sessions._connection_class.cache_clear()
    database.ping()
    for read_only in (False, True):
        with session(MySQL(mysql_url), read_only=read_only) as connection:
            assert connection.execute(text("SELECT DATABASE()")).scalar() == mysql_url.database
            # as SQLAlchemy asks for: rows that an UPDATE finds count, not those that it changes
            assert connection.connection.driver_connection.client_flag & CLIENT.FOUND_ROWS
    assert len(made) == 1


def test_it_is_itself_under_another_address_although_a_second_passes_between_two_looks(database, mysql_url):
    class LooksLater(MySQL):
        seconds = 0

        def _started(self):
            return super()._started() + self.seconds

    other = LooksLater(mysql_url.set(host="localhost"))
    for seconds, same in ((0, True), (1, True), (-1, True), (60, False)):
        other.seconds = seconds
        assert other.replicates(database) is same, seconds


def test_M11_two_servers_have_two_identities(mysql_url, start_mariadb):
    with start_mariadb() as other:
        here, there = MySQL(mysql_url).identity(), MySQL(other.admin_url).identity()
    assert here.facts["server"] != there.facts["server"]


def test_sessions_have_the_timeouts_that_were_asked_for(mysql_url):
    engine = MySQL(mysql_url, lock_timeout=3).engine(read_only=True)
    with engine.connect() as connection:
        waits = connection.execute(
            text("SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@global.innodb_lock_wait_timeout")
        ).one()
        assert waits[0] == 3
        assert waits[1] == waits[2], (
            "how long rows are waited for is the server's and the application's matter"
        )
        with pytest.raises(Exception, match="READ ONLY"):
            connection.exec_driver_sql("CREATE TABLE t (a int)")


def test_L4_a_read_only_server_is_refused(start_mariadb):
    with start_mariadb(settings=("--read-only=ON",)) as server:
        with pytest.raises(DatabaseError, match="is read-only") as raised:
            MySQL(server.admin_url).ping()
        assert "primary" in raised.value.hint


@contextmanager
def shared_connections(port):
    """A proxy that answers with the greeting of one server session and then speaks to another, as poolers do."""

    def pump(source, sink):
        with closing(source), closing(sink), suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            greeting = bytearray(server.recv(65536))
            end_of_version = greeting.index(b"\0", 5)
            greeting[end_of_version + 1] ^= 0x7F  # the connection's id begins here
            client.sendall(greeting)
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_L4_a_proxy_that_shares_connections_is_refused(mysql_url):
    with shared_connections(mysql_url.port) as port:
        with pytest.raises(DatabaseError, match="behind a proxy") as raised:
            MySQL(mysql_url.set(port=port)).ping()
        assert "ProxySQL" in raised.value.hint


@pytest.mark.parametrize(("change", "words"), [
    ({"password": "wr0ng-canary"}, "refused the login"),
    ({"database": "no_such_database"}, "has no database no_such_database"),
    ({"port": 1}, "No answer at 127.0.0.1:1"),
], ids=["password", "database", "port"])  # fmt: skip
def test_what_is_wrong_with_a_url_is_said_without_the_password(mysql_url, change, words):
    with pytest.raises(DatabaseError, match=words) as raised:
        MySQL(mysql_url.set(**change)).ping()
    said = " ".join(raised.value.lines)
    assert raised.value.hint
    assert "wr0ng-canary" not in said
    assert mysql_url.password not in said


def test_F101_too_many_connections_are_not_a_wrong_password(mysql_url):
    execute(mysql_url, "CREATE OR REPLACE USER crowded@'%' IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 1")
    execute(mysql_url, f"GRANT ALL ON {mysql_url.database}.* TO crowded@'%'")
    crowded = MySQL(mysql_url.set(username="crowded", password="pw"))
    with session(crowded), pytest.raises(DatabaseError, match="takes no more connections") as raised:
        crowded.ping()
    assert "password" not in raised.value.hint
    assert "max_user_connections" in raised.value.hint
    execute(mysql_url, "DROP USER crowded@'%'")


def test_the_urls_of_other_drivers_lead_to_the_same_place(mysql_url):
    plain = mysql_url.render_as_string(hide_password=False)
    for driver in ("mysql", "mariadb", "mysql+aiomysql", "mariadb+mysqlconnector"):
        url = make_url(plain.replace("mysql+pymysql", driver, 1))
        assert MySQL(url).identity() == MySQL(mysql_url).identity()


# --------------------------------------------------------------------------- what is in it


def test_heads_of_several_version_tables(database, mysql_url):
    execute(
        mysql_url,
        "CREATE TABLE alembic_version (version_num varchar(32))",
        "INSERT INTO alembic_version VALUES ('b'), ('a')",
        "CREATE TABLE `we``ird %s` (version_num varchar(32))",
        "INSERT INTO `we``ird %s` VALUES ('c')",
    )
    tables = [VersionTable(), VersionTable(name="we`ird %s"), VersionTable(name="missing")]
    assert database.heads(tables) == (("a", "b"), ("c",), ())


def test_counts_are_exact_for_small_tables_and_only_of_those_asked_for(database, mysql_url):
    execute(
        mysql_url,
        "CREATE TABLE a (x int)",
        "INSERT INTO a VALUES (1), (2)",
        "CREATE TABLE `B %d` (x int)",
        "CREATE VIEW v AS SELECT * FROM a",
    )
    counts = database.counts()
    assert {name: (count.rows, count.exact) for name, count in counts.items()} == {
        "a": (2, True),
        '"B %d"': (0, True),
    }
    assert list(database.counts(["a", "missing"])) == ["a"]


VALUES = """CREATE TABLE {} (id int PRIMARY KEY, t text CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, b blob, f double,
 d decimal(9, 2), at timestamp NULL, bits bit(3), j json, g point)"""
ROWS = (
    "(1, 'Zoë 🐘', x'00ff', 0.1, 1.5, '2026-01-02 03:04:05', b'101', '{\"a\": 1}', POINT(1, 2))",
    "(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "(3, '', '', 1e300, -1.5, NULL, b'000', '[]', NULL)",
)


def test_contents_do_not_depend_on_order_of_rows_or_columns_or_the_sessions_zone(database, mysql_url):
    execute(
        mysql_url,
        VALUES.format("one"),
        VALUES.format("two").replace(" f double,", ""),
        "ALTER TABLE two ADD COLUMN f double FIRST",
        f"INSERT INTO one VALUES {', '.join(ROWS)}",
        "INSERT INTO two (id, t, b, f, d, at, bits, j, g) SELECT * FROM one ORDER BY id DESC",
    )
    before = database.contents(["one", "two"])
    assert before["one"] == before["two"]
    assert before["one"].rows == 3
    assert before["one"].columns["t"].values == 2
    assert database.contents(["one", "two", "missing"]) == before


@pytest.mark.parametrize(("change", "columns"), [
    ("UPDATE one SET t = 'zoe 🐘' WHERE id = 1", ["t"]),
    ("UPDATE one SET t = '' WHERE id = 2", ["t"]),
    ("UPDATE one SET b = x'00fe' WHERE id = 1", ["b"]),
    ("UPDATE one SET f = 0.1000000000000001 WHERE id = 1", ["f"]),
    ("UPDATE one SET bits = b'111' WHERE id = 1", ["bits"]),
    ("UPDATE one SET j = '[ ]' WHERE id = 3", ["j"]),
    ("UPDATE one SET g = POINT(1, 3) WHERE id = 1", ["g"]),
    ("UPDATE one SET at = '2026-01-02 03:04:06' WHERE id = 1", ["at"]),
    ("UPDATE one a JOIN one b ON a.id + b.id = 4 AND a.id <> b.id SET a.d = -a.d", ["d"]),
])  # fmt: skip
def test_each_change_of_a_value_is_seen(database, mysql_url, change, columns):
    execute(mysql_url, VALUES.format("one"), f"INSERT INTO one VALUES {', '.join(ROWS)}")
    before = database.contents(["one"])["one"]
    execute(mysql_url, change)
    after = database.contents(["one"])["one"]
    assert before.digest != after.digest
    if columns != ["d"]:  # two rows that swap their values: the column holds the same, the rows do not
        assert [name for name in before.columns if before.columns[name] != after.columns[name]] == columns
    else:
        assert before.columns["d"] == after.columns["d"]


def test_what_is_read_is_bound_by_no_limit_of_the_server(start_mariadb):
    with (
        start_mariadb(settings=("--max-statement-time=0.3",)) as server,
        MySQL(server.admin_url)._reading() as cursor,
    ):
        cursor.execute("SELECT SLEEP(0.8)")
        assert cursor.fetchone() == (0,)  # 1 where it was cut short


def test_a_copy_on_a_server_with_a_binlog_can_have_triggers(start_mariadb, tmp_path):
    """There an account without SUPER may make neither trigger nor function: the copy's own account could do nothing."""
    with start_mariadb(settings=("--log-bin",)) as server:
        admin = MySQL(server.admin_url)._access
        with admin.session() as cursor:
            cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
            cursor.execute("CREATE TABLE shop.users (id int)")
            cursor.execute("CREATE TRIGGER shop.one BEFORE INSERT ON shop.users FOR EACH ROW SET NEW.id = 1")
        shop = MySQL(server.url("shop"))
        shop.dump(tmp_path, [])
        with shop.scratch("r1", tmp_path) as copy:
            copy.load(tmp_path)
            assert copy.schema() == shop.schema()
            with MySQL(copy.url)._access.session() as child:
                child.execute("CREATE TRIGGER two BEFORE DELETE ON users FOR EACH ROW SET @x = 1")
            assert "trigger two" in copy.schema()


def test_a_statement_of_ours_is_ended_after_its_time(database):
    with session(database, read_only=True) as connection:
        database.limit_statements(connection, 0.3)
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        with pytest.raises(DBAPIError) as error:
            connection.exec_driver_sql("SELECT SLEEP(60)").scalar()
    assert "max_statement_time" in database.explain(error.value)


def test_the_settings_of_sessions_reach_the_database(mysql_url, tmp_path):
    from ci_migrate.databases import BUILT_IN
    from ci_migrate.databases.base import SessionOptions

    factory = next(one for one in BUILT_IN if "mysql" in one.backends)
    database = factory.make(mysql_url, SessionOptions(compare_budget=0))
    with database.engine().begin() as connection:
        connection.exec_driver_sql("SET SESSION max_recursive_iterations = 50000")
        connection.exec_driver_sql("CREATE TABLE heap (id INT)")
        connection.exec_driver_sql(
            "INSERT INTO heap WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 45000) SELECT n FROM n"
        )
        connection.exec_driver_sql("ANALYZE TABLE heap")
    dumped = database.dump(tmp_path, [])
    assert dumped.contents == {}
    assert set(dumped.not_digested) == {"heap"}
