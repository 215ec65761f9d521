"""A release's models on a database that was changed under it: what is said, and whether its own requests still work.

The old release writes and reads a row by SQLAlchemy, with all that it knows. Both directions are held: where nothing is
said to be certain its requests work, where something is they fail.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.ddl.impl import _impls
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, NullPool
from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.migrations.events import ReleaseModels
from ci_migrate.migrations.worker.models import describe_models
from ci_migrate.model import MisfitKind
from ci_migrate.rehearsal.deployed import types
from ci_migrate.rehearsal.deployed.fit import Sides, new_misfits
from ci_migrate.rehearsal.deployed.reflection import Reflected, reflect

ENGINES = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MySQL, "mariadb": MySQL}

metadata = sa.MetaData()
team = sa.Table(
    "team", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("word", sa.String(20))
)
user = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.Column("nick", sa.String(40)),
    sa.Column("bio", sa.Text),
    sa.Column("age", sa.Integer),
    sa.Column("big", sa.BigInteger),
    sa.Column("active", sa.Boolean, default=True),
    sa.Column("price", sa.Numeric(10, 2)),
    sa.Column("seen", sa.DateTime),
    sa.Column("status", sa.Enum("new", "paid", "gone", name="user_status", create_constraint=True)),
    sa.Column("kind", sa.String(10), nullable=False, server_default="plain"),
    sa.Column("team_id", sa.Integer),
)

ROW = {
    "name": "a" * 40,
    "nick": None,
    "bio": "b" * 2000,
    "age": 2**31 - 1,
    "big": 2**62,
    "price": Decimal("12345678.25"),
    "seen": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - columns without a time zone
    "status": "gone",
    "team_id": None,
}


def old_release(engine: sa.Engine) -> None:
    """All that it does; raises where something of it fails."""
    with engine.begin() as connection:
        for _ in range(2):
            connection.execute(user.insert().values(**ROW))
        connection.execute(team.insert().values(word="x"))
        connection.execute(sa.select(team).where(team.c.word == "x")).all()
        for column, value in ROW.items():
            if value is None:
                continue
            found = connection.execute(sa.select(user).where(user.c[column] == value)).mappings().all()
            assert found, column
            for name, wanted in ROW.items():
                assert found[0][name] == wanted, name
                assert type(found[0][name]) is type(wanted), name
            assert found[0]["active"] is True
        connection.execute(user.update().values(age=5, status="new"))
        connection.execute(user.delete())


class Other:
    """A database with the tables of the old release, and how it is reflected."""

    def __init__(self, url: URL, database: Any) -> None:
        self.engine = sa.create_engine(url, poolclass=NullPool)
        self.database = database
        metadata.create_all(self.engine)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name.replace("mariadb", "mysql")

    def seen(self) -> Reflected:
        return reflect(self.database)

    def change(self, do: Callable[[Operations], None]) -> None:
        with self.engine.begin() as connection:
            do(Operations(MigrationContext.configure(connection)))

    def models(self) -> ReleaseModels:
        with self.engine.connect() as connection:
            described = describe_models(metadata, connection.dialect)
        return msgspec.convert({"database": "", "search_path": None, **described}, ReleaseModels)


ON = [
    "sqlite",
    *(pytest.param(server, marks=pytest.mark.long) for server in ("postgresql", "mariadb", "mysql")),
]


@pytest.fixture(params=ON)
def other(request, tmp_path) -> Iterator[Other]:
    fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}.get(
        request.param
    )
    url = (
        request.getfixturevalue(fixture)
        if fixture
        else URL.create("sqlite", database=str(tmp_path / "app.db"))
    )
    other = Other(url, ENGINES[url.get_backend_name()](url))
    yield other
    other.engine.dispose()


def column(name: str, type_: Any, **more: Any) -> Callable[[Operations], None]:
    return lambda op: op.add_column("users", sa.Column(name, type_, **more))


def alter(name: str, **more: Any) -> Callable[[Operations], None]:
    def do(op: Operations) -> None:
        with op.batch_alter_table("users") as batch:
            batch.alter_column(name, **more)

    return do


def without_status_check(op: Operations, values: list[str], name: str = "user_status") -> None:
    """An enum with other values, as a team would write it for each engine."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TYPE user_status RENAME TO user_status_old")
        sa.Enum(*values, name="user_status").create(op.get_bind())
        op.execute("ALTER TABLE users ALTER status TYPE user_status USING status::text::user_status")
        op.execute("DROP TYPE user_status_old")
    elif op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("users", reflect_kwargs={}) as batch:
            batch.drop_constraint(name, type_="check")
            listed = ", ".join(f"'{value}'" for value in values)
            batch.create_check_constraint(name, sa.text(f"status IN ({listed})"))
    else:
        op.alter_column("users", "status", existing_type=sa.String(9), type_=sa.Enum(*values, name=name))


