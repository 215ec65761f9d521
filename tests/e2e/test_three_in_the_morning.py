"""docs/three-in-the-morning.md: what it shows of each exit code is what the bookshop prints.

Exit codes 3, 5, 130 and 143 take a broken engine, a second run and signals: tests/test_exit_codes.py has those.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic_project import AlembicProject, Done
from typed_page import EXAMPLES, plain

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "three-in-the-morning.md").read_text()
NUMBERS = re.compile(r"\d{14}_\w+|\d{4}-\d\d-\d\d \d\d:\d\d UTC|_TIME")
HEAD = """\
import os

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
MIGRATES = os.environ.get("CI_MIGRATE_STAGE") == "migrate"


"""
TAIL = """

def downgrade():
    op.drop_table("wishes")
"""
ROLLED_BACK = """\
def upgrade():
    op.create_table("wishes", sa.Column("id", sa.Integer, primary_key=True))
    if MIGRATES:
        raise RuntimeError("the price service does not answer")
"""
HALF = """\
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("UPDATE books SET title = trim(title) WHERE id < 20")
        op.create_table("wishes", sa.Column("id", sa.Integer, primary_key=True))
    if MIGRATES:
        raise RuntimeError("the price service does not answer")
    op.create_index("ix_wishes", "wishes", ["id"])
"""


def words(text: str) -> str:
    """Without lines, and without what differs from run to run."""
    return NUMBERS.sub("N", plain(re.sub(r"\.py:\d+", ".py", text)))


def screens(heading: str) -> list[str]:
    """The blocks without a language below a heading, in parts: blank lines and `...` stand for what is left out."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    blocks = [block for kind, block in fences if not kind]
    return [part for block in blocks for part in re.split(r"\n\n|^ *\.\.\.$", block, flags=re.MULTILINE)]


def shows(heading: str, done: Done) -> None:
    """The page shows what was printed."""
    found = screens(heading)
    assert found
    for part in found:
        assert words(part) in words(done.text), (
            f"{heading}: the page shows\n{part}\nbut it prints\n{done.text}"
        )


@pytest.fixture
def shop(tmp_path):
    folder = shutil.copytree(
        EXAMPLES / "bookshop",
        tmp_path / "shop",
        ignore=shutil.ignore_patterns("__pycache__", "*.db*", "backups", ".ci-migrate"),
    )
    project = AlembicProject(folder)
    for url in ("sqlite:///bookshop.db", "sqlite:///production.db"):
        environ = project.environment({"BOOKSHOP_DATABASE_URL": url})
        for command in (["-m", "alembic", "upgrade", "0002"], ["seed.py", url]):
            subprocess.run(
                [sys.executable, *command], cwd=folder, env=environ, check=True, capture_output=True
            )
    return project


def test_the_screens_of_the_page(shop):
    shows("`OK (exit 0)`", shop.run("run", "--target", "dev"))
    shows("`REFUSED (exit 1)`", shop.run("run", "--target", "dev", "-c", "alembic-fails.ini"))
    shows("`USAGE (exit 2)`", shop.run("run"))
    shows("`NOT APPROVED (exit 4)`", shop.run("run", "--target", "production"))
    shop.write("migrations/versions/0009_wishes.py", f'"""wishes"""\n{HEAD}{ROLLED_BACK}{TAIL}')
    shows("`FAILED, put back (exit 6)`", shop.run("run", "--target", "dev"))
    shop.write("migrations/versions/0009_wishes.py", f'"""wishes"""\n{HEAD}{HALF}{TAIL}')
    shows("`FAILED (exit 7)`", shop.run("run", "--target", "dev"))
    shows("There is no last line", shop.run("status", "--target", "dev"))

    shop.environ |= {
        "CI_MIGRATE_URL": "env:SHOP_URL",
        "SHOP_URL": "postgresql+psycopg://shop@127.0.0.1:1/shop",
    }
    shows("`ERROR (exit 8)`", shop.run("run", "--target", "dev"))
