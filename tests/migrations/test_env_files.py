"""env.py files as they are found in the wild, unmodified, through the real command on real databases."""

import json
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from env_zoo import PLAIN, SYNC, TABLE, initialised, new_zoo, url_of

DRIVERS = ("sqlite", "postgresql+psycopg", "postgresql+psycopg2")
ASYNC_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg")


def migrated(zoo, heads=("r2",)):
    """The command ran well, and the target is where it should be."""
    done = zoo.gate("run")
    assert zoo.versions() == sorted(heads)
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    return done


# --------------------------------------------------------------------------- Alembic's own templates


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_stock_template(request, tmp_path, driver):
    zoo = initialised(tmp_path, url_of(request, tmp_path, driver), "generic")
    migrated(zoo)
    assert zoo.columns("users") == {"id", "name", "email"}


@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
def test_the_stock_async_template(request, tmp_path, driver):
    zoo = initialised(tmp_path, url_of(request, tmp_path, driver), "async")
    migrated(zoo)
    assert zoo.columns("users") == {"id", "name", "email"}


@pytest.mark.parametrize("driver", ["sqlite+aiosqlite", "postgresql+asyncpg"])
def test_the_async_template_with_a_url_in_the_settings_only(request, tmp_path, driver):
    """The settings name the driver: the child has to get the scratch copy's URL with the same one."""
    zoo = initialised(tmp_path, url_of(request, tmp_path, driver), "async")
    zoo.set_url("driver://user:pass@localhost/dbname")
    zoo.target()
    migrated(zoo)


def test_the_pyproject_template(url, tmp_path):
    zoo = initialised(tmp_path, url, "generic")
    (tmp_path / "alembic.ini").unlink()
    zoo.write(
        "pyproject.toml",
        """
        [tool.alembic]
        script_location = "%(here)s/migrations"

        [tool.ci-migrate.targets.test]
        url = "env:SHOP_URL"
        """,
    )
    zoo.environ["SHOP_URL"] = zoo.text_url
    env = tmp_path / "migrations" / "env.py"
    env.write_text(env.read_text().replace("config.get_section(config.config_ini_section, {})", '{"sqlalchemy.url": config.get_main_option("sqlalchemy.url")}'))  # fmt: skip
    migrated(zoo)


def test_multidb_is_refused_by_the_name_of_the_second_database(url, tmp_path):
    zoo = initialised(tmp_path, url, "multidb")
    second = tmp_path / "second.db"
    zoo.set_url(url, "engine1")
    zoo.set_url(f"sqlite:///{second}", "engine2")
    zoo.revision("r1", None, "globals()['upgrade_%s' % engine_name]()", extra="def upgrade_engine1(): op.create_table('users', sa.Column('id', sa.Integer))\ndef upgrade_engine2(): pass")  # fmt: skip
    done = zoo.gate("run", code=1)
    assert str(second) in done.text
    assert not second.exists()
    assert zoo.tables == set()


# --------------------------------------------------------------------------- where the URL comes from


def test_own_settings(url, tmp_path):
    zoo = new_zoo(
        tmp_path,
        url,
        "import json, pathlib\n"
        + SYNC
        + "url = json.loads(pathlib.Path('config.json').read_text())['db']\n"
        + PLAIN,
    )
    zoo.set_url("sqlite:///not-this-one.db")
    zoo.write("config.json", json.dumps({"db": zoo.text_url}))
    migrated(zoo)
    assert not (tmp_path / "not-this-one.db").exists()


def test_a_variable_that_the_dry_run_replaces(url, tmp_path):
    """`print` shows that the dry run saw another URL than the migration."""
    env = (
        "import os\n"
        + SYNC
        + "url = os.environ['SHOP_URL']\n"
        + "pathlib = __import__('pathlib')\n"
        + "with open('seen', 'a') as f: f.write(os.environ['CI_MIGRATE_STAGE'] + ' ' + url + '\\n')\n"
        + PLAIN
    )
    zoo = new_zoo(tmp_path, url, env)
    zoo.target()
    migrated(zoo)
    seen = {}
    for line in (tmp_path / "seen").read_text().splitlines():
        stage, value = line.split(" ", 1)
        seen.setdefault(stage, set()).add(value)
    assert seen["migrate"] == seen["check"] == {zoo.text_url}
    assert zoo.text_url not in seen["dry-run"]
    scratch = sa.make_url(next(iter(seen["dry-run"])))
    assert scratch.drivername == url.drivername


