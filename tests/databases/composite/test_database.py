"""One env.py that migrates several databases, Alembic's template `multidb` as it is, on real databases."""

import json
import re
import subprocess
import sys
import textwrap

import pytest
import sqlalchemy as sa
from env_zoo import initialised, other, url_of

__all__ = ["other"]

NAMES = {"engine1": "", "engine2": "stats"}

R1 = {
    "engine1": ('op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("day", sa.Date))',
                'op.drop_table("orders")'),
    "engine2": ('op.create_table("visits", sa.Column("id", sa.Integer, primary_key=True))',
                'op.drop_table("visits")'),
}  # fmt: skip
PAGE = 'op.add_column("visits", sa.Column("page", sa.String(20)))\n'
R2 = {
    "engine1": ('op.execute("INSERT INTO orders (id) VALUES (1)")\nop.create_index("ix_day", "orders", ["day"])',
                'op.drop_index("ix_day", "orders")\nop.execute("DELETE FROM orders WHERE id = 1")'),
    "engine2": (PAGE + 'op.execute("INSERT INTO visits (id, page) VALUES (7, \'home\')")',
                'op.execute("DELETE FROM visits WHERE id = 7")\nop.drop_column("visits", "page")'),
}  # fmt: skip


@pytest.fixture
def url(request, tmp_path):
    return url_of(request, tmp_path, request.param)


def functions(bodies):
    """`upgrade_engine1()` and so on, as the template wants them."""
    text = ""
    for engine, (up, down) in bodies.items():
        text += f"\ndef upgrade_{engine}():\n{textwrap.indent(up, '    ')}\n"
        text += f"\ndef downgrade_{engine}():\n{textwrap.indent(down, '    ')}\n"
    return text


@pytest.fixture
def zoo(url, other, tmp_path):
    """The template with two databases; `kept` is a table of the second one that no revision knows."""
    zoo = initialised(tmp_path, url, "multidb")
    zoo.other = other
    zoo.set_url(url, "engine1")
    zoo.set_url(other, "engine2")
    zoo.settings('[targets.test]\nurl = "env:SHOP_URL"\ndatabases = { stats = "env:STATS_URL" }\n')
    zoo.environ["SHOP_URL"] = zoo.text_url
    zoo.environ["STATS_URL"] = other.render_as_string(hide_password=False)
    revision(zoo, "r1", None, R1)
    return zoo


def revision(zoo, name, down, bodies):
    zoo.revision(
        name, down,
        "globals()['upgrade_%s' % engine_name]()", "globals()['downgrade_%s' % engine_name]()",
        extra=functions(bodies),
    )  # fmt: skip
    path = next((zoo.folder / "migrations" / "versions").glob(f"{name}*.py"))
    path.write_text(path.read_text().replace("grade():", "grade(engine_name):"))


def everything(zoo):
    return zoo.snapshot(), zoo.snapshot(zoo.other)


def at(zoo):
    found = []
    for url in (zoo.url, zoo.other):
        there = "alembic_version" in sa.inspect(zoo.engine(url)).get_table_names()
        rows = zoo.query("select version_num from alembic_version", url) if there else []
        found.append([row[0] for row in rows])
    return found


PLAIN = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.long),  # as SQLite: DDL is rolled back
    "mysql",
]


