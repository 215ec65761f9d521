-- What may live in a SQLite database that Alembic migrates. sqlite_zoo.py adds what SQL can't say.

CREATE TABLE "odd.name with ""quotes"", ünïcode and ' apostrophe" (
    "select" INTEGER PRIMARY KEY AUTOINCREMENT,
    [a b] TEXT DEFAULT 'it''s; -- no comment',
    `c``d` TEXT DEFAULT (lower('X')),
    "" TEXT,
    "ü.x" TEXT COLLATE NOCASE UNIQUE ON CONFLICT IGNORE
);
INSERT INTO "odd.name with ""quotes"", ünïcode and ' apostrophe" ("a b", "", "ü.x") VALUES ('x', 'y', 'z'), (NULL, NULL, NULL);
DELETE FROM "odd.name with ""quotes"", ünïcode and ' apostrophe" WHERE "select" = 2;
CREATE TABLE "order" ("group" TEXT PRIMARY KEY, "index" INTEGER) WITHOUT ROWID;
INSERT INTO "order" VALUES ('b', 1), ('a', 2);
CREATE TABLE "case" (Id INTEGER, iD2 TEXT);

CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
INSERT INTO counted (id, name) VALUES (9223372036854775800, 'last');
DELETE FROM counted;
INSERT INTO counted (name) VALUES ('after');

CREATE TABLE strictly (id INTEGER PRIMARY KEY, anything ANY, word TEXT NOT NULL, real REAL, raw BLOB) STRICT;
INSERT INTO strictly VALUES (1, '1', 'one', 1, x'00'), (2, 1, 'two', 1.5, x''), (-9223372036854775808, NULL, '', 1e308, zeroblob(5000));
CREATE TABLE composed (a, b, c, PRIMARY KEY (b, a DESC), UNIQUE (c, a)) WITHOUT ROWID;
INSERT INTO composed VALUES (1, 'x', 2), (2, 'x', 1), (3.5, x'01', NULL);
CREATE TABLE nothing_in_it (a);
CREATE TABLE without_types (a, b, c);
INSERT INTO without_types VALUES
    (9223372036854775807, -9223372036854775808, 9007199254740993),
    (9e999, -9e999, 0.1), (-0.0, 1e-320, 5e-324), (1, 1.0, '1'), (x'', '', NULL), ('a' || char(0) || 'b', x'610062', char(0));
INSERT INTO without_types (rowid, a) VALUES (-7, 'negative rowid'), (1000000000000, 'far rowid');

CREATE TABLE computed (
    id INTEGER PRIMARY KEY,
    price REAL,
    doubled REAL GENERATED ALWAYS AS (price * 2) VIRTUAL,
    kept REAL AS (price * 3) STORED,
    label TEXT GENERATED ALWAYS AS (json_object('id', id, 'p', price)) UNIQUE
);
INSERT INTO computed (price) VALUES (1.5), (2), (NULL);
CREATE TABLE documents (id INTEGER PRIMARY KEY, body TEXT CHECK (json_valid(body)));
INSERT INTO documents (body) VALUES ('{"a": [1, {"b": "ü"}]}'), ('null');
CREATE INDEX documents_a ON documents (json_extract(body, '$.a'));
CREATE INDEX documents_part ON documents (id) WHERE body IS NOT NULL AND length(body) > 3;
CREATE UNIQUE INDEX "index of order" ON "order" ("index" DESC, lower("group") COLLATE RTRIM);

CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE, twin INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE children (
    id INTEGER PRIMARY KEY,
    parent_id INTEGER NOT NULL REFERENCES parents (id) ON DELETE CASCADE ON UPDATE SET NULL,
    parent_name TEXT,
    FOREIGN KEY (parent_name) REFERENCES parents (name) MATCH FULL DEFERRABLE
);
INSERT INTO parents VALUES (1, 'a', 2), (2, 'b', 1);
INSERT INTO children VALUES (1, 1, 'a'), (2, 99, 'no such twin');
CREATE TABLE nobodys (id INTEGER PRIMARY KEY, missing INTEGER REFERENCES not_there (id));
INSERT INTO nobodys VALUES (1, 1);

