"""The lexer against real servers: each query's texts and numbers, as we read them, are what the server answers."""

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.migrations.worker.tokens import (
    MYSQL,
    NAME,
    NUMBER,
    OPEN,
    POSTGRESQL,
    SQLITE,
    TEXT,
    WORD,
    readings,
    tokens_of,
)

OFF = POSTGRESQL._replace(backslashes=True)
ANSI = MYSQL._replace(double_quotes=False)
NO_BACKSLASH = MYSQL._replace(backslashes=False)
BARE = ANSI._replace(backslashes=False)

# a SELECT of literals, what the server answers, the tokens of these kinds
POSTGRESQL_CASES = [
    (POSTGRESQL, r"SELECT 'it''s', 'C:\', E'it\'s'", ("it's", "C:\\", "it's")),
    (OFF, r"SELECT 'it\'s', 'a''b'", ("it's", "a'b")),
    (POSTGRESQL, "SELECT $$it's$$, $x$ $$ $y$ $x$, $_é1$a$_é1$", ("it's", " $$ $y$ ", "a")),
    (POSTGRESQL, "SELECT 'a' -- it's\n'b', 1", ("ab", 1)),
    (POSTGRESQL, "SELECT E'a\\'' -- it's\n  '\\'b', 2", ("a''b", 2)),
    (POSTGRESQL, "SELECT /* a /* it's */ b */ 1, 2 --it's", (1, 2)),
    (POSTGRESQL, "SELECT 3--1\n, 4", (3, 4)),
    (POSTGRESQL, "SELECT 'x' AS \"it's \"\" $$\", a$b$c FROM (VALUES (5)) AS t(a$b$c)", ("x", 5)),
    (POSTGRESQL, "SELECT 1.5, .5, 7, -2", (1.5, 0.5, 7, -2)),
    (POSTGRESQL, "SELECT 'a'::text, (ARRAY[1,2])[1:2], '{\"a\": 1}'::jsonb ? 'a', 4", ("a", [1, 2], True, 4)),
    (POSTGRESQL, "SELECT U&'d\\0061t', B'01'::text, N'x', X'1F'::text", ("dat", "01", "x", "00011111")),
    (POSTGRESQL, "SELECT 6 OPERATOR(pg_catalog.+)/* + */1, 1", (7, 1)),
    (POSTGRESQL, "SELECT 'é', '\u00a0', 'a\nb', ''", ("é", "\u00a0", "a\nb", "")),
    (POSTGRESQL, "SELECT 1e2::int, 1 WHERE 'x' <> '--' AND '/*' <> '*/'", (100, 1)),
]  # fmt: skip
MYSQL_CASES = [
    (MYSQL, r"""SELECT 'it\'s', "it's", 'a''b', "a""b", 'C:\\'""", ("it's", "it's", "a'b", 'a"b', "C:\\")),
    (ANSI, """SELECT 'x' AS "it's", 'b\\'' AS `a``b`""", ("x", "b'")),
    (NO_BACKSLASH, r"""SELECT 'C:\', "D:\" """, ("C:\\", "D:\\")),
    (BARE, """SELECT 'C:\\' AS "D:\\", 1""", ("C:\\", 1)),
    (MYSQL, "SELECT 5--1, 2 -- it's\n, 3 --\tit's\n, 4 # it's\n, 5 --", (6, 2, 3, 4, 5)),
    (MYSQL, "SELECT /* it's /* not nested */ 1, 2", (1, 2)),
    (MYSQL, "SELECT /*!1 + */ 1, /*!50000 'a' /* it's */ , */ 2", (2, "a", 2)),
    (MYSQL, "SELECT /*!999999 'not here', */ 2", (2,)),
    (MYSQL, "SELECT 0x41, x'42', 0b01000011, b'01000100'", (b"A", b"B", b"C", b"D")),
    (MYSQL, "SELECT 1a, 0xzz, `1``a`, t.1e FROM (SELECT 7 AS 1a, 8 AS 0xzz, 9 AS `1``a`, 6 AS 1e) t", (7, 8, 9, 6)),
    (MYSQL, "SELECT _utf8mb4'ä', N'b', 'a' 'b' \"c\", 'a'\n'b'", ("ä", "b", "abc", "ab")),
    (MYSQL, "SELECT -1, 1.5, .5, 1e2, +3", (-1, 1.5, 0.5, 100.0, 3)),
    (MYSQL, "SELECT 'a'/**/, 2*/* */3, 'x'", ("a", 6, "x")),
    (MYSQL, "SELECT 'end', 'a;b' -- '", ("end", "a;b")),
    (MYSQL, "SELECT 1 AS größe, 2 AS $a, '%s', 'a' LIKE '%'", (1, 2, "%s", 1)),
]  # fmt: skip
SQLITE_CASES = [
    (SQLITE, "SELECT 'it''s', 'C:\\', x'41'", ("it's", "C:\\", b"A")),
    (SQLITE, """SELECT 1 AS [it's], 2 AS "it""s", 3 AS `it``s '`""", (1, 2, 3)),
    (SQLITE, "SELECT 3--1 it's\n, 4 /* it's /* not nested */, 5", (3, 4, 5)),
    (SQLITE, "SELECT 1 /* never closed, it's legal", (1,)),
    (SQLITE, "SELECT 1 -- never closed, it's legal", (1,)),
    (SQLITE, "SELECT 0x1F, .5, 1.e1, 1e2, -7", (31, 0.5, 10.0, 100.0, -7)),
    (SQLITE, "SELECT 'a' AS a$b, 'b' AS größe, 'c' AS \u00a0x", ("a", "b", "c")),
    (SQLITE, "SELECT 2 WHERE 'a' <> '--' AND '/*' <> '*/'", (2,)),
]