def renamed_with_view(op: Operations) -> None:
    op.rename_table("team", "teams")
    op.execute("CREATE VIEW team AS SELECT id, word FROM teams")


BAD: dict[str, tuple[Callable[[Operations], None], str]] = {
    "column dropped": (lambda op: op.drop_column("users", "nick"), "column users.nick is not there"),
    "column renamed": (
        lambda op: op.alter_column("users", "nick", new_column_name="nickname", existing_type=sa.String(40)),
        "column users.nick is not there",
    ),
    "table dropped": (lambda op: op.drop_table("team"), "table team is not there"),
    "table renamed": (lambda op: op.rename_table("team", "teams"), "table team is not there"),
    "new column not null": (
        lambda op: alter_in_two(op, "country", sa.String(2)),
        "column users.country is NOT NULL without a default, and the release does not know it",
    ),
    "became not null": (
        alter("nick", existing_type=sa.String(40), nullable=False),
        "column users.nick is NOT NULL, and the release may leave it NULL",
    ),
    "default dropped": (
        alter("kind", existing_type=sa.String(10), existing_nullable=False, server_default=None),
        "column users.kind has no default, and the release leaves it to the database",
    ),
    "enum value gone": (
        lambda op: without_status_check(op, ["new", "paid"]),
        "users.status takes no more 'gone'",
    ),
}

SERVERS_ONLY: dict[str, tuple[Callable[[Operations], None], str]] = {
    "text shortened": (alter("name", existing_type=sa.String(40), type_=sa.String(20), nullable=False),
                       "column users.name is VARCHAR(20), and the release writes VARCHAR(40)"),
    "text to varchar": (alter("bio", existing_type=sa.Text(), type_=sa.String(100)),
                        "column users.bio is VARCHAR(100), and the release writes TEXT"),
    "bigint to integer": (alter("big", existing_type=sa.BigInteger(), type_=sa.Integer()),
                          "column users.big is INTEGER"),
    "numeric narrowed": (alter("price", existing_type=sa.Numeric(10, 2), type_=sa.Numeric(8, 2)),
                         "column users.price is "),
    "datetime to date": (alter("seen", existing_type=sa.DateTime(), type_=sa.Date()), "column users.seen is DATE"),
    "integer to numeric": (alter("age", existing_type=sa.Integer(), type_=sa.Numeric(12, 2)), "column users.age is "),
}  # fmt: skip

HARMLESS: dict[str, Callable[[Operations], None]] = {
    "nothing": lambda _op: None,
    "new table": lambda op: op.create_table("more", sa.Column("id", sa.Integer, primary_key=True)),
    "new column": column("country", sa.String(2)),
    "new column with a default": column("country", sa.String(2), nullable=False, server_default="de"),
    "longer text": alter("name", existing_type=sa.String(40), type_=sa.String(80), nullable=False),
    "varchar to text": alter("nick", existing_type=sa.String(40), type_=sa.Text()),
    "integer to bigint": alter("age", existing_type=sa.Integer(), type_=sa.BigInteger()),
    "wider numeric": alter("price", existing_type=sa.Numeric(10, 2), type_=sa.Numeric(14, 4)),
    "index": lambda op: op.create_index("ix_users_nick", "users", ["nick"]),
    "unique on a new column": lambda op: [
        op.add_column("users", sa.Column("code", sa.String(20))), op.create_index("uq_code", "users", ["code"], unique=True)
    ],
}  # fmt: skip


