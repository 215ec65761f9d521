"""The setting `dry-run = "schema"`: no row is copied, and nobody is told that rows were looked at."""

import json
from typing import Any

import pytest
from alembic_project import AlembicProject, Done, ended
from signing_support import Approver
from sqlalchemy import create_engine, text

SPY = (
    "seen = [op.get_bind().execute(sa.text('select count(*) from ' + t)).scalar() for t in ('users', 'alembic_version')]\n"
    "open('seen.txt', 'a').write(os.environ['CI_MIGRATE_STAGE'] + repr(seen) + '\\n')"
)


def prepare(
    project: AlembicProject, url: str, upgrade: str, downgrade: str = "pass", settings: str = ""
) -> None:
    project.environ["SHOP"] = url
    (project.folder / "migrations" / "versions" / "r2.py").unlink()
    create = (
        "create table users (id integer primary key, name varchar(50), parent integer references users (id))"
    )
    project.revision("r1", None, create, "drop table users")
    project.settings('[targets.dev]\nurl = "env:SHOP"\n')
    ended(project.call("run"), 0)
    server = create_engine(url)
    with server.begin() as connection:
        connection.execute(text("insert into users values (1, 'ana', null), (2, 'bo', 1)"))
    server.dispose()
    project.revision("r2", "r1", f"{SPY}\n{upgrade}", downgrade, extra="import os")
    project.settings(f'dry-run = "schema"\n{settings}[targets.dev]\nurl = "env:SHOP"\n')


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request, alembic_project) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{alembic_project.database}"
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[request.param]
    server = request.getfixturevalue(f"{request.param}_url")
    return server.set(drivername=driver).render_as_string(hide_password=False)


def sqlite(project: AlembicProject) -> str:
    return f"sqlite:///{project.database}"


def evidence_of(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = done.stage("dry-run")["evidence"]
    return found


LOSES = "op.execute('UPDATE users SET name = NULL')\nop.execute('ALTER TABLE users ADD COLUMN age integer')"


def test_no_row_is_copied_and_the_report_says_what_that_cannot_show(alembic_project, url) -> None:
    project = alembic_project
    prepare(project, url, LOSES, "op.execute('ALTER TABLE users DROP COLUMN age')")
    done = project.call("run")
    said = " ".join(
        ended(
            done,
            0,
            "1 revision rehearsed without rows",
            "backup not restored",
            "rehearsed-without-rows",
            "the copy had no rows",
        ).split()
    )
    assert "restored into a scratch copy" not in said
    assert "The migration was rehearsed on a copy without rows: 1 revision" in said
    assert 'is unproven: dry-run = "schema": it was not restored' in said
    assert "The rollback path by downgrade is not proven" in said
    assert (project.folder / "seen.txt").read_text().split("\n")[:2] == ["dry-run[0, 1]", "migrate[2, 1]"]
    evidence = evidence_of(done)
    assert (evidence["withoutRows"], evidence["proven"]) == (True, False)
    assert (evidence["tables"], evidence["rowCountsBefore"], evidence["rowCountsAfter"]) == ({}, {}, {})
    assert {"CM202", "CM203", "CM601", "CM602", "CM604"} <= set(evidence["notLookedAt"])
    assert {"CM601", "CM602", "CM206"} & done.codes() == set()
    assert any(c["name"].endswith("users.age") for c in evidence["changes"])
    for name in ("junit.xml", "summary.md", "report.html"):
        page = (project.reports / name).read_text()
        assert "rehearsed-without-rows" in page, name
        assert "Not looked at: " in page, name


def test_the_same_loss_is_found_where_rows_are_copied(alembic_project) -> None:
    """So that the test above says something."""
    project = alembic_project
    prepare(project, sqlite(project), LOSES)
    project.settings('[targets.dev]\nurl = "env:SHOP"\n')
    done = project.call("run")
    ended(done, 1)
    assert "CM602" in done.codes()


def test_checks_of_the_project_and_assertions_do_not_look(alembic_project) -> None:
    project = alembic_project
    project.write("checks.py", "def check_no_ghosts(before, after):\n    assert 0\n")
    prepare(
        project,
        sqlite(project),
        "pass",
        settings='plugins = ["checks.py"]\nassertions = [{name = "two", query = "select count(*) from users", expect = 2, '
        'when = "both"}]\n',
    )
    done = project.call("dry-run")
    ended(done, 0)
    assert any(code.startswith("X-") for code in evidence_of(done)["notLookedAt"])
    assert "CM604" in evidence_of(done)["notLookedAt"]
    project.settings('plugins = ["checks.py"]\n[targets.dev]\nurl = "env:SHOP"\n')
    ended(project.call("dry-run"), 1)


def test_a_table_with_rows_that_goes_is_told_by_the_backup(alembic_project) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "op.execute('DROP TABLE users')")
    done = project.call("dry-run")
    ended(done, 1, "Table users goes away with 2 rows in it")


def test_what_fails_there_is_not_blamed_on_the_data(alembic_project) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "raise ValueError('never')")
    said = ended(project.call("dry-run"), 1, "Revision r2 fails on a copy without rows: ValueError: never")
    assert "copy of the data" not in said


