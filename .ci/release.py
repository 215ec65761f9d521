"""What a tag releases: python .ci/release.py v0.2.0 prints the changelog's section, or says why it is no release."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def notes(tag: str, root: Path = ROOT) -> str:
    """The section of the changelog that a tag is about.

    Raises:
        ValueError: tag, pyproject.toml and CHANGELOG.md are not of one release, or the addresses are placeholders.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = tag.removeprefix("v")
    if project["version"] != version:
        raise ValueError(f"The tag says {version}, pyproject.toml says {project['version']}.")
    placeholders = [name for name, url in project["urls"].items() if re.search(r"//[^/]+\.example(/|$)", url)]
    if placeholders:
        raise ValueError(
            f"pyproject.toml still has placeholders in [project.urls]: {', '.join(placeholders)}."
        )
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## {re.escape(version)}, (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    if section is None or not section[2].strip():
        raise ValueError(f"CHANGELOG.md has no section `## {version}, YYYY-MM-DD` with lines in it.")
    return section[2].strip() + "\n"


if __name__ == "__main__":
    try:
        print(notes(sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(str(error))