def test_percent_signs_in_the_ini_file(request, tmp_path):
    """The server's password has them."""
    zoo = initialised(tmp_path, url_of(request, tmp_path, "postgresql+psycopg2"), "generic")
    assert "%25" in zoo.text_url
    done = migrated(zoo)
    assert sa.make_url(zoo.text_url).password not in done.text


def test_x_arguments(url, tmp_path):
    env = SYNC + 'url = context.get_x_argument(as_dictionary=True)["db"]\n' + PLAIN
    zoo = new_zoo(tmp_path, url, env)
    zoo.gate("run", "-x", f"db={zoo.text_url}")
    assert zoo.versions() == ["r2"]
    assert "KeyError" in zoo.gate("check", code=8).text


def test_a_connection_that_env_py_insists_on(url, tmp_path):
    zoo = new_zoo(
        tmp_path,
        url,
        SYNC + 'migrate(config.attributes["connection"])\nconfig.attributes["connection"].commit()\n',
    )
    zoo.target()
    migrated(zoo)


def test_a_function_that_prepares_the_config(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + 'url = config.attributes["own"]\n' + PLAIN)
    zoo.write("prepare.py", f"def prepare(config):\n    config.attributes['own'] = {zoo.text_url!r}\n")
    ini = tmp_path / "alembic.ini"
    ini.write_text(ini.read_text().replace("[alembic]\n", "[alembic]\nprepend_sys_path = .\n", 1))
    zoo.settings('configure = "prepare:prepare"\n')
    migrated(zoo)


def test_flask_migrate(url, tmp_path):
    """Its ini file lies in the folder of the scripts and names no location; env.py needs an app context."""
    zoo = new_zoo(tmp_path, url, "")
    (tmp_path / "alembic.ini").unlink()
    zoo.write(
        "migrations/alembic.ini",
        """
        [alembic]
        [loggers]
        keys = root
        [handlers]
        keys =
        [formatters]
        keys =
        [logger_root]
        level = WARN
        handlers =
        """,
    )
    zoo.write(
        "shop.py",
        f"""
        import contextlib, sqlalchemy

        class App:
            current = None
            extensions = {{"migrate": {zoo.text_url!r}}}

            @contextlib.contextmanager
            def app_context(self):
                App.current = self
                yield

        class CurrentApp:
            def __getattr__(self, name):
                if App.current is None:
                    raise RuntimeError("Working outside of application context.")
                return getattr(App.current, name)

        current_app, context = CurrentApp(), []

        def push(config):
            context.append(App().app_context())
            context[0].__enter__()
        """,
    )
    zoo.write(
        "migrations/env.py",
        """
        from logging.config import fileConfig
        from alembic import context
        from shop import current_app
        import sqlalchemy

        config = context.config
        fileConfig(config.config_file_name)
        url = current_app.extensions["migrate"]
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        with sqlalchemy.create_engine(url).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        """,
    )
    zoo.environ["PYTHONPATH"] = str(tmp_path)
    outside = zoo.gate("check", code=8)
    assert "Working outside of application context" in outside.text
    zoo.settings('configure = "shop:push"\n')
    migrated(zoo)


def test_the_flask_application_is_entered_as_flask_db_does(tmp_path):
    """Flask-Migrate's own env.py asks for it; no setting is needed where FLASK_APP, wsgi.py or app.py say which it is."""
    zoo = new_zoo(
        tmp_path,
        sa.make_url(f"sqlite:///{tmp_path}/app.db"),
        "from flask import current_app\n" + SYNC + 'url = current_app.config["URL"]\n' + PLAIN,
    )
    assert "Working outside of application context" in zoo.gate("check", code=8).text
    zoo.write(
        "shop.py", f"from flask import Flask\napp = Flask('shop')\napp.config['URL'] = {zoo.text_url!r}\n"
    )
    zoo.environ["FLASK_APP"] = "shop"
    migrated(zoo)


