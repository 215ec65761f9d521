"""`ci-migrate demo`: a new folder or none; what the demo itself does is in tests/e2e/test_bookshop.py."""

import pytest
from alembic_project import AlembicProject, ended


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_is_left_alone(tmp_path, kind):
    place = tmp_path / "shop"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "mine")
        (tmp_path / "mine").mkdir()
    done = AlembicProject(tmp_path).call("demo", "shop")
    ended(done, 1, "is there already.", "Name a new folder: ci-migrate demo FOLDER")
    assert done.out == ""
    assert place.is_file() == (kind == "file")
    assert not list(tmp_path.rglob("*.db"))


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    done = AlembicProject(tmp_path).call("demo", "file/shop")
    ended(done, 2, "file/shop can't be made: Not a directory.")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
