"""What no command can read: each one says so in a few lines, by the same exit code, and nothing is written."""

import pytest
from alembic_project import AlembicProject, Done, new_project

from ci_migrate.verbs import VERBS

ARGUMENTS = {
    "rollback": ["--to", "r1"],
    "stamp": ["r1", "--reason", "x"],
    "backfill run": ["fill"],
    "backfill dry-run": ["fill"],
    "backup show": ["BACKUP"],
    "backup verify": ["BACKUP"],
    "backup copy": ["BACKUP", "elsewhere"],
    "backup restore": ["BACKUP", "--yes"],
    "backup restore --table": ["users", "BACKUP", "--yes"],
    "backup delete": ["BACKUP", "--yes"],
    "token generate": ["--reason", "x"],
    "token request": ["--protection", "unprotect"],
    "token validate": ["--token-file", "token"],
    "token revoke": ["x"],
    "audit export": ["trail"],
    "serve key create": ["ana", "--role", "viewer"],
    "serve key revoke": ["0123456789ab"],
}
"""What each command needs to be one."""

NO_TARGET_AT_ALL = {
    "approve",
    "token merge",
    "token show",
    "init",
    "settings",
    "plugins",
    "serve",
    "serve work",
    "demo",
    "mcp",
    "squash",
}
OF_FLEETS = {"fleet status", "fleet run", "fleet resume", "fleet retry", "fleet request", "fleet matrix"}
"""They look at many ledgers: tests/fleet."""
GROUPS = {"backup", "token", "audit", "serve key", "fleet", "backfill"}
COMMANDS = sorted(VERBS.keys() - NO_TARGET_AT_ALL - OF_FLEETS - GROUPS)


def call(project: AlembicProject, name: str, *flags: str) -> Done:
    backup = next((project.folder / ".ci-migrate" / "backups").glob("backup_*")).name
    words = [backup if word == "BACKUP" else word for word in ARGUMENTS.get(name, [])]
    (project.folder / "token").write_text("00000000-0000-4000-8000-000000000000")
    return project.call(*name.split(), *words, *flags)


def refused(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.text
    assert "Traceback" not in done.text
    assert "Bug in" not in done.text
    for word in words:
        assert word in done.words, done.text
    pipeline = "(exit" in done.text
    assert pipeline or len(done.err.rstrip("\n").splitlines()) <= 3, done.err
    assert "database is untouched" in done.text or "database was not touched" in done.text


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> AlembicProject:
    """Migrated once; then its ledger is overwritten."""
    project = new_project(tmp_path_factory.mktemp("broken") / "project")
    registered = 'backfills = [{name = "fill", table = "users", statement = "UPDATE users SET id = id WHERE {batch}"}]\n'
    project.settings(f'{registered}[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    (project.folder / "app.db.ci-migrate").write_bytes(b"no ledger at all " * 500)
    return project


WITHOUT_LEDGER = {"backup list", "backup show", "backup verify", "backup copy", "backup restore", "doctor"}
"""What must go on where the ledger is what is broken: it may be why somebody looks for a backup."""


ASKS_NO_LEDGER = {"explain", "show", "wait"}
"""A page of the documentation, what earlier runs kept beside it, and what many processes ask as they start."""


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in WITHOUT_LEDGER | ASKS_NO_LEDGER])
def test_a_broken_ledger_stops_all_that_relies_on_it(broken, name):
    before = broken.dump()
    refused(call(broken, name), 8, "could not be opened: file is not a database", '`state = "URL"`')
    assert broken.dump() == before
    assert (broken.folder / "app.db.ci-migrate").read_bytes().startswith(b"no ledger"), (
        "nobody makes a new one"
    )
    assert not (broken.folder / "trail").exists()


@pytest.mark.parametrize("name", sorted(WITHOUT_LEDGER - {"backup restore"}))
def test_backups_are_found_without_a_ledger(broken, name):
    done = call(broken, name)
    assert done.code == (1 if name == "doctor" else 0), done.text
    assert "Bug in" not in done.text
    if name == "doctor":
        assert "bad     target: The ledger" in done.out


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("backup list", "alembic.ini"),
        ("backup list", "alembic.ini/below"),
        ("backup show", "alembic.ini"),
        ("backup create", "alembic.ini"),
        ("backup restore", "alembic.ini"),
        ("status", "alembic.ini"),
        ("run", "alembic.ini"),
    ],
)
def test_a_backup_dir_that_is_a_file(shop, name, place):
    """It was told as a bug of ours (exit 3)."""
    done = call(shop, name, "--backup-dir", place)
    refused(done, 8, "can't be listed: Not a directory.", "Look at backup-dir.")


def test_a_copy_into_a_file(shop):
    backup = next((shop.folder / ".ci-migrate" / "backups").glob("backup_*")).name
    refused(shop.call("backup", "copy", backup, "alembic.ini"), 8, "Not a directory")


@pytest.mark.parametrize("name", sorted(ASKS_NO_LEDGER))
def test_who_asks_no_ledger_goes_on(broken, name):
    before = broken.dump()
    assert call(broken, "run").code == 8
    done = call(broken, name)
    assert done.code == 0, done.text
    assert broken.dump() == before


def test_every_command_is_tried():
    assert ARGUMENTS.keys() <= VERBS.keys()
    assert {*COMMANDS} >= WITHOUT_LEDGER
