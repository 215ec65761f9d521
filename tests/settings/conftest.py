"""What the tests of the settings share: a folder that a search does not leave."""

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an alembic.ini, and `.git` so that no search leaves it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    return tmp_path
