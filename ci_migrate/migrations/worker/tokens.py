"""SQL in tokens, as the server reads it: where texts, names and comments begin and end.

The one lexer of ours. It lives in the child's folder because the child can import nothing else of ours; the parent
reads SQL by it too. sqlglot's tokenizers were tried on the same cases: they raise on SQL that servers run, take what
stands in `/*! */` for a comment, and know no NO_BACKSLASH_ESCAPES, ANSI_QUOTES or `standard_conforming_strings = off`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

WORD, NAME, TEXT, NUMBER, PARAMETER, MARK, OPEN = (
    "word", "name", "text", "number", "parameter", "mark", "open"
)  # fmt: skip
"""Kinds: a bare word, a quoted name, a literal text, a number, a driver's mark for a bound value, any other sign, and
what was opened and never closed. White space and comments are no tokens."""


class Dialect(NamedTuple("Dialect", [("engine", str), ("backslashes", bool), ("double_quotes", bool)])):  # noqa: SLOT002
    """An engine (sqlite, postgresql, or mysql for MariaDB too), and what of its settings changes where a text ends.

    `backslashes` escape in '...': MySQL's default, PostgreSQL's without standard_conforming_strings. `double_quotes`:
    "..." is a text and no name, as on MySQL without ANSI_QUOTES.
    """


SQLITE, POSTGRESQL = Dialect("sqlite", False, False), Dialect("postgresql", False, False)
MYSQL = Dialect("mysql", True, True)
_ENGINES = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}


def dialect_of(engine: str) -> Dialect:
    """An engine as it is set by default: by SQLAlchemy's name, or as several databases of one target are called.

    Raises:
        ValueError: it is no engine of ours.
    """
    found = _ENGINES.get(engine.partition(" ")[0])  # "postgresql (2 databases)"
    if found is None:
        raise ValueError(f"SQL of {engine!r} can't be read")
    return found


def readings(dialect: Dialect) -> list[Dialect]:
    """How a server of this engine may be set to read: for decisions that must hold however it is."""
    if dialect.engine == "sqlite":
        return [dialect]
    quotes = (True, False) if dialect.engine == "mysql" else (False,)
    return [Dialect(dialect.engine, b, q) for b in (True, False) for q in quotes]


class Token(NamedTuple("Token", [("kind", str), ("text", str), ("start", int), ("end", int)])):  # noqa: SLOT002
    """One token; `text` as it is written, from `start` to `end` of the whole."""

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these bare words (given in upper case)."""
        return self.kind == WORD and self.text.upper() in words

    def is_mark(self, marks: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == MARK and self.text in marks

    @property
    def value(self) -> str:
        """What a name or a text stands for; of everything else the text."""
        return unquoted(self)


def tokens_of(sql: str, dialect: Dialect) -> list[Token]:
    """All tokens. Raises nothing, whatever the text is."""
    return list(_tokens(sql, dialect))


def _tokens(sql: str, dialect: Dialect) -> Iterator[Token]:
    scan = _pattern(dialect).match
    at, end, run = 0, len(sql), 0  # `run`: of MySQL's comments that are executed, how many are open
    while at < end:
        found = scan(sql, at)
        if found is None:  # a sign
            last = run and sql.startswith("*/", at)
            run -= bool(last)
            yield Token(MARK, sql[at : at + 1 + bool(last)], at, at + 1 + bool(last))
            at += 1 + bool(last)
            continue
        kind, start, at = str(found.lastgroup), at, found.end()
        if kind == "space":
            continue
        if kind == "comment":
            at = _end_of_comment(sql, start, nested=dialect.engine == "postgresql")
            if at < 0:
                at = end
                if dialect.engine != "sqlite":  # which lets a comment end with the text
                    yield Token(OPEN, sql[start:], start, end)
            continue
        if kind == "executed":
            run += 1
            kind = MARK
        elif kind == "dollar":
            closed = sql.find(found.group(), at)
            kind, at = (TEXT, closed + len(found.group())) if closed >= 0 else (OPEN, end)
        elif kind == OPEN:
            at = end
        yield Token(kind, sql[start:at], start, at)


def _end_of_comment(sql: str, start: int, *, nested: bool) -> int:
    """Behind its end; -1 where it has none."""
    if not nested:
        found = sql.find("*/", start + 2)
        return found + 2 if found >= 0 else -1
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(sql, start + 2):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return -1


_PLAIN, _ESCAPED = r"'(?:[^']|'')*'", r"'(?:[^'\\]|''|\\.)*'"
_MORE = r"(?:[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*{0})*"
"""PostgreSQL: a text goes on behind a new line, read as it began.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS
"""
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_BOUND = rf"%\([^()]*\)s|%s(?![{_LETTER}0-9])|(?<![:\w]):[{_LETTER}]\w*"
"""The drivers' marks."""


@cache
def _pattern(dialect: Dialect) -> re.Pattern[str]:
    text = _ESCAPED if dialect.backslashes else _PLAIN
    groups: list[tuple[str, str]] = []
    if dialect.engine == "postgresql":
        word = rf"[{_LETTER}][{_LETTER}0-9$]*"
        groups += [
            ("space", r"[ \t\n\r\f\v]+|--[^\n\r]*"),
            (TEXT, (rf"[eE]{_ESCAPED}{_MORE.format(_ESCAPED)}|(?:[bBxXnN]|[uU]&){_PLAIN}{_MORE.format(_PLAIN)}"
                    rf"|{text}{_MORE.format(text)}")),
            (NAME, r'(?:[uU]&)?"(?:[^"]|"")*"'),
            ("dollar", rf"\$(?:[{_LETTER}][{_LETTER}0-9]*)?\$"),
            (NUMBER, (r"0[xX][0-9A-Fa-f_]+|0[oO][0-7_]+|0[bB][01_]+"
                      r"|(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?")),
            (PARAMETER, rf"{_BOUND}|\$[0-9]+"),
        ]  # fmt: skip
    elif dialect.engine == "sqlite":
        word = rf"[{_LETTER}][{_LETTER}0-9$]*"
        groups += [
            ("space", r"[ \t\n\f\r]+|--[^\n]*"),
            (TEXT, rf"[xX]?{_PLAIN}"),
            (NAME, r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]'),
            (NUMBER, r"0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?"),
            (PARAMETER, rf"{_BOUND}|\?[0-9]*|[@$:][{_LETTER}][{_LETTER}0-9$]*"),
        ]
    else:
        word = rf"[{_LETTER}0-9$]+"
        double = r'"(?:[^"\\]|""|\\.)*"' if dialect.backslashes else r'"(?:[^"]|"")*"'
        quoted = rf"(?:[nNxXbB]?{text}|{double})" if dialect.double_quotes else rf"[nNxXbB]?{text}"
        names = r"`(?:[^`]|``)*`" + ("" if dialect.double_quotes else r'|"(?:[^"]|"")*"')
        whole = rf"(?![{_LETTER}0-9$])"  # `1a` and `0xZ` are names here
        groups += [
            # two dashes are a comment only before white space: 5--1 is 6
            ("space", r"[ \t\n\r\f\v]+|#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*"),
            ("executed", r"/\*M?!(?:[0-9]{5,6})?"),
            (TEXT, quoted),
            (NAME, names),
            (NUMBER, (rf"0x[0-9A-Fa-f]+{whole}|0b[01]+{whole}"
                      rf"|(?:[0-9]+\.[0-9]*|(?<![\w$`\"])\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?{whole}")),
            (PARAMETER, rf"{_BOUND}|\?"),
        ]  # fmt: skip
    opens = {"sqlite": r"['\"`\[]", "mysql": r"['\"`]"}.get(dialect.engine, r"['\"]")
    groups += [("comment", r"/\*"), (WORD, word), (OPEN, opens)]
    return re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in groups), re.DOTALL)


