"""docs/evidence/faults.md names for each fault the tests that carry its number. `UPDATE_FAULTS=1` writes their names."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "faults.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \|", re.MULTILINE)
TEST = re.compile(r"^def (test_((?:[A-Z]\d+_)+)\w*)\(", re.MULTILINE)


@cache
def named_by_row() -> dict[str, list[str]]:
    """The tests of each number, as they are written in the page."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for match in TEST.finditer(path.read_text()):
            for row in match[2].strip("_").split("_"):
                place = path.relative_to(ROOT / "tests").as_posix()
                found.setdefault(row, []).append(f"`{place}::{match[1]}`")
    return found


def written(line: str) -> str:
    """A row of the page with the tests that there are."""
    row = ROW.match(line)
    if row is None:
        return line
    return f"{line.rstrip('| ').rpartition(' | ')[0]} | {'<br>'.join(named_by_row().get(row[1], ()))} |"


def page() -> str:
    if os.environ.get("UPDATE_FAULTS"):
        PAGE.write_text("\n".join(map(written, PAGE.read_text().splitlines())) + "\n")
    return PAGE.read_text()


@pytest.mark.parametrize("row", ROW.findall(page()))
def test_each_row_names_tests_that_are_there(row) -> None:
    expected = named_by_row().get(row, [])
    assert expected, f"no test has the number {row}"
    line = next(line for line in page().splitlines() if line.startswith(f"| {row} |"))
    listed = line.rstrip("| ").rpartition(" | ")[2].split("<br>")
    assert set(listed) <= set(expected), "run it with UPDATE_FAULTS=1"


def test_every_row_of_locks_and_migrations_is_there() -> None:
    """A number that tests have and the page has not would be looked for in vain; so would one that went away."""
    listed = set(ROW.findall(page()))
    assert {row for row in named_by_row() if row[0] in "LM"} <= listed
    assert len([row for row in listed if row[0] in "LM"]) == 24