def texts(sql, dialect):
    """The texts that have no other value than what stands between the quotes."""
    return [t.value for t in tokens_of(sql, dialect) if t.kind == TEXT]


def check(sql, dialect, answer, rows):
    assert [tuple(row) for row in rows] == [answer]
    tokens = tokens_of(sql, dialect)
    assert OPEN not in {t.kind for t in tokens}
    assert [sql[t.start : t.end] for t in tokens] == [t.text for t in tokens]


# how many texts, numbers and names each query has: what a comment or a text swallowed would be missing
COUNTED = {
    POSTGRESQL_CASES[0][1]: (3, 0, 0), POSTGRESQL_CASES[1][1]: (2, 0, 0), POSTGRESQL_CASES[2][1]: (3, 0, 0),
    POSTGRESQL_CASES[3][1]: (1, 1, 0), POSTGRESQL_CASES[4][1]: (1, 1, 0), POSTGRESQL_CASES[5][1]: (0, 2, 0),
    POSTGRESQL_CASES[6][1]: (0, 2, 0), POSTGRESQL_CASES[7][1]: (1, 1, 1), POSTGRESQL_CASES[8][1]: (0, 4, 0),
    POSTGRESQL_CASES[10][1]: (4, 0, 0), POSTGRESQL_CASES[11][1]: (0, 3, 0), POSTGRESQL_CASES[12][1]: (4, 0, 0),
    POSTGRESQL_CASES[13][1]: (4, 2, 0),
    MYSQL_CASES[0][1]: (5, 0, 0), MYSQL_CASES[1][1]: (2, 0, 2), MYSQL_CASES[2][1]: (2, 0, 0),
    MYSQL_CASES[3][1]: (1, 1, 1), MYSQL_CASES[4][1]: (0, 6, 0), MYSQL_CASES[5][1]: (0, 2, 0),
    MYSQL_CASES[6][1]: (1, 3, 0), MYSQL_CASES[8][1]: (2, 2, 0), MYSQL_CASES[9][1]: (0, 4, 2),
    MYSQL_CASES[10][1]: (7, 0, 0), MYSQL_CASES[11][1]: (0, 5, 0), MYSQL_CASES[12][1]: (2, 2, 0),
    MYSQL_CASES[13][1]: (2, 0, 0), MYSQL_CASES[14][1]: (3, 2, 0),
    SQLITE_CASES[0][1]: (3, 0, 0), SQLITE_CASES[1][1]: (0, 3, 3), SQLITE_CASES[2][1]: (0, 3, 0),
    SQLITE_CASES[3][1]: (0, 1, 0), SQLITE_CASES[4][1]: (0, 1, 0), SQLITE_CASES[5][1]: (0, 5, 0),
    SQLITE_CASES[6][1]: (3, 0, 0), SQLITE_CASES[7][1]: (4, 1, 0),
}  # fmt: skip