CREATE VIEW seen AS SELECT c.id, p.name AS "the name" FROM children c JOIN parents p ON p.id = c.parent_id;
CREATE VIEW recursive (n) AS WITH RECURSIVE up (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 3) SELECT n FROM up;
CREATE VIEW broken AS SELECT gone FROM not_there;
CREATE TABLE log (at TEXT DEFAULT CURRENT_TIMESTAMP, what TEXT);
CREATE TRIGGER seen_insert INSTEAD OF INSERT ON seen BEGIN INSERT INTO parents (name) VALUES (NEW."the name"); END;
CREATE TRIGGER "after; parents" AFTER UPDATE OF name ON parents WHEN OLD.name <> NEW.name
BEGIN
    INSERT INTO log (what) VALUES ('changed; ' || OLD.name);
    SELECT CASE WHEN NEW.name = 'forbidden' THEN RAISE(ABORT, 'no; not that') END;
END;
CREATE TRIGGER log_is_kept BEFORE DELETE ON log BEGIN SELECT RAISE(IGNORE); END;
INSERT INTO log VALUES ('2020-01-01', 'kept');

CREATE VIRTUAL TABLE notes USING fts5(title, body, tokenize = 'porter unicode61');
INSERT INTO notes (rowid, title, body) VALUES (1, 'one', 'the quick fox'), (7, 'seven', 'dogs run');
DELETE FROM notes WHERE rowid = 1;
CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
CREATE VIRTUAL TABLE articles_fts USING fts5(title, body, content='articles', content_rowid='id');
CREATE TRIGGER articles_ai AFTER INSERT ON articles BEGIN
    INSERT INTO articles_fts (rowid, title, body) VALUES (new.id, new.title, new.body);
END;
CREATE TRIGGER articles_ad AFTER DELETE ON articles BEGIN
    INSERT INTO articles_fts (articles_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
END;
CREATE TRIGGER articles_au AFTER UPDATE ON articles BEGIN
    INSERT INTO articles_fts (articles_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
    INSERT INTO articles_fts (rowid, title, body) VALUES (new.id, new.title, new.body);
END;
INSERT INTO articles (title, body) VALUES ('first', 'apples and pears'), ('second', 'plums');
CREATE VIRTUAL TABLE bare USING fts5(words, content='');
INSERT INTO bare (rowid, words) VALUES (3, 'only the index');
CREATE VIRTUAL TABLE prefixes USING fts5(a, b UNINDEXED, prefix='2 3', detail=none, columnsize=0);
INSERT INTO prefixes VALUES ('hello world', 'x');
CREATE VIRTUAL TABLE notes_words USING fts5vocab(notes, 'row');
CREATE VIRTUAL TABLE mail USING fts4(subject, body, matchinfo=fts3, notindexed=subject);
INSERT INTO mail VALUES ('hi', 'there you are');
CREATE TABLE mail_content_of_users (docid INTEGER PRIMARY KEY, body TEXT);
INSERT INTO mail_content_of_users VALUES (1, 'outside');
CREATE VIRTUAL TABLE outside USING fts4(content="mail_content_of_users", body);
INSERT INTO outside (docid, body) SELECT docid, body FROM mail_content_of_users;
CREATE VIRTUAL TABLE places USING rtree(id, min_x, max_x, min_y, max_y, +label TEXT);
INSERT INTO places VALUES (1, 0, 1, 2, 3, 'home'), (2, -1.5, 1.5, 0, 0, NULL);
CREATE VIRTUAL TABLE grid USING rtree_i32(id, low, high);
INSERT INTO grid VALUES (1, -5, 5);

ANALYZE;
