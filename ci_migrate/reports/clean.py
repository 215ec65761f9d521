"""Cleans text that is not ours (errors, SQL, names) before it gets into any report.

A control character breaks XML, an escape sequence rewrites a terminal, a lone surrogate can't be encoded, and
a mark that turns the direction of writing shows an approver something else than what will run.
"""

import re
from datetime import datetime
from typing import Any

import msgspec

from ci_migrate.model import Report
from ci_migrate.settings.secrets import hide_secrets

LIMIT = 20_000
"""Characters that a text may have in a report; the middle of longer ones is left out."""

_MARKER_ROOM = 80

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"  # all others
)
_NEW_LINE = re.compile("\r\n?|[\u0085\u2028\u2029\x0b\x0c]")
_UNFIT = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069"  # they turn the direction, or can't be seen
    "\ufeff\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_COMMAND = re.compile(r"^\s*:(?=:)|#(?=#\w*\[)|section_(?:start|end)(?=:)", re.MULTILINE)
"""What a CI would obey: `::error::`, `##[error]`, `##vso[...]`, GitLab's `section_start:`."""


def clean(text: str, limit: int = LIMIT) -> str:
    """The text without secrets, and without anything that XML, JSON or a terminal can't bear.

    Escape sequences go; other unfit characters become U+FFFD, so that one sees that something was there.

    Args:
        text: anything, of any length.
        limit: characters of the result at most; the middle is left out, with a count, since an error has its
            subject at the start and its reason at the end.
    """
    text = hide_secrets(text)  # first: half of one is no longer known as one
    if len(text) > limit:
        kept = max(0, limit - _MARKER_ROOM)
        head, tail = kept - kept // 4, kept // 4
        left_out = len(text) - kept
        marker = f"\n[... {left_out:,} characters left out ...]\n"
        text = text[:head] + marker + text[len(text) - tail :]
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE_SEQUENCE.sub("", text)
    text = _NEW_LINE.sub("\n", text)
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def for_terminal(text: str, *, coloured: bool = False) -> str:
    """What may be printed: clean, and nothing in it that a CI would take for a command.

    Args:
        text: of any length.
        coloured: colours stay, since a renderer of ours put them there, who cleaned what it was given.
    """
    parts = _COLOUR.split(text) if coloured else [text]
    parts[::2] = (_COMMAND.sub(r"\g<0> ", clean(part, limit=len(part) + 1)) for part in parts[::2])
    return "".join(parts)


def one_line(text: str, limit: int = 300) -> str:
    """The text on one line, white space collapsed, cut with a count after `limit` characters."""
    line = " ".join(clean(text).split())
    return (
        line if len(line) <= limit else f"{line[:limit].rstrip()}... ({len(line) - limit:,} more characters)"
    )


def clean_report(report: Report) -> Report:
    """The same Report with every text in it cleaned. Digests are taken of the original, not of this one."""
    return msgspec.convert(clean_value(report), Report)


def clean_value(value: object) -> Any:
    """A noun or a list of them as dicts and lists, with every text in it cleaned."""
    return _clean(msgspec.to_builtins(value, builtin_types=(datetime,)))


def plan_digest(report: Report) -> str:
    """The digest of the original plan; "" where there is none, or where its text can't be encoded."""
    try:
        return report.plan.digest if report.plan else ""
    except UnicodeEncodeError:
        return ""


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
