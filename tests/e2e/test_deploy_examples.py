"""examples/deploy: each manifest is read as its platform reads it, and the commands that it holds are typed."""

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from alembic_project import ended

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
LIVE = """
[targets.production]
url = "env:DATABASE_URL"
scratch = "server"
"""


def manifests() -> list[dict]:
    texts = [re.sub(r"\{\{.*?\}\}", "shop", p.read_text()) for p in sorted(DEPLOY.glob("*.yml"))]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def pods() -> list[dict]:
    return [manifest["spec"]["template"]["spec"] for manifest in manifests()]


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / name)
    return parser


def commands() -> list[list[str]]:
    found = [
        c["command"]
        for pod in pods()
        for c in (*pod.get("initContainers", ()), *pod["containers"])
        if "command" in c
    ]
    found.append(shlex.split(unit("ci-migrate.service")["Service"]["ExecStart"]))
    found.append(shlex.split(unit("app.service")["Service"]["ExecStartPre"]))
    found.append(shlex.split((DEPLOY / "Procfile").read_text().splitlines()[0].partition(": ")[2]))
    found.append(shlex.split(tomllib.loads((DEPLOY / "fly.toml").read_text())["deploy"]["release_command"]))
    return found


def test_one_migrates_and_the_others_wait(alembic_project):
    """With a token it goes green, and each command that waits ends at once."""
    alembic_project.settings(LIVE)
    environ = {"DATABASE_URL": f"sqlite:///{alembic_project.database}"}
    found = [words[1:] for words in commands()]
    assert all(words[0].endswith("ci-migrate") for words in commands())
    runs = {tuple(words) for words in found if words[0] == "run"}
    waits = {tuple(words) for words in found if words[0] == "wait"}
    assert (len(found), len(runs)) == (8, 1)
    assert len(waits) == 1
    (run,), (wait,) = runs, waits
    ended(alembic_project.call(*run, env=environ), 4)
    ended(alembic_project.call(*wait, "--timeout", "0", env=environ), 1, "not applied yet: r1, r2")
    token = alembic_project.call(
        "token", "generate", "--target", "production", "--reason", "x", "--quiet", env=environ
    )
    ended(alembic_project.call(*run, env=environ | {"CI_MIGRATE_TOKEN": token.out.strip()}), 0)
    ended(alembic_project.call(*wait, env=environ), 0)


def test_a_job_that_failed_is_not_tried_again():
    jobs = [m for m in manifests() if m["kind"] == "Job"]
    assert len(jobs) == 3
    for job in jobs:
        assert job["spec"]["backoffLimit"] == 0
        pod = job["spec"]["template"]["spec"]
        assert pod["restartPolicy"] == "Never"
        assert pod["terminationGracePeriodSeconds"] > 30, "a run that is ended needs time to stop"
        names = {one["name"] for container in pod["containers"] for one in container["env"]}
        assert "CI_MIGRATE_BACKUP_DIR" in names, "the pod's own disk goes with it"


def test_systemd_reads_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    for name in ("ci-migrate.service", "app.service"):
        text = (
            (DEPLOY / name)
            .read_text()
            .replace("/srv/shop/.venv/bin/", "/bin/")
            .replace("/bin/ci-migrate", "/bin/true")
        )
        (tmp_path / name).write_text(text.replace("/bin/uvicorn", "/bin/true"))
    units = [str(tmp_path / name) for name in ("ci-migrate.service", "app.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert said == []
