"""What stands in a row stays in the copy: no report, log, journal or ledger repeats it, whatever fails because of it."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic_project import AlembicProject, Done
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.migrations.worker import failure
from ci_migrate.migrations.worker.blame import Blame

CANARY = "canary-4711@example.com"

TABLE = "create table users (id integer primary key, email varchar(80), age varchar(80))"

MORE_TABLES = (
    "create table twice (email varchar(80) primary key)",
    "create table must (email varchar(80), other varchar(80) not null)",
)

PYTHON = "rows = op.get_bind().execute(sa.text('select email from users')).scalars().all()\n"

FAILURES: dict[str, str | dict[str, str]] = {
    "unique": "create unique index one on users (email)",
    "unique by insert": "insert into twice select email from users",
    "check": "alter table users add constraint short check (length(email) < 5)",
    "not null": "insert into must select email, null from users",
    "cast": {
        "postgresql": "alter table users alter column email type integer using email::integer",
        "mysql": "alter table users modify email integer",
    },
    "cast by update": {
        "postgresql": "update users set id = cast(email as integer)",
        "mysql": "update users set id = email",
    },
    "date": {
        "postgresql": "alter table users alter column email type date using email::date",
        "mysql": "alter table users modify email date",
    },
    "json": {
        "postgresql": "alter table users alter column email type json using email::json",
        "mysql": "alter table users modify email json",
    },
    "numeric": {"postgresql": "update users set age = email::numeric"},
    "interval": {"postgresql": "update users set age = email::interval"},
    "array": {"postgresql": "update users set age = cast(email::text[] as text)"},
    "uuid": {"postgresql": "update users set age = cast(email::uuid as text)"},
    "boolean": {"postgresql": "update users set age = cast(email::boolean as text)"},
    "inet": {"postgresql": "update users set age = cast(email::inet as text)"},
    "regular expression": {"postgresql": "update users set age = regexp_replace(age, '(' || email, '')"},
    "raise": {
        "postgresql": "do $$ begin raise exception 'bad row %', (select min(email) from users); end $$"
    },
    "raise with a code of the server's": {
        "postgresql": "do $$ begin raise exception 'bad row %', (select min(email) from users) "
        "using errcode = 'unique_violation'; end $$"
    },
    "signal": {"mysql": "call complain()"},
    "enum": {"mysql": "alter table users modify email enum('a', 'b')"},
    "foreign key": {
        "postgresql": "alter table users add constraint fk foreign key (email) references twice (email)",
        "mysql": "alter table users add constraint fk foreign key (email) references twice (email)",
    },
    "exclude": {"postgresql": "alter table users add constraint one exclude using btree (email with =)"},
    "python int": f"{PYTHON}int(rows[0])",
    "python float": f"{PYTHON}float(rows[0])",
    "python date": f"{PYTHON}import datetime; datetime.date.fromisoformat(rows[0])",
    "python key": f"{PYTHON}" + "{}[rows[0]]",
    "python raise": f"{PYTHON}raise ValueError('cannot split ' + rows[0])",
    "python raise on one line": f"{PYTHON}if rows: raise ValueError('cannot split ' + rows[0])",
    "python raise of a TypeError": f"{PYTHON}raise TypeError('cannot split ' + rows[0])",
    "python raise of an OSError": f"{PYTHON}raise OSError(5, 'cannot keep ' + rows[0])",
    "python raise with a number": f"{PYTHON}raise RuntimeError(1062, 'cannot keep ' + rows[0])",
    "python raise of Alembic's": f"{PYTHON}from alembic.util import CommandError\nraise CommandError('not ' + rows[0])",
    "python file": f"{PYTHON}open('/nowhere/' + rows[0])",
    "python exit": f"{PYTHON}import sys\nsys.exit('cannot split ' + rows[0])",
    "python assert": f"{PYTHON}assert rows[0] == '', rows",
    "bound": f"{PYTHON}op.get_bind().execute(sa.text('insert into twice values (:e)'), [dict(e=e) for e in rows])",
    "bound type": f"{PYTHON}op.get_bind().execute(sa.text('insert into must values (:e, :f)'), dict(e=rows[0], f=None))",
    "type that binds": f"{PYTHON}import sqlalchemy.types as t\n"
    "class Short(t.TypeDecorator):\n    impl = t.String\n    def process_bind_param(self, value, dialect):\n"
    "        raise ValueError('too long: ' + value)\n"
    "op.get_bind().execute(sa.text('insert into twice values (:e)').bindparams(sa.bindparam('e', rows[0], Short)))",
    "wrapped": f"{PYTHON}try:\n    int(rows[0])\nexcept ValueError as e:\n    raise RuntimeError('row failed') from e",
}


def prepare(project: AlembicProject, engine: str, url: str) -> None:
    project.environ["SHOP"] = url
    (project.folder / "migrations" / "versions" / "r2.py").unlink()
    project.revision(
        "r1",
        None,
        "\n".join(f"op.execute('{sql}')" for sql in (TABLE, *MORE_TABLES)),
        "pass",
    )
    project.settings('[targets.dev]\nurl = "env:SHOP"\n')
    assert project.call("run").code == 0
    server = create_engine(url)
    with server.begin() as connection:
        fill(connection, engine, tables=False)
    server.dispose()


def fill(connection: Connection, engine: str, *, tables: bool = True) -> None:
    for sql in (TABLE, *MORE_TABLES) if tables else ():
        connection.execute(text(sql))
    connection.execute(text(f"insert into users values (1, '{CANARY}', '1'), (2, '{CANARY}', '2')"))
    if engine == "mysql":
        connection.execute(
            text(
                "create procedure complain() begin declare words text; "
                "select concat('bad row ', min(email)) into words from users; "
                "signal sqlstate '45000' set message_text = words; end"
            )
        )


def all_that_is_left(project: AlembicProject, done: Done, url: str) -> Iterator[tuple[str, str]]:
    """What somebody reads, and what is kept: by its name."""
    yield "output", done.text
    for path in project.folder.rglob("*"):
        if path.is_file() and "backups" not in path.parts and path.name != "app.db":
            yield str(path.relative_to(project.folder)), path.read_bytes().decode(errors="replace")
    with project_ledger(url) as ledger:
        run = ledger.history(ledger.database_id(None), limit=1)[0]
        yield "ledger: stages", repr(ledger.stages(run.run_id))
        yield "ledger: journal", repr(ledger.journal(run.run_id).entries())
        yield "ledger: audit", repr(ledger.audit_records(1000))


def project_ledger(url: str) -> Ledger:
    ledger = open_ledger(ledger_url(make_url(url), None), create=False)
    assert ledger is not None
    return ledger


def leaks(project: AlembicProject, done: Done, url: str) -> list[str]:
    return [
        f"{name}: ...{found[max(0, found.find('canary') - 150) : found.find('canary') + 60]}..."
        for name, found in all_that_is_left(project, done, url)
        if "canary" in found
    ]


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def shop(request, alembic_project) -> tuple[AlembicProject, str, str]:
    engine = request.param
    if engine == "sqlite":
        url = f"sqlite:///{alembic_project.database}"
    else:
        server = request.getfixturevalue(f"{engine}_url")
        driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[engine]
        url = server.set(drivername=driver).render_as_string(hide_password=False)
    prepare(alembic_project, engine, url)
    return alembic_project, engine, url


def statements_of(name: str, engine: str) -> str | None:
    failure = FAILURES[name]
    if isinstance(failure, dict):
        return failure.get(engine)
    return None if (engine, name) == ("sqlite", "check") else failure


IN_FULL = ("unique", "not null", "cast", "raise", "signal", "python int", "python raise", "bound")
IN_FULL += ("python exit", "type that binds")


def test_no_report_log_or_journal_repeats_what_stood_in_a_row(shop) -> None:
    """The whole way, for one failure of each kind."""
    project, engine, url = shop
    for name in IN_FULL:
        statements = statements_of(name, engine)
        if statements is None:
            continue
        body = statements if statements.startswith(PYTHON) else f'op.execute("""{statements}""")'
        project.revision("r2", "r1", body, "pass")
        done = project.call("run")
        assert done.code == 1, done.text
        assert done.stage("dry-run")["outcome"] == "failed", (name, done.text)
        assert leaks(project, done, url) == [], name
        if name == "python int":
            assert "invalid literal for int() with base 10: '***'" in done.words
            assert "show-values = true shows them" in done.words
        if name == "python exit":
            assert "sys.exit(cannot split ***)" in done.words
        if name == "type that binds":
            assert "ValueError: too long: ***" in done.words
        if name == "python raise":
            assert "ValueError: cannot split ***" in done.words
    # SQLite's own errors repeat no value
    project.revision("r2", "r1", FAILURES["python raise" if engine == "sqlite" else "unique"], "pass")
    asked = project.call("dry-run", env={"CI_MIGRATE_SHOW_VALUES": "true"})
    assert CANARY in asked.text, asked.text


@pytest.mark.parametrize("name", [n for n in FAILURES if n.startswith("python") or n == "wrapped"])
def test_no_error_of_python_repeats_a_value(name: str, tmp_path: Path) -> None:
    file = tmp_path / "r2.py"
    code = FAILURES[name]
    assert isinstance(code, str)
    file.write_text(code.partition(".all()\n")[2])
    try:
        exec(compile(file.read_text(), str(file), "exec"), {"rows": [CANARY, CANARY]})
    except (Exception, SystemExit) as error:
        told = failure.error_words(error, file.read_text())
        assert "canary" not in told
        assert told.startswith(type(error).__name__)
        assert name == "wrapped" or "canary" in failure.error_words(error, shown=True)
    else:
        raise AssertionError(name)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mysql"])
def test_no_error_of_a_server_repeats_a_value(request, engine: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    if engine != "sqlite":
        driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[engine]
        url = request.getfixturevalue(f"{engine}_url").set(drivername=driver)
    server = create_engine(url)
    with server.begin() as connection:
        fill(connection, engine)
    seen = set()
    for name in FAILURES:
        sql = statements_of(name, engine)
        if sql is None or sql.startswith(PYTHON):
            continue
        with pytest.raises(DBAPIError) as caught, server.begin() as connection:
            connection.exec_driver_sql(sql)
        told = failure.error_words(caught.value, sql)
        assert "canary" not in told, name
        seen.add(name)
        shown = failure.error_words(caught.value, sql, shown=True)
        assert told.split(": ")[0] == shown.split(": ")[0], "its kind stays"
    assert len(seen) >= {"sqlite": 3, "postgresql": 18, "mysql": 9}[engine]
    server.dispose()


@pytest.mark.parametrize(
    ("error", "known", "told"),
    [
        (KeyError("users"), "{}['users']", "KeyError: 'users'"),
        (KeyError("ana"), "{}[name]", "KeyError: '***'"),
        (ValueError("not today"), "", "ValueError: not today"),
        (
            AttributeError("'str' object has no attribute 'ana'"),
            "x",
            "AttributeError: 'str' object has no attribute 'ana'",
        ),
        (ModuleNotFoundError("No module named 'yaml'"), "x", "ModuleNotFoundError: No module named 'yaml'"),
    ],
)
def test_what_names_code_stays(error: Exception, known: str, told: str) -> None:
    assert failure.error_words(error, known) == told


def test_of_a_text_that_somebody_wrote_the_words_of_the_source_stay(tmp_path: Path) -> None:
    file = tmp_path / "r2.py"
    file.write_text("raise RuntimeError(f'{len(rows)} orders have no customer, the first is {rows[0]}')\n")
    with pytest.raises(RuntimeError) as caught:
        exec(compile(file.read_text(), str(file), "exec"), {"rows": ["ana@x.com", "bo"]})
    told = failure.error_words(caught.value, file.read_text())
    assert told == "RuntimeError: 2 orders have no customer, the first is ***"


def test_a_value_that_is_a_part_of_a_word_of_the_source_is_none_of_its_words(tmp_path: Path) -> None:
    file = tmp_path / "r2.py"
    file.write_text("# analysis\nraise RuntimeError(f'no order of {rows[0]}, {rows[0]!r}')\n")
    with pytest.raises(RuntimeError) as caught:
        exec(compile(file.read_text(), str(file), "exec"), {"rows": ["ana"]})
    assert failure.error_words(caught.value, file.read_text()) == "RuntimeError: no order of ***, '***'"


def error_of(code: str, file: Path, **given: object) -> BaseException:
    """What code raises, as if it had been called by nobody."""
    file.write_text(code)
    with pytest.raises(Exception) as caught:
        exec(compile(code, str(file), "exec"), {"__name__": file.stem, **given})
    traceback = caught.value.__traceback__
    assert traceback is not None
    return caught.value.with_traceback(traceback.tb_next)


def test_the_source_of_a_library_that_an_error_went_through_is_not_known(tmp_path: Path) -> None:
    code = (
        "import contextlib\ndef split(row):\n    raise ValueError('cannot split ' + row)\n"
        "with contextlib.ExitStack() as stack:\n    stack.callback(split, row)\n"
    )
    error = error_of(code, tmp_path / "r2.py", row="LIFO")
    assert "LIFO" in Path(contextlib.__file__).read_text()
    assert failure.error_words(error, failure.find_known(error, Blame())) == "ValueError: cannot split ***"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import json; json.loads(row)", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (
            "import datetime; datetime.datetime.strptime(row, '%Y')",
            "ValueError: time data '***' does not match format '%Y'",
        ),
        (
            (
                "import sqlalchemy as sa\nsa.create_engine('sqlite://').connect().execute(sa.text('select ' + repr(row) + "
                "' as e').columns(e=sa.Enum('one', 'two', name='mood'))).all()"
            ),
            "LookupError: '***' is not among the defined enum values. Enum name: mood. Possible values: one, two",
        ),
        (
            (
                "import sqlalchemy as sa\nfrom sqlalchemy.dialects import sqlite\nprint(sa.select(sa.literal(row, sa.Date))"
                ".compile(dialect=sqlite.dialect(), compile_kwargs={'literal_binds': True}))"
            ),
            "CompileError: Could not render literal value '***' with datatype DATE",
        ),
    ],
)
def test_what_a_library_says_stays_without_the_value(code: str, told: str, tmp_path: Path) -> None:
    error = error_of(code, tmp_path / "r2.py", row="O'Hara ann@x.com")
    words = failure.error_words(error, failure.find_known(error, Blame()))
    assert words.replace('"', "'").startswith(told), words
    assert "Hara" not in words


DRIVERS = ("psycopg", "psycopg2", "pg8000", "asyncpg")


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_driver_of_postgresql_repeats_a_value(postgresql_url, driver: str) -> None:
    url = postgresql_url.set(drivername=f"postgresql+{driver}")
    names = ("unique", "cast", "raise", "raise with a code of the server's")

    def errors(connection: Connection) -> Iterator[tuple[str, DBAPIError]]:
        fill(connection, "postgresql")
        for name in names:
            sql = statements_of(name, "postgresql")
            assert sql is not None
            with pytest.raises(DBAPIError) as caught, connection.begin_nested():
                connection.execution_options(no_parameters=True).exec_driver_sql(sql)
            yield name, caught.value
        with pytest.raises(DBAPIError) as caught, connection.begin_nested():
            connection.execute(text("select cast(:e as integer)"), {"e": CANARY})
        yield "bound", caught.value

    def collect(connection: Connection) -> dict[str, DBAPIError]:
        return dict(errors(connection))

    async def ask() -> dict[str, DBAPIError]:
        server = create_async_engine(url)
        async with server.connect() as connection:
            found = await connection.run_sync(collect)
        await server.dispose()
        return found

    if driver == "asyncpg":
        found = asyncio.run(ask())
    else:
        server = create_engine(url)
        with server.connect() as connection:
            found = collect(connection)
        server.dispose()
    for name, error in found.items():
        assert "canary" not in failure.error_words(error), name
    assert 'could not create unique index "one"' in failure.error_words(found["unique"])