# --------------------------------------------------------------------------- what env.py does besides


BESIDES = {
    "prints": "print('chatter ' * 10000)\nimport sys; sys.stdout.flush()\nimport os; os.write(1, b'raw\\n')\n",
    "silences-all-loggers": "from logging.config import fileConfig\nfileConfig(config.config_file_name, disable_existing_loggers=True)\n",
    "changes-directory": "import os; os.chdir('/')\n",
    "closes-stdout": "import sys; sys.stdout.close()\n",
    "reads-stdin": "import sys; assert sys.stdin.read() == ''\n",
    "replaces-argv": "import sys; assert sys.argv[0] == 'alembic'; sys.argv = []\n",
    "starts-threads": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n",
    "catches-sigterm": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
    "leaves-at-exit-handlers": "import atexit, time; atexit.register(time.sleep, 60)\n",
}


@pytest.mark.parametrize("name", BESIDES)
def test_M10_what_env_py_does_besides_harms_nothing(tmp_path, name):
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    zoo = new_zoo(tmp_path, url, SYNC + BESIDES[name] + PLAIN)
    migrated(zoo)


def test_exit_0_at_the_end_is_no_failure(url, tmp_path):
    migrated(new_zoo(tmp_path, url, SYNC + PLAIN + "import sys; sys.exit(0)\n"))


def test_M10_exit_3_at_the_end_is_one(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN + "import sys; sys.exit(3)\n")
    done = zoo.gate("run", code=8)
    assert "sys.exit(3)" in done.text
    assert zoo.tables == set()


def test_M10_exit_0_before_the_migrations_is_caught(url, tmp_path):
    env = "import os, sys\nif os.environ.get('CI_MIGRATE_STAGE') != 'check': sys.exit(0)\n" + SYNC + PLAIN
    zoo = new_zoo(tmp_path, url, env)
    zoo.target()
    done = zoo.gate("run", code=1)
    assert "instead of r2" in done.text
    assert zoo.tables == set()


def test_M10_a_fork_has_no_part_in_it(url, tmp_path):
    """The child of env.py runs on through the migrations, where it may not use the database."""
    fork = """
    import os
    pid = os.fork()
    if pid == 0:
        try:
            with create_engine(url, poolclass=pool.NullPool).connect() as connection:
                migrate(connection)
        except BaseException as error:
            with open(f"fork-{os.environ.get('CI_MIGRATE_STAGE')}", "w") as file:
                file.write(repr(error))
        os._exit(0)
    os.waitpid(pid, 0)
    """
    zoo = new_zoo(tmp_path, url, SYNC + textwrap.dedent(fork) + PLAIN)
    migrated(zoo)
    assert "forked" in (tmp_path / "fork-dry-run").read_text()
    assert "forked" in (tmp_path / "fork-migrate").read_text()


