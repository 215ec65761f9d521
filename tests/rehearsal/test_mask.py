"""The setting `mask`, the hook `ci_migrate_mask`: no code of the repository meets private values on a copy."""

import sqlite3
from textwrap import indent
from uuid import uuid4

import pytest
from alembic_project import AlembicProject, ended
from sqlalchemy import create_engine, make_url, text

from ci_migrate.databases.composite.database import CompositeDatabase
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.rehearsal.mask import _statements, mask_copy
from ci_migrate.run.reuse import _read_files
from ci_migrate.settings.settings import load

SPY = """
def seen(op, stage):
    import os, sqlalchemy as sa
    found = op.get_bind().execute(sa.text("select name from users order by id")).scalars().all()
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "seen.txt"), "a") as file:
        file.write(f"{os.environ.get('CI_MIGRATE_STAGE')} {','.join(map(str, found))}\\n")
"""
MASK = "-- names; none of them; may be seen\nupdate users set name = 'x' || id; -- done\n"


@pytest.fixture
def private(alembic_project: AlembicProject) -> AlembicProject:
    """users with names, at r1; r2 writes down what it sees of them."""
    (alembic_project.folder / "migrations" / "versions" / "r2.py").unlink()
    create = "create table users (id integer primary key, name varchar(50))"
    alembic_project.revision("r1", None, create, "drop table users")
    ended(alembic_project.call("run"), 0)
    alembic_project.sql("insert into users values (1, 'ana'), (2, 'bo')")
    spy_on(alembic_project)
    (alembic_project.folder / "mask.sql").write_text(MASK)
    alembic_project.settings('[targets.dev]\nmask = "mask.sql"\n')
    return alembic_project


def spy_on(project: AlembicProject) -> None:
    path = project.revision(
        "r2", "r1", "alter table users add column age integer", "alter table users drop column age"
    )
    source = path.read_text()
    path.write_text(source.replace("def upgrade():", f"{SPY}\ndef upgrade():\n    seen(op, 'up')", 1))


def seen(project: AlembicProject) -> list[str]:
    path = project.folder / "seen.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_only_the_target_shows_its_values(private) -> None:
    done = private.call("run")
    said = ended(done, 0, "values of rows are masked: mask.sql (1 statement, 2 rows)")
    assert "ana" not in said
    assert set(seen(private)) == {"dry-run x1,x2", "migrate ana,bo"}
    assert private.sql("select name from users order by id") == [("ana",), ("bo",)]


def test_each_further_copy_is_masked(private) -> None:
    """A second rehearsal, the tests of the previous release, and a check that looks at before and after."""
    (private.folder / "old.py").write_text(
        "import os, sqlite3; u = os.environ['DATABASE_URL'].partition(':///')[2]\n"
        "rows = sqlite3.connect(u).execute('select name from users').fetchall()\n"
        "open('old.txt', 'w').write(repr(rows))\n"
    )
    private.settings(
        'previous-release = ["python", "old.py"]\nrehearse-twice = true\n[targets.dev]\nmask = "mask.sql"\n'
    )
    ended(private.call("dry-run"), 0)
    assert set(seen(private)) == {"dry-run x1,x2"}
    assert len(seen(private)) >= 3
    assert (private.folder / "old.txt").read_text() == "[('x1',), ('x2',)]"


def test_a_backup_in_the_targets_place_is_masked_before_env_py_meets_it(private) -> None:
    ended(private.call("backup", "create"), 0)
    env = private.folder / "migrations" / "env.py"
    look = (
        "from sqlalchemy import event, Engine, text\n"
        "@event.listens_for(Engine, 'connect')\n"
        "def _look(raw, _record):\n"
        "    try: rows = raw.execute('select name from users order by id').fetchall()\n"
        "    except Exception: return\n"
        "    open('env.txt', 'a').write(','.join(r[0] for r in rows) + '\\n')\n"
    )
    env.write_text(look + env.read_text())
    ended(private.call("dry-run", "--on", "backup:latest"), 0)
    assert set((private.folder / "env.txt").read_text().split()) == {"x1,x2"}
    assert set(seen(private)) == {"dry-run x1,x2"}


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (
            "update users set name = 'x';\nupdate nowhere set a = 1;",
            "mask.sql:2 fails: no such table: nowhere",
        ),
        ("update users set id = 1", "mask.sql:1 fails"),
        ("update users set name = 'x'; alter table users add column b int", "changes the schema of the copy"),
        ("delete from users where id = 1", "changes how many rows users has"),
        (None, "can't be read: No such file or directory"),
    ],
)
def test_a_mask_that_fails_lets_nothing_be_seen(private, mask: str | None, words: str) -> None:
    path = private.folder / "mask.sql"
    path.unlink()
    if mask is not None:
        path.write_text(mask)
    before = private.dump()
    said = ended(private.call("run"), 1, words)
    assert "ana" not in said
    assert seen(private) == []
    assert private.dump() == before
    assert not [p for p in private.folder.rglob("*scratch*") if p.is_file()]


