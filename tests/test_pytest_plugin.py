"""`pytest --ci-migrate` on a real project, by pytest's own test harness."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg  # noqa: F401 - else pytester takes it out of `sys.modules`, and who imports it next has another one
import pytest
from junitparser import JUnitXml
from sqlalchemy import URL, create_engine, inspect

pytest_plugins = ["pytester"]

INI = "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = sqlite:///%(here)s/app.db\n"
ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
models = MetaData()
Table("users", models, Column("id", Integer, primary_key=True), Column("name", Integer){more})
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=models)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision = "{revision}"
down_revision = {down!r}
def upgrade():
    op.execute("{up}")
def downgrade():
    {back}
"""
USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY)"
NAME = "ALTER TABLE users ADD COLUMN name INTEGER"
FILL = "UPDATE users SET name = id * 2"
DROP_USERS = 'op.execute("DROP TABLE users")'
DROP_NAME = 'op.execute("ALTER TABLE users DROP COLUMN name")'
ITEMS = 9  # three revisions up and down, and three about all of them


def write(project: Path, revision: str, down: str | None, up: str, back: str) -> None:
    text = REVISION.format(revision=revision, down=down, up=up, back=back)
    (project / "migrations" / "versions" / f"{revision}.py").write_text(text)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("CI_MIGRATE_")]:  # CI's own, which set nothing here
        monkeypatch.delenv(name)
    (pytester.path / "migrations" / "versions").mkdir(parents=True)
    (pytester.path / "alembic.ini").write_text(INI)
    (pytester.path / "migrations" / "env.py").write_text(ENV.format(more=""))
    write(pytester.path, "0001", None, USERS, DROP_USERS)
    write(pytester.path, "0002", "0001", NAME, DROP_NAME)
    write(pytester.path, "0003", "0002", FILL, "pass")
    return pytester.path


