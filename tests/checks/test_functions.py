"""Checks that are functions of a project's file: when they run, what they see, what their assertions say."""

import subprocess
import sys
import textwrap
import time

import pytest
from alembic_project import new_project
from msgspec.structs import replace
from sqlalchemy import create_engine, text

from ci_migrate.checks.base import Facts, Grading, run_checks
from ci_migrate.errors import SettingsError, UsageError
from ci_migrate.model import Direction, Severity
from ci_migrate.plugins import manager as plugins

HEAD = "from sqlalchemy import text\nfrom ci_migrate import check\n"
NOON = "update users set name = 'noon' where id = 1"
ANA = "update users set name = 'ana' where id = 1"


def with_checks(project, body: str, more: str = ""):
    """The project with a file of checks; `def` stands in line 3."""
    project.write("checks.py", HEAD + textwrap.dedent(body).lstrip("\n"))
    project.settings(f'plugins = ["checks.py"]\n{more}\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    return project


def findings(report, *codes: str):
    return {f.code: f for f in report.findings if f.code in codes or not codes}


MANY = """
def check_plan_alone(plan):
    assert plan.pending == 7, "a week"

def check_before_alone(before):
    assert before.execute(text("select count(*) from users")).scalar() == 0
    assert not before.execute(text("select name from users where name = 'noon'")).all()

def check_after_alone(after):
    names = [row.name for row in after.execute(text("select name from users order by id"))]
    assert names[0] == "ana"

def check_both(before, after, evidence):
    rows = [c.execute(text("select name from users where id = 1")).scalar() for c in (before, after)]
    assert rows == ["ana", "noon"]
    assert not evidence.way_back.tried
    assert evidence.statements and after is None

def check_measured(evidence, plan):
    assert evidence.way_back.tried
    assert len(evidence.statements) > 100

def check_writes(after):
    after.execute(text("delete from users"))

def check_raises(plan):
    {}["ours"]

def check_returns(plan):
    return False

@check("SHOP001", severity="warning")
def check_with_a_code(evidence):
    assert len(evidence.statements) > 100, "few statements"

@check(severity="info")
def lower_case(plan):
    assert all(r.message.islower() for r in plan.revisions)

def check_that_passes(plan, before, after, evidence):
    assert plan.pending == 1
    assert before.execute(text("select count(*) from users")).scalar() == 3
"""


@pytest.fixture
def users(alembic_project):
    """Three rows at `r1`; the revision `r2` writes one."""
    assert alembic_project.gate("run", "r1").exit_code == 0
    alembic_project.sql("insert into users values (1, 'ana'), (2, 'bo'), (3, null)")
    alembic_project.revision("r2", "r1", NOON, ANA, message="Noon")
    return alembic_project


def test_what_they_look_at_and_what_they_say(users):
    """In the stage `check` those that look at the plan, all others in the dry run; each with file and line."""
    with_checks(users, MANY)
    checked = findings(users.gate("check"))
    assert checked.keys() == {"X-plan-alone", "X-raises", "X-returns", "X-lower-case"}
    said = {code: (f.severity.value, f.file, f.line, f.message) for code, f in checked.items()}
    assert said["X-plan-alone"] == ("error", "checks.py", 4, "a week")
    assert said["X-raises"] == (
        "error",
        "checks.py",
        28,
        "The check X-raises could not tell: KeyError: 'ours'",
    )
    assert said["X-returns"][2] == 30
    assert "could not tell: it returned False; what is wrong is said by assert" in said["X-returns"][3]
    assert said["X-lower-case"][0] == "info"
    assert said["X-lower-case"][3] == "assert all((r.message.islower() for r in plan.revisions))"

    with_checks(
        users, MANY, 'checks = { X-plan-alone = "warning", X-raises = "ignore", X-returns = "ignore" }'
    )
    before = users.dump()
    report = users.gate("dry-run", allow=["X-writes=never mind"])
    assert report.exit_code == 1
    assert users.dump() == before
    said = {code: f.message for code, f in findings(report).items()}
    count = "before.execute(text('select count(*) from users')).scalar() == 0"
    assert said["X-before-alone"] == f"assert {count}"
    assert said["X-after-alone"] == "assert names[0] == 'ana'"
    assert said["X-both"] == "assert evidence.statements and after is None"
    assert said["X-measured"] == "assert len(evidence.statements) > 100"
    assert said["SHOP001"] == "few statements"
    assert said["X-writes"].startswith("The check X-writes could not tell: ")
    assert "readonly" in said["X-writes"].replace("-", "")
    assert "X-that-passes" not in said
    assert findings(report)["SHOP001"].severity is Severity.WARNING
    assert {f.name for f in report.findings} >= {"check_after_alone", "lower_case"}


def test_a_check_of_before_is_told_where_the_revision_fails(users):
    users.revision("r2", "r1", "insert into users values (1, 'again')")
    with_checks(users, "def check_empty(before):\n    assert not before.execute(text('select 1')).all()")
    report = users.gate("dry-run")
    assert "UNIQUE" in report.first_bad.message
    assert findings(report)["X-empty"].message == "assert not before.execute(text('select 1')).all()"


def test_M18_one_that_hangs_or_ends_the_process_spoils_only_itself(users):
    with_checks(
        users,
        """
        def check_hangs(before):
            before.execute(text("select * from users")).all()
            __import__("time").sleep(600)

        def check_hangs_after(after):
            after.execute(text("select * from users")).all()
            __import__("time").sleep(600)

        def check_exits(plan):
            raise SystemExit(0)

        def check_interrupts(plan):
            raise KeyboardInterrupt

        def check_says(after):
            assert 1 > 2
        """,
        'hook-timeout = 0.5\nchecks = { X-exits = "warning", X-interrupts = "warning" }',
    )
    assert "X-interrupts could not tell: " in findings(users.gate("check"))["X-interrupts"].message
    started = time.monotonic()
    report = users.gate("dry-run")
    assert time.monotonic() - started < 300
    found = findings(report)
    assert found.keys() >= {"X-hangs", "X-hangs-after", "X-exits", "X-says"}
    assert "no answer within 0.5 s" in found["X-hangs"].message
    assert report.evidence.way_back.ran, "what hangs holds no locks"


def test_going_back_is_not_their_business(users):
    with_checks(users, MANY)
    manager = plugins.create_manager(["checks.py"], users.folder)
    checks = plugins.collect(manager, "ci_migrate_checks", settings=None)
    plan = users.gate("plan").plan
    for direction, number in ((Direction.UPGRADE, 4), (Direction.DOWNGRADE, 0)):
        other = replace(plan, direction=direction)
        ours = [c for c in checks if c.name.startswith("check_") or c.name == "lower_case"]
        assert len(run_checks(ours, Facts(plan=other), Grading(), measured=False)) == number


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def check_x(plan, befor): pass", r"checks\.py:3: check_x asks for `befor`, which is not known"),
        ("def check_x(*plans): pass", r"asks for `plans`, which"),
        ("async def check_x(plan): pass", "is no plain function"),
        ("def check_x(plan):\n    yield", "is no plain function"),
        ("def check_x(plan): pass\ndef check_x(after): pass", r"check_x stands in line 3 and in line 4"),
        ('@check("shop-1")\ndef ours(plan): pass', "has the code 'shop-1'"),
        ('@check(severity="fatal")\ndef check_x(plan): pass', "severity 'fatal'"),
    ],
)
def test_a_function_that_is_none(tmp_path, body, words):
    (tmp_path / "checks.py").write_text(HEAD + body)
    with pytest.raises(SettingsError, match=words) as caught:
        plugins.create_manager(["checks.py"], tmp_path)
    if "befor" in body:
        assert caught.value.hint == "A check may ask for plan, before, after and evidence."


