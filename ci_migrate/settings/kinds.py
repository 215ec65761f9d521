"""What keys of the settings can hold: kinds of values, each with its words and how it is read."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_migrate.settings import backfills


@dataclass(frozen=True)
class Secret:
    """A text that may hold a password: shown as `***` wherever it is printed."""

    _text: str = field(repr=False)

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def reveal(self) -> str:
        """The text itself. For connecting only, never for showing."""
        return self._text


@dataclass(frozen=True)
class Kind:
    """What a key holds.

    `convert` gets a value as TOML gives it and the folder that relative paths start from; it raises
    ValueError or TypeError where the value is something else. `read_text` makes such a value of a variable's
    text.
    """

    words: str
    convert: Callable[[Any, Path], Any]
    read_text: Callable[[str], object] = str


@dataclass(frozen=True)
class Price:
    """What an hour costs, in a currency that is the user's affair."""

    hourly: float
    currency: str

    def of(self, seconds: float) -> str:
        """What so many seconds cost, in words."""
        cost = self.hourly * seconds / 3600
        return f"about {cost:.2f} {self.currency}" if cost >= 0.005 else f"less than 0.01 {self.currency}"

    def __str__(self) -> str:
        return f"{self.hourly:g} {self.currency} an hour"


@dataclass(frozen=True)
class Assertion:
    """A query of the project's own, and what it must give.

    `expect`: a value, then the query gives one row of that value alone; or a list of rows (of values, where there is
    one column), `[]` for none. `when`: `before`, `after` (the migration) or `both`.
    """

    name: str
    query: str = field(repr=False)
    expect: Any
    when: str = "after"


# --------------------------------------------------------------------------- conversions


def _text(value: Any, _base: Path) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError
    return value.strip()


def _flag(value: Any, _base: Path) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _flag_of_text(text: str) -> object:
    # neither `on` nor `off` nor `y`: to guess would be to switch a backup off by a typing error
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        text.lower(), text
    )


def _number_of_text(text: str) -> object:
    # int() takes digits of all scripts, and thousands of them for seconds (CVE-2020-10735)
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text


def whole(low: int, high: int) -> Kind:
    """A whole number in these bounds."""

    def convert(value: Any, _base: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", convert, _number_of_text)


_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 366 * 86400.0


def seconds(*, zero: bool) -> Kind:
    """A duration, as seconds or a text such as 90s or 5min; `zero`: it may be 0."""

    def convert(value: Any, _base: Path) -> float:
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|min|h|d|)", value.strip())
            if match is None:
                raise ValueError
            seconds = float(match[1]) * _UNITS[match[2]]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = float(value) if isinstance(value, float) or abs(value) < 2**53 else math.inf
        else:
            raise TypeError
        # servers count milliseconds, and none of them is "without a limit" for PostgreSQL and MariaDB;
        # NaN compares False with everything, so it is refused too
        if not (0.001 <= seconds <= _LONGEST or (seconds == 0 and zero)):
            raise ValueError
        return seconds

    least = "from 0" if zero else "from 1 ms"
    return Kind(
        f'a duration {least}, up to 366 days: seconds, or text such as "30s", "10min", "24h"', convert
    )


def _price(value: Any, base: Path) -> Price:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ([A-Za-z]{1,20}|\W)", _text(value, base))
    if match is None:
        raise ValueError
    return Price(float(match[1]), match[2])


def choice(*names: str) -> Kind:
    """One of these words."""

    def convert(value: Any, _base: Path) -> str:
        if not isinstance(value, str) or value.strip() not in names:
            raise ValueError
        return value.strip()

    return Kind("one of " + ", ".join(f'"{name}"' for name in names), convert)


def _list_of_text(text: str) -> list[str]:
    # commas may be part of a value: then one value a line
    return [part.strip() for part in text.split("\n" if "\n" in text else ",") if part.strip()]


def texts(words: str, pattern: str = r"(?s).+") -> Kind:
    """A list of texts, each of which fits a pattern; `words` say what they are."""

    def convert(value: Any, base: Path) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        items = tuple(_text(item, base) for item in value)
        if not all(re.fullmatch(pattern, item) for item in items):
            raise ValueError
        return items

    return Kind(words, convert, _list_of_text)


def _plugins(value: Any, base: Path) -> tuple[str, ...]:
    names = texts("").convert(value, base)
    return tuple(str(_path(name, base)) if name.endswith(".py") else name for name in names)


def plugin_name(name: str, folder: Path) -> str:
    """A plugin as messages name it: a file relative to the project where it lies inside."""
    path = Path(name)
    inside = path.is_absolute() and path.is_relative_to(folder)
    return path.relative_to(folder).as_posix() if inside else name


def _path(value: Any, base: Path) -> Path:
    try:
        return base / Path(_text(value, base)).expanduser()  # no shell has seen what stands in a file
    except RuntimeError as error:
        raise ValueError from error