def alter_in_two(op: Operations, name: str, type_: Any) -> None:
    """A column that is NOT NULL at last, on a table with rows."""
    op.add_column("users", sa.Column(name, type_, nullable=False, server_default="de"))
    with op.batch_alter_table("users") as batch:
        batch.alter_column(name, existing_type=type_, existing_nullable=False, server_default=None)


def judged(other: Other, do: Callable[[Operations], None]) -> list[Any]:
    before = other.seen()
    other.change(do)
    return new_misfits(other.models(), Sides(before, other.seen()))


def test_the_old_release_works_on_its_own_schema(other: Other) -> None:
    old_release(other.engine)


@pytest.mark.parametrize("name", BAD)
def test_what_breaks_it(other: Other, name: str) -> None:
    do, words = BAD[name]
    (found,) = [misfit for misfit in judged(other, do) if misfit.certain]
    assert words in found.words
    with pytest.raises((DBAPIError, AssertionError)):
        old_release(other.engine)


@pytest.mark.parametrize("name", SERVERS_ONLY)
def test_what_breaks_it_where_types_are_held(other: Other, name: str) -> None:
    """SQLite takes any text and any number in any of these columns; there nothing is said of it, and it works."""
    do, words = SERVERS_ONLY[name]
    every = judged(other, do)
    found = [misfit for misfit in every if misfit.certain]
    if other.dialect == "sqlite":
        assert not found
        assert bool(every) is (name in ("datetime to date", "integer to numeric")), (
            "of what the next one may write"
        )
    else:
        assert [words in misfit.words for misfit in found] == [True], found
    works = nullcontext() if not found else pytest.raises((DBAPIError, AssertionError))
    with works:
        old_release(other.engine)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_it_does_not_notice(other: Other, name: str) -> None:
    assert judged(other, HARMLESS[name]) == []
    old_release(other.engine)


def test_a_new_value_of_an_enum_breaks_nothing_until_somebody_writes_it(other: Other) -> None:
    (found,) = judged(other, lambda op: without_status_check(op, ["new", "paid", "gone", "back"]))
    assert found.words == "column users.status may hold 'back', which the release can't read"
    assert not found.certain
    old_release(other.engine)
    with other.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO users (id, name, status) VALUES (7, 'a', 'back')"))
        with pytest.raises(LookupError):
            connection.execute(sa.select(user)).all()


def test_a_column_that_may_be_null_breaks_nothing_until_somebody_writes_one(other: Other) -> None:
    (found,) = judged(other, alter("name", existing_type=sa.String(40), nullable=True))
    assert found.words == "column users.name may be NULL, and the release takes it for NOT NULL"
    assert (found.kind, found.certain) == (MisfitKind.NULL, False)
    old_release(other.engine)
    with other.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO users (id) VALUES (7)"))
        (row,) = connection.execute(sa.select(user).where(user.c.id == 7))
    assert row.name is None  # where the release has a text for sure


def test_a_view_under_the_old_name(other: Other) -> None:
    """PostgreSQL and MySQL take rows through a simple view; SQLite only where a trigger does it."""
    found = judged(other, renamed_with_view)
    if other.dialect != "sqlite":
        assert found == []
        old_release(other.engine)
        return
    assert [misfit.words for misfit in found] == ["team is a view that takes no rows"]
    with pytest.raises(DBAPIError):
        old_release(other.engine)
    other.change(
        lambda op: op.execute(
            "CREATE TRIGGER team_insert INSTEAD OF INSERT ON team BEGIN INSERT INTO teams (word) VALUES (new.word); END"
        )
    )
    assert judged(other, lambda _op: None) == []


def unique(op: Operations, name: str) -> None:
    op.create_index(f"uq_users_{name}", "users", [name], unique=True)


def foreign_key(op: Operations) -> None:
    with op.batch_alter_table("users") as batch:
        batch.create_foreign_key("fk_users_team", "team", ["team_id"], ["id"])


def check(op: Operations) -> None:
    with op.batch_alter_table("users") as batch:
        batch.create_check_constraint("ck_users_age", sa.column("age") > 0)