def test_two_with_the_same_code(tmp_path):
    (tmp_path / "checks.py").write_text('from ci_migrate import check\n@check("CM201")\ndef ours(plan): pass')
    manager = plugins.create_manager(["checks.py"], tmp_path)
    with pytest.raises(UsageError, match="Two plugins claim code CM201"):
        plugins.unique(plugins.collect(manager, "ci_migrate_checks", settings=None), "code")


def test_an_assertion_says_its_message_or_its_own_text(tmp_path):
    (tmp_path / "checks.py").write_text(
        textwrap.dedent(
            """
            def check_1(plan): assert plan.pending == 7, f"{plan.pending} pending"
            def check_2(plan):
                assert (
                    plan.pending
                    == 7
                )
            def check_3(plan):
                def deep(n):
                    assert n == 0  # none
                deep(9)
            def check_passes(plan):
                assert plan.pending
            """
        )
    )
    manager = plugins.create_manager(["checks.py"], tmp_path)
    checks = [
        c for c in plugins.collect(manager, "ci_migrate_checks", settings=None) if c.name[:6] == "check_"
    ]
    plan = new_project(tmp_path).gate("plan").plan
    found = run_checks(checks, Facts(plan=plan), Grading(), measured=False)
    assert [f.message for f in found] == ["2 pending", "assert plan.pending == 7", "assert n == 0"]
    # which line of a statement that is broken over several is named depends on the version of Python
    assert (found[0].line, found[2].line) == (2, 10)
    assert 4 <= found[1].line <= 7


