"""docs/agents/loop.md: what an agent writes and calls, replayed call by call."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from alembic_project import new_project

PAGE = Path(__file__).parents[2] / "docs" / "agents" / "loop.md"
CASES = {
    "A table goes with its rows": "table_dropped_with_rows",
    "A column that must have a value": "not_null_without_default",
    "A unique index on rows that are not": "unique_on_duplicates",
}


def sections() -> dict[str, str]:
    parts = PAGE.read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: part for part in parts}


def steps(section: str) -> list[tuple[str, str]]:
    """What is written (`python`) and what is called (the tool's name, with the answer), in order."""
    found = []
    called = ""
    for words, kind, block in re.findall(r"(.*?)```(\w+)\n(.*?)```", section, re.DOTALL):
        if kind == "json":
            called = re.findall(r"calls `(\w+)`", words)[-1]
        found.append(("write" if kind == "python" else called, block))
    return found


def is_explanation(item) -> bool:
    """The command that explains a code, which the page leaves out."""
    return isinstance(item, dict) and str(item.get("command")).startswith("ci-migrate explain ")


def is_part(shown, real, where="") -> None:
    """What is shown is in the real answer; lists have the same length."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, f"{where}.{key}"
            is_part(value, real[key], f"{where}.{key}")
    elif isinstance(shown, list):
        told = [item for item in real if not is_explanation(item)]
        assert len(shown) == len(told), (where, real)
        for one, other in zip(shown, told, strict=True):
            is_part(one, other, f"{where}[]")
    else:
        assert shown == real, (where, real)


def test_the_page_has_the_cases():
    assert list(sections()) == list(CASES)


@pytest.mark.parametrize("title", CASES)
def test_the_loop(tmp_path, talk, title):
    case = import_module(f"benchmarks.bad_migrations.bad.{CASES[title]}").CASE
    project = new_project(tmp_path / "project", revisions=False)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    project.revision("r0", None, case.schema)
    assert project.gate("run").exit_code == 0
    project.sql(case.rows.rstrip(";"))
    before = project.dump()
    told = steps(sections()[title])
    assert [kind for kind, _ in told].count("write") >= 2

    async def conversation(client):
        answers = []
        for kind, block in told:
            if kind == "write":
                project.write("migrations/versions/r1.py", block)
            else:
                answers.append((json.loads(block), (await client.call_tool(kind, {})).structured_content))
        return answers

    answers = talk(project, conversation)
    for shown, real in answers:
        is_part(shown, real)
    assert answers[-1][0]["exitCode"] == 0, "the loop comes to its end"
    assert project.dump() == before, "the target is as it was"
