"""Pages of docs/ that show commands with their output: each is typed in the bookshop, in order, and prints what is shown."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typed_page import EXAMPLES, Page

DOCS = EXAMPLES.parent / "docs"
BACKUP = re.compile(r"backup_(\w+?)_\d{8}_\d{6}")


@dataclass
class Bookshop(Page):
    """The page, read where the examples have the database `dev` at a revision."""

    page: str = ""

    @property
    def text(self) -> str:
        return (DOCS / self.page).read_text()

    def type(self, line: str) -> tuple[int, str]:
        """The folder is called as on the page; a backup's id there stands for the newest one of its revision."""
        places = self.folder / ".ci-migrate" / "backups"
        line = BACKUP.sub(lambda found: max(p.name for p in places.glob(f"backup_{found[1]}_*")), line)
        code, printed = super().type(line)
        return code, printed.replace(str(self.folder), "/srv/bookshop")


@pytest.fixture
def bookshop(tmp_path):
    """`bookshop(page, revision)`"""

    def make(page: str, revision: str) -> Bookshop:
        shop = Bookshop(Page.of("bookshop", tmp_path).folder, {"CI_MIGRATE_TARGET": "dev"}, page)
        url = f"sqlite:///{shop.folder / 'bookshop.db'}"
        for command in (
            ["-m", "alembic", "upgrade", "0002"],
            ["seed.py", url],
            ["-m", "alembic", "upgrade", revision],
        ):
            environ = {**os.environ, "BOOKSHOP_DATABASE_URL": url}
            subprocess.run(
                [sys.executable, *command], cwd=shop.folder, env=environ, check=True, capture_output=True
            )
        return shop

    return make


@pytest.mark.parametrize(
    ("page", "revision"), [("checks.md", "0002"), ("backups.md", "0002"), ("going-back.md", "0008")]
)
def test_the_page_prints_what_it_shows(bookshop, page, revision) -> None:
    shop = bookshop(page, revision)
    assert shop.commands()
    shop.follow()
