"""A SQLite database with whatever may legally live in one, and a way to read it that is not ours."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SQL = Path(__file__).with_name("sqlite.sql").read_text(encoding="utf-8")


def know_functions(connection: sqlite3.Connection) -> None:
    """What an application registers on each of its connections."""
    connection.create_function(
        "slug", 1, lambda text: str(text).lower().replace(" ", "-"), deterministic=True
    )
    connection.create_collation(
        "german", lambda a, b: (a.casefold() > b.casefold()) - (a.casefold() < b.casefold())
    )


OF_THE_APPLICATION = """
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    title TEXT COLLATE german,
    path TEXT GENERATED ALWAYS AS (slug(title)) VIRTUAL,
    stored TEXT GENERATED ALWAYS AS (slug(title)) STORED,
    CHECK (slug(title) <> 'never')
);
INSERT INTO pages (title) VALUES ('Äpfel und Birnen'), ('zebra'), ('Zoo');
CREATE INDEX pages_slug ON pages (slug(title));
CREATE INDEX pages_title ON pages (title);
CREATE INDEX pages_part ON pages (id) WHERE slug(title) > 'a';
CREATE TABLE sorted (word TEXT COLLATE german PRIMARY KEY) WITHOUT ROWID;
INSERT INTO sorted VALUES ('b'), ('A');
CREATE VIEW slugs AS SELECT slug(title) AS path FROM pages ORDER BY title COLLATE german;
CREATE TABLE visits (page TEXT);
CREATE TRIGGER pages_visit AFTER INSERT ON pages BEGIN INSERT INTO visits VALUES (slug(NEW.title)); END;
INSERT INTO visits VALUES ('a'), ('b');
CREATE TABLE referring (id INTEGER PRIMARY KEY, page TEXT COLLATE german REFERENCES sorted (word));
INSERT INTO referring VALUES (1, 'B');
"""
"""Without these functions SQLite can't read all of it."""


def no_utf8(connection: sqlite3.Connection) -> None:
    """Texts that are none, as programs in C store them, and names of that kind."""
    connection.execute("CREATE TABLE latin (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute(
        "INSERT INTO latin VALUES (1, CAST(x'4dfc6c6c6572' AS TEXT)), (2, CAST(x'ff00fe' AS TEXT))"
    )
    connection.execute("INSERT INTO latin VALUES (3, CAST(x'eda080' AS TEXT))")  # half of a surrogate pair
    connection.execute("CREATE INDEX latin_name ON latin (name)")


def application(connection: sqlite3.Connection) -> None:
    """Tables that need the functions and collations of an application."""
    know_functions(connection)
    connection.executescript(OF_THE_APPLICATION)


def extension(connection: sqlite3.Connection) -> None:
    """Virtual tables whose modules are not loaded here, as those of sqlite-vec or SpatiaLite."""
    connection.execute("PRAGMA writable_schema=ON")
    for name, sql in (
        ("vectors", "CREATE VIRTUAL TABLE vectors USING vec0(embedding float[4])"),
        ("shapes", "CREATE VIRTUAL TABLE shapes USING VirtualElementary(2, 'x', \"y\")"),
    ):
        connection.execute("INSERT INTO sqlite_master VALUES ('table', ?, ?, 0, ?)", (name, name, sql))
    connection.execute("PRAGMA writable_schema=RESET")
    connection.execute("CREATE TABLE vectors_rowids (rowid INTEGER PRIMARY KEY, chunk INTEGER)")
    connection.execute("INSERT INTO vectors_rowids VALUES (1, 1), (2, 1)")
    connection.execute("CREATE TABLE vectors_vector_chunks00 (rowid PRIMARY KEY, vectors BLOB NOT NULL)")
    connection.execute("INSERT INTO vectors_vector_chunks00 VALUES (1, zeroblob(64))")


@dataclass(frozen=True)
class Kind:
    """One database of the zoo."""

    pragmas: tuple[str, ...] = ()
    more: tuple[Callable[[sqlite3.Connection], None], ...] = ()


KINDS = {
    "plain": Kind(),
    "wal": Kind(("journal_mode=WAL", "page_size=8192", "user_version=42", "application_id=-5")),
    "utf16": Kind(("encoding='UTF-16be'", "page_size=512", "auto_vacuum=INCREMENTAL")),
    "old": Kind(("legacy_file_format=ON", "page_size=65536", "auto_vacuum=FULL", "user_version=-1")),
    "no-utf8": Kind(more=(no_utf8,)),
    "application": Kind(more=(application,)),
    "extension": Kind(more=(extension,)),
    "all": Kind(("journal_mode=WAL", "page_size=1024", "user_version=42"), (no_utf8, application, extension)),
}


def make_zoo(path: Path, kind: str = "plain", *, everything: bool = True) -> None:
    """A new database; `everything` adds sqlite.sql to what this kind has of its own."""
    found = KINDS[kind]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in found.pragmas:
            if not pragma.startswith("journal_mode"):
                connection.execute(f"PRAGMA {pragma}")
        if everything:
            connection.executescript(SQL)
        for add in found.more:
            add(connection)
        for pragma in found.pragmas:
            if pragma.startswith("journal_mode"):
                connection.execute(f"PRAGMA {pragma}")


def read_all(path: Path) -> dict[str, Any]:
    """Schema, every row of every stored table with its rowid, and what the file says of itself.

    By `sqlite_master` and SQLite's own storage classes; text as its bytes.
    """
    with closing(sqlite3.connect(path)) as connection:
        know_functions(connection)
        connection.text_factory = bytes
        found: dict[str, Any] = {
            pragma: connection.execute(f"PRAGMA {pragma}").fetchone()[0]
            for pragma in (
                "page_size",
                "encoding",
                "auto_vacuum",
                "user_version",
                "application_id",
                "journal_mode",
            )
        }
        schema = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
        ).fetchall()
        found["schema"] = schema
        for kind, name, _, sql in schema:
            if kind != b"table" or (sql or b"").startswith(b"CREATE VIRTUAL"):
                continue
            quoted = '"' + name.decode().replace('"', '""') + '"'
            columns = [row[1].decode() for row in connection.execute(f"PRAGMA table_xinfo({quoted})")]
            terms = [f"typeof({c}), {c}" for c in ('"' + c.replace('"', '""') + '"' for c in columns)]
            without = b"WITHOUT ROWID" in (sql or b"").upper()
            rows = connection.execute(
                f"SELECT {', '.join(terms if without else ['rowid', *terms])} FROM {quoted}"
            )
            found[f"rows of {name.decode()}"] = sorted(map(repr, rows))
        found["integrity"] = connection.execute("PRAGMA integrity_check").fetchall()
        return found
