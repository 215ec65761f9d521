"""Backups by the user's commands: small scripts, on real SQLite and PostgreSQL databases."""

import json
import re
import signal
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest

from ci_migrate.reports.story import duration

SQLITE = """
    import os, shutil, sqlite3, sys
    verb, name = sys.argv[1:3]
    shop = "store/" + name
    os.makedirs("store", exist_ok=True)
    def copy(source, target):
        a, b = sqlite3.connect(source), sqlite3.connect(target)
        with b: a.backup(b)
        a.close(); b.close()
    file = os.environ.get("CI_MIGRATE_PROVIDER_URL", "").partition(":///")[2]
    with open("log.txt", "a") as log: print(verb, *sys.argv[2:], file=log)
    if verb == "create":
        assert os.listdir(sys.argv[4]) == [] and sys.argv[3] in ("dev", "production")
        copy(file, shop)
        print("some words first\\n" + name)
    elif verb == "restore": copy(shop, file)
    elif verb == "delete": os.unlink(shop)
    elif verb == "clone":
        copy(shop, shop + ".clone")
        print("sqlite:///" + os.path.abspath(shop + ".clone"))
    elif verb == "drop": os.unlink(os.environ["CI_MIGRATE_PROVIDER_CLONE_URL"].partition(":///")[2])
"""

POSTGRESQL = """
    import os, sys, psycopg
    from urllib.parse import urlsplit
    url = os.environ.get("CI_MIGRATE_PROVIDER_URL", "").replace("+psycopg", "")
    database = urlsplit(url).path[1:]
    name = database + "_snapshot"
    server = psycopg.connect(url.replace("/" + database, "/postgres"), autocommit=True)
    def template(new, old):
        server.execute(f"CREATE DATABASE {new} TEMPLATE {old}")
    if sys.argv[1] == "create": template(name, database); print(name)
    elif sys.argv[1] == "clone": template(name + "_2", name); print(url.replace("/" + database, "/" + name + "_2"))
    elif sys.argv[1] == "drop": server.execute(f"DROP DATABASE {name}_2 WITH (FORCE)")
    elif sys.argv[1] == "end": server.execute(f"DROP DATABASE {name}")
"""


def commands(*verbs: str) -> str:
    python = json.dumps(sys.executable)
    lines = [
        f'provider-{v} = [{python}, "provider.py", "{v}", "{{id}}", "{{target}}", "{{folder}}"]'
        for v in verbs
    ]
    return "\n".join(['provider = "command"', *lines])


@pytest.fixture
def provided(alembic_project):
    """A SQLite project whose backups are taken by a script."""
    (alembic_project.folder / "provider.py").write_text(textwrap.dedent(SQLITE))

    def settings(*verbs: str, name: str = "dev", more: str = "") -> None:
        text = f'[targets.{name}]\nurl = "sqlite:///app.db"\n{commands(*verbs)}\n{more}\n'
        alembic_project.settings(text)

    settings("create", "restore", "delete", "clone", "drop")
    alembic_project.use = settings
    return alembic_project


def store(project) -> list[str]:
    return sorted(p.name for p in (project.folder / "store").iterdir())


def backups(project) -> list[dict]:
    return json.loads(project.run("backup", "list", "--json").out)


def test_a_run_rehearses_on_the_clone(provided):
    done = provided.run("run")
    assert done.code == 0, done.text
    assert done.stage("dry-run")["evidence"]["proven"] is True
    said = " ".join(done.text.split())
    (backup,) = backups(provided)
    assert f"(the provider's {backup['providerId']}) was restored into a scratch copy" in said
    assert "byte" not in said
    assert backup["providerId"] == backup["backupId"], "the script called it as we do"
    assert [file["path"] for file in backup["files"]] == ["provider.json"]
    assert store(provided) == [backup["providerId"]], "the clone was dropped"
    log = (provided.folder / "log.txt").read_text()
    assert [line.split()[0] for line in log.splitlines()] == ["create", "clone", "drop"]
    assert "sqlite:///" not in log, "the URL is no argument"
    assert provided.run("backup", "verify", backup["backupId"]).code == 0


