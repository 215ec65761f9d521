"""examples/fleet, and the jobs of docs/fleet-approvals.md: what they would type is typed, on a fleet of SQLite files."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml
from alembic_project import ended
from fleet_support import new_fleet
from signing_support import Approver
from typed_page import BIN

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet"


def test_each_platform_migrates_one_first_and_then_all_parts(tmp_path):
    fleet = new_fleet(tmp_path / "project", 4)
    project = fleet.project
    shutil.copy(EXAMPLE / "ci-migrate.toml", project.folder)
    catalog = sqlite3.connect(project.folder / "catalog.db")
    catalog.execute("create table tenants (name text, url text, active boolean)")
    for number, name in enumerate(fleet.names):
        named = "acme" if number == 0 else name
        catalog.execute("insert into tenants values (?, ?, 1)", (named, f"sqlite:///{fleet.file(name)}"))
    catalog.commit()
    catalog.close()
    project.environ |= {
        "CATALOG_URL": f"sqlite:///{project.folder}/catalog.db",
        "FLEET_STATE_URL": f"sqlite:///{project.folder}/state.db",
    }
    github = yaml.safe_load((EXAMPLE / ".github/workflows/fleet.yml").read_text())["jobs"]
    steps = [step["run"] for job in github.values() for step in job["steps"] if "run" in step]
    gitlab = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text())
    (pod,) = yaml.safe_load((EXAMPLE / "kubernetes.yml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]

    canaries = {line for line in (*steps, *gitlab["canary"]["script"]) if "run --target tenants/acme" in line}
    assert canaries == {"exec ci-migrate run --target tenants/acme"}
    ended(project.run("run", "--target", "tenants/acme"), 0)
    (matrix,) = re.findall(r"\$\(ci-migrate (.*)\)", next(step for step in steps if "matrix" in step))
    parts = json.loads(ended(project.run(*shlex.split(matrix)), 0))["shard"]
    assert parts
    (run,) = (step for step in steps if "fleet run" in step)
    typed = [run.replace("$SHARD", part) for part in parts]
    ended(project.run(*arguments(typed[0])), 0)
    (run,) = gitlab["fleet"]["script"]
    count = gitlab["fleet"]["parallel"]
    typed = [run.replace("$CI_NODE_INDEX", str(n)).replace("$CI_NODE_TOTAL", str(count)) for n in (1, count)]
    for line in typed:
        assert project.run(*arguments(line)).code == 0
    assert int(pod["command"][2].rpartition("/")[2].rstrip('"')) == 8
    for index in range(8):
        line = pod["command"][2].replace("exec ci-migrate", "echo")
        shown = subprocess.run(
            ["sh", "-c", line],
            env={"JOB_COMPLETION_INDEX": str(index)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert project.run(*shlex.split(shown.stdout)).code == 0
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 4


def test_a_matrix_that_can_t_be_made_fails_its_step(tmp_path):
    program = tmp_path / "ci-migrate"
    steps = yaml.safe_load((EXAMPLE / ".github/workflows/fleet.yml").read_text())["jobs"]["canary"]["steps"]
    script = next(step["run"] for step in steps if step.get("id") == "parts")
    for code, written in ((0, "matrix={}\n"), (2, "")):
        program.write_text(f"#!/bin/sh\n[ {code} = 0 ] && echo '{{}}'\nexit {code}\n")
        program.chmod(0o755)
        output = tmp_path / f"output-{code}"
        output.touch()
        # as GitHub's runner starts a step
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_OUTPUT": str(output)},
            check=False,
        )
        assert (done.returncode, output.read_text()) == (code, written)


def test_a_part_that_fails_ends_no_other_part():
    pods = yaml.safe_load((EXAMPLE / "kubernetes.yml").read_text())["spec"]
    assert (pods["completionMode"], pods["backoffLimitPerIndex"]) == ("Indexed", 0)
    assert pods["template"]["spec"]["restartPolicy"] == "Never"
    # of its own accord a Job with a limit for each index has none for all of them
    assert not {"backoffLimit", "maxFailedIndexes"} & set(pods)
    github = yaml.safe_load((EXAMPLE / ".github/workflows/fleet.yml").read_text())["jobs"]
    assert github["fleet"]["strategy"]["fail-fast"] is False


def arguments(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:2] == ["exec", "ci-migrate"]
    return words[2:]


def jobs_of_the_page() -> dict[str, dict]:
    page = (EXAMPLE.parents[1] / "docs" / "fleet-approvals.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return dict(zip(("github", "gitlab"), map(yaml.safe_load, blocks), strict=True))


def scripts_of(platform: str, job: dict) -> tuple[str, str, str]:
    """What is typed before somebody approved, and after, and the variable that holds the token."""
    if platform == "gitlab":
        return *("\n".join(job[f"fleet-{n}"]["script"]) for n in ("rehearse", "migrate")), "FLEET_TOKEN"
    steps = [step for step in job["jobs"]["fleet"]["steps"] if "ci-migrate fleet" in step.get("run", "")]
    run, request, approved = (step["run"].removeprefix("exec ") for step in steps)
    assert [step["if"] for step in steps] == [
        "${{ !inputs.token }}",
        "${{ failure() && !inputs.token }}",
        "inputs.token",
    ]
    # a step that is there for a failure, after the one that fails
    return f"code=0; {run} || code=$?\n{request}\nexit $code", approved, "TOKEN"


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_jobs_of_the_page_rehearse_a_fleet_and_migrate_it_with_an_approval(tmp_path, platform):
    """Each in a checkout of its own: what goes from one to the other is the artifact."""
    fleet = new_fleet(tmp_path / "project", 2)
    fleet.set('tags = ["production"]\n')
    (tmp_path / "keys").mkdir()
    ana = Approver("ana", tmp_path / "keys")
    first, second, variable = scripts_of(platform, jobs_of_the_page()[platform])

    def job(script: str, code: int, **more: str) -> str:
        environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "CI_MIGRATE_TRUST": ana.line,
            "CI_MIGRATE_BACKUP_DIR": str(tmp_path / "kept"),
            **more,
        }
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=fleet.project.folder,
            env=fleet.project.environment(environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "2 approval required" in job(first, 4)
    reports = fleet.project.folder / ".ci-migrate" / "reports"
    artifact = shutil.copytree(reports, tmp_path / "artifact")
    shutil.rmtree(fleet.project.folder / ".ci-migrate")
    request = artifact / "fleet-approval-request.json"
    approve = ("approve", str(request), "--key", str(ana.file), "--reason", "why", "--minutes", "240")
    token = ended(fleet.project.call(*approve), 0).strip()
    shutil.copytree(artifact, reports)
    assert "2 migrated" in job(second, 0, **{variable: token})
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 2
