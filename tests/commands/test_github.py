"""What a step on GitHub gets of a command: fenced output, annotations, outputs and a summary; elsewhere nothing."""

import json
import re

from alembic_project import ended


def step(project, **more):
    files = {name: str(project.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    return {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(project.folder.parent), **files, **more}


def test_elsewhere_no_line_is_an_order(alembic_project):
    out = ended(alembic_project.call("plan"), 0)
    assert not any(line.startswith("::") for line in out.splitlines())


def test_outputs_summary_and_a_fence_that_nobody_can_guess(alembic_project):
    fences = set()
    for _ in range(2):
        done = alembic_project.call("plan", env=step(alembic_project))
        lines = ended(done, 0).splitlines()
        fence = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", lines[0])
        assert f"::{fence[1]}::" in lines
        fences.add(fence[1])
    assert len(fences) == 2
    assert "exit-code=0" in (alembic_project.folder / "GITHUB_OUTPUT").read_text()
    assert "r2" in (alembic_project.folder / "GITHUB_STEP_SUMMARY").read_text()


def test_a_finding_is_annotated_at_its_line_from_the_top_of_the_checkout(alembic_project):
    alembic_project.revision("r3", "r2", "drop table users")
    done = alembic_project.call("check", env=step(alembic_project))
    orders = [line for line in done.out.splitlines() if line.startswith(("::warning", "::error"))]
    assert orders, done.text
    assert all("file=project/migrations/versions/" in line for line in orders if "file=" in line)
    fence = next(n for n, line in enumerate(done.out.splitlines()) if line.startswith("::stop-commands::"))
    assert all(done.out.splitlines().index(line) > fence for line in orders)


def test_a_file_that_cannot_be_written_is_a_warning(alembic_project):
    env = step(alembic_project, GITHUB_OUTPUT=str(alembic_project.folder))
    ended(alembic_project.call("plan", env=env), 0, "GITHUB_OUTPUT could not be written: Is a directory.")


def test_outputs_are_added_to_what_the_step_has_written(alembic_project):
    """Both files belong to the step: what it wrote before stays."""
    env = step(alembic_project)
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        (alembic_project.folder / name).write_text("mine=1\n")
    ended(alembic_project.call("plan", env=env), 0)
    ended(alembic_project.call("plan", "nowhere", env=env), 1)
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        assert (alembic_project.folder / name).read_text().startswith("mine=1\n")
    assert (alembic_project.folder / "GITHUB_OUTPUT").read_text().count("exit-code=") == 2


def test_json_alone_on_standard_output_there_too(alembic_project):
    done = alembic_project.call("plan", "--json", env=step(alembic_project))
    assert json.loads(done.out)["exitCode"] == 0
    assert "::stop-commands::" in done.err


def test_settings_that_can_not_be_read_are_annotated_too(alembic_project):
    alembic_project.settings("nonsense = 1\n")
    done = alembic_project.call("run", env=step(alembic_project))
    ended(done, 2, "::error", "unknown key nonsense")
    fence = next(line for line in done.out.splitlines() if line.startswith("::stop-commands::"))
    assert f"::{fence.rpartition('::')[2]}::" in done.out.splitlines(), (
        "the fence is taken away on every way out"
    )
