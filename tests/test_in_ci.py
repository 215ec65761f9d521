"""The action, the workflow and the component do on a runner what they say: their own shell lines, run."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ci_runners import ROOT, GitHubRunner, bare, gitlab_component, run_gitlab_job

ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "migrate.yml"
COMPONENT = ROOT / "templates" / "migrate.yml"
SLOW = "import os, time\nopen('migrating', 'w').close()\ntime.sleep(30 if os.environ['CI_MIGRATE_STAGE'] == 'migrate' else 0)"


@pytest.fixture
def shop(alembic_project):
    alembic_project.settings(
        '[targets.dev]\nurl = "sqlite:///app.db"\n[targets.live]\nurl = "sqlite:///live.db"\n'
        'tags = ["production"]\nscratch = "server"\n'
    )
    alembic_project.revision("r1", None, "CREATE TABLE users (id INTEGER PRIMARY KEY)", "DROP TABLE users")
    return alembic_project


@pytest.fixture
def runner(shop, tmp_path) -> GitHubRunner:
    return GitHubRunner(shop.folder, tmp_path / "runner")


def shell_lines(value: object, key: str = "") -> list[str]:
    """Every text in a file that a shell gets."""
    if isinstance(value, dict):
        return [line for k, v in value.items() for line in shell_lines(v, k)]
    if isinstance(value, list):
        return [line for v in value for line in shell_lines(v, key)]
    return [str(value)] if key in ("run", "script", "before_script") else []


def test_what_others_write_never_gets_into_a_line_of_the_shell() -> None:
    for file in (ACTION, WORKFLOW, ROOT / ".github" / "workflows" / "tests.yml"):
        lines = shell_lines(yaml.safe_load(file.read_text()))
        assert lines
        assert not [line for line in lines if "${{" in line], file
    header, body = COMPONENT.read_text().split("\n---\n")
    assert header
    assert not [line for line in shell_lines(yaml.safe_load(body)) if "$[[" in line]


def test_the_gate_is_the_entry_process() -> None:
    """Only that one gets the signals of a runner that is cancelled."""
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    for job in yaml.safe_load(WORKFLOW.read_text())["jobs"].values():
        steps += job["steps"]
    gates = [step["run"] for step in steps if step.get("id") == "gate"]
    gates.append("\n".join(gitlab_component(COMPONENT)["migrate"]["script"]))
    assert len(gates) == 4
    for gate in gates:
        assert re.match(r"exec \S*ci-migrate\"? ", gate.strip().splitlines()[-1]), gate


def test_green_and_red_as_an_action(shop, runner) -> None:
    green = runner.action(ACTION, install="none", target="dev", arguments="--to\nr1")
    assert green.code == 0, green.log
    assert green.outputs["exit-code"] == "0"
    assert green.outputs["status"] == "migrated"
    assert re.fullmatch("[0-9a-f]{64}", green.outputs["plan-digest"])
    assert green.outputs["backup-id"].startswith("backup_")
    assert (shop.folder / green.outputs["report-dir"] / "junit.xml").exists()
    assert "backup_" in green.summary
    shop.revision("r2", "r1", "INSERT INTO users VALUES (1); INSERT INTO users VALUES (1)")
    red = runner.action(ACTION, install="none", target="dev")
    assert red.code == 1, red.log
    assert red.outputs["exit-code"] == "1"
    assert red.outputs["status"] == "untouched"
    annotation = next(line for line in red.log.splitlines() if line.startswith("::error"))
    assert "file=migrations/versions/r2.py,line=" in annotation
    fence = re.search("^::stop-commands::(.+)$", red.log, re.MULTILINE)[1]
    assert red.log.index(f"\n::{fence}::\n") < red.log.index("::error")
    assert "r2" in red.summary


def test_production_as_an_action(shop, runner) -> None:
    stopped = runner.action(ACTION, install="none", target="live")
    assert stopped.code == 4, stopped.log
    assert (shop.folder / ".ci-migrate" / "reports" / "approval-request.json").exists()
    made = shop.call(
        "token",
        "generate",
        "--target",
        "live",
        "--reason",
        "seen",
        "--quiet",
        "--plan",
        stopped.outputs["plan-digest"],
    )
    assert made.code == 0, made.text
    token = made.out.strip()
    done = runner.action(ACTION, install="none", target="live", token=token)
    assert done.code == 0, done.log
    assert done.log.count(token) == 1
    assert f"::add-mask::{token}" in done.log


def test_a_cancelled_job_says_where_it_stopped(shop, runner) -> None:
    shop.revision("r2", "r1", SLOW)
    started = shop.folder / "migrating"
    ended = runner.action(ACTION, install="none", target="dev", when=started.exists)
    assert ended.code == 128 + signal.SIGINT, ended.log
    assert ended.outputs["exit-code"] == "130"
    assert (shop.folder / ".ci-migrate" / "reports" / "junit.xml").exists()
    assert shop.call("run", "--target", "live").code in (0, 4)  # nothing of it is in anybody's way


@pytest.mark.long
def test_the_action_installs_itself(shop, runner) -> None:
    done = runner.action(ACTION, target="dev", extras="approval")
    assert done.code == 0, done.log
    assert (Path(runner.environ["RUNNER_TEMP"]) / "ci-migrate" / "bin" / "ci-migrate").exists()


def test_plan_reviewers_apply(shop, runner) -> None:
    """The reusable workflow where reviewers of an environment confirm what the first job showed."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    installed = Path(runner.environ["RUNNER_TEMP"]) / "ci-migrate" / "bin"
    installed.mkdir(parents=True)
    (installed / "ci-migrate").symlink_to(Path(__import__("sys").executable).parent / "ci-migrate")

    def run(job: str, **more: str):
        steps = [s for s in jobs[job]["steps"] if not s.get("name", "").startswith("Install")]
        contexts = {
            "inputs.target": "live",
            "inputs.working-directory": ".",
            "inputs.environment": "production",
        }
        return runner.steps(steps, contexts | more)

    assert run("plan", **{"inputs.environment-approves": "false"}).code == 4
    plan = run("plan", **{"inputs.environment-approves": "true"})
    assert plan.code == 0, plan.log
    digest = runner.outputs["gate"]["plan-digest"]
    other = run("apply", **{"needs.plan.outputs.plan-digest": "0" * 64})
    assert other.code == 1, other.log
    assert "changed since" in other.log
    done = run("apply", **{"needs.plan.outputs.plan-digest": digest})
    assert done.code == 0, done.log
    assert runner.outputs["gate"]["status"] == "migrated"
    assert "reviewers of the environment production" in shop.call("audit", "show", "--target", "live").out


