"""An approved run uses backup and dry run again while all that they stood upon is the same; else it says what is not."""

import json
import shutil
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic_project import AlembicProject, Done, ended
from signing_support import Approver
from sqlalchemy import create_engine, make_url, text, update

from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.ledger.tables import audit, rehearsals, stages
from ci_migrate.model import Finding, Severity
from ci_migrate.run import reuse
from ci_migrate.settings.kinds import plugin_name

SETTINGS = '{top}reuse-backup = "1h"\n{more}[targets.live]\nurl = "{url}"\ntags = ["production"]\nscratch = "server"\n'
SPY = "open('sent.txt', 'a').write(os.environ['CI_MIGRATE_STAGE'] + '\\n')"


class Shop:
    """A project with a production target, at r1; r2 reads a file and notes each time that it runs."""

    def __init__(self, project: AlembicProject, url: str, tmp_path: Path) -> None:
        self.project, self.url, self.tmp_path = project, url, tmp_path
        self.signers: list[Approver] = []
        project.environ["SHOP"] = url
        (project.folder / "migrations" / "versions" / "r2.py").unlink()
        project.revision(
            "r1", None, "create table users (id integer primary key, name varchar(50))", "drop table users"
        )
        project.settings('[targets.dev]\nurl = "env:SHOP"\n')
        ended(project.call("run"), 0)
        self.sql("insert into users values (1, 'ana'), (2, 'bo')")
        project.write("seed.txt", "3")
        project.revision(
            "r2",
            "r1",
            f"{SPY}\nop.execute('INSERT INTO users VALUES (' + open('seed.txt').read() + ', null)')",
            "op.execute('DELETE FROM users WHERE id = 3')",
            extra="import os",
        )
        self.settings()

    def settings(self, more: str = "", top: str = "") -> None:
        self.project.settings(SETTINGS.format(top=top, more=more, url="env:SHOP"))

    def sql(self, *statements: str) -> None:
        engine = create_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def rows(self) -> list[int]:
        engine = create_engine(self.url)
        with engine.connect() as connection:
            found = list(connection.execute(text("select id from users order by id")).scalars())
        engine.dispose()
        return found

    # what a person does

    def protect(self) -> None:
        self.signers = [Approver("ana", self.tmp_path)]
        ended(self.project.call("protect", "--approver", self.signers[0].line), 0)

    def ask(self) -> dict[str, Any]:
        """The report of a run that stops for want of an approval."""
        done = self.project.call("run")
        ended(done, 4)
        return done.report

    def token(self) -> str:
        if self.signers:
            done = self.project.call(
                "approve", str(self.request_file), "--key", str(self.signers[0].file), "--reason", "why"
            )
        else:
            done = self.project.call("token", "generate", "--reason", "why")
        ended(done, 0)
        self.said = done.text
        return done.out.strip().splitlines()[-1]

    @property
    def request_file(self) -> Path:
        return self.project.reports / "approval-request.json"

    def approved(self, token: str | None = None) -> Done:
        return self.project.call("run", env={"CI_MIGRATE_TOKEN": token or self.token()})

    # what there is

    @property
    def backups(self) -> list[Path]:
        return sorted((self.project.folder / ".ci-migrate" / "backups").glob("backup_r1*"))

    @property
    def sent(self) -> list[str]:
        """The stages in which r2 ran."""
        path = self.project.folder / "sent.txt"
        return path.read_text().split() if path.exists() else []

    def ledger(self):
        return open_ledger(ledger_url(make_url(self.url), None), create=False)


