"""A history of eight revisions with all that a squash must keep, on each engine; squashed up to `r6`."""

from alembic_project import AlembicProject

EACH_STEP = """\
for sql in {statements!r}:
    op.get_bind().exec_driver_sql(sql, None, {{"no_parameters": True}})
"""

TEXT = "100% of 'it': :name, %(x)s; \"quoted\" \\\\ back\nsecond line, größer"


def _text(engine: str) -> str:
    plain = TEXT.replace("'", "''")
    return f"'{plain}'" if engine in ("sqlite", "postgresql") else "'" + plain.replace("\\", "\\\\") + "'"


def _quoted(name: str, engine: str) -> str:
    return f"`{name}`" if engine in ("mariadb", "mysql") else f'"{name}"'


def history(engine: str) -> list[tuple[str, list[str]]]:
    """Ids and statements, the oldest first; `r7` and `r8` are left as they are."""
    pg, server = engine == "postgresql", engine in ("mariadb", "mysql")
    order = _quoted("Order Lines", engine)
    number = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}.get(
        engine, "INTEGER AUTO_INCREMENT PRIMARY KEY"
    )
    state = "state_of_user" if pg else "VARCHAR(20)"
    stored = "GENERATED ALWAYS AS (amount * 2) STORED"
    r1 = [
        *(["CREATE TYPE state_of_user AS ENUM ('new', 'it''s old')"] if pg else []),
        (
            f"CREATE TABLE users (id {number}, name VARCHAR(40) NOT NULL, email VARCHAR(80), state {state},"
            " boss INTEGER REFERENCES users (id), CONSTRAINT uq_email UNIQUE (email))"
        ),
    ]
    comment = "COMMENT 'per cent % and : colon'" if server else ""
    r2 = [
        (
            f"CREATE TABLE {order} (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, amount INTEGER DEFAULT 5,"
            f" twice INTEGER {stored}, {_quoted('se lect', engine)} VARCHAR(300) {comment},"
            " CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id),"
            " CONSTRAINT positive CHECK (amount > 0 AND amount % 7 <> 6))"
        ),
        f"CREATE INDEX ix_amount ON {order} (amount, user_id)",
        *([f"COMMENT ON COLUMN {order}.amount IS 'per cent % and : colon'"] if pg else []),
    ]
    r3 = [
        "INSERT INTO users (id, name, email, state, boss) VALUES (1, 'ana', NULL, 'new', NULL), (2, 'bo', 'b@x', 'new', 1)",
        "UPDATE users SET boss = 2 WHERE id = 1",
        f"INSERT INTO {order} (id, user_id, amount, {_quoted('se lect', engine)}) VALUES (0, 1, 3, {_text(engine)})",
        *(["SELECT setval('users_id_seq', 41)"] if pg else []),
        "INSERT INTO users (id, name) VALUES (77, 'gone')",
        "DELETE FROM users WHERE id = 77",
    ]
    r4 = [
        (
            "CREATE VIEW names AS SELECT u.name, o.amount AS a FROM users u"
            f" JOIN {order} o ON o.user_id = u.id WHERE u.name LIKE 'a%' AND u.name <> ':x'"
        ),
    ]
    if pg:
        r4 += [
            (
                "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name) || '%';"
                " RETURN NEW; END $$"
            ),
            "CREATE TRIGGER loud BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION shout()",
            "CREATE SEQUENCE tickets START 100 INCREMENT 10",
            "SELECT nextval('tickets')",
            "CREATE TABLE kinds (kind VARCHAR(9) CHECK (kind IN ('a', 'b')), at TIMESTAMPTZ DEFAULT now())",
            "CREATE SCHEMA other",
            "CREATE TABLE other.things (id INTEGER PRIMARY KEY)",
            "GRANT SELECT ON other.things TO PUBLIC",
        ]
    else:
        body = "UPDATE users SET name = upper(name) || '%' WHERE id = NEW.id"
        r4 += [
            f"CREATE TRIGGER loud AFTER INSERT ON users FOR EACH ROW BEGIN {body}; END"
            if not server
            else "CREATE TRIGGER loud BEFORE INSERT ON users FOR EACH ROW BEGIN SET NEW.name = CONCAT(UPPER(NEW.name),"
            " '%'); END",
        ]
    if server:
        r4 += ["CREATE PROCEDURE count_users() BEGIN SELECT COUNT(*) FROM users WHERE name LIKE '%:a'; END"]
    if engine == "mariadb":
        r4 += ["CREATE SEQUENCE tickets START WITH 100 INCREMENT BY 10", "SELECT NEXTVAL(tickets)"]
    r5 = ["ALTER TABLE users ADD COLUMN note VARCHAR(10)", "ALTER TABLE users ADD COLUMN later VARCHAR(10)"]
    r6 = ["ALTER TABLE users DROP COLUMN note", "ALTER TABLE users ADD COLUMN note VARCHAR(20) DEFAULT 'n%'"]
    r7 = ["ALTER TABLE users ADD COLUMN last VARCHAR(5)", "UPDATE users SET last = 'x' WHERE id = 1"]
    r8 = ["CREATE TABLE newest (id INTEGER PRIMARY KEY)", "INSERT INTO newest (id) VALUES (1)"]
    return [(f"r{n}", each) for n, each in enumerate((r1, r2, r3, r4, r5, r6, r7, r8), 1)]


def write_history(project: AlembicProject, engine: str) -> None:
    """The scripts."""
    down = None
    for name, statements in history(engine):
        project.revision(name, down, EACH_STEP.format(statements=statements))
        down = name
