"""Folders for scratch copies and decrypted backups: nothing of a killed process stays for good."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ci_migrate.tempdirs import private_folder, sweep_folders

HOLDS = """
import sys, time
from ci_migrate.tempdirs import private_folder
with private_folder() as folder:
    (folder / "rows").write_text("of people")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own."""
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setenv("TMPDIR", str(found))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield found
    tempfile.tempdir = None


def old(place: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(place, (long_ago, long_ago))


def test_it_is_nobody_elses_and_goes(place):
    with private_folder() as folder:
        assert place in folder.parents
        assert folder.stat().st_mode & 0o077 == 0
        assert list(folder.iterdir()) == []
        (folder / "deep").mkdir()
        old(folder.parent)
        assert sweep_folders() == [], "its process lives"
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_swept_by_the_next(place):
    child = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    folder = Path(child.stdout.readline().strip())
    old(folder.parent)
    assert sweep_folders() == []
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert (folder / "rows").exists()
    assert sweep_folders() == [folder.parent]
    assert list(place.iterdir()) == []


def test_what_is_not_ours_or_too_young_stays(place):
    somebodys = place / "ci-migrate-else"
    somebodys.mkdir()
    old(somebodys)  # no lock in it
    young = place / "ci-migrate-young"
    young.mkdir()
    (young / ".lock").touch()
    target = place / "target"
    target.mkdir()
    (target / ".lock").touch()
    (place / "ci-migrate-link").symlink_to(target)
    assert sweep_folders() == []
    assert {p.name for p in place.iterdir()} == {
        "ci-migrate-else",
        "ci-migrate-young",
        "ci-migrate-link",
        "target",
    }


def test_F102_a_process_killed_before_the_lock_leaves_nothing_for_good(place):
    script = HOLDS.replace("import sys, time", "import os, sys, tempfile, time").replace(
        "with private", "tempfile.gettempdir()\nos.open = lambda *_: os.kill(os.getpid(), 9)\nwith private"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    assert sweep_folders() == [], "it may be about to be locked"
    old(left)
    kept = place / "ci-migrate-abcdefgh"
    kept.mkdir()
    (kept / "somebody's").touch()
    old(kept)
    assert sweep_folders() == [left]
    assert list(place.iterdir()) == [kept]


def test_F102_each_folder_of_ours_is_locked():
    for file in (Path(__file__).parents[1] / "ci_migrate").rglob("*.py"):
        made = re.findall(r'(?:mkdtemp|TemporaryDirectory)\(prefix="ci-migrate', file.read_text())
        assert not made or file.name == "memory.py", f"{file}: private_folder is locked"


def test_a_run_sweeps(alembic_project, place):
    left = place / "ci-migrate-left"
    left.mkdir()
    (left / ".lock").touch()
    old(left)
    assert alembic_project.gate("run").exit_code == 0
    assert list(place.iterdir()) == []