@pytest.fixture
def shop(alembic_project, tmp_path) -> Shop:
    return Shop(alembic_project, f"sqlite:///{alembic_project.database}", tmp_path)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_shop(request, alembic_project, tmp_path) -> Shop:
    return shop_on(request, alembic_project, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def either_shop(request, alembic_project, tmp_path) -> Shop:
    return shop_on(request, alembic_project, tmp_path)


def shop_on(request, alembic_project, tmp_path) -> Shop:
    if request.param == "sqlite":
        return Shop(alembic_project, f"sqlite:///{alembic_project.database}", tmp_path)
    server = "mysql" if request.param == "mariadb" else request.param
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[server]
    url = request.getfixturevalue(f"{server}_url").set(drivername=driver)
    return Shop(alembic_project, url.render_as_string(hide_password=False), tmp_path)


def reused(done: Done) -> bool:
    return done.stage("dry-run")["reused"] is not None


@pytest.mark.parametrize("signed", [False, True])
def test_an_approved_run_neither_dumps_nor_rehearses_again(any_shop, signed: bool) -> None:
    shop = any_shop
    if signed:
        shop.protect()
    first = shop.ask()
    assert len(shop.backups) == 1
    assert shop.sent == ["dry-run"]
    asked = json.loads(shop.request_file.read_text())["rehearsal"]
    assert (asked["runId"], asked["backupId"]) == (first["runId"], shop.backups[0].name)
    token = shop.token()
    shop.sql("insert into users values (10, 'cy')")
    done = shop.approved(token)
    said = ended(
        done,
        0,
        f"{shop.backups[0].name} (reused)",
        "rows written since are not in it",
        f"Reused: the dry run of run {first['runId']}",
        "rows written since were not rehearsed",
    )
    assert "This run did not rehearse" in " ".join(said.split())
    assert len(shop.backups) == 1, "no second dump"
    assert shop.sent == ["dry-run", "migrate"], "no second rehearsal"
    assert shop.rows() == [1, 2, 3, 10]
    evidence = done.stage("dry-run")["evidence"]
    assert evidence["rehearsal"]["runId"] == first["runId"]
    assert (
        evidence["streamDigest"]
        == next(s for s in first["results"] if s["stage"] == "dry-run")["evidence"]["streamDigest"]
    )
    assert done.stage("approve")["approval"]["rehearsal"]["evidence"] == asked["evidence"]
    page = (shop.project.reports / "report.html").read_text()
    assert "reused" in page
    assert "rows written since are not in it" in page


@pytest.mark.parametrize("signed", [False, True])
def test_who_approves_is_told_that_it_may_be_used_again(shop, signed: bool) -> None:
    if signed:
        shop.protect()
    shop.ask()
    shop.token()
    words = " ".join(shop.said.split())
    assert "the approved run may use this dry run again, and backup_r1" in words
    assert "is then neither in the backup nor rehearsed" in words


def test_who_asks_for_the_token_alone_is_told_nothing_else(shop) -> None:
    shop.ask()
    done = shop.project.call("token", "generate", "--reason", "why", "--quiet")
    ended(done, 0)
    assert len(done.out.split()) == 1
    assert done.err == ""


@pytest.mark.parametrize("signed", [False, True])
def test_without_reuse_backup_all_is_made_anew_and_nobody_is_told_otherwise(shop, signed: bool) -> None:
    shop.project.settings('[targets.live]\nurl = "env:SHOP"\ntags = ["production"]\n')
    if signed:
        shop.protect()
    shop.ask()
    token = shop.token()
    assert "use this dry run again" not in shop.said
    done = shop.approved(token)
    said = ended(done, 0)
    assert "eused" not in said
    assert "again" not in done.stage("dry-run")["message"]
    assert len(shop.backups) == 2
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def test_settings_that_are_loosened_after_the_approval_do_not_count(shop) -> None:
    shop.project.settings('[targets.live]\nurl = "env:SHOP"\ntags = ["production"]\n')
    shop.protect()
    shop.ask()
    token = shop.token()
    shop.settings()
    done = shop.approved(token)
    ended(
        done,
        0,
        "a new one, because the approval does not allow one of before: the settings did not when it was asked for",
    )
    assert len(shop.backups) == 2
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


@pytest.mark.parametrize("signed", [False, True])
def test_an_approval_allows_the_backup_until_the_time_that_it_names(shop, signed: bool) -> None:
    shop.project.settings('reuse-backup = "10ms"\n[targets.live]\nurl = "env:SHOP"\ntags = ["production"]\n')
    if signed:
        shop.protect()
    shop.ask()
    token = shop.token()
    shop.settings()
    done = shop.approved(token)
    ended(done, 0, "a new one, because the approval allows one of before until")
    assert len(shop.backups) == 2


# ---------------------------------------------------------------- what is another


def edit_stage(shop: Shop, change) -> None:
    """As somebody does who can write to the ledger."""
    ledger = shop.ledger()
    with ledger, ledger.writing() as connection:
        rows = connection.execute(stages.select().where(stages.c.stage == "dry-run")).all()
        for row in rows:
            values = {"result": change(row.result)}
            connection.execute(update(stages).where(stages.c.sequence == row.sequence).values(**values))


def hide_a_finding(result):
    return msgspec.structs.replace(
        result, findings=(Finding(code="CM601", name="x", severity=Severity.INFO, message="all is well"),)
    )


def fewer_rows(result):
    evidence = msgspec.structs.replace(result.evidence, tables={})
    return msgspec.structs.replace(result, evidence=evidence)


def younger(result):
    made = msgspec.structs.replace(result.evidence.rehearsal, at=datetime.now(UTC) - timedelta(seconds=1))
    return msgspec.structs.replace(result, evidence=msgspec.structs.replace(result.evidence, rehearsal=made))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("change", [hide_a_finding, fewer_rows, younger])
def test_evidence_that_was_edited_in_the_ledger(either_shop, signed: bool, change) -> None:
    shop = either_shop
    if signed:
        shop.protect()
    shop.ask()
    token = shop.token()
    edit_stage(shop, change)
    done = shop.approved(token)
    ended(done, 0, "is not what was approved: it was changed")
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def test_who_edits_the_trail_too_is_found_out_by_the_next_record(shop) -> None:
    """A confirmation token is known from the trail alone: evidence and both records of it are made to fit."""
    from ci_migrate.ledger.rehearsals import seal_of

    shop.ask()
    token = shop.token()
    was = json.loads(shop.request_file.read_text())["rehearsal"]["evidence"]
    seals = []

    def change(result):
        forged = fewer_rows(result)
        if forged.evidence.rehearsal is not None:
            seals.append(seal_of(forged))
        return forged

    edit_stage(shop, change)
    ledger = shop.ledger()
    with ledger, ledger.writing() as connection:
        for row in connection.execute(audit.select()).all():
            if was in row.facts:
                facts = row.facts.replace(was, seals[-1])
                connection.execute(update(audit).where(audit.c.sequence == row.sequence).values(facts=facts))
    done = shop.approved(token)
    ended(done, 0, "Rehearsed again: the audit trail is not whole: record")
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def test_a_trail_that_was_edited_counts_for_signed_approvals_too(shop) -> None:
    shop.protect()
    shop.ask()
    token = shop.token()
    ledger = shop.ledger()
    with ledger, ledger.writing() as connection:
        row = connection.execute(audit.select().where(audit.c.kind == "stage")).first()
        assert row is not None
        values = {"facts": row.facts.replace("{", '{"more":1,', 1)}
        connection.execute(update(audit).where(audit.c.sequence == row.sequence).values(**values))
    done = shop.approved(token)
    ended(done, 0, "Rehearsed again: the audit trail is not whole: record")
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def a_file(shop: Shop) -> None:
    shop.project.write("seed.txt", "3 ")


def a_setting(shop: Shop) -> None:
    shop.settings('[checks]\nCM401 = "error"\n')


def another_comparison(shop: Shop) -> None:
    shop.settings(top='compare-budget = "9s"\n')


def an_acknowledgement(shop: Shop) -> None:
    shop.settings('allow = ["CM401=meant"]\n')


def a_plugin(shop: Shop) -> None:
    shop.project.write("checks.py", "def check_no_orphans(after):\n    assert 1\n")


def a_mask(shop: Shop) -> None:
    shop.project.write("mask.sql", "update users set name = 'y'")


def the_schema(shop: Shop) -> None:
    shop.sql("create table other (id integer)")


def rows(shop: Shop) -> None:
    shop.sql(
        "insert into users select id + 100, name from users",
        *(f"insert into users values ({n}, 'x')" for n in range(200, 212)),
    )


def the_newest_backup(shop: Shop) -> None:
    ended(shop.project.call("backup", "create"), 0)


def no_backup(shop: Shop) -> None:
    shutil.rmtree(shop.backups[0])


def a_damaged_backup(shop: Shop) -> None:
    file = next(f for f in shop.backups[0].rglob("*") if f.is_file() and f.name != "manifest.json")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(bytes(data))


def another_manifest(shop: Shop) -> None:
    """Whoever can write to the store: other rows, and a manifest that fits them."""
    manifest = shop.backups[0] / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text(manifest.read_text().replace('"description":', '"description" :', 1))


def an_older_backup(shop: Shop) -> None:
    shop.settings(top='max-evidence-age = "1h"\n')
    manifest = shop.backups[0] / "manifest.json"
    told = json.loads(manifest.read_text())
    told["backupTime"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(told))


def a_younger_limit(shop: Shop) -> None:
    shop.settings(top='max-evidence-age = "1ms"\n')


CHANGES = {
    "a plugin": (a_plugin, "changed since: file checks.py"),
    "a mask": (a_mask, "changed since: file mask.sql"),
    "a setting": (a_setting, "changed since: setting checks"),
    "another comparison": (another_comparison, "changed since: setting compare-budget"),
    "an acknowledgement": (an_acknowledgement, "changed since: setting allow; what is acknowledged today"),
    "rows": (rows, "users had 2 rows and has 16"),
    "a newer backup": (the_newest_backup, "and there is a newer backup: backup_r1"),
    "no backup": (no_backup, "which the approved dry run restored, is gone"),
    "a damaged backup": (a_damaged_backup, "is not sound: "),
    "another manifest": (another_manifest, "was changed"),
    "a backup that is too old": (an_older_backup, "2 h 00 min old (reuse-backup = 1 h 00 min)"),
    "evidence that is too old": (a_younger_limit, "the dry run is"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_another_is_named_and_rehearsed_again(either_shop, name: str) -> None:
    shop = either_shop
    change, words = CHANGES[name]
    if name == "a plugin":
        shop.project.write("checks.py", "def check_no_orphans(after):\n    assert True\n")
        shop.settings(top='plugins = ["checks.py"]\n')
    if name == "a mask":
        shop.project.write("mask.sql", "update users set name = 'x'")
        shop.settings(top='mask = "mask.sql"\n')
    shop.ask()
    token = shop.token()
    change(shop)
    done = shop.approved(token)
    assert not reused(done), done.text
    assert words in done.words, done.text
    assert shop.sent[:2] == ["dry-run", "dry-run"]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("change", [a_file, the_schema])
def test_what_is_another_and_was_approved_otherwise_is_refused_after_it_was_rehearsed(
    either_shop, signed: bool, change
) -> None:
    shop = either_shop
    if signed:
        shop.protect()
    shop.ask()
    token = shop.token()
    change(shop)
    done = shop.approved(token)
    assert not reused(done)
    assert shop.sent[:2] == ["dry-run", "dry-run"]
    told = done.stage("backup")["message"] + done.stage("dry-run")["message"]
    if change is a_file:
        ended(done, 4)
        assert "Rehearsed again: changed since: file seed.txt" in told
    else:
        ended(done, 4 if signed else 0)
        assert "the schema is not the one of backup_r1" in told


GHOST = """
import os, sys, types
ghost = types.ModuleType("ghost_of_a_plugin")
ghost.__file__ = os.path.join(os.path.dirname(__file__), "ghost.py")
sys.modules["ghost_of_a_plugin"] = ghost
"""


def test_a_file_that_cannot_be_read_is_never_the_same(shop, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ghost_of_a_plugin", sys)  # and away it goes
    shop.project.write("checks.py", GHOST)
    shop.settings(top='plugins = ["checks.py"]\n')
    shop.ask()
    ended(shop.approved(), 0, "Rehearsed again: changed since: file ghost.py")
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


class OfAProject:
    """As much of the settings as says which files a process has read."""

    mask = None

    def __init__(self, project_dir: Path, *plugins: Path) -> None:
        self.project_dir, self.plugins = project_dir, tuple(map(str, plugins))

    def read(self) -> set[str]:
        return set(reuse._read_files(self))


@pytest.mark.parametrize("prefix", ["/", "{project}", "{project}/.."])
def test_a_project_below_the_interpreter_s_prefix_has_files_of_its_own(
    tmp_path, monkeypatch, prefix: str
) -> None:
    helper, other = tmp_path / "helper.py", tmp_path / "lib" / "shop.py"
    for name, file in {"helper_of_a_plugin": helper, "shop_of_a_plugin": other}.items():
        module = types.ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("prefix", "exec_prefix"):
        monkeypatch.setattr(sys, name, str(Path(prefix.format(project=tmp_path)).resolve()))
    plugin = tmp_path.parent / "checks.py"
    assert OfAProject(tmp_path, plugin).read() == {str(helper), str(other), str(plugin)}


def test_an_environment_in_the_project_s_folder_has_none_of_its_files() -> None:
    read = OfAProject(Path(sys.prefix).parent).read()
    assert not any("site-packages" in file for file in read)


def test_a_project_in_another_folder_has_the_same_plugins() -> None:
    names = [plugin_name(f"/{folder}/shop/checks.py", Path(f"/{folder}/shop")) for folder in ("a", "b")]
    assert names == ["checks.py", "checks.py"]
    assert plugin_name("shop.checks", Path("/a")) == "shop.checks"


def test_another_head_is_another_plan(shop) -> None:
    """The token itself is refused then, before anything is dumped."""
    shop.ask()
    token = shop.token()
    shop.project.revision("r3", "r2", "create table t (id integer)", "drop table t")
    ended(shop.approved(token), 4, "made for another plan")
    assert shop.sent == ["dry-run"]
    assert len(shop.backups) == 1


def test_another_database_of_the_same_name_and_schema(shop, tmp_path) -> None:
    """A file of SQLite has no identity but its place: what lies there is another one by now."""
    shop.ask()
    token = shop.token()
    shutil.copy(shop.project.database, tmp_path / "copy.db")
    (tmp_path / "copy.db").rename(shop.project.database)
    ended(shop.approved(token), 0, "Rehearsed again: changed since: the database itself")
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def test_a_clock_that_was_put_back(shop, monkeypatch) -> None:
    ahead = timedelta(days=2)
    with monkeypatch.context() as clock:
        clock.setattr("ci_migrate.ledger.ledger.tables.clock", lambda _c: datetime.now(UTC) + ahead)
        clock.setattr("ci_migrate.ledger.ledger.Ledger.clock", lambda _l: datetime.now(UTC) + ahead)
        shop.ask()
    token = shop.token()
    done = shop.approved(token)
    assert not reused(done), done.text
    assert shop.sent == ["dry-run", "dry-run", "migrate"]


def test_evidence_that_is_used_again_does_not_grow_young(shop) -> None:
    first = shop.ask()
    shop.sql("create table other (id integer)", "drop table other")
    ended(shop.approved(), 0)
    ledger = shop.ledger()
    with ledger, ledger.reading() as connection:
        runs = connection.execute(rehearsals.select()).all()
    mine = [row.run_id for row in runs]
    assert mine.count(first["runId"]) == 1
    assert mine[-1] == first["runId"], "the approved run noted no dry run of its own"


def test_a_dry_run_that_is_asked_for_is_made(shop) -> None:
    shop.ask()
    token = shop.token()
    ended(shop.project.call("dry-run", env={"CI_MIGRATE_TOKEN": token}), 0)
    assert shop.sent == ["dry-run", "dry-run"]


def test_what_nobody_can_compare_is_rehearsed_again(shop) -> None:
    (shop.project.folder / "old.py").write_text("print('fine')\n")
    shop.settings(top='previous-release = ["python", "old.py"]\n')
    shop.ask()
    done = shop.approved()
    ended(done, 0, "Rehearsed again: previous-release is set")


@pytest.mark.parametrize("written", [False, True])
def test_a_restore_by_itself_from_a_backup_that_was_reused_loses_nothing_of_others(
    request, alembic_project, tmp_path, written: bool
) -> None:
    """MariaDB, where half a revision stays: rows that came since the backup are seen, and nothing is restored over."""
    url = request.getfixturevalue("mysql_url").set(drivername="mysql+pymysql")
    shop = Shop(alembic_project, url.render_as_string(hide_password=False), tmp_path)
    shop.project.revision(
        "r2",
        "r1",
        f"{SPY}\nop.execute(\"UPDATE users SET name = 'x'\")\nop.execute('ALTER TABLE users DROP COLUMN name')\n"
        "if os.environ['CI_MIGRATE_STAGE'] == 'migrate': raise RuntimeError('half way')",
        extra="import os",
    )
    shop.settings(
        top='restore = "auto"\nallow = ["CM202=meant", "CM206=meant", "CM404=meant", "CM402=meant"]\n'
    )
    shop.ask()
    token = shop.token()
    if written:
        shop.sql("insert into users values (10, 'cy')")
    done = shop.approved(token)
    assert reused(done), done.text
    if not written:
        ended(done, 6, "Restored from the backup backup_r1")
        assert shop.rows() == [1, 2]
        return
    ended(done, 7, "Not restored: ", "A restore would lose that")
    taken = done.stage("backup")["backup"]["backupTime"][:16].replace("T", " ")
    assert f"loses what was written since {taken} UTC" in done.words
    assert shop.rows() == [1, 2, 10], "what somebody wrote is there"


def test_rows_count_of_a_table_that_the_result_alone_shows_to_be_changed(
    postgresql_url, alembic_project, tmp_path
) -> None:
    """A revision calls a function, whose name says nothing of the table that it puts a unique index on."""
    url = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    shop = Shop(alembic_project, url, tmp_path)
    shop.sql(
        "create table big (number integer)",
        "insert into big select generate_series(1, 100)",
        "create function tidy() returns void language sql as 'create unique index once on big (number)'",
    )
    shop.project.revision("r2", "r1", "op.execute('SELECT tidy()')", "op.execute('DROP INDEX once')")
    shop.ask()
    token = shop.token()
    shop.sql("insert into big select generate_series(200, 300)")
    done = shop.approved(token)
    assert "Rehearsed again: public.big had 100 rows and has 201" in done.words, done.text


@pytest.mark.parametrize("changed", [True, False])
def test_a_plugin_outside_of_the_project_whose_code_is_another(
    shop, changed: bool, tmp_path, monkeypatch
) -> None:
    name = f"company_checks_{changed}"  # a module is imported once by this process
    package = tmp_path / "elsewhere" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .rules import check_no_orphans\n")
    (package / "rules.py").write_text("def check_no_orphans(after):\n    assert True\n")
    monkeypatch.syspath_prepend(str(package.parent))
    shop.settings(top=f'plugins = ["{name}"]\n')
    shop.ask()
    token = shop.token()
    if changed:
        (package / "rules.py").write_text("def check_no_orphans(after):\n    assert after\n")
    done = shop.approved(token)
    assert (f"changed since: code of plugin {name}" in done.words) is changed, done.text
    assert reused(done) != changed


@pytest.mark.parametrize("changed", [True, False])
def test_an_installed_plugin_of_the_same_version_whose_code_is_another(
    shop, changed: bool, tmp_path, monkeypatch
) -> None:
    name = f"rules_of_reuse_{changed}"
    place = tmp_path / "installed"
    meta = place / f"{name}-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[ci_migrate]\n{name} = {name}\n")
    (place / f"{name}.py").write_text("LIMIT = 1\n")
    monkeypatch.syspath_prepend(str(place))
    shop.ask()
    token = shop.token()
    if changed:
        (place / f"{name}.py").write_text("LIMIT = 2\n")
    done = shop.approved(token)
    assert (f"changed since: code of plugin {name}" in done.words) is changed, done.text
    assert reused(done) != changed


@pytest.mark.parametrize("changed", [True, False])
def test_another_squawk(shop, changed: bool, tmp_path) -> None:
    program = tmp_path / "squawk"
    program.write_text("#!/bin/sh\necho '[]'\n")
    program.chmod(0o755)
    shop.settings(top=f'squawk = "{program}"\n')
    shop.ask()
    token = shop.token()
    if changed:
        program.write_text("#!/bin/sh\necho '[ ]'\n")
    done = shop.approved(token)
    assert ("changed since: program squawk" in done.words) is changed, done.text
    assert reused(done) != changed