def test_nothing_is_collected_unless_asked_for(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
    assert not (project / ".ci-migrate").exists()


def test_each_revision_and_direction_is_an_item(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest("--ci-migrate", "-v", "--junitxml=out.xml")
    result.assert_outcomes(passed=ITEMS)
    result.stdout.fnmatch_lines(
        [
            "*alembic.ini::single_head PASSED*",
            *(f"*alembic.ini::upgrade[[]{r}] PASSED*" for r in ("0001", "0002", "0003")),
            "*alembic.ini::models_match PASSED*",
            *(f"*alembic.ini::downgrade[[]{r}] PASSED*" for r in ("0003", "0002", "0001")),
            "*alembic.ini::up_down_up PASSED*",
        ]
    )
    assert sorted(p.name for p in project.glob("*.db")) == []  # env.py's own is not touched
    (suite,) = JUnitXml.fromfile(str(project / "out.xml"))
    assert (suite.tests, suite.failures) == (ITEMS, 0)


def test_failures_are_where_and_what_and_spoil_no_others(pytester: pytest.Pytester, project: Path) -> None:
    (project / "migrations" / "env.py").write_text(ENV.format(more=", Column('email', Integer)"))
    write(project, "0002", "0001", NAME, "op.execute('DROP TABEL users')")
    write(project, "0003", "0002", FILL, "raise NotImplementedError")
    write(project, "0004", "0003", "CREATE TABLE left_behind (id INTEGER)", "op.execute('SELECT 1')")
    write(project, "0005", "0004", "SELECT 1", "pass")
    marker = project / "migrations" / "versions" / "0005.py"
    marker.write_text(marker.read_text().partition("def downgrade")[0])  # as of some: no such function at all
    result = pytester.runpytest("--ci-migrate", "-v")
    result.assert_outcomes(
        passed=7, failed=3, skipped=3
    )  # 0003 has no downgrade, so that there is no way around
    result.stdout.fnmatch_lines(
        [
            "models_match: Models and migrated database differ: *; column users.email is in the models only",
            "migrations/versions/0004.py",
            "downgrade[[]0004]: The downgrade does not lead back: *left_behind*",
            "migrations/versions/0002.py:8",
            "downgrade[[]0002]: *syntax error*",
            "Again, *",
        ]
    )
    result.stdout.no_fnmatch_line('*File "*')
    again = pytester.runpytest("--ci-migrate", "--lf", "--ci-migrate-trace")
    again.assert_outcomes(failed=3)
    again.stdout.fnmatch_lines(['*File "*0002.py", line 8*'])


def test_an_upgrade_that_fails_is_one_failure(pytester: pytest.Pytester, project: Path) -> None:
    write(project, "0002", "0001", "ALTER TABEL users", "pass")
    write(project, "0003b", "0002", "SELECT 1", "pass")
    result = pytester.runpytest("--ci-migrate", "-v")
    result.assert_outcomes(passed=2, failed=2, skipped=7)
    result.stdout.fnmatch_lines(
        [
            "*upgrade[[]0001] PASSED*",
            "*downgrade[[]0001] PASSED*",
            "single_head: There are 2 heads: 0003, 0003b. Join them: alembic merge heads",
            "migrations/versions/0002.py:6",
            "upgrade[[]0002]: *syntax error*",
        ]
    )


def test_F72_branches_have_a_head_each(pytester: pytest.Pytester, project: Path) -> None:
    write(project, "0001b", None, "SELECT 1", "pass")
    assert pytester.runpytest("--ci-migrate", "-k", "single_head").ret == 1
    file = project / "migrations" / "versions" / "0001b.py"
    file.write_text(file.read_text() + 'branch_labels = ("billing",)\n')
    assert pytester.runpytest("--ci-migrate", "-k", "single_head").ret == 0


def test_selected_and_listed(pytester: pytest.Pytester, project: Path) -> None:
    listed = pytester.runpytest("--ci-migrate", "--collect-only", "-q")
    listed.stdout.fnmatch_lines(["alembic.ini::single_head", "alembic.ini::upgrade[[]0001]"])
    write(project, "0003", "0002", "NONSENSE", "pass")  # what is not asked for is not run
    one = pytester.runpytest("--ci-migrate", "-k", "downgrade and 0002")
    one.assert_outcomes(passed=1, deselected=ITEMS - 1)


def test_xdist_and_scripts_that_cannot_be_loaded(pytester: pytest.Pytester, project: Path) -> None:
    pytest.importorskip("xdist")
    result = pytester.runpytest_subprocess("--ci-migrate", "-n2", "--dist=loadgroup")
    result.assert_outcomes(passed=ITEMS)
    (project / "migrations" / "versions" / "0003.py").write_text("import nothing_of_this_name\n")
    broken = pytester.runpytest("--ci-migrate")
    broken.assert_outcomes(passed=1, failed=6)
    broken.stdout.fnmatch_lines(["*can't be loaded*0003.py:1*nothing_of_this_name*"])


FIXTURES = """
import pytest
def test_rows_are_kept(ci_migrate_database):
    db = ci_migrate_database("0001")
    db.execute("INSERT INTO users (id) VALUES (:id)", [{"id": 1}, {"id": 2}])
    db.upgrade("0003")
    assert db.execute("SELECT id, name FROM users ORDER BY id") == [(1, 2), (2, 4)]
    db.downgrade("0001")
    assert db.execute("SELECT * FROM users ORDER BY id") == [(1,), (2,)]
    other = ci_migrate_database("0002")
    assert other.execute("SELECT count(*) FROM users") == [(0,)]
    with pytest.raises(Exception, match="(?i)broken"):
        other.upgrade("broken")

def test_gate(ci_migrate_gate):
    report = ci_migrate_gate(on="empty")
    assert [r.stage for r in report.results if r.outcome.value == "passed"] == ["check", "backup", "dry-run"]
"""


def test_fixtures(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makepyfile(FIXTURES)
    pytester.runpytest().assert_outcomes(passed=2)
    assert not (project / "app.db").exists()


def test_the_stages_are_items_if_asked_for(pytester: pytest.Pytester, project: Path) -> None:
    sqlite3.connect(project / "app.db").close()
    result = pytester.runpytest("--ci-migrate", "--ci-migrate-stages", "-k", "check or backup or dry-run")
    result.assert_outcomes(passed=3, deselected=ITEMS)
    assert (project / "app.db").stat().st_size == 0


@pytest.mark.parametrize("engine", ["postgresql", pytest.param("mysql", marks=pytest.mark.long)])
def test_by_url_on_a_server(
    engine: str,
    pytester: pytest.Pytester,
    project: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url: URL = request.getfixturevalue(f"{engine}_url")
    monkeypatch.setenv("TEST_DATABASE", url.render_as_string(hide_password=False))
    write(project, "0003", "0002", FILL, 'op.execute("CREATE TABLE left_behind (id INTEGER)")')
    result = pytester.runpytest("--ci-migrate", "--ci-migrate-url=env:TEST_DATABASE", "-v")
    result.stdout.fnmatch_lines(["downgrade[[]0003]: The downgrade does not lead back: *left_behind*"])
    result.assert_outcomes(passed=ITEMS - 2, failed=2)  # the second time up finds it, too
    engine_ = create_engine(url)
    try:
        assert inspect(engine_).get_table_names() == []
        assert not [n for n in inspect(engine_).get_schema_names() if n.startswith("ci_migrate_scratch")]
    finally:
        engine_.dispose()


@pytest.mark.long
def test_on_the_oldest_pytest(project: Path, tmp_path: Path) -> None:
    """Into a folder that comes first on the path."""
    folder = tmp_path / "pytest8"
    install = [
        "uv",
        "pip",
        "install",
        "-q",
        "--python",
        sys.executable,
        "--target",
        str(folder),
        "pytest==8.4.0",
    ]
    subprocess.run(install, check=True)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "--ci-migrate", "-p", "no:xdist", "-p", "no:cacheprovider"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "pytest-8.4.0" in ended.stdout
    assert f"{ITEMS - 1} passed" in ended.stdout or f"{ITEMS} passed" in ended.stdout, (
        ended.stdout + ended.stderr
    )


TWO_TARGETS = '[targets.dev]\nurl = "sqlite:///app.db"\n[targets.live]\nurl = "env:LIVE"\n'


def test_F85_of_several_targets_one_is_to_be_named(pytester: pytest.Pytester, project: Path) -> None:
    """Items are collected, and what needs no database passes; the others say what to type, which works."""
    (project / "ci-migrate.toml").write_text(TWO_TARGETS)
    result = pytester.runpytest("--ci-migrate")
    result.assert_outcomes(passed=1, failed=ITEMS - 1)
    result.stdout.fnmatch_lines(["*which one scratch databases are made was not said: dev, live.*"])
    result.stdout.fnmatch_lines(["pytest --ci-migrate --ci-migrate-target dev"])
    pytester.runpytest("--ci-migrate", "--ci-migrate-target", "dev").assert_outcomes(passed=ITEMS)
    (project / "ci-migrate.toml").write_text(f'default-target = "dev"\n{TWO_TARGETS}')
    pytester.runpytest("--ci-migrate").assert_outcomes(passed=ITEMS)


ONE_APPLICATION = """
import pathlib
with pathlib.Path("imported").open("a") as file:
    file.write(".")
"""


def give_application(project: Path, source: str, revision: str = "") -> None:
    """A module that env.py imports, and what the second revision does with it besides."""
    (project / "shop.py").write_text(source)
    env = project / "migrations" / "env.py"
    env.write_text("import shop\n" + env.read_text())
    ini = project / "alembic.ini"
    ini.write_text(ini.read_text() + "prepend_sys_path = %(here)s\n")
    if revision:
        write(project, "0002", "0001", NAME, DROP_NAME)
        file = project / "migrations" / "versions" / "0002.py"
        file.write_text(
            "import shop\n" + file.read_text().replace("def upgrade():", f"def upgrade():\n{revision}")
        )


@pytest.mark.parametrize("named", [False, True])
def test_the_application_is_imported_once(pytester: pytest.Pytester, project: Path, named: bool) -> None:
    """Once more for the scripts alone, where settings say where the target is."""
    give_application(project, ONE_APPLICATION, "    pass")
    if named:
        (project / "ci-migrate.toml").write_text('[targets.dev]\nurl = "sqlite:///app.db"\n')
    pytester.runpytest("--ci-migrate").assert_outcomes(passed=ITEMS)
    assert (project / "imported").read_text() == ".." if named else "."


def test_what_a_revision_leaves_behind_in_its_process_is_not_there_for_others(
    pytester: pytest.Pytester, project: Path
) -> None:
    """As in production, where upgrades and downgrades are commands of their own."""
    give_application(project, "ran = []", "    assert not shop.ran\n    shop.ran.append(1)")
    file = project / "migrations" / "versions" / "0002.py"
    file.write_text(file.read_text().replace("def downgrade():", "def downgrade():\n    assert not shop.ran"))
    pytester.runpytest("--ci-migrate").assert_outcomes(passed=ITEMS)


MADE_ONCE = """
made = []
def make():
    assert not made
    made.append(1)
def use():
    assert made
"""
HAS_THREAD = """
import threading
thread = threading.Thread(target=threading.Event().wait, daemon=True)
thread.start()
def make():
    pass
def use():
    assert thread.is_alive()
"""


@pytest.mark.parametrize("application", [MADE_ONCE, HAS_THREAD], ids=["made once", "has a thread"])
def test_an_application_that_cannot_be_forked(
    application: str, pytester: pytest.Pytester, project: Path
) -> None:
    """It can't be made twice in a process, or a fork would lack its thread: each child starts anew."""
    give_application(project, application, "    shop.use()")
    env = project / "migrations" / "env.py"
    env.write_text(env.read_text().replace("import shop\n", "import shop\nshop.make()\n"))
    pytester.runpytest("--ci-migrate").assert_outcomes(passed=ITEMS)


def test_a_revision_that_ends_its_interpreter(pytester: pytest.Pytester, project: Path) -> None:
    """It fails, with what became of the process; those before it pass."""
    write(project, "0003", "0002", FILL, "pass")
    file = project / "migrations" / "versions" / "0003.py"
    file.write_text(
        "import os\n" + file.read_text().replace("def downgrade():", "def downgrade():\n    os._exit(3)")
    )
    result = pytester.runpytest("--ci-migrate", "-v")
    result.assert_outcomes(passed=ITEMS - 2, failed=2)
    result.stdout.fnmatch_lines(
        ["downgrade[[]0003]: the child process ended with 3", "up_down_up: On the way down: *ended with 3"]
    )


STARTS = """
    import subprocess, sys
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('CREATE TABLE IF NOT EXISTS by_program (id)')"
    subprocess.run([sys.executable, "-c", code, shop.url.partition("///")[2]], check=True)
"""


def test_a_program_that_a_revision_starts_does_not_reach_the_target(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application has read where the target is when it was imported: the program is given the copy all the same."""
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{project}/app.db")
    give_application(project, "import os\nurl = os.environ['SHOP_URL']", STARTS)
    env = project / "migrations" / "env.py"
    env.write_text(env.read_text().replace('context.config.get_main_option("sqlalchemy.url")', "shop.url"))
    result = pytester.runpytest("--ci-migrate", "-v")
    result.stdout.fnmatch_lines(["*upgrade[[]0002] PASSED*", "downgrade[[]0002]: *by_program*"])
    assert not (project / "app.db").exists()


CHECKS = """
from sqlalchemy import text

from ci_migrate import check


def check_table(after):
    assert after.execute(text("SELECT count(*) FROM users")).scalar() == 0


@check(severity="warning")
def check_length(plan):
    assert len(plan.revisions) < 3, "three at once"


def check_names(before, evidence):
    named = before.execute(text("SELECT count(*) FROM sqlite_master")).scalar()
    assert named, f"{named} tables"


def helper():
    pass
"""


@pytest.fixture
def checked(pytester: pytest.Pytester, project: Path) -> Path:
    """The project, with checks of its own."""
    pytester.makefile(".toml", **{"ci-migrate": 'plugins = ["checks.py"]\n'})
    (project / "checks.py").write_text(CHECKS)
    return project


def test_the_checks_of_the_project_are_items(pytester: pytest.Pytester, checked: Path) -> None:
    """One for each function, with its place; they run as in `dry-run --on empty`."""
    result = pytester.runpytest("--ci-migrate", "-v", "--junitxml=out.xml")
    result.assert_outcomes(passed=ITEMS + 2, failed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*checks.py::check_table PASSED*",
            "*checks.py::check_length PASSED*",
            "*checks.py::check_names FAILED*",
            "checks.py:18",
            "X-names check_names: 0 tables",
            "*X-length check_length: three at once*",
        ]
    )
    (suite,) = JUnitXml.fromfile(str(checked / "out.xml"))
    assert {case.name for case in suite if case.classname == "checks"} >= {"check_names"}
    assert not (checked / "app.db").exists()
    pytester.runpytest("--ci-migrate", "--lf").assert_outcomes(failed=1)
    pytester.runpytest("--ci-migrate", "checks.py::check_table", "-k", "check_table").assert_outcomes(
        passed=1, deselected=ITEMS
    )
    pytester.runpytest().assert_outcomes()


def test_a_check_that_was_not_reached_does_not_pass(pytester: pytest.Pytester, checked: Path) -> None:
    """The migration fails, so that nobody knows."""
    write(checked, "0003", "0002", "NONSENSE", "pass")
    result = pytester.runpytest("--ci-migrate", "-k", "check_")
    result.assert_outcomes(passed=1, failed=2, deselected=ITEMS, warnings=1)
    result.stdout.fnmatch_lines(["check_table did not run to its end: Revision 0003 fails on a copy*"])


def test_a_file_of_checks_that_does_not_fit(pytester: pytest.Pytester, checked: Path) -> None:
    """It is named, with the line, and the trials run."""
    (checked / "checks.py").write_text("def check_it(nobody): pass\n")
    result = pytester.runpytest("--ci-migrate", "--continue-on-collection-errors")
    result.assert_outcomes(passed=ITEMS, errors=1)
    result.stdout.fnmatch_lines(["*checks.py:1: check_it asks for `nobody`, which is not known.*"])


def test_checks_look_at_the_target_if_its_stages_are_asked_for(
    pytester: pytest.Pytester, checked: Path
) -> None:
    """Its rows are there."""
    with sqlite3.connect(checked / "app.db") as target:
        target.executescript(
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('0001');"
            "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1)"
        )
    result = pytester.runpytest("--ci-migrate", "--ci-migrate-stages", "-k", "check_")
    result.assert_outcomes(passed=2, failed=1, deselected=ITEMS + 3)
    result.stdout.fnmatch_lines(["checks.py:8", "X-table check_table: *count(*) FROM users*"])
