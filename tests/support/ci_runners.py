"""GitHub's and GitLab's runners, as far as a step of ours can see them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
HIDDEN = ("CI_", "GITHUB_", "GITLAB_", "RUNNER_", "DATABASE_URL", "ALEMBIC_", "VIRTUAL_ENV")


def bare(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a job: none of those that this process was started with by another CI."""
    kept = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(HIDDEN)}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "CI": "true", **environ}


@dataclass
class Ended:
    """How a job ended."""

    code: int
    log: str
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


def as_a_runner_cancels(process: "subprocess.Popen[str]") -> None:
    """SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL: to the entry process alone."""
    for number, seconds in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5), (signal.SIGKILL, 5)):
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return


class GitHubRunner:
    """Runs the steps of a composite action or a job that are shell; `uses:` steps are left out."""

    def __init__(self, workspace: Path, folder: Path, environ: Mapping[str, str] = {}) -> None:
        self.workspace, self.folder = workspace, folder
        folder.mkdir(parents=True)
        self.environ = bare(environ)
        self.environ |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_ACTOR": "octocat",
            "GITHUB_REF_PROTECTED": "true",
            "GITHUB_SHA": "1" * 40,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "shop/shop",
            "GITHUB_RUN_ID": "7",
            "RUNNER_TEMP": str(folder),
        }
        self.outputs: dict[str, dict[str, str]] = {}

    def expression(self, text: str, contexts: Mapping[str, str]) -> str:
        """`${{ }}` with names only: an unknown name is empty, as on the real thing."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            step = re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", name)
            return self.outputs.get(step[1], {}).get(step[2], "") if step else contexts.get(name, "")

        return EXPRESSION.sub(value, str(text))

    def action(
        self,
        path: Path,
        when: Callable[[], bool] | None = None,
        skip: tuple[str, ...] = (),
        **inputs: str,
    ) -> Ended:
        """`uses: PATH` with these inputs (`_` for `-`); `when` says that the job is to be cancelled."""
        action = yaml.safe_load(path.read_text())
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert given.keys() <= action["inputs"].keys()
        contexts = {"github.action_path": str(path.parent)}
        for name, spec in action["inputs"].items():
            contexts[f"inputs.{name}"] = given.get(name, spec.get("default", ""))
        if contexts.get("inputs.install") == "none":
            skip = (*skip, "Install ci-migrate")
        steps = [step for step in action["runs"]["steps"] if step.get("name") not in skip]
        ended = self.steps(steps, contexts, when)
        for name, spec in action["outputs"].items():
            ended.outputs[name] = self.expression(spec["value"], contexts)
        return ended

    def steps(
        self,
        steps: list[dict[str, Any]],
        contexts: Mapping[str, str],
        when: Callable[[], bool] | None = None,
    ) -> Ended:
        """The shell steps of a job, until one fails that may not."""
        log, summary, code = "", "", 0
        for number, step in enumerate(steps):
            if "run" not in step:
                continue
            files = {
                name: self.folder / f"{number}-{name}" for name in ("OUTPUT", "STEP_SUMMARY", "ENV", "PATH")
            }
            for file in files.values():
                file.touch()
            environ = {name: self.expression(value, contexts) for name, value in step.get("env", {}).items()}
            environ = {**self.environ, **{f"GITHUB_{n}": str(f) for n, f in files.items()}, **environ}
            script = self.folder / f"{number}.sh"
            script.write_text(step["run"])
            process = subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
                cwd=self.workspace / self.expression(step.get("working-directory", "."), contexts),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if when is not None and step.get("id") == "gate":
                wait_for(when, process)
                as_a_runner_cancels(process)
            out, _ = process.communicate(timeout=300)
            log, summary = log + out, summary + files["STEP_SUMMARY"].read_text()
            self.outputs[step.get("id", str(number))] = outputs_of(files["OUTPUT"].read_text())
            if process.returncode and not step.get("continue-on-error"):
                code = process.returncode
                break
        return Ended(code, log, {}, summary)


def wait_for(when: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    """Until it is so; the process may not end before."""
    deadline = time.monotonic() + seconds
    while not when():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def outputs_of(text: str) -> dict[str, str]:
    """A GITHUB_OUTPUT file: `name=value` and `name<<MARK ... MARK`."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, mark, end = line.partition("<<")
        if mark and "=" not in name:
            value = []
            for more in lines:
                if more == end:
                    break
                value.append(more)
            found[name] = "\n".join(value)
        else:
            name, _, value = line.partition("=")
            found[name] = value
    return found


def gitlab_component(path: Path, **inputs: str) -> dict[str, Any]:
    """The jobs of a component with its inputs put in, as GitLab does it: in each text, after the file is read."""
    header, _, body = path.read_text().partition("\n---\n")
    spec = yaml.safe_load(header)["spec"]["inputs"]
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    assert given.keys() <= spec.keys()
    values = {name: given.get(name, what["default"]) for name, what in spec.items()}
    assert all(values[name] in what["options"] for name, what in spec.items() if "options" in what)

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {put_in(k): put_in(v) for k, v in node.items()}
        if isinstance(node, list):
            return [put_in(v) for v in node]
        if isinstance(node, str):
            return re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: values[match[1]], node)
        return node

    jobs: dict[str, Any] = put_in(yaml.safe_load(body))
    return jobs


def run_gitlab_job(job: Mapping[str, Any], workspace: Path, environ: Mapping[str, str]) -> Ended:
    """before_script and script in one shell, as the runner does."""
    lines = [*job.get("before_script", ()), *job["script"]]
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(lines)],
        cwd=workspace,
        env=bare({"GITLAB_CI": "true", **job.get("variables", {}), **environ}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return Ended(done.returncode, done.stdout)
