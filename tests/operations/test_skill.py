"""docs/agents/SKILL.md: what it shows runs, what it forbids no agent is offered, and it is in the wheel."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import psycopg
import pytest
import yaml
from alembic_project import ended, new_project

from ci_migrate.errors import ExitCode
from ci_migrate.mcp.tools import TOOLS
from ci_migrate.operations import init
from ci_migrate.verbs import VERBS

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "docs" / "agents" / "SKILL.md"
HEAD = 'import sqlalchemy as sa\nfrom alembic import op\n\nrevision = "{}"\ndown_revision = "{}"\n\n\n{}'


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", SKILL.read_text(), re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line]


@pytest.fixture
def cloned(alembic_project):
    """A clone at the head of origin/main, migrated once, and a run of its own."""
    for command in (
        "init -q -b main",
        "add -A",
        "commit -qm first",
        "update-ref refs/remotes/origin/main HEAD",
    ):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command.split()],
            cwd=alembic_project.folder, check=True, capture_output=True,
        )  # fmt: skip
    assert alembic_project.gate("run").exit_code == 0
    return alembic_project


def test_each_command_runs(cloned):
    assert len(commands()) > 10
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "ci-migrate"
        ended(cloned.call(*arguments), 0)


def test_each_command_that_it_lets_an_agent_run_writes_to_no_target():
    named = {shlex.split(command)[1] for command in commands()}
    assert named <= {tool.verb.name for tool in TOOLS}
    for name in named:
        assert not VERBS[name].writes
        assert not VERBS[name].removes


def test_what_writes_is_forbidden_by_name():
    (text,) = re.findall(r"^Never run (.*?)\n\n", SKILL.read_text(), re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`([\w ]+)`", text))
    writing = {v.name.partition(" --")[0] for v in VERBS.values() if v.writes or v.removes}
    assert writing <= named
    assert {"approve", "token", "protect", "unprotect"} <= named


def test_its_revisions_pass_the_gate(cloned):
    """Expand, then fill in batches: on rows, and back again."""
    cloned.sql("insert into users (id, name) values (1, 'ana'), (2, 'bo'), (3, null)")
    expand, fill, allow = blocks("python")
    cloned.write("migrations/versions/r3.py", HEAD.format("r3", "r2", expand))
    ended(cloned.call("run", "--target", "dev"), 0)
    cloned.write("migrations/versions/r4.py", HEAD.format("r4", "r3", fill))
    ended(cloned.call("run", "--target", "dev"), 0)
    assert cloned.sql("select login from users order by id") == [("ana",), ("bo",), (None,)]
    # what is meant is acknowledged as it says
    cloned.write(
        "migrations/versions/r5.py",
        HEAD.format("r5", "r4", f'{allow}\n\ndef upgrade():\n    op.drop_column("users", "name")\n'),
    )
    ended(cloned.call("dry-run", "--target", "dev"), 0, "asked for by the owner of the table")


def test_batches_pass_on_postgresql(tmp_path, postgresql_url):
    project = new_project(tmp_path / "project")
    project.environ["DATABASE_URL"] = postgresql_url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    assert project.gate("run").exit_code == 0
    with psycopg.connect(
        postgresql_url.set(drivername="postgresql").render_as_string(False), autocommit=True
    ) as db:
        db.execute("insert into users (id, name) values (1, 'ana'), (2, 'bo')")
    expand, fill, _ = blocks("python")
    fill = fill.replace("LIMIT 5000", "LIMIT 1")
    project.write("migrations/versions/r3.py", HEAD.format("r3", "r2", expand))
    project.write("migrations/versions/r4.py", HEAD.format("r4", "r3", fill))
    done = project.call("run")
    ended(done, 0)
    with psycopg.connect(postgresql_url.set(drivername="postgresql").render_as_string(False)) as db:
        assert db.execute("select login from users order by id").fetchall() == [("ana",), ("bo",)]


def test_each_exit_code_has_its_line():
    cells = re.findall(r"^\| ([\d, ]+) \|", SKILL.read_text(), re.MULTILINE)
    assert {int(code) for cell in cells for code in cell.split(",")} == {int(code) for code in ExitCode}


def test_its_head_is_that_of_a_skill():
    head = yaml.safe_load(SKILL.read_text().split("---\n")[1])
    assert head["name"] == "ci-migrate"
    assert 20 < len(head["description"]) < 1024
    assert init.skill().startswith("# Write Alembic revisions")
    assert "](" not in init.skill(), "a link leads nowhere in somebody else's repository"
    assert "[`ci_migrate.backfill`](../backfills.md)" in SKILL.read_text()
    assert "call `ci_migrate.backfill`" in init.skill()


def test_a_wheel_has_it():
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert init.SKILL_IN_A_CHECKOUT.samefile(SKILL)
    assert built["force-include"]["docs/agents/SKILL.md"] == f"ci_migrate/{init.PACKAGED_SKILL.name}"