def with_stats(project: AlembicProject, mask: str):
    """A second database, with a name in it."""
    other = project.folder / "stats.db"
    with sqlite3.connect(other) as connection:
        connection.execute("create table if not exists visits (who text)")
        connection.execute("insert into visits values ('ana')")
    connection.close()
    project.settings(
        f'[targets.dev]\nmask = "{mask}"\nurl = "sqlite:///{project.database}"\n'
        f'databases = {{stats = "sqlite:///{other}"}}\n'
    )
    return other


@pytest.mark.parametrize("mask", ["mask.sql", "masks"])
def test_several_databases_without_a_file_for_each_are_refused(private, mask) -> None:
    (private.folder / "masks").mkdir()
    (private.folder / "masks" / "main.sql").write_text(MASK)
    with_stats(private, mask)
    words = "several databases" if mask == "mask.sql" else "masks/stats.sql can't be read"
    ended(private.call("dry-run"), 1, words)
    assert seen(private) == []


def test_each_of_several_databases_is_masked_by_its_own_file(private) -> None:
    folder = private.folder / "masks"
    folder.mkdir()
    (folder / "main.sql").write_text(MASK)
    (folder / "stats.sql").write_text("update visits set who = 'nobody'")
    other = with_stats(private, "masks")
    databases = {
        "": SQLite(make_url(f"sqlite:///{private.database}")),
        "stats": SQLite(make_url(f"sqlite:///{other}")),
    }
    settings = load(private.folder, {}, {"target": "dev"})
    assert "masks (2 statements, 3 rows)" in mask_copy(settings, CompositeDatabase(databases), {})
    assert private.sql("select name from users order by id") == [("x1",), ("x2",)]
    with sqlite3.connect(other) as connection:
        assert connection.execute("select who from visits").fetchall() == [("nobody",)]
    connection.close()
    assert {str(folder / name) for name in ("main.sql", "stats.sql")} <= set(_read_files(settings))


def test_a_folder_does_for_one_database(private) -> None:
    (private.folder / "masks").mkdir()
    (private.folder / "mask.sql").rename(private.folder / "masks" / "main.sql")
    private.settings('[targets.dev]\nmask = "masks"\n')
    ended(private.call("run"), 0, "values of rows are masked: masks (1 statement, 2 rows)")
    assert set(seen(private)) == {"dry-run x1,x2", "migrate ana,bo"}


TARGET = '[targets.dev]\nurl = "env:SHOP"\n'


@pytest.fixture(params=["postgresql", "mysql"])
def on_server(request, alembic_project) -> AlembicProject:
    """The same on a server, without a mask."""
    url = request.getfixturevalue(f"{request.param}_url")
    url = url.set(drivername="postgresql+psycopg" if request.param == "postgresql" else "mysql+pymysql")
    alembic_project.environ["SHOP"] = url.render_as_string(hide_password=False)
    alembic_project.settings(TARGET)
    (alembic_project.folder / "migrations" / "versions" / "r2.py").unlink()
    create = "create table users (id integer primary key, name varchar(50))"
    alembic_project.revision("r1", None, create, "drop table users")
    ended(alembic_project.call("run"), 0)
    server = create_engine(url)
    with server.begin() as connection:
        connection.execute(text("insert into users values (1, 'ana'), (2, 'bo')"))
    server.dispose()
    spy_on(alembic_project)
    return alembic_project