@pytest.mark.parametrize("url", PLAIN, indirect=True)
def test_all_of_it_covers_both(zoo):
    """Backup, dry run, migration, proof and restore."""
    done = zoo.gate("run")
    assert at(zoo) == [["r1"], ["r1"]]
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    plan, evidence = done.stage("check")["plan"], done.stage("dry-run")["evidence"]
    assert [c["versionTable"]["database"] for c in plan["contexts"]] == ["", "stats"]
    assert "@stats." in str(evidence["rowCountsBefore"])  # `kept`
    tables = {c["name"].removeprefix("table ") for c in evidence["changes"] if c["name"].startswith("table ")}
    schema = "public." if zoo.dialect == "postgresql" else ""
    assert tables == {f"{schema}orders", f"@stats.{schema}visits"}
    assert evidence["wayBack"]["ran"]
    assert evidence["measured"]

    zoo.query("insert into orders (id) values (5)")
    zoo.query("insert into visits values (5)", zoo.other)
    zoo.query("insert into kept values (2)", zoo.other)
    backup = done.stage("backup")["backup"]["backupId"]
    zoo.gate("backup", "restore", backup, "--yes")
    assert at(zoo) == [[], []]
    assert "orders" not in zoo.tables
    assert zoo.query("select * from kept", zoo.other) == [(1,)]
    dropped = zoo.gate("backup", "restore", "--drop-old", "--yes").text
    assert len(re.findall(r"\S*[._]before_\S+", dropped)) == 2, dropped
    zoo.gate("run")
    assert at(zoo) == [["r1"], ["r1"]]
    gone = zoo.gate("rollback", "--to", "base", "--yes")
    assert at(zoo) == [[], []], gone.text


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_copy_of_both_is_compared_with_the_sequences_of_each(zoo):
    zoo.query("create sequence public.numbers start 7", zoo.other)
    zoo.gate("backup", "create")
    manifest = next((zoo.folder / ".ci-migrate" / "backups").glob("backup_*/*.json"))
    assert "@stats.public.numbers" in json.loads(manifest.read_text())["sequences"]
    assert "1 sequence" in zoo.gate("backup", "verify", "--restore", manifest.parent.name).text


@pytest.mark.parametrize("url", PLAIN, indirect=True)
def test_what_fails_in_the_second_leaves_the_first_as_it_was(zoo):
    """On SQLite and PostgreSQL neither was committed; on MariaDB the first is at its end, as any good prefix."""
    zoo.gate("run")
    fails = (
        'import os\nif os.environ.get("CI_MIGRATE_STAGE") == "migrate":\n    raise RuntimeError("no disk")'
    )
    later = {**R2, "engine2": (PAGE + fails, R2["engine2"][1])}
    later["engine1"] = (R2["engine1"][0].split("\n")[1], R2["engine1"][1].split("\n")[0])
    revision(zoo, "r2", "r1", later)
    first, second = everything(zoo)
    commits = zoo.dialect == "mysql"
    done = zoo.gate("run", code=7 if commits else 6)
    assert "no disk" in done.text
    assert zoo.snapshot(zoo.other) == second
    assert at(zoo) == [["r2" if commits else "r1"], ["r1"]]
    if commits:
        assert "what was added is dropped (column @stats.visits.page)" in " ".join(done.text.split())
    else:
        assert zoo.snapshot() == first
    assert "ci-migrate run" in zoo.gate("status").text


STRIKES = """
import os, signal

seen = {"statement": 0, "commit": 0}


def strike(when, kind):
    wanted = os.environ.get("STRIKE", "") if os.environ.get("CI_MIGRATE_STAGE") == "migrate" else ""
    if wanted == f"{when} {kind} {seen[kind]}":
        os.kill(os.getpid(), signal.SIGKILL)


def armed(engine):
    execute, commit = engine.dialect.do_execute, engine.dialect.do_commit

    def do_execute(cursor, statement, parameters, context=None):
        if statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW")):
            return execute(cursor, statement, parameters, context)
        seen["statement"] += 1
        strike("before", "statement")
        execute(cursor, statement, parameters, context)
        strike("after", "statement")

    def do_commit(connection):
        seen["commit"] += 1
        strike("before", "commit")
        commit(connection)
        strike("after", "commit")

    engine.dialect.do_execute, engine.dialect.do_commit = do_execute, do_commit
    return engine
"""


ENGINES = ("sqlite", "postgresql", "mysql")
QUICK = {("sqlite", "after commit 1"), ("postgresql", "after commit 1"), ("mysql", "after statement 5")}


def strikes():
    """Before and after each statement and commit; one of them for each engine belongs to the quick tests."""
    found = [
        (engine, f"{when} {kind} {number}")
        for engine in ENGINES
        for kind, count in (("statement", 6), ("commit", 2))
        for when in ("before", "after")
        for number in range(1, count + 1)
    ]
    return [pytest.param(*one, marks=() if one in QUICK else pytest.mark.long) for one in found]


