"""Who is blamed for a failure: file and line in the project, whatever its folders are named."""

import pytest
import sqlalchemy as sa
from alembic_project import INI
from child_support import Seen, plain_request, start_workers
from env_zoo import PLAIN, SYNC, Zoo
from msgspec.structs import replace

from ci_migrate.migrations import events
from ci_migrate.migrations.worker import failure

FOLDERS = ("migrations", "alembic", "sqlalchemy", "shop/asyncio", "lib/python3.11/shop", "dist-packages/shop")


@pytest.fixture(params=FOLDERS)
def zoo(request, tmp_path):
    """A project whose script folder has this name."""
    project = Zoo(tmp_path, url=sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    scripts = tmp_path / request.param
    (scripts / "versions").mkdir(parents=True)
    (tmp_path / "migrations").exists() or (tmp_path / "migrations").symlink_to(scripts)
    project.write("alembic.ini", INI.replace("%(here)s/migrations", f"%(here)s/{request.param}"))
    project.set_url(project.url)
    project.scripts = scripts
    (scripts / "env.py").write_text(SYNC + PLAIN)
    project.revision("r1", None, "op.execute('create table one (id integer)')")
    return project


def line_of(path, text):
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def fail(zoo, **more):
    ended = start_workers(zoo).run(plain_request(zoo, **more), lambda _event: None)
    assert ended.failed is not None, ended
    return ended.failed


@pytest.mark.parametrize(
    "code",
    ["raise ValueError('not today')", "op.execute('create nonsense')", "op.drop_table('never_there')"],
)
def test_F63_file_and_line_of_a_failing_revision(zoo, code):
    zoo.revision("r1", None, code)
    file = zoo.scripts / "versions" / "r1.py"
    failed = fail(zoo)
    assert (failed.file, failed.line, failed.revision) == (str(file), line_of(file, code), "r1")
    assert f"line {failed.line}, in upgrade" in failed.trace


def test_F63_a_revision_is_blamed_for_what_it_gives_a_library(zoo):
    code = "import contextlib\nwith contextlib.ExitStack() as stack:\n    stack.callback(int, 'x')"
    zoo.revision("r1", None, code)
    failed = fail(zoo)
    assert failed.file == str(zoo.scripts / "versions" / "r1.py")


def test_F63_a_revision_that_cannot_be_loaded(zoo):
    file = zoo.scripts / "versions" / "r1.py"
    file.write_text(file.read_text() + "\nnobody_knows_this\n")
    failed = fail(zoo)
    assert (failed.file, failed.line) == (str(file), line_of(file, "nobody_knows_this"))


def test_F63_env_py_that_fails(zoo):
    file = zoo.scripts / "env.py"
    file.write_text(SYNC + "\nint('many')\n" + PLAIN)
    failed = fail(zoo)
    assert (failed.file, failed.line) == (str(file), line_of(file, "int('many')"))


def test_F63_a_statement_of_env_py_has_its_place(zoo):
    code = "    connection.execute(text('create table extra (id integer)'))"
    file = zoo.scripts / "env.py"
    file.write_text(SYNC + PLAIN + code)
    seen = Seen()
    ended = start_workers(zoo).run(plain_request(zoo), seen)
    assert ended.ok, ended
    (sent,) = [e for e in seen.events if isinstance(e, events.StatementStarted) and "extra" in e.sql]
    assert (sent.revision, sent.file, sent.line) == (None, str(file), line_of(file, "extra"))
    (sent,) = [e for e in seen.events if isinstance(e, events.StatementStarted) and " one " in e.sql]
    revision = zoo.scripts / "versions" / "r1.py"
    assert (sent.file, sent.line) == (str(revision), line_of(revision, "table one"))


def test_F93_nobody_is_blamed_where_nothing_of_the_project_ran(zoo):
    failed = fail(zoo, configure="there_is_no_such_module:function")
    assert (failed.file, failed.line) == (None, None)
    assert "there_is_no_such_module" in failed.message


@pytest.mark.parametrize(
    "words",
    [
        "Duplicate entry 'ana's@example.com' for key 'ix_email' (1062)",
        "Incorrect integer value: 'ana's' for column `shop`.`users`.`age` at row 1 (1366)",
        "Truncated incorrect DOUBLE value: 'ana's' (1292)",
        'invalid input syntax for type integer: "ana\'s \\"own\\""',
        'invalid input value for enum mood: "ana\'s"',
    ],
)
def test_what_stood_in_a_row_is_not_repeated(words):
    told = failure.error_words(ValueError(words))
    assert "ana" not in told
    assert "***" in told
    assert told.startswith("ValueError: " + words[:12])
    assert told.split("***")[1].lstrip("'\"").split("(")[0].strip() in words


VALUE = "name = 'can' + 'ary'\nop.get_bind().execute(sa.text('select 1'))\n"


@pytest.mark.parametrize("zoo", ["migrations"], indirect=True)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('nothing to do here')", "sys.exit(nothing to do here)"),
        ("import sys; sys.exit(12345)", "sys.exit(12345)"),
        ("import sys; sys.exit('no ' + name)", f"sys.exit(no ***){failure.HIDDEN}"),
        ("class NotFound(Exception): pass\nraise NotFound('no ' + name)", f"no ***{failure.HIDDEN}"),
        (
            (
                "try:\n    op.execute(f\"insert into nowhere values ('{name}')\")\n"
                "except Exception as error:\n    raise ValueError('lost ' + name) from error"
            ),
            f"ValueError: lost ***{failure.HIDDEN}",
        ),
    ],
)
def test_what_a_revision_says_is_shown_by_the_words_of_its_source(zoo, code, message):
    """Not by those of a statement: a value of a row may be written into it."""
    zoo.revision("r1", None, VALUE + code)
    assert fail(zoo).message == message


