"""What went wrong, for the parent: an exception and a driver's error, without what stood in a row."""

from __future__ import annotations

import ast
import dis
import linecache
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from .blame import Blame
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
    known, names = find_known(error, state.blame), state.blame.read_loaded
    message = error_words(error, known, names, shown=shown)
    text = error_text(error, known, names, shown=shown)
    if isinstance(error, SystemExit):
        message = f"sys.exit({text})"
    elif kind in ("command", "refused", "configure"):
        message = text or message
    if not shown and text != error_text(error, shown=True):
        message += HIDDEN
    if isinstance(error, ImportError) and kind in ("error", "script"):
        message += f" (run by {sys.executable})"
    if sqlstate(error) == "SQLITE_BUSY" and state.locked_by_us:
        message += BUSY
    waits = state.waits_for if sqlstate(error) in ("55P03", "1205") else ""
    message += waits
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


FORMAT = warnings.formatwarning


def hide_in_warnings(state: State) -> None:
    """From here on warnings of SQLAlchemy's and Alembic's repeat no value; unless the project writes them itself."""

    def write(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return FORMAT(_warned(message, category, state), category, filename, lineno, line)

    if warnings.formatwarning is FORMAT or warnings.formatwarning.__module__ == __name__:
        warnings.formatwarning = write


def _warned(message: Warning | str, category: type[Warning], state: State) -> Warning | str:
    # who has not connected has read no row; and who deprecates names code
    shown = state.shows_values or not state.wall.asked or issubclass(category, DeprecationWarning)
    if shown or category.__module__.partition(".")[0] not in LIBRARIES:
        return message
    known = find_known(Warning(message), state.blame)
    text = _without_names(str(message), f"{known}\n{state.blame.read_loaded()}")
    return message if text == str(message) else text + HIDDEN


def find_known(error: BaseException, blame: Blame) -> str:
    """The project's source that an error went through: what stands there needs no row to be known.

    Not the statement: a migration may have written into it what it read.
    """
    frames = [
        frame
        for one in (error, getattr(error, "orig", None))
        if one is not None
        for frame in traceback.extract_tb(one.__traceback__)
    ]
    names = {f.filename for f in frames if blame.is_project(f.filename)}
    names |= {name for name in (blame.revision_file, blame.revision_code) if name}
    return "\n".join([*names, *("".join(linecache.getlines(name)) for name in names)])


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
    if isinstance(number, int) and _is_of_driver(error):
        return str(number)  # MySQL and MariaDB: the server's own number says more than the SQLSTATE
    if isinstance(number, dict):  # pg8000
        return number.get("C")
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        value = getattr(error, name, None)
        if value:
            return str(value)
    return "SQLITE_BUSY" if "database is locked" in str(error) else None


VALUE = re.compile(
    r"(Duplicate entry |(?:Incorrect|Truncated incorrect) [\w ]+ value: |invalid input (?:syntax|value) for [^:]+: "
    r"|Could not render literal value )"
    r"(['\"]).*?\2(?= for (?:key|column|function) | with datatype | \(\d+\)$|$)",
    re.DOTALL,
)
"""Where servers and SQLAlchemy repeat what stood in a row."""


HIDDEN = " (values are hidden; show-values = true shows them)"

QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.|'(?=\w))*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
"""As Python's repr writes a text; an apostrophe within a word begins and ends none."""

QUOTE = re.compile(r"(?<!\w)['\"]|['\"](?!\w)")
"""One that is not within a word."""

IN_QUOTES = re.compile(r'"(.*)"', re.DOTALL)
"""From the first quote to the last: PostgreSQL doubles none in a value."""

BY_PEOPLE = re.compile("P0|164[34]$|45|SQLITE_CONSTRAINT_TRIGGER")
"""Of a RAISE or SIGNAL: a text that somebody wrote, with whatever values are put into it."""

RAISE = "exec_stmt_raise"
"""PL/pgSQL's own function that raises: where a RAISE has the code of an error of the server's."""

NAMED = re.compile(
    r"^(no such column: |unable to open database: |Unconsumed column names: |fts5: .*? near )(.*)", re.DOTALL
)
"""What SQLite and SQLAlchemy take for a name, though it may be the value of a row."""

WITH_TEXT = re.compile(r"( with text )'.*", re.DOTALL)
"""Python's sqlite3, of a text that it can't decode: with whatever quotes are in that."""

NAMES_CODE = (ImportError, AttributeError, NameError, SyntaxError, TypeError, RecursionError, MemoryError)
"""What Python itself says in these repeats names of code."""

LIBRARIES = ("sqlalchemy", "alembic", "ci_migrate", "_ci_migrate_worker")
"""Whose own errors name objects of the schema and of the project."""


def error_words(error: Any, known: str = "", names: Callable[[], str] = str, *, shown: bool = False) -> str:
    """The kind of an error, and `error_text`."""
    text = error_text(error, known, names, shown=shown)
    kind = type(getattr(error, "orig", None) or error).__name__
    return f"{kind}: {text}" if text else kind


def error_text(error: Any, known: str = "", names: Callable[[], str] = str, *, shown: bool = False) -> str:
    """One line without bound values, without rows' values and without the server's DETAIL.

    Args:
        error: of a driver, wrapped by SQLAlchemy or not, or of Python.
        known: the project's source code: what stands there needs no row to be known.
        names: gives the source of all of the project's modules, where names of the schema stand.
        shown: leave values and DETAIL as they are.
    """
    error = getattr(error, "orig", None) or error
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    fields = arguments[0] if arguments and isinstance(arguments[0], dict) else {}  # pg8000
    diag = getattr(error, "diag", None)
    primary = getattr(diag, "message_primary", None) or fields.get("M")
    if primary is None and len(arguments) == 2 and isinstance(arguments[0], int) and _is_of_driver(error):
        primary = f"{arguments[1]} ({arguments[0]})"
    if primary is None:
        left_out = ("DETAIL", "[SQL", "[par")
        lines = [t for t in str(error).splitlines() if t.strip() and not t.startswith(left_out)]
        primary = lines[0] if lines else ""
    if shown:
        detail = getattr(diag, "message_detail", None) or fields.get("D")
        primary += f" DETAIL: {detail}" if detail else ""
    else:
        primary = _without_values(primary, error, known, names)
    return str(primary[:2000])


def _without_values(text: str, error: Any, known: str, names: Callable[[], str]) -> str:
    """The text with `***` for what may have stood in a row."""
    text, state = VALUE.sub(r"\1\2***\2", text), sqlstate(error) or ""
    if BY_PEOPLE.match(state) or _source_function(error) == RAISE:
        return _without_words(text, known)
    if state.startswith("22"):
        text = IN_QUOTES.sub(lambda m: m[0] if _is_known(m[1], known) else '"***"', text)
        return _without_quoted(text, known)  # asyncpg's own errors have these codes, too
    if state in ("SQLITE_ERROR", "SQLITE_CANTOPEN"):
        return _without_names(text, f"{known}\n{names()}")
    if state:
        return text
    if isinstance(error, SystemExit):
        return text if isinstance(error.code, int) else _without_words(text, known)
    if _module_of(_innermost(error)).startswith("alembic.script."):
        return text  # it sees scripts and their ids, and no row
    raised = _raised_in(error)
    library = type(error).__module__.partition(".")[0] in LIBRARIES
    if library and (not raised or raised.partition(".")[0] in LIBRARIES):
        ours = type(error).__module__.startswith(("ci_migrate", "_ci_migrate"))
        return text if ours else _without_names(text, f"{known}\n{names()}\n{_constants_around(error)}")
    if isinstance(error, NAMES_CODE) and not raised:
        return text
    if isinstance(error, KeyError) or (raised and not _is_of_driver(error)):
        # a KeyError's text is a repr as a whole
        return _without_words(text, f"{known}\n{_constants_around(error)}")
    return _without_quoted(WITH_TEXT.sub(r"\1'***'", text), known)


def _is_of_driver(error: Any) -> bool:
    """Whether a driver made it: PEP 249 names the classes."""
    return not {"DatabaseError", "InterfaceError"}.isdisjoint(c.__name__ for c in type(error).__mro__)


def _source_function(error: Any) -> str:
    """The server's function that made an error; "" where the driver does not tell."""
    of_psycopg = getattr(getattr(error, "diag", None), "source_function", None)
    of_asyncpg = getattr(error.__cause__ or error, "server_source_function", None)
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    of_pg8000 = arguments[0].get("R") if arguments and isinstance(arguments[0], dict) else None
    return str(of_psycopg or of_asyncpg or of_pg8000 or "")


def _innermost(error: Any) -> Any:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def _module_of(place: Any) -> str:
    return "" if place is None else str(place.tb_frame.f_globals.get("__name__") or "?")


def _raised_in(error: Any) -> str:
    """The module whose code wrote the text, by a `raise` or `assert`; "" where Python itself did."""
    place = _innermost(error)
    if place is None:
        return ""
    code = place.tb_frame.f_code.co_code
    if not dis.opname[code[place.tb_lasti]].startswith(("RAISE", "RERAISE")):
        return ""
    return _module_of(place)


def _constants_around(error: Any) -> str:
    """The texts in the module that raised: a library's words are no row's. Not its comments: names stand in those."""
    place = _innermost(error)
    if place is None:
        return ""
    try:
        tree = ast.parse("".join(linecache.getlines(place.tb_frame.f_code.co_filename)))
    except (SyntaxError, ValueError, RecursionError):
        return ""
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in comments)
    return "\n".join(n.value for n in texts if isinstance(n.value, str))


