"""Where a finding or an error is explained: its page of the site, whose address is in pyproject.toml alone."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from urllib.parse import urlsplit

from ci_migrate.errors import error_codes
from ci_migrate.verbs import ALL

STAGE_CODES = tuple(f"{stage}-failed" for stage in ALL)
"""What a run failed of that met no error of ours, by the stage."""

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")
"""A link from one page to another."""

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
    """The page that explains a finding or an error of this code; "" where there is none."""
    base = documentation()
    if not base:
        return ""
    if is_ours(code):
        return f"{base}checks/{code}/"
    return f"{base}errors/#{code}" if code in error_codes() or code in STAGE_CODES else ""


def is_ours(code: str) -> bool:
    """Whether this project has a page for it, which `ci-migrate explain` shows, too."""
    return _OURS.fullmatch(code) is not None


def without_links(page: str) -> str:
    """A page for where the others are not: links to them are their words alone."""
    return _LINK.sub(r"\1", page)