_DOLLAR = re.compile(r"\$\w*\$")


def unquoted(token: Token) -> str:
    """See `Token.value`."""
    text = token.text
    if token.kind == NAME:
        if text[0] == "[":
            return text[1:-1]
        quote = text[-1]
        return text[text.index(quote) + 1 : -1].replace(quote * 2, quote)
    if token.kind != TEXT:
        return text
    if text[0] == "$":
        tag = _DOLLAR.match(text)
        return text[tag.end() : -tag.end()] if tag else text
    quote = text[-1]
    return text[text.index(quote) + 1 : -1].replace(quote * 2, quote)


Name = tuple[str, ...]
"""A name in its parts, without quotes: schema and table."""


class Cursor:
    """Reads a statement from its beginning."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.rest = list(tokens)
        self.skipped: set[str] = set()

    def take(self, *words: str) -> bool:
        """Step over these words, if they come next."""
        ahead = self.rest[: len(words)]
        fits = len(ahead) == len(words) and all(t.is_word(w) for t, w in zip(ahead, words))
        if fits:
            del self.rest[: len(words)]
        return fits

    def take_mark(self, mark: str) -> bool:
        """Step over this sign, if it comes next."""
        fits = bool(self.rest) and self.rest[0].is_mark(mark)
        if fits:
            del self.rest[0]
        return fits

    def sees(self, *words: str) -> bool:
        """Whether one of these words comes next."""
        return bool(self.rest) and self.rest[0].is_word(*words)

    def skip(self, *words: str) -> None:
        """Step over all that come next of these words."""
        while self.sees(*words):
            self.skipped.add(self.rest.pop(0).text.upper())

    def skip_wait(self) -> None:
        """Step over MariaDB's `NOWAIT` or `WAIT 5`, which stands behind a table."""
        self.take("NOWAIT")
        if self.sees("WAIT") and [t.kind for t in self.rest[1:2]] == [NUMBER]:
            del self.rest[:2]

    def name_tokens(self) -> list[Token]:
        """The name that comes next, as it is written; [] where none does.

        A text where a name must stand is one: SQLite takes 'x' there, and MySQL with ANSI_QUOTES "x".
        """
        found: list[Token] = []
        while self.rest and is_name(self.rest[0]):
            found.append(self.rest.pop(0))
            if not self.take_mark("."):
                break
        return found

    def name(self) -> Name:
        """The same in its parts; () where none comes."""
        return tuple(token.value for token in self.name_tokens())

    def names(self) -> tuple[Name, ...]:
        """A list of names; PostgreSQL's may have ONLY before them and an asterisk behind, MySQL's `.*`."""
        found = []
        while True:
            self.skip("ONLY")
            name = self.name()
            if not name:
                break
            found.append(name)
            self.take_mark("*")
            if not self.take_mark(","):
                break
        return tuple(found)


def is_executed_comment(token: Token) -> bool:
    """Whether it is an end of what MySQL executes and others take for a comment."""
    return token.kind == MARK and (token.text.startswith("/*") or token.text == "*/")


def begins(tokens: Sequence[Token], *words: str) -> bool:
    """Whether these words come first, in this order."""
    return Cursor(tokens[: len(words)]).take(*words)


def without_end(tokens: Sequence[Token]) -> Sequence[Token]:
    """Without the semicolons at its end."""
    while tokens and tokens[-1].is_mark(";"):
        tokens = tokens[:-1]
    return tokens


def is_name(token: Token) -> bool:
    """Whether a token may be a name where only a name can stand."""
    return token.kind in (WORD, NAME) or (token.kind == TEXT and token.text[0] in "'\"")


def split(tokens: Sequence[Token], sign: str) -> Iterator[Sequence[Token]]:
    """The parts between signs that stand in no parentheses."""
    depth, start = 0, 0
    for at, token in enumerate(tokens):
        depth += token.is_mark("(") - token.is_mark(")")
        if token.is_mark(sign) and depth <= 0:
            yield tokens[start:at]
            start = at + 1
    yield tokens[start:]