ROWS = """from sqlalchemy.orm import Session, declarative_base, make_transient_to_detached
Base = declarative_base()
class User(Base):
    __tablename__ = "users"
    email = sa.Column(sa.String, primary_key=True)
bind = op.get_bind()
bind.exec_driver_sql("create table users (email varchar(50) primary key)")
given = "an" + "a@exam" + "ple.com"
bind.execute(sa.text("insert into users values (:given)"), {"given": given})
session = Session(bind)
"""


@pytest.mark.parametrize("zoo", ["migrations"], indirect=True)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "bind.exec_driver_sql(\"select json_extract('{}', '$[' || email) from users\")",
            "OperationalError: JSON path error near '***'",
        ),
        (
            "bind.exec_driver_sql(\"select json_extract('{}', '$[x'' ' || email) from users\")",
            "OperationalError: JSON path error near '[x''***'",
        ),
        (
            "bind.exec_driver_sql(\"select cast(cast(email as blob) || x'2720ff' as text) as t from users\").all()",
            "OperationalError: Could not decode to UTF-8 column 't' with text '***'",
        ),
        (
            "bind.exec_driver_sql(\"select cast(x'2720' || email || x'ff' as text) as t from users\").all()",
            "OperationalError: Could not decode to UTF-8 column 't' with text '***'",
        ),
        (
            (
                "kept = session.query(User).all()\nnew = User(email=given)\nmake_transient_to_detached(new)\n"
                "session.add(new)"
            ),
            "InvalidRequestError: Can't attach instance ",
        ),
        (
            "bind.execute(sa.text('select email from users')).mappings().all()[0][given]",
            "NoSuchColumnError: ",
        ),
        (
            "bind.execute(sa.text('select email from users')).mappings().all()[0][\"x' \" + given]",
            "NoSuchColumnError: ",
        ),
        (
            (
                "bind.exec_driver_sql('create virtual table f using fts5(a)')\n"
                "bind.execute(sa.text('select * from f where f match :one'), {'one': given.partition('@')[0] + ':x'})"
            ),
            "OperationalError: no such column: ***",
        ),
        (
            "bind.execute(User.__table__.update().values({given: 1}))",
            "CompileError: Unconsumed column names: ***",
        ),
    ],
)
def test_what_sqlite_and_libraries_say_repeats_no_value(zoo, code, message):
    zoo.revision("r1", None, ROWS + code)
    failed = fail(zoo)
    assert "ana@" not in repr(failed)
    assert ": ana" not in failed.message
    assert failed.message.startswith(message)
    assert failed.message.endswith(failure.HIDDEN)


@pytest.mark.parametrize("zoo", ["migrations"], indirect=True)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("op.execute('create nonsense')", 'OperationalError: near "nonsense": syntax error'),
        ("op.drop_table('never_there')", "OperationalError: no such table: never_there"),
        ("op.execute('select emial from users')", "OperationalError: no such column: emial"),
        ("session.query(User.emial)", "AttributeError: type object 'User' has no attribute 'emial'"),
        ("sa.select(User.__table__.c.emial)", "AttributeError: emial"),
        (
            "bind.execute(User.__table__.update().values({'emial': 1}))",
            "CompileError: Unconsumed column names: emial",
        ),
        (
            "bind.execute(sa.text('select :emial'))",
            "InvalidRequestError: A value is required for bind parameter 'emial'",
        ),
        ("sa.Table('nowhere', sa.MetaData(), autoload_with=bind)", "NoSuchTableError: nowhere"),
        (
            "bind.execute(sa.text('select email from users')).mappings().all()[0]['emial']",
            "NoSuchColumnError: Could not locate column in row for column 'emial'",
        ),
    ],
)
def test_names_of_the_schema_stay_readable(zoo, code, message):
    zoo.revision("r1", None, ROWS + code)
    assert fail(zoo).message.partition(" (Background on this error")[0] == message


WARNED = """kept = session.query(User).all()
session.add(User(email=given))
with session.no_autoflush:
    try:
        session.flush()
    except Exception:
        pass
import warnings
warnings.warn("'crypt' is deprecated", DeprecationWarning)
warnings.warn("no 'email' of theirs", sa.exc.SAWarning)
raise ValueError("not today")
"""


@pytest.mark.parametrize("zoo", ["migrations"], indirect=True)
@pytest.mark.parametrize("shown", [False, True])
def test_a_warning_of_a_library_repeats_no_value(zoo, shown):
    zoo.revision("r1", None, ROWS + WARNED)
    request = plain_request(zoo)
    request = replace(request, setup=replace(request.setup, show_values=shown))
    ended = start_workers(zoo).run(request, lambda _event: None)
    assert ended.failed is not None
    assert "SAWarning: New instance <User at " in ended.output
    assert ("ana@" in ended.output) == shown
    assert "SAWarning: no 'email' of theirs" in ended.output