def _is_known(text: str, known: str) -> bool:
    """Whether it stands there, as whole words; an absolute path, piece by piece."""
    pieces = [piece for piece in text.split("/") if piece] if text.startswith("/") else [text]
    return all(re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", known) for piece in pieces)


def _without_quoted(text: str, known: str) -> str:
    return QUOTED.sub(lambda m: m[0] if _is_known(m[0][1:-1], known) else f"{m[0][0]}***{m[0][0]}", text)


def _without_names(text: str, known: str) -> str:
    """The text with `***` for what is quoted, or told as a name, and has a word that is not known.

    What is quoted may have quotes in it: it ends at the last one.
    """

    def is_known(told: str) -> bool:
        return all(_is_known(word, known) for word in re.findall(r"\w+", told))

    named = NAMED.search(text)
    if named is not None and not is_known(named[2]):
        return f"{named[1]}***"
    quotes = [found.start() for found in QUOTE.finditer(text)]
    unknown = [found.start() for found in QUOTED.finditer(text) if not is_known(found[0])]
    if QUOTE.search(
        QUOTED.sub("", text)
    ):  # one in a value: what is within is not to be told from what is not
        unknown.append(quotes[0])
    if not unknown:
        return text
    begin, end = min(unknown), quotes[-1]
    return f"{text[: begin + 1]}***{text[end:]}" if begin < end else f"{text[: begin + 1]}***"


def _without_words(text: str, known: str) -> str:
    def hide(found: re.Match[str]) -> str:
        core = found[0].strip("()[]{}<>.,;:!?*'\"")
        if not core or _is_known(core, known) or (core.isdigit() and len(core) <= COUNT):
            return found[0]
        return found[0].replace(core, "***")

    return re.sub(r"\*\*\*(\s+\*\*\*)+", "***", re.sub(r"\S+", hide, text))


COUNT = 4
"""Digits of a number that is shown: a count of rows, rather than somebody's."""
