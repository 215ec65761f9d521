"""The revisions that the page and the example show are run."""

import ast
import re
from pathlib import Path

import pytest
from alembic_project import new_project
from typed_page import Page

PAGE = (Path(__file__).parents[2] / "docs" / "backfills.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REVISIONS = [block for block in BLOCKS if "def upgrade" in block]

TABLES = """
op.create_table("users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("email", sa.Text),
    sa.Column("email_lower", sa.Text), sa.Column("domain", sa.Text))
op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("price", sa.Integer),
    sa.Column("quantity", sa.Integer), sa.Column("total", sa.Integer))
op.execute("INSERT INTO users (email) VALUES ('Ana@Example.com'), ('BO@x.org'), ('cy@x.org')")
op.execute("INSERT INTO orders (price, quantity) VALUES (2, 3), (5, 7)")
"""


def test_the_page_has_revisions():
    assert len(REVISIONS) == 3
    for block in BLOCKS:
        ast.parse(block)


def test_the_revisions_of_the_page(tmp_path):
    """Up, down, and up again, by the gate."""
    project = new_project(tmp_path, revisions=False)
    project.revision("r0", None, TABLES, 'op.drop_table("users"); op.drop_table("orders")')
    down = "r0"
    for number, block in enumerate(REVISIONS, 1):
        name = f"r{number}"
        project.write(
            f"migrations/versions/{name}.py", f'revision = "{name}"\ndown_revision = "{down}"\n{block}'
        )
        down = name
    (passes,) = [b for b in BLOCKS if "remaining=" in b]
    body = "with op.get_context().autocommit_block():\n" + "".join(
        f"    {line}\n" for line in passes.splitlines()
    )
    names = "from ci_migrate.backfill import backfill, forget_backfill"
    project.revision("r4", down, body, 'forget_backfill(op.get_bind(), "orders_total")', extra=names)
    assert project.run("run").code == 0
    assert project.sql("SELECT email_lower, domain FROM users ORDER BY id") == [
        ("ana@example.com", "Example.com"),
        ("bo@x.org", "x.org"),
        ("cy@x.org", "x.org"),
    ]
    assert project.sql("SELECT total FROM orders ORDER BY id") == [(6,), (35,)]
    assert len(project.sql("SELECT 1 FROM ci_migrate_backfills WHERE finished_at IS NOT NULL")) == 3
    assert project.run("rollback", "--to", "r0", "--yes").code == 0
    assert project.sql("SELECT count(*) FROM ci_migrate_backfills") == [(0,)]


def test_a_backfill_that_did_not_end_is_refused_before_the_index(tmp_path):
    project = new_project(tmp_path, revisions=False)
    project.revision("r0", None, TABLES, 'op.drop_table("users"); op.drop_table("orders")')
    project.write("migrations/versions/r1.py", f'revision = "r1"\ndown_revision = "r0"\n{REVISIONS[2]}')
    done = project.run("run")
    assert done.code == 1, done.text
    assert "Backfill 'users_email_lower' has not run on this database" in done.words
    assert "untouched" in done.words


def test_the_line_for_env_py_keeps_the_table():
    (block,) = [b for b in BLOCKS if "include_name" in b]
    names: dict = {}
    exec(block, names)
    assert not names["include_name"]("ci_migrate_backfills", "table", {})
    assert names["include_name"]("users", "table", {})
    assert names["include_name"]("ci_migrate_backfills", "column", {})


@pytest.mark.parametrize("name", ["backfill"])
def test_the_example(tmp_path, name):
    Page.of(name, tmp_path).follow()
