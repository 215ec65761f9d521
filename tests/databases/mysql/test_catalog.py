"""The catalog of MariaDB for real: every kind of object, each change of one, names that hurt."""

import time
from pathlib import Path

import pytest
from mysql_support import execute_at as execute

from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.mysql.flavours import flavour_of
from ci_migrate.errors import DatabaseError
from ci_migrate.model import schema_changes

RICH = (Path(__file__).parents[1] / "catalog_mysql.sql").read_text(encoding="utf-8").split("\n//\n")


@pytest.fixture
def rich(mysql_url):
    execute(mysql_url, *RICH)
    return MySQL(mysql_url)


@pytest.fixture
def weak(mysql_url):
    """An account that may read and write rows, and no more."""
    name = f"w_{mysql_url.database[5:]}"
    execute(mysql_url, f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'",
            f"GRANT SELECT, INSERT, EVENT ON {mysql_url.database}.* TO {name}@'127.0.0.1'")  # fmt: skip
    yield mysql_url.set(username=name, password="x")
    execute(mysql_url, f"DROP USER {name}@'127.0.0.1'")


def test_each_kind_of_object_is_there(rich):
    schema = rich.schema()
    assert {name.split(" ", 1)[0] for name in schema} == {
        "check", "column", "database", "event", "foreign", "function", "index", "primary", "procedure",
        "sequence", "table", "trigger", "view"}  # fmt: skip
    assert schema["table users"].endswith("comment the people")
    assert "row_format=COMPRESSED" in schema["table users"]
    assert (
        schema["column users.email"] == "varchar(190) collate utf8mb4_bin not null comment where's the mail?"
    )
    assert schema["column users.made"].endswith("default current_timestamp() on update current_timestamp()")
    assert "invisible" in schema["column users.secret"]
    assert "stored generated as (concat(" in schema["column users.full_name"]
    assert "virtual generated as (left(" in schema["column users.initial"]
    assert schema["index orders.by_note"] == "(note(10)) comment a prefix"
    assert schema["index orders.unused"] == "(day) ignored"
    assert schema["index orders.words"] == "(note) fulltext"
    assert "spatial" in schema["index orders.place"]
    assert schema["index users.email"] == "(email) unique"
    assert (
        schema["foreign key orders.owner"]
        == "(user_id) references users (id) on update set null on delete cascade"
    )
    assert "partition by RANGE" in schema["table parts"]
    assert "subpartition by HASH" in schema["table parts"]
    assert schema["table versioned"].startswith("system versioned")
    assert "engine MyISAM" in schema["table plain_file"]
    assert "increment by 5" in schema["sequence ticket"]
    assert "with cascaded check option" in schema["view active"]
    assert "sql security invoker" in schema["view joined"]
    assert schema["trigger then_this"].startswith("before update on users; 2; ")
    assert "IN days int(11), OUT gone int(11)" in schema["procedure tidy"]
    assert schema["event nightly"].startswith("recurring 1 day not preserve")


def test_B22_names_that_hurt(rich):
    schema = rich.schema()
    table = '"we.ird ""q"" `b"'
    assert f"table {table}" in schema
    for column in ('"co.l""umn"', '"%s %(x)s"', '"new\nline"', '"é ü"'):
        assert f"column {table}.{column}" in schema
    contents = rich.contents([table])
    assert contents[table].rows == 0


def test_tables_whose_names_differ_in_case_alone_keep_their_own_columns(rich):
    schema = rich.schema()
    assert (schema['primary key "T"'], schema["primary key t"]) == ("(a, b)", "(b, a)")
    assert (schema['index "T".ix'], schema["index t.ix"]) == ("(b, a)", "(c, a)")


@pytest.mark.parametrize(("statement", "changed"), [
    ("ALTER TABLE users MODIFY name varchar(41) DEFAULT 'nobody'", ["column users.name"]),
    ("ALTER TABLE users ALTER name SET DEFAULT 'else'", ["column users.name"]),
    ("ALTER TABLE users MODIFY secret int DEFAULT 7", ["column users.secret"]),
    ("ALTER TABLE users COMMENT 'others'", ["table users"]),
    ("ALTER TABLE orders CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", ["column orders.note", "table orders"]),
    ("ALTER TABLE plain_file ENGINE=InnoDB", ["table plain_file"]),
    ("ALTER TABLE orders ALTER INDEX unused NOT IGNORED", ["index orders.unused"]),
    ("ALTER TABLE users DROP CONSTRAINT named", ["check users.named"]),
    ("ALTER TABLE parts REORGANIZE PARTITION p0 INTO (PARTITION pz VALUES LESS THAN (10))", ["table parts"]),
    ("ALTER TABLE versioned DROP SYSTEM VERSIONING", ["table versioned"]),
    ("ALTER SEQUENCE ticket INCREMENT BY 6", ["sequence ticket"]),
    ("CREATE OR REPLACE VIEW active AS SELECT u.id, u.email FROM users u WHERE u.state = 'old'", ["view active"]),
    ("CREATE OR REPLACE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW SET NEW.name = 'x'",
     ["trigger then_this", "trigger touched"]),
    ("CREATE OR REPLACE FUNCTION plus(a int, b int) RETURNS int DETERMINISTIC COMMENT 'adds' RETURN a - b",
     ["function plus"]),
    ("CREATE OR REPLACE FUNCTION plus(a int, b bigint) RETURNS int DETERMINISTIC COMMENT 'adds' RETURN a + b",
     ["function plus"]),
    ("ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY", ["event nightly"]),
])  # fmt: skip
def test_each_change_is_seen_and_nothing_else(rich, mysql_url, statement, changed):
    before = rich.schema()
    execute(mysql_url, statement)
    assert [change.name for change in schema_changes(before, rich.schema())] == changed


