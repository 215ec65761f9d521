"""`.ci/release.py`: what a tag would publish is compared before anything is."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = """[project]
version = "0.2.0"
[project.urls]
Documentation = "https://docs.shop.test/"
"""
CHANGELOG = """# Changelog

## Unreleased

## 0.2.0, 2026-12-24

- A new thing.

## 0.1.0, 2026-11-22

- Older.
"""


@pytest.fixture
def notes():
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.notes


def test_the_notes_are_the_section_of_the_changelog(notes, tmp_path):
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    assert notes("v0.2.0", tmp_path) == "- A new thing.\n"


@pytest.mark.parametrize(
    ("tag", "project", "changelog", "words"),
    [
        ("v0.3.0", PROJECT, CHANGELOG, "The tag says 0.3.0, pyproject.toml says 0.2.0"),
        ("v0.2.0", PROJECT, CHANGELOG.replace("0.2.0", "0.2.1"), "no section `## 0.2.0, YYYY-MM-DD`"),
        ("v0.2.0", PROJECT, CHANGELOG.replace("- A new thing.", ""), "no section"),
        ("v0.2.0", PROJECT.replace("docs.shop.test", "ci-migrate.example"), CHANGELOG, "placeholders"),
    ],
)
def test_what_does_not_fit_is_no_release(notes, tmp_path, tag, project, changelog, words):
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    with pytest.raises(ValueError, match=words):
        notes(tag, tmp_path)


def test_nothing_is_released_with_the_placeholders_of_today(notes):
    """Until docs/releasing.md was followed: then this test goes."""
    with pytest.raises(ValueError, match="placeholders"):
        notes("v0.1.0")
