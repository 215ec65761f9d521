"""A restore that was killed in its swap: what the next command says and writes down, whatever the engine answers."""

import pytest
from alembic_project import AlembicProject, new_project

from ci_migrate.model import EntryKind, JournalEntry, canonical_json, now
from ci_migrate.run.begun_restore import Swapping, settle_restore
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> tuple[AlembicProject, str]:
    """A project on SQLite, and the run that migrated it."""
    project = new_project(tmp_path_factory.mktemp("restored") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    report = project.gate("migrate")
    assert report.exit_code == 0
    return project, report.run_id


def settle(
    project: AlembicProject, run_id: str, *, came: bool | None, key: str | None = None
) -> tuple[list[str], bool]:
    """Settle a begun restore whose engine says whether it `came`; what was said, and whether it is settled.

    `key` is that of the database which was to take the place; None for the target's own.
    """
    told: list[str] = []
    settings = load(project.folder, project.environment(), {})
    with open_session(settings, GateRequest(VERBS["verify"])) as run:
        database, ledger = run.database, run.ledger
        database.settle_replace = lambda _label: came
        identity = database.identity()
        ledger.update_run(run_id, phase="restoring", backup_id="backup_1", finished=None, exit_code=None)
        begun = Swapping(label="20260101", key=identity.key if key is None else key)
        note = canonical_json(begun).decode()
        with ledger.journal(run_id) as journal:
            journal.append(JournalEntry(kind=EntryKind.RESTORING, position=0, context=0, note=note, at=now()))
        settle_restore(ledger, database, "other", locked=True, tell=told.append)
        return told, not ledger.restoring(ledger.database_id(identity))


@pytest.mark.parametrize(
    ("came", "key", "said", "settled"),
    [
        (True, None, "it is complete now", True),
        (True, "", "it is complete now", True),  # the target could not say what it is
        (False, None, "the target is as it was", True),
        (
            None,
            None,
            "had replaced some of the databases: ci-migrate backup restore backup_1 --target dev",
            False,
        ),
        (True, "another", "somebody has replaced it since", False),
    ],
)
def test_F105_it_is_settled_or_said(migrated, came, key, said, settled):
    told, closed = settle(*migrated, came=came, key=key)
    assert said in " ".join(told)
    assert closed == settled


def test_an_engine_that_swaps_in_one_step_has_nothing_to_settle(migrated):
    project, run_id = migrated
    told: list[str] = []
    settings = load(project.folder, project.environment(), {})
    with open_session(settings, GateRequest(VERBS["verify"])) as run:
        run.ledger.update_run(run_id, phase="restoring", finished=None, exit_code=None)
        settle_restore(run.ledger, run.database, "other", locked=True, tell=told.append)
    assert "killed before it replaced anything" in " ".join(told)