def _program(value: Any, base: Path) -> Path:
    text = _text(value, base)
    return _path(text, base) if "/" in text or "\\" in text else Path(text)


def _folder_or_url(value: Any, base: Path) -> str:
    text = _text(value, base)
    return text if "://" in text else str(_path(text, base))


def _function(value: Any, base: Path) -> str:
    text = _text(value, base)
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text):
        raise ValueError
    return text


def _variable(value: Any, base: Path) -> str:
    text = _text(value, base)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError
    return text


def _url(value: Any, base: Path) -> Secret:
    text = _text(value, base)
    form, _, rest = text.partition(":")
    if form == "env":
        valid = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest) is not None
    elif form in {"file", "command"}:
        valid = bool(rest.strip())
    else:
        valid = re.match(r"[A-Za-z][\w+.-]*://", text) is not None
    if not valid:
        raise ValueError
    return Secret(text)


def _identity(value: Any, base: Path) -> Secret:
    text = _text(value, base)
    if not re.fullmatch(r"(?s)env:[A-Za-z_][A-Za-z0-9_]*|file:.*\S.*", text):
        raise ValueError
    return Secret(text)


EMBEDDED = "embedded"
"""The setting `scratch`: a server of our own."""


def _scratch(value: Any, base: Path) -> str:
    return str(value) if value in ("server", EMBEDDED) else _url(value, base).reveal()


def _table(item: Callable[[Any, Path], Any], names: str) -> Callable[[Any, Path], Mapping[str, Any]]:
    def convert(value: Any, base: Path) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(re.fullmatch(names, str(name)) for name in value):
            raise ValueError
        return {str(name): item(content, base) for name, content in value.items()}

    return convert


def _table_of_text(text: str) -> object:
    parts = _list_of_text(text)
    if not all("=" in part for part in parts):
        return text
    return {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parts)}


def _assertions(value: Any, base: Path) -> tuple[Assertion, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError
    return tuple(_assertion(one, base) for one in value)


def _assertion(value: Any, base: Path) -> Assertion:
    if not isinstance(value, Mapping) or not {"name", "query", "expect"} <= value.keys():
        raise ValueError
    if value.keys() - {"name", "query", "expect", "when"} or not _expectable(value["expect"]):
        raise ValueError
    when = choice("before", "after", "both").convert(value.get("when", "after"), base)
    return Assertion(_text(value["name"], base), _text(value["query"], base), value["expect"], when)


def _expectable(value: Any, depth: int = 2) -> bool:
    if isinstance(value, list):
        return depth > 0 and all(_expectable(one, depth - 1) for one in value)
    return isinstance(value, (str, int, float))


_GRADES = choice("error", "warning", "info", "ignore")
_FORMS = 'a URL, "env:NAME", "file:PATH" or "command:PROGRAM ARGUMENTS"'

TEXT = Kind("a text", _text)
FLAG = Kind("true or false", _flag, _flag_of_text)
PRICE = Kind('an amount and a currency, such as "0.29 USD"', _price)
PATH = Kind("a path", _path)
PROGRAM = Kind("a path, or a program on PATH", _program)
FOLDER = Kind("a folder, or a URL such as s3://bucket/prefix", _folder_or_url)
FUNCTION = Kind('"module:function"', _function)
ATTRIBUTE = Kind('"module:attribute"', _function)
PLUGINS = Kind("a list of modules and of files that end in .py", _plugins, _list_of_text)
URL = Kind(_FORMS, _url)
URLS = Kind(f"a table NAME = {_FORMS}", _table(_url, r"[A-Za-z][A-Za-z0-9_]{0,30}"), _table_of_text)
SCRATCH = Kind(f'"server", "{EMBEDDED}", or {_FORMS}', _scratch)
CODE = r"(?:[A-Z]{2,}[0-9]{3,}|X-[\w-]+)"
CHECKS = Kind(f"a table CODE = {_GRADES.words}", _table(_GRADES.convert, CODE), _table_of_text)
ALLOW = texts(
    'a list of "CODE@REVISION=REASON" or "CODE=REASON", both with "; until YYYY-MM-DD" where it ends',
    rf"(?s){CODE}(@[^=@]+)?=\s*\S.*",
)
RECIPIENTS = texts(
    "a list of public keys of age's (\"age1...\") or SSH's",
    r"age1[a-z0-9]+|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?",
)
IDENTITY = Kind('"env:NAME" or "file:PATH"', _identity)
ARGUMENTS = texts("a list of a program and its arguments; no shell is involved")
NAMES = texts("a list of texts")
VARIABLE = Kind("the name of an environment variable", _variable)
ASSERTIONS = Kind(
    "a list of tables with name, query, expect (a value, or a list of rows) and when (before, after, both)",
    _assertions,
)
BACKFILLS = Kind(backfills.WORDS, backfills.read_backfills)
PAIRS = texts('a list of "key=value"')