def test_what_clones_cost_is_told_before_and_behind_what_came_out(provided):
    more = 'provider-price = "3600 USD"'  # a dollar a second
    provided.use("create", "clone", "drop", "restore", more=more)
    done = provided.run("run", "r1")
    assert done.code == 0, done.text
    assert "clones of the backup: 3600 USD an hour\n" in done.text  # nothing tells yet how long they last
    seconds = done.stage("dry-run")["evidence"]["cloneSeconds"]
    assert seconds > 0
    message = done.stage("dry-run")["message"]
    assert message.endswith(f"clones: about {seconds:.2f} USD ({duration(seconds)} at 3600 USD an hour)")
    provided.use("create", "clone", "drop", "restore", more=f"{more}\nrehearse-twice = true")
    done = provided.run("run")
    assert done.code == 0, done.text
    expected = f"about {seconds:.2f} USD"
    assert f"clones of the backup: 3600 USD an hour, {expected} for {duration(seconds)}\n" in done.text
    both = done.stage("dry-run")["evidence"]["cloneSeconds"]
    message = done.stage("dry-run")["message"]
    told = f"clones: about {both:.2f} USD ({duration(both)} at 3600 USD an hour; {expected} expected)"
    assert message.endswith(told)
    assert [line.split()[0] for line in (provided.folder / "log.txt").read_text().splitlines()].count(
        "clone"
    ) == 3


def test_without_a_clone_nothing_is_told_of_its_price(provided):
    provided.use("create", "clone", "drop", more='provider-price = "0.29 EUR"\ndry-run = "schema"')
    done = provided.run("run", "--allow", "CM606=a test")
    assert done.code == 0, done.text
    assert "EUR" not in done.text


def test_a_dry_run_that_fails_tells_what_its_clone_cost(provided):
    provided.use("create", "clone", "drop", more='provider-price = "0.29 EUR"')
    provided.revision("r3", "r2", 'op.execute("SELECT no_such_function()")', "pass")
    done = provided.run("run")
    assert done.code != 0
    assert done.stage("dry-run")["details"].startswith("clones: less than 0.01 EUR (")


def test_a_dry_run_that_is_refused_on_its_clone_tells_what_that_cost(provided):
    provided.use("create", "clone", "drop", more='provider-price = "3600 USD"\nmask = "mask.sql"')
    (provided.folder / "mask.sql").write_text("UPDATE nowhere SET name = 'x';\n")
    done = provided.run("run")
    assert done.code != 0
    assert re.search(r"^ *clones: about \d+\.\d\d USD \(", done.text, re.MULTILINE), done.text


def test_verify_restore_and_delete_go_through_the_provider(provided):
    assert provided.run("run", "--to", "r1").code == 0
    done = provided.run("backup", "create")
    assert done.code == 0, done.text
    name = done.out.split()[0]
    before = provided.dump()
    assert provided.run("run").code == 0
    assert provided.dump() != before
    done = provided.run("backup", "restore", name, "--yes")
    assert (done.code, "provider-restore" in done.text) == (0, True), done.text
    assert provided.dump() == before
    done = provided.run("backup", "verify", name, "--restore")
    assert done.code == 0, done.text
    assert name in store(provided)
    assert provided.run("backup", "delete", name, "--yes").code == 0
    assert name not in store(provided)
    assert name not in [b["backupId"] for b in backups(provided)]


def test_without_a_clone_it_is_unproven(provided):
    provided.use("create")
    done = provided.run("run")
    assert done.code == 0, done.text
    assert "unproven" in done.stage("dry-run")["message"]
    assert done.stage("dry-run")["outcome"] == "skipped"
    name = backups(provided)[0]["backupId"]
    for verb in ("restore", "delete"):
        done = provided.run("backup", verb, name, "--yes")
        assert (done.code, f"no provider-{verb}" in done.text) == (1, True), done.text
    assert store(provided)[0] == name
    provided.use("create", name="production")
    inside = provided.folder / "provider.py"
    outside = inside.rename(
        provided.folder.parent / "provider.py"
    )  # on production the author writes none of them
    file = provided.folder / "ci-migrate.toml"
    file.write_text(file.read_text().replace('"provider.py"', f'"{outside}"'))
    provided.revision("r9", "r2", "CREATE TABLE later (id INTEGER)")
    done = provided.run("run")
    assert (done.code, "unproven" in done.text) == (1, True), done.text


def test_a_clone_that_is_the_target_is_refused(provided):
    script = provided.folder / "provider.py"
    script.write_text(
        script.read_text().replace(
            'print("sqlite:///" + os.path.abspath(shop + ".clone"))',
            'os.link(file, shop + ".same"); print("sqlite:///" + os.path.abspath(shop + ".same"))',
        )
    )
    provided.sql("create table mine (id integer)")
    before = provided.dump()
    done = provided.run("run")
    assert (done.code, "the target itself" in done.text) == (1, True), done.text
    assert provided.dump() == before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('the array is offline')", "the array is offline"),
        ("pass", "did not print an id"),
        ("print('\\x1b[1m')", "did not print an id"),
    ],
)
def test_a_provider_that_fails_stops_the_run(provided, script, words):
    (provided.folder / "provider.py").write_text(script)
    done = provided.run("run")
    assert (done.code, words in done.text) == (8, True), done.text
    assert provided.heads == []
    assert backups(provided) == []