@pytest.mark.long
@pytest.mark.skipif(shutil.which("gitlab-ci-local") is None, reason="npm install --global gitlab-ci-local")
def test_the_component_by_another_reader_of_gitlabs_files(shop, tmp_path) -> None:
    """gitlab-ci-local puts the inputs in, runs the job with its shell executor, and collects the artifacts."""
    component = shop.write(
        "templates/migrate.yml", COMPONENT.read_text().replace("  image: $[[ inputs.image ]]\n", "")
    )
    assert "image: $[[" not in component.read_text()  # its shell executor takes jobs without one
    inputs = f"target: dev, install: 'true', stage: test, package: {ROOT}"
    shop.write(".gitlab-ci.yml", f"include:\n  - local: templates/migrate.yml\n    inputs: {{{inputs}}}\n")
    for words in (
        "init -q",
        "add .",
        "-c user.name=a -c user.email=a@b commit -qm x",
        "remote add origin https://gitlab.example.com/a/b.git",
    ):
        subprocess.run(["git", *words.split()], cwd=shop.folder, check=True)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["gitlab-ci-local", "--home", str(tmp_path / "home"), "migrate"], cwd=shop.folder,
        env=bare({"PATH": path, "HOME": str(tmp_path)}), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    artifacts = shop.folder / ".gitlab-ci-local" / "artifacts" / "migrate"
    assert "MIGRATION_STATUS=migrated" in next(artifacts.rglob("ci-migrate.env")).read_text()
    assert (artifacts / ".ci-migrate" / "reports" / "junit.xml").exists()


def test_the_component(shop, tmp_path) -> None:
    job = gitlab_component(COMPONENT, target="dev", install=":")["migrate"]
    assert job["artifacts"]["when"] == "always"
    lines = [line for line in job["before_script"] if "/tmp/ci-migrate" not in line]
    script = [line.replace("/tmp/ci-migrate/bin/", "") for line in job["script"]]
    done = run_gitlab_job({**job, "before_script": lines, "script": script}, shop.folder, {})
    assert done.code == 0, done.log
    for report in job["artifacts"]["reports"].values():
        assert (shop.folder / report).read_text(), report
    dotenv = dict(
        line.split("=", 1)
        for line in (shop.folder / job["artifacts"]["reports"]["dotenv"]).read_text().splitlines()
    )
    assert dotenv["MIGRATION_EXIT_CODE"] == "0"
    assert dotenv["MIGRATION_STATUS"] == "migrated"


def test_the_hook_shows_warnings_although_it_passes() -> None:
    """pre-commit prints nothing of a hook that passes, unless it is verbose: `check --since` warns of a dropped table."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["verbose"] is True