CONSTRAINTS: dict[str, tuple[Callable[[Operations], None], str]] = {
    "unique": (
        lambda op: unique(op, "nick"),
        "users has a unique constraint on nick, which the release does not know",
    ),
    "foreign key": (foreign_key, "users has a foreign key on team_id, which the release does not know"),
    "check": (check, "users has a check ck_users_age ("),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_that_it_does_not_know(other: Other, name: str) -> None:
    do, words = CONSTRAINTS[name]
    (found,) = judged(other, do)
    assert found.kind is MisfitKind.CONSTRAINT
    assert not found.certain
    assert found.words.startswith(words)
    assert judged(other, lambda _op: None) == [], "it was there before"


def test_a_constraint_that_its_models_have_is_no_news(other: Other) -> None:
    models = other.models()
    tables = [
        msgspec.structs.replace(
            one, unique=(("nick",),), foreign_keys=(("team_id",),), checks=("ck_users_age",)
        )
        for one in models.tables
    ]
    before = other.seen()
    for do, _ in CONSTRAINTS.values():
        other.change(do)
    assert (
        new_misfits(msgspec.structs.replace(models, tables=tuple(tables)), Sides(before, other.seen())) == []
    )


def test_a_trigger_may_fill_the_column(other: Other) -> None:
    """Then it is not certain that inserts fail; here they don't."""
    if other.dialect == "sqlite":
        pytest.skip("its triggers can't change a row that comes in")

    def do(op: Operations) -> None:
        alter_in_two(op, "country", sa.String(2))
        for statement in FILLS[other.dialect]:
            op.get_bind().exec_driver_sql(statement)

    (found,) = judged(other, do)
    assert not found.certain
    assert found.words.endswith("; a trigger of the table may fill it")
    old_release(other.engine)


FILLS = {
    "postgresql": [
        (
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.country := coalesce(NEW.country, 'de'); RETURN NEW; END $$"
        ),
        "CREATE TRIGGER fill BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION fill()",
    ],
    "mysql": ["CREATE TRIGGER fill BEFORE INSERT ON users FOR EACH ROW SET NEW.country = 'de'"],
}


@pytest.mark.parametrize("always", ["ALWAYS", "BY DEFAULT"])
def test_a_number_that_counts_up_by_itself(other: Other, always: str) -> None:
    """From serial to identity: the release never names the column."""
    if other.dialect != "postgresql":
        pytest.skip("identities are PostgreSQL's")

    def do(op: Operations) -> None:
        op.execute("ALTER TABLE users ALTER id DROP DEFAULT")
        op.execute(f"ALTER TABLE users ALTER id ADD GENERATED {always} AS IDENTITY")

    assert judged(other, do) == []
    old_release(other.engine)


def test_a_column_that_is_computed_now(other: Other) -> None:
    def do(op: Operations) -> None:
        op.drop_column("users", "nick")
        op.execute("ALTER TABLE users ADD nick varchar(40) GENERATED ALWAYS AS (name) "
                   + ("VIRTUAL" if other.dialect == "sqlite" else "STORED"))  # fmt: skip

    (found,) = [misfit for misfit in judged(other, do) if misfit.certain]
    assert found.words == "column users.nick is generated, and the release writes it"
    with pytest.raises((DBAPIError, AssertionError)):  # MariaDB takes a NULL, and stores what it computes
        old_release(other.engine)


def test_alembic_s_synonyms_are_of_one_family() -> None:
    """What Alembic's compare takes for the same type fits, from the model to the column at least."""
    seen = 0
    for name, impl in _impls.items():
        engine = types.ENGINES.get(name.replace("mariadb", "mysql"))
        for synonyms in impl.type_synonyms if engine else ():
            parsed = [
                parsed
                for word in sorted(synonyms)
                if (parsed := types.parse_type(engine, types.ColumnType(word)))
            ]
            assert all(
                types.takes(engine, a, b) or types.takes(engine, b, a) for a in parsed for b in parsed
            ), synonyms
            seen += 1
    assert seen >= 4