def test_rows_counters_and_the_order_of_columns_are_no_part_of_it(rich, mysql_url):
    before = rich.schema()
    execute(
        mysql_url,
        "INSERT INTO users (email) VALUES ('a@b'), ('c@d')",
        "ALTER TABLE users AUTO_INCREMENT = 5000",
        "SELECT NEXT VALUE FOR ticket",
        "ALTER TABLE users MODIFY ratio double FIRST",
    )
    assert rich.schema() == before


def test_another_database_with_the_same_objects_has_the_same_definitions(mysql_url, rich):
    """The database's own name stands in views and in what a routine was given."""
    other = f"{mysql_url.database}_twin"
    execute(mysql_url, f"CREATE DATABASE {other} CHARACTER SET utf8mb4")
    try:
        twin = mysql_url.set(database=other)
        execute(twin, *RICH)
        assert MySQL(twin).schema() == rich.schema()
    finally:
        execute(mysql_url, f"DROP DATABASE {other}")


@pytest.mark.parametrize(("make", "hidden", "grant"), [
    ("CREATE VIEW v AS SELECT 1 AS a", "the definition of view v", "SHOW VIEW ON `{database}`.*"),
    ("CREATE TRIGGER g BEFORE INSERT ON x FOR EACH ROW SET NEW.a = 1", "the definition of trigger g",
     "TRIGGER ON `{database}`.*"),
])  # fmt: skip
def test_an_account_that_sees_half_is_told_the_grant_and_then_sees_all(mysql_url, weak, make, hidden, grant):
    execute(mysql_url, "CREATE TABLE x (a int)", make)
    with pytest.raises(DatabaseError, match=hidden) as raised:
        MySQL(weak).schema()
    wanted = grant.format(database=mysql_url.database)
    assert raised.value.hint == f"GRANT {wanted} TO '{weak.username}'@'127.0.0.1';"
    execute(mysql_url, raised.value.hint.rstrip(";"))
    assert MySQL(weak).schema() == MySQL(mysql_url).schema()


def test_events_and_routines_that_an_account_may_not_see(mysql_url, weak):
    at = f"`{mysql_url.database}`.*"
    who = f"'{weak.username}'@'127.0.0.1'"
    execute(
        mysql_url, "CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 7", f"GRANT EXECUTE ON {at} TO {who}"
    )
    with pytest.raises(DatabaseError, match="the definition of function f"):
        MySQL(weak).schema()
    execute(mysql_url, f"REVOKE EVENT ON {at} FROM {who}", "DROP FUNCTION f")
    with pytest.raises(DatabaseError, match=f"may not see the events of {mysql_url.database}") as raised:
        MySQL(weak).schema()
    assert raised.value.hint == f"GRANT EVENT ON {at} TO {who};"


@pytest.mark.long
def test_a_thousand_tables_take_less_than_two_seconds(mysql_url):
    execute(
        mysql_url,
        "CREATE TABLE p (id int PRIMARY KEY)",
        *(
            f"CREATE TABLE m{n} (id int PRIMARY KEY, p int, n varchar(20) CHECK (n <> ''), KEY (n),"
            " FOREIGN KEY (p) REFERENCES p (id))"
            for n in range(1000)
        ),
    )
    database = MySQL(mysql_url)
    database.schema()
    started = time.monotonic()
    assert len([name for name in database.schema() if name.startswith("table ")]) == 1001
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("version", "name", "numbers"), [
    ("10.11.6-MariaDB-log", "MariaDB", (10, 11)),
    ("5.5.5-10.6.1-MariaDB", "MariaDB", (10, 6)),
    ("8.0.36-0ubuntu0.22.04.1", "MySQL", (8, 0)),
    ("8.0.mysql_aurora.3.04", "MySQL", (8, 0)),
    ("9.1.0", "MySQL", (9, 1)),
])  # fmt: skip
def test_the_flavour_is_told_by_the_version(version, name, numbers):
    flavour = flavour_of(version)
    assert (flavour.name, flavour.version) == (name, numbers)
    assert flavour.mariadb == ("CONSTRAINT_NAME, CHECK_CLAUSE, 'YES'" in flavour.checks)
