"""What went wrong, for the parent: an exception and a driver's error, without what stood in a row."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from typing import Any

from .channel import Stopped
from .state import State

BUSY = (
    " (by another connection of this process, which has written and not committed: send both by op.get_bind(), or"
    " commit the one first)"
)


def describe_failure(error: BaseException, state: State) -> dict[str, Any]:
    """What went wrong, and where in the project."""
    if isinstance(error, Stopped):
        return {"kind": "stopped", "message": "stopped at a statement boundary"}
    kinds = {"CommandError": "command", "Refused": "refused", "NotFound": "configure"}
    kind = kinds.get(type(error).__name__, "exit" if isinstance(error, SystemExit) else "error")
    if state.wall.refused and kind == "error":
        kind = "refused"
    if state.loading and kind == "error":
        kind = "script"
    frames: list[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    place = state.blame.find_culprit(frames)
    told = find_statement(error)
    # who has not connected has read no row
    shown = state.shows_values or not state.wall.asked
    known = "\n".join([told, *("".join(linecache.getlines(name)) for name in {f.filename for f in frames})])
    message = (
        f"sys.exit({error.code})" if isinstance(error, SystemExit) else error_words(error, known, shown=shown)
    )
    if not shown and message != error_words(error, shown=True):
        message += HIDDEN
    if isinstance(error, ImportError) and kind in ("error", "script"):
        message += f" (run by {sys.executable})"
    if sqlstate(error) == "SQLITE_BUSY" and state.locked_by_us:
        message += BUSY
    waits = state.waits_for if sqlstate(error) in ("55P03", "1205") else ""
    message += waits
    if kind in ("command", "refused", "configure"):
        message = str(error).splitlines()[0] if str(error) else message
    if state.inputs.refused:  # whatever the project made of it
        kind, message = "input", state.inputs.refused
    if state.inputs.wanted_program:
        kind, message = "program", "it starts a program"
    if isinstance(error, SyntaxError) and error.filename and state.blame.is_project(error.filename):
        place = traceback.FrameSummary(error.filename, error.lineno or 1, "")
    return {
        "kind": kind,
        "message": message[:4000],
        "sqlstate": sqlstate(error),
        "context": state.context,
        "waits_for_itself": bool(waits),
        "file": place.filename if place else None,
        "line": place.lineno if place else None,
        "revision": state.revision if not state.stamped else None,
        "sql": told.removeprefix(state.wall.mysql.caption)[:20000],
        "trace": "".join(traceback.format_list(state.blame.select_frames(frames)))[-16000:],
    }


def find_statement(error: BaseException) -> str:
    """The statement that failed, without its bound values; "" where the error came from elsewhere."""
    seen: BaseException | None = error
    for _ in range(8):  # what a revision caught and raised anew
        if seen is None:
            break
        if isinstance(getattr(seen, "statement", None), str):
            return str(seen.statement)  # type: ignore[attr-defined]  # of SQLAlchemy's StatementError
        seen = seen.__cause__ or seen.__context__
    return ""


def sqlstate(error: Any) -> str | None:
    """The code by which a driver tells what failed."""
    error = getattr(error, "orig", None) or error
    number = error.args[0] if getattr(error, "args", ()) else None
    if isinstance(number, int):
        return str(number)  # MySQL and MariaDB: the server's own number says more than the SQLSTATE
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        value = getattr(error, name, None)
        if value:
            return str(value)
    return "SQLITE_BUSY" if "database is locked" in str(error) else None


VALUE = re.compile(
    r"(Duplicate entry |(?:Incorrect|Truncated incorrect) [\w ]+ value: |invalid input (?:syntax|value) for [^:]+: )"
    r"(['\"]).*?\2(?= for (?:key|column|function) | \(\d+\)$|$)",
    re.DOTALL,
)
"""Where servers repeat what stood in a row."""


HIDDEN = " (values are hidden; show-values = true shows them)"

QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
"""As Python's repr writes a text."""

IN_QUOTES = re.compile(r'"(.*)"', re.DOTALL)
"""From the first quote to the last: PostgreSQL doubles none in a value."""

BY_PEOPLE = re.compile("P0|1644$|45|SQLITE_CONSTRAINT_TRIGGER")
"""Of a RAISE or SIGNAL: a text that somebody wrote, with whatever values are put into it."""

NAMES_CODE = (
    ImportError,
    AttributeError,
    NameError,
    SyntaxError,
    TypeError,
    OSError,
    RecursionError,
    MemoryError,
)
"""What these repeat are names of code and files."""


def error_words(error: Any, known: str = "", *, shown: bool = False) -> str:
    """One line without bound values, without rows' values and without the server's DETAIL.

    Args:
        error: of a driver, wrapped by SQLAlchemy or not, or of Python.
        known: the statement and the source code: what stands there needs no row to be known.
        shown: leave values and DETAIL as they are.
    """
    wrapped, error = error, getattr(error, "orig", None) or error
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary is None and len(getattr(error, "args", ())) == 2 and isinstance(error.args[0], int):
        primary = f"{error.args[1]} ({error.args[0]})"
    if primary is None:
        left_out = ("DETAIL", "[SQL", "[par")
        lines = [t for t in str(error).splitlines() if t.strip() and not t.startswith(left_out)]
        primary = lines[0] if lines else ""
    if shown:
        detail = getattr(getattr(error, "diag", None), "message_detail", None)
        primary += f" DETAIL: {detail}" if detail else ""
    else:
        primary = _without_values(primary, wrapped, sqlstate(error) or "", known)
    return f"{type(error).__name__}: {primary}"[:2000] if primary else type(error).__name__


def _without_values(text: str, error: Any, state: str, known: str) -> str:
    """The text with `***` for what may have stood in a row."""
    text = VALUE.sub(r"\1\2***\2", text)
    if BY_PEOPLE.match(state):
        return _without_words(text, known)
    if state.startswith("22"):
        return IN_QUOTES.sub(lambda m: m[0] if m[1] in known else '"***"', text)
    library = type(error).__module__.partition(".")[0] in ("sqlalchemy", "alembic", "ci_migrate")
    if state or library or not known or isinstance(error, NAMES_CODE):
        return text
    text = QUOTED.sub(lambda m: m[0] if m[0][1:-1] in known else f"{m[0][0]}***{m[0][0]}", text)
    written = isinstance(error, KeyError) or _is_raised(error)
    return _without_words(text, known) if written else text


def _is_raised(error: Any) -> bool:
    """Whether the text was written by code, and not by Python itself."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and bool(re.match(r"(raise|assert)\b", (frames[-1].line or "").lstrip()))


def _without_words(text: str, known: str) -> str:
    def hide(found: re.Match[str]) -> str:
        core = found[0].strip("()[]{}<>.,;:!?*'\"")
        if not core or core in known or (core.isdigit() and len(core) <= COUNT):
            return found[0]
        return found[0].replace(core, "***")

    return re.sub(r"\*\*\*(\s+\*\*\*)+", "***", re.sub(r"\S+", hide, text))


COUNT = 4
"""Digits of a number that is shown: a count of rows, rather than somebody's."""
