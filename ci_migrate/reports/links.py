"""Where a finding is explained: its page of the documentation. The address is in pyproject.toml, and nowhere else."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from urllib.parse import urlsplit

_OURS = re.compile(r"CM\d{3}")  # plugins explain theirs in their messages


@cache
def documentation() -> str:
    """The address of the site with a "/" at its end, from the package's metadata; "" where it names none yet.

    `.example` is a placeholder that belongs to nobody (RFC 2606): a link to it would lead nowhere.
    """
    try:
        named = metadata("ci-migrate").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    found: str = dict(line.split(", ", 1) for line in named if ", " in line).get("Documentation", "")
    if (urlsplit(found).hostname or "example").endswith("example"):
        return ""
    return found.rstrip("/") + "/"


def page_of(code: str) -> str:
    """The page that explains a finding of this code; "" where there is none."""
    base = documentation()
    return f"{base}checks/{code}/" if base and is_ours(code) else ""


def is_ours(code: str) -> bool:
    """Whether this project has a page for it, which `ci-migrate explain` shows, too."""
    return _OURS.fullmatch(code) is not None
