"""Words that our pages do not use, and how to say it instead: python tests/support/prose.py [FILE...]

A handful of rules of our own. General prose linters were tried: what they found in these pages was typography alone.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTEAD = {
    r"anew": "again",
    r"a human": "a person; in messages: manual intervention required",
    r"ways? back": "rollback path",
    r"stands? in the": "is in the",
    r"by its name": "name it: ci-migrate refuses X",
    r"(?:is|are|was|were) told": "say who says it",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"beforehand|heretofore|thereof|therewith|wherewith": "plain words",
    r"in order to": "to",
    r"e\.g\.|i\.e\.": "for example; that is",
    r"simply|obviously|of course|easily": "leave it out",
    r"utili[sz]e[sd]?": "use",
    r"allows? to": "lets you",
    r"makes? sure to": "the imperative",
    r"we|our|ours|us": "ci-migrate, or you",
}
"""Patterns of whole words, with what to write instead."""
RULES = [
    (re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), instead)
    for pattern, instead in INSTEAD.items()
]
TWICE = re.compile(r"\b(\w+) \1\b", re.IGNORECASE)
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`|\]\([^)]*\)|\"[^\"\n]+\"", re.DOTALL | re.MULTILINE)
GENERATED = ("commands.md", "report.md", "settings.md", "hooks.md")  # their words are those of the code
SPEAKING = ("CONTRIBUTING.md", "SECURITY.md", "releasing.md")  # maintainers speak there


def pages() -> list[Path]:
    """The pages that people write by hand."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    found += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "examples").glob("*/README.md"))
    found += [ROOT / "benchmarks" / "README.md", ROOT / "tests" / "README.md"]
    return [page for page in found if page.name not in GENERATED and page.parent.name != "evidence"]


def look(page: Path) -> Iterator[str]:
    """What is wrong with a page: `FILE:LINE: what, and what instead`."""
    text = CODE.sub(lambda found: re.sub(r"[^\n]", "·", found[0]), page.read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{page.relative_to(ROOT)}:{number}"
        for pattern, instead in RULES:
            for found in pattern.finditer(line):
                if not (instead.startswith("ci-migrate") and page.name in SPEAKING):
                    yield f"{where}: {found[0]!r}: {instead}"
        for found in TWICE.finditer(line):
            yield f"{where}: {found[0]!r} is there twice"


def main() -> int:
    """0 where nothing was found."""
    asked = [Path(name).resolve() for name in sys.argv[1:]] or pages()
    problems = [problem for page in asked for problem in look(page)]
    print("\n".join(problems) or f"{len(asked)} pages: nothing found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