def test_on_a_server(on_server) -> None:
    quoted = "-- 100 %\nupdate users set name = concat('x;', id) where name <> '%';"
    (on_server.folder / "mask.sql").write_text(quoted)
    on_server.settings(f'{TARGET}mask = "mask.sql"\n')
    ended(on_server.call("run"), 0, "values of rows are masked: mask.sql (1 statement, 2 rows)")
    assert set(seen(on_server)) == {"dry-run x;1,x;2", "migrate ana,bo"}


def test_what_a_mask_or_an_assertion_fails_of_is_not_shown(on_server) -> None:
    mysql = "mysql" in on_server.environ["SHOP"]
    number = "name" if mysql else "cast(name as integer)"
    (on_server.folder / "mask.sql").write_text(f"update users set id = {number}")
    on_server.settings(f'{TARGET}mask = "mask.sql"\n')
    assert "ana" not in ended(on_server.call("dry-run"), 1, "mask.sql:1 fails", "***")
    if mysql:  # MySQL and MariaDB read such a text as 0 where nothing is written
        return
    query = 'assertions = [{name = "a", query = "select cast(name as integer) from users", expect = 1}]\n'
    on_server.settings(f"{query}{TARGET}")
    assert "ana" not in ended(on_server.call("dry-run"), 1, "the query fails: invalid input syntax", '"***"')


def test_what_the_end_of_a_mask_fails_of_is_not_shown(on_server) -> None:
    """A constraint that is looked at when the transaction ends."""
    if "mysql" in on_server.environ["SHOP"]:
        pytest.skip("there is none on MySQL")
    server = create_engine(on_server.environ["SHOP"])
    with server.begin() as connection:
        connection.execute(text("alter table users add unique (name) deferrable initially deferred"))
    server.dispose()
    (on_server.folder / "mask.sql").write_text("update users set name = (select min(name) from users)")
    on_server.settings(f'{TARGET}mask = "mask.sql"\n')
    assert "ana" not in ended(
        on_server.call("dry-run"), 1, "mask.sql fails at its end", "The copy is dropped"
    )
    assert seen(on_server) == []


def test_statements_and_their_lines() -> None:
    sql = "-- a; b\nupdate a set b = ';';\n\n/* ; */ update c\nset d = $$;$$ ;;\n"
    assert list(_statements(sql, "postgresql")) == [
        (2, "update a set b = ';'"),
        (4, "update c\nset d = $$;$$"),
    ]
    assert list(_statements("-- nothing", "sqlite")) == []


# --------------------------------------------------------------------------- by a plugin