def test_a_process_that_is_left_behind_does_not_keep_the_lock(tmp_path):
    """A daemon inherits all descriptors, the lock's too."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    daemon = """
    import os, time
    pid = os.fork()
    if pid == 0:
        time.sleep(100)
        os._exit(0)
    with open("pids", "a") as file:
        file.write(f"{pid}\\n")
    """
    zoo = new_zoo(tmp_path, url, SYNC + textwrap.dedent(daemon) + PLAIN)
    migrated(zoo)
    zoo.revision("r3", "r2", "create table more (id integer)", "drop table more")
    migrated(zoo, ["r3"])
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "zombie" in status.read_text()


def test_F96_a_swallowed_error_is_caught_by_the_dry_run(url, tmp_path):
    env = (
        SYNC
        + "try:\n"
        + textwrap.indent(PLAIN, "    ")
        + "\nexcept Exception as error:\n    print('never mind', error)\n"
    )
    zoo = new_zoo(tmp_path, url, env)
    zoo.revision("r3", "r2", 'op.execute("insert into nowhere values (1)")')
    done = zoo.gate("run", code=1)
    assert "an error was swallowed" in done.text
    stage = done.stage("dry-run")
    assert stage["sql"] == "insert into nowhere values (1)"
    assert "nowhere" in stage["message"].partition("The last statement that failed: ")[2]
    assert (stage["file"], stage["line"]) == ("migrations/versions/r3.py", 12)
    assert zoo.tables == set()


def test_an_error_swallowed_on_the_target_only_is_caught(url, tmp_path):
    env = (
        SYNC
        + "try:\n"
        + textwrap.indent(PLAIN, "    ")
        + "\nexcept Exception as error:\n    print('never mind', error)\n"
    )
    zoo = new_zoo(tmp_path, url, env)
    zoo.revision(
        "r3", "r2", 'import os\nif os.environ["CI_MIGRATE_STAGE"] == "migrate": raise ValueError("only here")'
    )
    done = zoo.run("run")
    assert done.code in (6, 7)
    assert done.stage("migrate")["outcome"] == "failed"


def test_env_py_that_writes_when_it_is_loaded(url, tmp_path):
    """Only reading the heads must not write; the dry run and the migration do."""
    table = "sa_table = __import__('sqlalchemy').Table('at_load', __import__('sqlalchemy').MetaData(), __import__('sqlalchemy').Column('id', __import__('sqlalchemy').Integer))\n"
    zoo = new_zoo(tmp_path, url, SYNC + table + "sa_table.metadata.create_all(create_engine(url))\n" + PLAIN)
    done = zoo.gate("check")
    assert "CM104" in done.codes()
    assert "at_load" in done.text
    assert zoo.tables == set()
    zoo.gate("dry-run")
    assert zoo.tables == set()
    migrated(zoo)
    assert zoo.tables >= {"at_load", "users"}


def test_create_schema_if_not_exists_at_load(request, tmp_path):
    env = SYNC + (
        "with create_engine(url).begin() as connection:\n"
        "    connection.execute(text('create schema if not exists shop'))\n"
    )
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), env + PLAIN)
    zoo.gate("check")
    migrated(zoo)
    assert zoo.query("select 1 from pg_namespace where nspname = 'shop'")


# --------------------------------------------------------------------------- transactions


@pytest.mark.parametrize(
    "options", ["transaction_per_migration=True", "transactional_ddl=False", "render_as_batch=True"]
)
def test_options_of_configure(url, tmp_path, options):
    zoo = new_zoo(
        tmp_path, url, SYNC + PLAIN.replace("migrate(connection)", f"migrate(connection, {options})")
    )
    migrated(zoo)


def test_one_transaction_around_everything(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN.replace(".connect()", ".begin()"))
    migrated(zoo)


def test_the_begin_recipe_of_sqlalchemy(tmp_path):
    """Its BEGIN and ours must not meet."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    recipe = """
    from sqlalchemy import event

    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def do_connect(dbapi_connection, connection_record):
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def do_begin(conn):
        conn.exec_driver_sql("BEGIN")

    with engine.connect() as connection:
        migrate(connection)
    """
    migrated(new_zoo(tmp_path, url, SYNC + textwrap.dedent(recipe)))


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_isolation_levels(url, tmp_path, level):
    """Under AUTOCOMMIT what is written by an engine that never commits stays, too."""
    more = (
        f"engine = create_engine(url, isolation_level={level!r})\n"
        "if __import__('os').environ.get('CI_MIGRATE_STAGE') != 'check':\n"
        "    with engine.connect() as connection:\n"
        "        connection.execute(text('create table if not exists first (id integer)'))\n"
        "with engine.connect() as connection:\n    migrate(connection)\n"
    )
    zoo = new_zoo(tmp_path, url, SYNC + more)
    migrated(zoo)
    # sqlite3 begins no transaction before DDL: plain Alembic keeps the table as well
    assert ("first" in zoo.tables) == (level == "AUTOCOMMIT" or zoo.dialect == "sqlite")


def test_autocommit_block(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    statement = (
        "create index concurrently by_name on users (name)" if zoo.dialect == "postgresql" else "vacuum"
    )
    zoo.revision(
        "r3",
        "r2",
        f"""
        op.execute("insert into users (id, name) values (1, 'a')")
        with op.get_context().autocommit_block():
            op.execute({statement!r})
        op.execute("insert into users (id, name) values (2, 'b')")
        """,
        "delete from users; drop index if exists by_name",
    )
    done = migrated(zoo, ["r3"])
    assert len(zoo.rows("users")) == 2
    commit_points = done.stage("dry-run")["evidence"]["rungs"]
    assert [r["complete"] for r in commit_points if r["revision"] == "r3"].count(False) >= 1


def test_batch_mode(url, tmp_path):
    zoo = new_zoo(
        tmp_path,
        url,
        SYNC + PLAIN.replace("migrate(connection)", "migrate(connection, render_as_batch=True)"),
    )
    zoo.revision(
        "r3",
        "r2",
        'with op.batch_alter_table("users") as batch:\n    batch.alter_column("name", type_=sa.String(40))',
        'with op.batch_alter_table("users") as batch:\n    batch.alter_column("name", type_=sa.Text())',
    )
    zoo.prepare(TABLE, "insert into users values (1, 'a')", "create table alembic_version (version_num varchar(32) not null)", "insert into alembic_version values ('r1')")  # fmt: skip
    migrated(zoo, ["r3"])
    assert [row[:2] for row in zoo.rows("users")] == [(1, "a")]


def test_a_function_that_writes_is_a_commit_point(request, tmp_path):
    """SELECT ... FROM looks like reading."""
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    zoo.prepare(
        "create table log (id integer)",
        "create function note(n integer) returns integer language sql as 'insert into log values (n) returning id'",
    )
    zoo.revision(
        "r3",
        "r2",
        """
        with op.get_context().autocommit_block():
            pass
        op.execute("select note(n) from generate_series(1, 3) n")
        op.get_bind().commit()
        """,
        "delete from log",
    )
    done = zoo.run("run", "--allow", "CM501=meant", "--allow", "CM601=meant")
    commit_points = done.stage("dry-run")["evidence"]["rungs"]
    assert any(r["revision"] == "r3" and not r["complete"] for r in commit_points), done.text


# --------------------------------------------------------------------------- graphs and version tables


def test_heads_merges_labels_and_depends_on(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN, history=False)
    zoo.revision("a1", None, TABLE, "drop table users")
    zoo.revision(
        "b1", "a1", "create table b1 (id integer)", "drop table b1", extra='branch_labels = ("left",)'
    )
    zoo.revision(
        "c1", "a1", "create table c1 (id integer)", "drop table c1", extra='branch_labels = ("right",)'
    )
    zoo.revision("d1", None, "create table d1 (id integer)", "drop table d1", extra='depends_on = ("b1",)')
    done = zoo.gate("check", code=1)
    assert "CM101" in done.text
    zoo.gate("run", "--to", "heads")
    assert zoo.versions() == ["c1", "d1"]  # d1 depends on b1, which is covered by it
    zoo.revision("m1", ("c1", "d1"), "pass")  # with b1 Alembic itself ends in KeyError
    zoo.gate("run", "--to", "heads")
    assert zoo.versions() == ["m1"]
    assert zoo.tables >= {"users", "b1", "c1", "d1"}


def test_one_branch_by_its_label(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN, history=False)
    zoo.revision("a1", None, TABLE, "drop table users")
    zoo.revision(
        "b1", "a1", "create table b1 (id integer)", "drop table b1", extra='branch_labels = ("left",)'
    )
    zoo.revision("c1", "a1", "create table c1 (id integer)", "drop table c1")
    zoo.gate("run", "--to", "left@head")
    assert zoo.versions() == ["b1"]
    assert "c1" not in zoo.tables


def test_a_version_table_with_another_name(url, tmp_path):
    zoo = new_zoo(
        tmp_path,
        url,
        SYNC + PLAIN.replace("migrate(connection)", "migrate(connection, version_table='shop_version')"),
    )
    zoo.gate("run")
    assert zoo.versions("shop_version") == ["r2"]
    assert "Nothing to do" in zoo.gate("run").text


def test_a_version_table_in_another_schema(request, tmp_path):
    env = SYNC + PLAIN.replace("migrate(connection)", "migrate(connection, version_table_schema='book')")
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), env)
    zoo.prepare("create schema book")
    zoo.gate("run")
    assert zoo.versions("book.alembic_version") == ["r2"]
    assert "Nothing to do" in zoo.gate("run").text


TENANTS = {
    "version_table_schema": """
    with create_engine(url).connect() as connection:
        for tenant in TENANTS:
            connection.execute(text(f"set search_path to {tenant}"))
            connection.commit()
            connection.dialect.default_schema_name = tenant
            migrate(connection, version_table_schema=tenant)
    """,
    "search_path": """
    for tenant in TENANTS:
        with create_engine(url).connect() as connection:
            connection.execute(text(f"set search_path to {tenant}"))
            connection.commit()
            migrate(connection)
            connection.commit()
    """,
    "set": """
    for tenant in set(TENANTS):
        engine = create_engine(url, connect_args={"options": f"-csearch_path={tenant}"})
        with engine.connect() as connection:
            migrate(connection)
    """,
}


@pytest.mark.parametrize("way", TENANTS)
def test_a_loop_over_tenants(request, tmp_path, way):
    names = ["tenant_a", "tenant_b", "tenant_c"]
    env = SYNC + f"TENANTS = {names}\n" + textwrap.dedent(TENANTS[way])
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), env)
    zoo.prepare(*(f"create schema {name}" for name in names))
    # one of them is further than the others
    zoo.prepare("create table tenant_b.users (id integer primary key, name text)",
                "create table tenant_b.alembic_version (version_num varchar(32) not null)",
                "insert into tenant_b.alembic_version values ('r1')")  # fmt: skip
    done = zoo.gate("run")
    for name in names:
        assert zoo.versions(f"{name}.alembic_version") == ["r2"]
        assert f"{name}.users" in zoo.tables
    contexts = done.stage("check")["plan"]["contexts"]
    assert sorted(len(c["revisions"]) for c in contexts) == [1, 2, 2]
    assert "Nothing to do" in zoo.gate("run").text


def test_schema_translate_map(request, tmp_path):
    env = SYNC + (
        "with create_engine(url).connect() as connection:\n"
        "    migrate(connection.execution_options(schema_translate_map={None: 'shop'}), version_table_schema='shop')\n"
    )
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), env, history=False)
    zoo.prepare("create schema shop")
    zoo.revision(
        "r1",
        None,
        'op.create_table("users", sa.Column("id", sa.Integer), schema="shop")',
        "drop table shop.users",
    )
    zoo.gate("run")
    assert "shop.users" in zoo.tables


# --------------------------------------------------------------------------- errors of the project


def test_a_revision_that_fails_is_named_with_its_line(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.revision(
        "r3", "r2", 'op.execute("create table ok (id integer)")\nop.execute("insert into nowhere values (1)")'
    )
    done = zoo.gate("run", code=1)
    stage = done.stage("dry-run")
    assert stage["file"] == "migrations/versions/r3.py"
    source = (tmp_path / stage["file"]).read_text().splitlines()
    assert "nowhere" in source[stage["line"] - 1]
    assert "r3" in stage["message"]
    assert zoo.tables == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def upgrade(:\n", "SyntaxError"),
        ("import not_there\nrevision = 'r3'\ndown_revision = 'r2'\n", "not_there"),
        ("revision = 'r3'\ndown_revision = 'gone'\n", "gone"),
    ],
)
def test_a_script_that_can_not_be_loaded(tmp_path, text, words):
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    (tmp_path / "migrations" / "versions" / "r3.py").write_text(text)
    done = zoo.run("check")
    assert done.code in (1, 8)
    assert words in done.text
    assert "Traceback" not in done.text


def test_bytes_that_are_no_utf_8_in_what_it_prints_and_raises(tmp_path):
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    zoo = new_zoo(
        tmp_path,
        url,
        SYNC + "import os; os.write(2, b'\\xff\\xfe\\x00')\nraise ValueError('\\udc80 \\x00 \\x1b[31m')\n",
    )
    done = zoo.gate("check", code=8)
    assert "ValueError" in done.text
