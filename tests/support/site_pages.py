"""The documentation as a website: python tests/support/site_pages.py [--serve]. It is built in `build/site`.

The pages are those of docs/, README files of examples/ and a few from the root. On GitHub their links lead from file to
file; here they lead from page to page, and to the repository where there is no page.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "pages"
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)


def urls() -> dict[str, str]:
    """Where the project lives: the one place that names it is pyproject.toml."""
    found: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    return found


def pages() -> dict[Path, Path]:
    """Each file that becomes a page, and its place on the site."""
    docs = ROOT / "docs"
    found = {file: file.relative_to(docs) for file in sorted(docs.rglob("*.md"))}
    for readme in sorted((ROOT / "examples").glob("*/README.md")):
        found[readme] = Path("examples", f"{readme.parent.name}.md")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        found[ROOT / name] = Path(name.lower())
    found[ROOT / "benchmarks" / "README.md"] = Path("evidence", "running-benchmarks.md")
    return found


def translate(text: str, source: Path, places: dict[Path, Path]) -> str:
    """The page with its links as the site needs them; blocks of code stay as they are."""

    def link(match: re.Match[str]) -> str:
        start, path, anchor, end = match[1], match[2], match[3] or "", match[4]
        aim = (source.parent / path).resolve()
        if aim in places:
            path = os.path.relpath(places[aim], places[source].parent)
        elif aim.is_relative_to(ROOT / "docs"):
            path = os.path.relpath(aim.relative_to(ROOT / "docs"), places[source].parent)
        else:
            kind = "tree" if aim.is_dir() else "blob"
            path = f"{urls()['Source']}/{kind}/main/{aim.relative_to(ROOT).as_posix()}"
        return f"{start}{path}{anchor}{end}"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def lay_out() -> None:
    """Write all pages into `build/pages`, where the site is built from."""
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.copytree(ROOT / "docs", BUILT)
    places = pages()
    for source, place in places.items():
        (BUILT / place).parent.mkdir(parents=True, exist_ok=True)
        (BUILT / place).write_text(
            translate(source.read_text(encoding="utf-8"), source, places), encoding="utf-8"
        )


def main() -> int:
    """Build it, or show it while it is written."""
    lay_out()
    command = ["serve"] if "--serve" in sys.argv else ["build", "--strict", "--clean"]
    environ = {
        **os.environ,
        "SITE_URL": urls()["Documentation"],
        "SOURCE_URL": urls()["Source"],
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "zensical", *command], cwd=ROOT, env=environ, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