def test_a_check_is_not_blinded_by_optimized_bytecode(users):
    """`python -O` leaves asserts out, and a .pyc beside the file may hold other code than the file."""
    with_checks(users, "def check_x(plan):\n    assert plan.pending == 7, 'ours'")
    for options in ((), ("-O",)):
        subprocess.run(
            [sys.executable, *options, "-m", "compileall", "-q", "checks.py"], cwd=users.folder, check=True
        )
        done = subprocess.run(
            [sys.executable, *options, "-m", "ci_migrate", "check", "--target", "dev"],
            cwd=users.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "X-x" in done.stdout + done.stderr, done.stderr
        assert "ours" in done.stdout + done.stderr


SERVERS = {
    "postgresql": (
        "postgresql_url",
        "postgresql+psycopg",
        "read-only transaction",
        "datname from pg_database",
    ),
    "mysql": (
        "mysql_url",
        "mysql+pymysql",
        "READ ONLY transaction",
        "schema_name from information_schema.schemata",
    ),
}
HANGS = """
def check_hangs(after):
    after.execute(text("select * from users")).all()
    __import__("time").sleep(600)
"""


@pytest.mark.parametrize(
    ("engine", "hangs"),
    [
        ("postgresql", ""),
        pytest.param("postgresql", HANGS, marks=pytest.mark.long),
        pytest.param("mysql", HANGS, marks=pytest.mark.long),
    ],
    ids=["postgresql", "postgresql-hangs", "mysql-hangs"],
)
def test_before_and_after_on_a_server(tmp_path, request, engine, hangs):
    """Read-only by the server's word, and a second copy for who looks at both."""
    fixture, driver, refused, databases = SERVERS[engine]
    url = request.getfixturevalue(fixture).set(drivername=driver)
    project = new_project(tmp_path)
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    with_checks(
        project,
        """
        def check_users(before, after):
            tables = "select count(*) from information_schema.tables where table_name = 'users' and table_schema "
            schema = "= current_schema()" if after.dialect.name == "postgresql" else "= database()"
            found = [c.execute(text(tables + schema)).scalar() for c in (before, after)]
            assert found == [0, 0], found

        def check_writes(after):
            after.execute(text("insert into users values (1, 'x', 'y')"))
        """,
    )
    with (project.folder / "checks.py").open("a") as file:
        file.write(hangs)
    timeout = "hook-timeout = 20" if hangs else ""
    project.settings(f'plugins = ["checks.py"]\n{timeout}\n[targets.dev]\nurl = "env:DATABASE_URL"\n')
    report = project.gate("dry-run")
    found = findings(report)
    assert found["X-users"].message == "[0, 1]"
    assert refused in found["X-writes"].message
    assert ("X-hangs" in found) is bool(hangs)
    assert report.evidence.way_back.proven, "what hangs holds no locks"
    engine = create_engine(url)
    with engine.connect() as connection:
        names = connection.execute(text(f"select {databases}")).scalars().all()
    engine.dispose()
    assert names
    assert not [name for name in names if name.startswith("ci_migrate_scratch")]
