"""Where the use of a token is noted besides the ledger: the pinned place counts, whatever the settings say now."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from ledger_support import ledger, url
from permits import protect

from ci_migrate.backups import STORAGES
from ci_migrate.backups.storage import open_storage
from ci_migrate.errors import BackupError, NotApprovedError
from ci_migrate.ledger import protection
from ci_migrate.ledger.protection import Rules
from ci_migrate.run.notes import note_use, notes_place, pin_notes, storages_for_notes

__all__ = ["ledger", "url"]

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def run(ledger, tmp_path):
    """A run whose `backup-dir` is this folder; protected or not as the ledger says now."""

    def make(folder: str = "backups", subject: str = "run-1"):
        def opened(place: str):
            return open_storage(place, tmp_path, STORAGES)

        return SimpleNamespace(
            id=subject,
            subject=subject,
            ledger=ledger,
            protection=protection.read(ledger),
            catalog=SimpleNamespace(storage=opened(str(tmp_path / folder))),
            open_storage=opened,
            settings=SimpleNamespace(target="shop", sources={"backup-dir": "pyproject.toml"}),
        )

    return make


def places(found) -> list[str]:
    return [storage.place for storage in found]


def test_the_place_of_the_first_note_is_pinned_and_stays(run, ledger, tmp_path):
    first = str(tmp_path / "backups")
    pin_notes(run())
    pin_notes(run("elsewhere"))
    assert ledger.notes_place() == first
    assert places(storages_for_notes(run())) == [first]
    protect(ledger, Rules(), by="ana")
    (tmp_path / "backups").mkdir()
    assert places(storages_for_notes(run("elsewhere"))) == [first, str(tmp_path / "elsewhere")]
    assert ledger.notes_place() == first, "what the settings say moves nothing of a protected target"


def test_what_only_the_settings_guard_the_settings_can_move(run, ledger, tmp_path):
    pin_notes(run())
    assert places(storages_for_notes(run("elsewhere"))) == [str(tmp_path / "elsewhere")]
    assert ledger.notes_place() == str(tmp_path / "elsewhere")


def test_a_protection_that_went_while_the_run_was_at_work_counts_still(run, ledger, tmp_path):
    """As it was when the run began; and one that came since counts at once."""
    (tmp_path / "backups").mkdir()
    pin_notes(run())
    elsewhere = run("elsewhere")
    elsewhere.protection = protection.Protection(protected=True)
    assert len(storages_for_notes(elsewhere)) == 2
    late = run("elsewhere")
    protect(ledger, Rules(), by="ana")
    assert not late.protection.protected
    assert len(storages_for_notes(late)) == 2


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda folder: None, "it is not there"),
        (lambda folder: folder.write_text("a file"), "it is not there"),
        (lambda folder: folder.symlink_to(folder.parent), "a link leads elsewhere there now"),
    ],
)
def test_a_pinned_place_that_is_not_what_it_was_stops_the_run(run, ledger, tmp_path, break_it, why):
    pin_notes(run())
    protect(ledger, Rules(), by="ana")
    break_it(tmp_path / "backups")
    with pytest.raises(NotApprovedError) as caught:
        storages_for_notes(run("elsewhere"))
    assert f"can't be reached: {why}. They are in {tmp_path / 'backups'}" in caught.value.what
    assert "backup-dir (pyproject.toml) leads to" in caught.value.what
    assert caught.value.hint.endswith("ci-migrate protect --target shop --move-notes")
    moving = storages_for_notes(run("elsewhere"), moving=True)
    assert places(moving) == [str(tmp_path / "elsewhere")], "unless the approval is of the move itself"
    assert ledger.notes_place() == str(tmp_path / "backups"), "which is written down when it is done"


def test_a_link_to_the_folder_is_the_same_place(run, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "backups").symlink_to(tmp_path / "real")
    assert notes_place(run()) == str(tmp_path / "real")


def test_a_token_is_noted_in_each_place_and_by_one_run_alone(run, tmp_path):
    storages = [run(name).catalog.storage for name in ("backups", "elsewhere")]
    note_use(run(), storages, "approval-1")
    note_use(run(), storages, "approval-1")  # the same run goes on
    note_use(run(subject="run-2"), storages, "approval-2")
    for folder in ("backups", "elsewhere"):
        notes = {p.name: p.read_text() for p in (tmp_path / folder).rglob("approval-*")}
        assert notes == {"approval-1": "run-1", "approval-2": "run-2"}
    with pytest.raises(NotApprovedError, match=r"was used already: .*elsewhere has a note of it") as caught:
        note_use(run(subject="run-2"), storages[1:], "approval-1")
    assert caught.value.hint.endswith("ci-migrate audit verify")


def test_of_runs_that_note_one_token_at_once_one_gets_it(run):
    runs = [run(subject=f"run-{number}") for number in range(8)]

    def note(one) -> bool:
        try:
            note_use(one, [one.catalog.storage], "approval-1")
        except NotApprovedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(note, runs)) == [False] * 7 + [True]


def test_a_place_that_takes_no_note_stops_the_run(run, tmp_path):
    """Before anything is written to the target: what can't be noted could be used again."""
    (tmp_path / "backups").write_text("a file where the folder was")
    with pytest.raises(BackupError) as caught:
        note_use(run(), [run().catalog.storage], "approval-1")
    assert str(tmp_path / "backups") in caught.value.what