DROPS = "op.execute('ALTER TABLE users DROP COLUMN age')"


def test_a_rollback_does_not_say_that_it_loses_nothing(alembic_project) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "op.execute('ALTER TABLE users ADD COLUMN age integer')", DROPS)
    ended(project.call("run"), 0)
    done = project.call("rollback", "--to", "r1", "--by", "downgrade")
    message = done.stage("dry-run")["message"]
    assert "loses nothing" not in message, done.text
    assert done.code == 0, done.text
    assert "nobody knows whether it loses rows" in message


def test_a_table_that_is_renamed_is_not_gone(alembic_project) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "op.execute('ALTER TABLE users RENAME TO people')")
    done = project.call("dry-run")
    ended(done, 0)


def test_on_production_somebody_must_mean_it_and_the_approver_sees_it(alembic_project, tmp_path) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "pass")
    ana = Approver("ana", tmp_path)
    ended(project.call("protect", "--approver", ana.line), 0)
    refused = project.call("run")
    ended(refused, 1, "CM606 rehearsed-without-rows")
    project.settings(
        'dry-run = "schema"\nallow = ["CM606=rows may not leave"]\n[targets.dev]\nurl = "env:SHOP"\n'
    )
    ended(project.call("run"), 4)
    request = project.reports / "approval-request.json"
    assert json.loads(request.read_text())["evidence"]["withoutRows"] is True
    token = project.call("approve", str(request), "--key", str(ana.file), "--reason", "why")
    words = " ".join(ended(token, 0).split()) + " ".join(token.err.split())
    assert "The dry run had no rows" in words
    assert "CM606 rehearsed-without-rows" in words
    # somebody else's dry run, with rows: not what was approved
    project.settings(
        'dry-run = "backup"\nallow = ["CM606=rows may not leave"]\n[targets.dev]\nurl = "env:SHOP"\n'
    )
    other = project.call("run", env={"CI_MIGRATE_TOKEN": token.out.strip().splitlines()[-1]})
    ended(other, 4, "evidence: approved was")
    project.settings(
        'dry-run = "schema"\nallow = ["CM606=rows may not leave"]\n[targets.dev]\nurl = "env:SHOP"\n'
    )
    ended(project.call("run", env={"CI_MIGRATE_TOKEN": token.out.strip().splitlines()[-1]}), 0)


@pytest.mark.parametrize("grade", ["ignore", "info"])
def test_what_was_approved_with_rows_does_not_run_without_by_a_setting(
    alembic_project, tmp_path, grade: str
) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "pass")
    ana = Approver("ana", tmp_path)
    ended(project.call("protect", "--approver", ana.line), 0)
    settings = f'[checks]\nCM606 = "{grade}"\n[targets.dev]\nurl = "env:SHOP"\n'
    project.settings(f'dry-run = "backup"\n{settings}')
    ended(project.call("run"), 4)
    request = project.reports / "approval-request.json"
    token = project.call("approve", str(request), "--key", str(ana.file), "--reason", "why")
    ended(token, 0)
    project.settings(f'dry-run = "schema"\n{settings}')
    other = project.call("run", env={"CI_MIGRATE_TOKEN": token.out.strip().splitlines()[-1]})
    ended(other, 1, "CM606 rehearsed-without-rows")
    assert "migrate" not in (project.folder / "seen.txt").read_text()


@pytest.mark.parametrize("tag", ["tags", "stages.dry-run.tags", "stages.migrate.tags"])
def test_where_an_approval_is_asked_for_a_reason_is_too(alembic_project, tag: str) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "pass")
    project.settings(
        f'dry-run = "schema"\n[targets.dev]\nurl = "env:SHOP"\nscratch = "server"\n{tag} = ["production"]\n'
    )
    token = project.call("token", "generate", "--reason", "why", "--quiet").out.strip()
    ended(project.call("run", env={"CI_MIGRATE_TOKEN": token}), 1, "CM606 rehearsed-without-rows")


def test_several_databases_are_refused(alembic_project) -> None:
    project = alembic_project
    prepare(project, sqlite(project), "pass")
    other = project.folder / "stats.db"
    other.touch()
    project.settings(
        f'dry-run = "schema"\n[targets.dev]\nurl = "sqlite:///{project.database}"\n'
        f'databases = {{stats = "sqlite:///{other}"}}\n'
    )
    done = project.call("dry-run")
    assert done.code == 1, done.text
    assert "there can be no copy without rows" in done.words


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mysql"])
def test_the_backup_itself_has_its_rows(request, alembic_project, engine: str) -> None:
    """A copy without rows is made by the dump that makes backups."""
    place = sqlite(alembic_project) if engine == "sqlite" else ""
    if not place:
        driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[engine]
        server = request.getfixturevalue(f"{engine}_url")
        place = server.set(drivername=driver).render_as_string(hide_password=False)
    prepare(alembic_project, place, "pass")
    done = alembic_project.call("dry-run")
    counts = done.stage("backup")["backup"]["rowCounts"]
    assert [count["rows"] for name, count in counts.items() if name.endswith("users")] == [2]