def test_a_provider_that_is_not_there(provided):
    provided.settings('[targets.dev]\nurl = "sqlite:///app.db"\nprovider = "command"\n')
    done = provided.run("run")
    assert (done.code, "no provider-create" in done.text) == (2, True), done.text


def test_reuse_backup_spares_one(provided):
    provided.use("create", "clone", "drop", more='reuse-backup = "1h"')
    assert provided.run("backup", "create").code == 0
    done = provided.run("run")
    assert done.code == 0, done.text
    assert "reused" in done.stage("backup")["message"]
    assert len(store(provided)) == 1


def log_of(project) -> list[str]:
    return [line.split()[0] for line in (project.folder / "log.txt").read_text().splitlines()]


def clone_that(project, what: str) -> None:
    """Let `clone` do so once its copy is there, and `drop` find the copy without its URL."""
    script = project.folder / "provider.py"
    text = script.read_text().replace('copy(shop, shop + ".clone")', f'copy(shop, shop + ".clone"); {what}')
    script.write_text(
        text.replace('os.environ["CI_MIGRATE_PROVIDER_CLONE_URL"].partition(":///")[2]', 'shop + ".clone"')
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_clone_that_is_interrupted_is_dropped(provided, number, code):
    clone_that(provided, "open('cloning', 'w').close(); time.sleep(60)")
    script = provided.folder / "provider.py"
    script.write_text("import time\n" + script.read_text())
    done = provided.interrupted("run", when=(provided.folder / "cloning").exists, number=number)
    assert done.code == code, done.text
    assert log_of(provided) == ["create", "clone", "drop"]
    assert not [name for name in store(provided) if name.endswith(".clone")]


@pytest.mark.parametrize("drop", ["passes", "fails"])
def test_a_clone_that_fails_is_dropped(provided, drop):
    """Its own error is the one that is told."""
    clone_that(provided, "sys.exit('no address is left')")
    if drop == "fails":
        script = provided.folder / "provider.py"
        script.write_text(
            script.read_text().replace('verb == "drop": ', 'verb == "drop": sys.exit("dropped nothing");')
        )
    done = provided.run("run")
    assert (done.code, "no address is left" in done.text) == (8, True), done.text
    assert "dropped nothing" not in done.text
    assert log_of(provided) == ["create", "clone", "drop"]
    assert bool([name for name in store(provided) if name.endswith(".clone")]) == (drop == "fails")


@pytest.mark.parametrize("more", ["", 'read-url = "env:SHOP_URL"\n'], ids=["", "reader"])
def test_postgresql_by_templates(alembic_project, postgresql_url, more):
    """A whole copy of the database, for which nobody may have a session there; S1 the password stays out."""
    (alembic_project.folder / "provider.py").write_text(textwrap.dedent(POSTGRESQL))
    url = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    alembic_project.settings(
        f'[targets.dev]\nurl = "env:SHOP_URL"\n{more}{commands("create", "clone", "drop")}\n'
    )
    env = Path(alembic_project.folder / "migrations" / "env.py")
    env.write_text(
        env.read_text().replace(
            "config.get_section(config.config_ini_section)",
            '{"sqlalchemy.url": __import__("os").environ["SHOP_URL"]}',
        )
    )
    try:
        done = alembic_project.run("run", env={"SHOP_URL": url})
        assert done.code == 0, done.text
        assert done.stage("dry-run")["evidence"]["proven"] is True
        backup = json.loads(alembic_project.run("backup", "list", "--json", env={"SHOP_URL": url}).out)[0]
        assert backup["providerId"] == f"{postgresql_url.database}_snapshot"
        assert not postgresql_url.password or str(postgresql_url.password) not in json.dumps(backup)
    finally:
        plain = postgresql_url.set(drivername="postgresql", database="postgres").render_as_string(
            hide_password=False
        )
        with psycopg.connect(plain, autocommit=True) as server:
            for suffix in ("_snapshot_2", "_snapshot"):
                server.execute(f"DROP DATABASE IF EXISTS {postgresql_url.database}{suffix} WITH (FORCE)")
