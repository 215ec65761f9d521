"""examples/fleet: what its files would type is typed, on a fleet of SQLite files."""

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import yaml
from alembic_project import ended
from fleet_support import new_fleet

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