@pytest.mark.parametrize(("url", "strike"), strikes(), indirect=["url"])
def test_a_kill_between_them_is_recovered(zoo, strike):
    """Then only what `status` names is typed, and the end is that of an undisturbed run."""
    zoo.gate("run")
    revision(zoo, "r2", "r1", R2)
    env = zoo.folder / "migrations" / "env.py"
    text = env.read_text().replace("conn = engine.connect()", "conn = armed(engine).connect()")
    env.write_text(STRIKES + text)
    zoo.query("insert into orders (id) values (3)")
    zoo.query("insert into kept values (9)", zoo.other)
    zoo.environ["STRIKE"] = strike
    done = zoo.run("run")
    assert done.code in (6, 7), done.text
    del zoo.environ["STRIKE"]
    for _ in range(4):
        told = zoo.run("status").text
        command = re.search(r"^next\s+ci-migrate ([^(\n]*)", told, re.MULTILINE)
        if command is None:
            break
        typed = zoo.run(*command[1].split())
        assert typed.code == 0, told + typed.text
    assert at(zoo) == [["r2"], ["r2"]]
    assert zoo.query("select id from orders order by id") == [(1,), (3,)]
    assert zoo.query("select id, page from visits", zoo.other) == [(7, "home")]
    assert zoo.query("select id from kept order by id", zoo.other) == [(1,), (9,)]


# --------------------------------------------------------------------------- what is refused, without a server


@pytest.fixture
def files(tmp_path, request):
    """The same on two SQLite files."""
    zoo = initialised(tmp_path, url_of(request, tmp_path, "sqlite"), "multidb")
    zoo.other = zoo.url.set(database=str(tmp_path / "two.db"))
    zoo.set_url(zoo.url, "engine1")
    zoo.set_url(zoo.other, "engine2")
    revision(zoo, "r1", None, R1)
    settings(zoo, "two.db")
    return zoo


def settings(zoo, other):
    zoo.settings(f'[targets.test]\nurl = "sqlite:///app.db"\ndatabases = {{ stats = "sqlite:///{other}" }}\n')


def test_one_that_the_settings_do_not_name(files):
    files.settings('[targets.test]\nurl = "sqlite:///app.db"\n')
    done = files.call("run")
    assert done.code == 1
    assert f"asked for a connection to the SQLite database {files.folder / 'two.db'}" in " ".join(
        done.text.split()
    )
    assert "name it in the target's `databases`" in " ".join(done.text.split())
    assert not (files.folder / "two.db").exists()


def test_the_target_itself_twice(files):
    settings(files, "app.db")
    done = files.call("run")
    assert done.code == 2
    assert "databases.stats is the same database as the target's url" in " ".join(done.text.split())


def test_one_that_is_protected_by_way_of_one_that_is_not(files):
    """The author of the settings writes `databases`."""
    files.settings('[targets.stats]\nurl = "sqlite:///two.db"\n')
    files.query("create table kept (id integer)", files.other)
    assert files.call("protect", "--target", "stats").code == 0
    settings(files, "two.db")
    before = everything(files)
    done = files.call("run")
    assert done.code == 1
    assert "databases.stats" in done.text
    assert "is protected, and this target is not" in " ".join(done.text.split())
    assert everything(files) == before


def test_both_are_tried_on_empty_ones(files):
    """`dry-run --on` stands in for all of them; neither is reached."""
    env = files.folder / "migrations" / "env.py"
    own = '{"sqlalchemy.url": __import__("os").environ[name.upper()]}'
    env.write_text(env.read_text().replace("context.config.get_section(name, {})", own))
    files.settings('[targets.test]\nurl = "env:ENGINE1"\ndatabases = { stats = "env:ENGINE2" }\n')
    files.environ |= {"ENGINE1": "sqlite:///app.db", "ENGINE2": "sqlite:///two.db"}
    done = files.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert not list(files.folder.glob("*.db"))


def test_a_backup_of_one_is_no_backup_of_several(files):
    files.gate("run")
    files.settings('[targets.test]\nurl = "sqlite:///app.db"\n')
    backup = next((files.folder / ".ci-migrate" / "backups").glob("backup_*")).name
    done = files.call("backup", "restore", backup, "--no-safety-backup", "--yes")
    assert done.code == 1
    assert f"{backup} is a backup of sqlite (2 databases), the target is sqlite" in " ".join(
        done.text.split()
    )


def test_pytest_says_how_they_are_tried(files):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--ci-migrate", "-q", "-p", "no:cacheprovider"],
        cwd=files.folder, env=files.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Revisions that migrate several databases (stats) are tried by a dry run." in done.stdout