@pytest.mark.parametrize(("dialect", "sql", "answer"), [*POSTGRESQL_CASES, *MYSQL_CASES, *SQLITE_CASES])
def test_F60_tokens_are_counted(dialect, sql, answer):
    if sql in COUNTED:
        kinds = [t.kind for t in tokens_of(sql, dialect)]
        assert (kinds.count(TEXT), kinds.count(NUMBER), kinds.count(NAME)) == COUNTED[sql]


def test_F60_sqlite_reads_as_we_do():
    with closing(sqlite3.connect(":memory:")) as connection:
        for dialect, sql, answer in SQLITE_CASES:
            check(sql, dialect, answer, connection.execute(sql))
            simple = [a for a in answer if isinstance(a, str)]
            assert [t for t in texts(sql, dialect) if t in simple] == simple


def test_F60_postgresql_reads_as_we_do(postgresql_url):
    engine = sa.create_engine(postgresql_url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        for dialect, sql, answer in POSTGRESQL_CASES:
            setting = "off" if dialect.backslashes else "on"
            raw.execute(f"SET standard_conforming_strings = {setting}")
            check(sql, dialect, answer, raw.execute(sql).fetchall())


@pytest.mark.parametrize("server", ["mysql_url", "mysql97_url"])
def test_F60_mysql_and_mariadb_read_as_we_do(request, server):
    url = request.getfixturevalue(server)
    engine = sa.create_engine(url.set(drivername="mysql+pymysql"), poolclass=sa.NullPool)
    with engine.connect() as connection, connection.connection.cursor() as cursor:
        for dialect, sql, answer in MYSQL_CASES:
            modes = ["STRICT_TRANS_TABLES"]
            modes += [] if dialect.double_quotes else ["ANSI_QUOTES"]
            modes += [] if dialect.backslashes else ["NO_BACKSLASH_ESCAPES"]
            cursor.execute(f"SET SESSION sql_mode = '{','.join(modes)}'")
            cursor.execute(sql)
            found = [tuple(float(v) if type(v).__name__ == "Decimal" else v for v in r) for r in cursor]
            check(sql, dialect, answer, found)


DIALECTS = [SQLITE, *readings(POSTGRESQL), *readings(MYSQL)]


@given(st.text("ab1 '\"`[]()$\\/*!-#\n;,.%:?é_EexXUN&0@", max_size=40), st.sampled_from(DIALECTS))
def test_F60_it_never_raises_and_loses_no_character(sql, dialect):
    tokens = tokens_of(sql, dialect)
    at = 0
    for token in tokens:
        assert at <= token.start < token.end
        assert sql[token.start : token.end] == token.text
        assert isinstance(token.value, str)
        between = sql[at : token.start]
        assert not between.strip() or between.lstrip()[0] in "-/#"
        at = token.end


def test_what_is_a_word():
    assert [t.text for t in tokens_of("a$b 1a 0xzz größe", MYSQL) if t.kind == WORD] == [
        "a$b",
        "1a",
        "0xzz",
        "größe",
    ]
    assert tokens_of("'open", POSTGRESQL)[0].kind == OPEN
    assert tokens_of("$$open", POSTGRESQL)[0].kind == OPEN
    assert tokens_of("/* open", MYSQL)[0].kind == OPEN