PLUGIN = """
from ci_migrate import hookimpl
from ci_migrate.errors import RefusedError
from sqlalchemy import text

@hookimpl
def ci_migrate_mask(connection, database, settings):
"""
NAMES = """
if database:
    return None
for number in connection.execute(text("select id from users")).scalars().all():
    connection.execute(text("update users set name = :name where id = :id"), {"id": number, "name": f"p{number}"})
return f"names of {settings.target}"
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution with the hook, whose body is given; returns the plugin's name."""

    def installed(body: str) -> str:
        name = f"masking_{uuid4().hex[:8]}"
        place = tmp_path / "installed"
        meta = place / f"{name}-1.0.dist-info"
        meta.mkdir(parents=True)
        (place / f"{name}.py").write_text(f"{PLUGIN}{indent(body, '    ')}\n")
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text(f"[ci_migrate]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(str(place))
        return name

    return installed


def test_a_plugin_masks_each_copy_before_a_file_does(private, install) -> None:
    plugin = install(NAMES)
    (private.folder / "mask.sql").write_text("update users set name = upper(name) where id = 1")
    private.settings('rehearse-twice = true\n[targets.dev]\nmask = "mask.sql"\n')
    done = private.call("run")
    assert "ana" not in ended(
        done, 0, f"values of rows are masked: plugin {plugin} (names of dev), mask.sql (1 statement, 1 row)"
    )
    assert set(seen(private)) == {"dry-run P1,p2", "migrate ana,bo"}
    assert len(seen(private)) == 3, "rehearsed on two copies, then migrated"


def test_a_backup_in_the_targets_place_is_masked_once_by_a_plugin(private, install) -> None:
    install("connection.execute(text(\"update users set name = name || '-'\"))\nreturn ''")
    private.settings("[targets.dev]\n")
    ended(private.call("backup", "create"), 0)
    ended(private.call("dry-run", "--on", "backup:latest"), 0)
    assert set(seen(private)) == {"dry-run ana-,bo-"}


@pytest.mark.parametrize("on_server", ["postgresql", "mysql", "mysql97"], indirect=True)
def test_a_plugin_masks_on_a_server(on_server, install) -> None:
    plugin = install(NAMES)
    ended(on_server.call("run"), 0, f"values of rows are masked: plugin {plugin} (names of dev)")
    assert set(seen(on_server)) == {"dry-run p1,p2", "migrate ana,bo"}


@pytest.mark.parametrize("on_server", ["postgresql", "mysql", "mysql97"], indirect=True)
def test_what_a_plugin_fails_of_is_not_shown(on_server, install) -> None:
    install("connection.execute(text(\"insert into users select id, name from users where name = 'ana'\"))")
    said = ended(on_server.call("dry-run"), 1, "fails: ", "The copy is dropped")
    assert "ana" not in said.replace("'ana'", "")
    assert seen(on_server) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "raise ValueError(connection.execute(text('select name from users')).scalar())",
            "fails: ValueError",
        ),
        ("raise RefusedError('no rule for users.name')", "fails: no rule for users.name"),
        ("raise SystemExit(3)", "fails: SystemExit"),
        ("return 3", "fails: TypeError"),
        ("connection.execute(text('update nowhere set a = 1'))", "fails: no such table: nowhere"),
        ("connection.execute(text('alter table users add column b int'))", "changes the schema of the copy"),
        ("connection.execute(text('delete from users where id = 1'))", "changes how many rows users has"),
    ],
)
def test_a_plugin_that_fails_lets_nothing_be_seen(private, install, body: str, words: str) -> None:
    plugin = install(body)
    before = private.dump()
    said = ended(private.call("run"), 1, words, f"mask: plugin {plugin}")
    assert "ana" not in said
    assert seen(private) == []
    assert private.dump() == before
    assert not [p for p in private.folder.rglob("*scratch*") if p.is_file()]


def test_a_plugin_of_the_repository_may_not_mask(private) -> None:
    """It would meet what it is to hide; and if it were not asked, nothing would be masked."""
    (private.folder / "ours.py").write_text(PLUGIN + indent(NAMES, "    "))
    private.settings('plugins = ["ours.py"]\n')
    said = ended(private.call("dry-run"), 2, "ours", "ci_migrate_mask")
    assert "ana" not in said
    assert seen(private) == []


def test_a_plugin_that_has_nothing_to_do_says_nothing(private, install) -> None:
    install("return None")
    private.settings("[targets.dev]\n")
    assert "masked" not in ended(private.call("run"), 0)


def test_a_raise_with_a_code_of_the_servers_is_not_shown(on_server) -> None:
    if "mysql" in on_server.environ["SHOP"]:  # there it has a code of its own
        return
    server = create_engine(on_server.environ["SHOP"])
    raises = "raise exception 'name % may not change', {} using errcode = '{}'"
    with server.begin() as connection:
        for name, given, gives, value, code in (
            ("keep", "", "trigger", "old.name", "check_violation"),
            ("fail", "text", "integer", "$1", "data_exception"),
        ):
            body = f"begin {raises.format(value, code)}; end"
            connection.exec_driver_sql(
                f"create function {name}({given}) returns {gives} language plpgsql as $$ {body} $$".replace(
                    "%", "%%"
                )
            )
        connection.exec_driver_sql(
            "create trigger keep before update on users for each row execute function keep()"
        )
    server.dispose()
    (on_server.folder / "mask.sql").write_text("update users set name = 'x'")
    on_server.settings(f'{TARGET}mask = "mask.sql"\n')
    done = on_server.call("dry-run")
    ended(done, 1, "mask.sql:1 fails: *** (SQLSTATE 23514)")
    assert "ana" not in done.text + str(done.report)
    query = 'assertions = [{name = "a", query = "select fail(name) from users", expect = 1}]\n'
    on_server.settings(f"{query}{TARGET}")
    done = on_server.call("dry-run")
    ended(done, 1, "the query fails: *** (SQLSTATE 22000)")
    assert "may not change" not in done.text + str(done.report)
