"""docs/evidence/rules.md: what it says of ci-migrate names checks that there are, and leads to pages that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "evidence" / "rules.md"
TOOLS = (
    "squawk",
    "strong_migrations",
    "Eugene",
    "pgfence",
    "MigrationPilot",
    "alembic-guard",
    "django-migration-linter",
)
WAYS = {"read", "measured", "server", "setting", "not"}


def rows() -> list[list[str]]:
    """The cells of each row about a rule: what, each tool, ci-migrate, how."""
    lines = (line for line in PAGE.read_text().splitlines() if line.startswith("| "))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        row for row in cells if len(row) == len(TOOLS) + 3 and not {row[0], row[0].strip("-")} & {"what", ""}
    ]


def test_each_check_that_is_named_is_there() -> None:
    source = "".join(file.read_text() for file in (ROOT / "ci_migrate").rglob("*.py"))
    named = set(re.findall(r"CM\d{3}", PAGE.read_text()))
    assert len(named) > 10
    assert {code for code in named if f'"{code}"' not in source} == set()


def test_each_page_that_is_linked_is_there() -> None:
    linked = [
        target
        for target in re.findall(r"\]\(([^)]+)\)", PAGE.read_text())
        if not target.startswith("https://")
    ]
    assert linked
    assert [target for target in linked if not (PAGE.parent / target.partition("#")[0]).exists()] == []


def test_each_rule_is_linked_and_answered() -> None:
    assert len(rows()) > 50
    for what, *tools, ours, how in rows():
        assert any(tools), what
        assert ours, what
        assert set(how.split(", ")) <= WAYS, what
        for tool, cell in zip(
            TOOLS[:5], tools, strict=False
        ):  # the others have one page for all of their rules
            assert re.sub(r"\[[^\]]+\]\(https://[^)]+\)(, )?", "", cell) == "", (what, tool)


def test_what_is_read_has_a_check_that_reads_or_measures() -> None:
    assert [
        what for what, *_, ours, how in rows() if "measured" in how and not re.search(r"CM\d|`", ours)
    ] == []
