"""SQL as SQLite reads it: tokens, and one canonical way to write them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Token(NamedTuple):
    """A token of SQL. `kind`: word, name (quoted, here without its quotes), text (literal), number, mark."""

    kind: str
    text: str
    end: int = 0

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these bare words (upper case)."""
        return self.kind == "word" and self.text.upper() in words


# White space is SQLite's, not Unicode's: a no-break space is part of an identifier.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<text>[xX]?'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<number>0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
      | (?P<mark>\|\||->>|->|<<|>>|<=|>=|<>|!=|==|.)""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Words that can't be identifiers without quotes: their case means nothing. The others keep theirs, because
# `SELECT 1 AS key` and `AS KEY` differ.
RESERVED = frozenset(
    """ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE DEFAULT
    DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXISTS FOREIGN FROM GROUP HAVING IN INDEX INSERT
    INTERSECT INTO IS ISNULL JOIN LIMIT NOT NOTHING NOTNULL NULL ON OR ORDER PRIMARY REFERENCES
    RETURNING SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING VALUES WHEN WHERE""".split()  # noqa: SIM905 - a list of 60 quoted words is no easier to read
)
# Words that mean something else inside quotes: "null" is a column, NULL is not.
_KEYWORDS = RESERVED | frozenset(
    """ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMN CONFLICT CROSS
    CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFERRED DESC DETACH DO EACH END
    EXCEPT EXCLUDE EXCLUSIVE EXPLAIN FAIL FALSE FILTER FIRST FOLLOWING FOR FULL GENERATED GLOB
    GROUPS IF IGNORE IMMEDIATE INDEXED INITIALLY INNER INSTEAD KEY LAST LEFT LIKE MATCH MATERIALIZED
    NATURAL NO NULLS OF OFFSET OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING QUERY RAISE RANGE
    RECURSIVE REGEXP REINDEX RELEASE RENAME REPLACE RESTRICT RIGHT ROLLBACK ROW ROWID ROWS SAVEPOINT
    STORED STRICT TEMP TEMPORARY TIES TRIGGER TRUE UNBOUNDED VACUUM VIEW VIRTUAL WINDOW WITH WITHIN
    WITHOUT OID _ROWID_""".split()  # noqa: SIM905 - a list of 60 quoted words is no easier to read
)


def tokens_of(sql: str) -> list[Token]:
    """The tokens of some SQL, without white space and comments."""
    found: list[Token] = []
    for match in _TOKEN.finditer(sql):
        kind, text = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        if kind == "name":
            quote = "]" if text[0] == "[" else text[0]
            text = text[1:-1].replace(quote * 2, quote)
        found.append(Token(kind, text, match.end()))
    return found


def name_at(name: str) -> str:
    """A name where only a name can stand: bare if it is simple, else in double quotes."""
    return name if _SIMPLE.fullmatch(name) else quote(name)


def quote(name: str) -> str:
    """A name in double quotes, for SQL."""
    return '"' + name.replace('"', '""') + '"'


def canonical(tokens: Iterable[Token]) -> str:
    """The one way to write these tokens."""
    text, glue = "", True
    previous: Token | None = None
    for token in tokens:
        glued = glue or token.text in (",", ")", ".") or (token.text == "(" and _is_name(previous))
        text += ("" if glued else " ") + _write(token)
        glue = token.kind == "mark" and token.text in ("(", ".")
        previous = token
    return text


def _is_name(token: Token | None) -> bool:
    if token is None:
        return False
    return token.kind == "name" or (token.kind == "word" and token.text.upper() not in RESERVED)


def _write(token: Token) -> str:
    if token.kind == "word":
        return token.text.upper() if token.text.upper() in RESERVED else token.text
    if token.kind == "name":
        simple = _SIMPLE.fullmatch(token.text) and token.text.upper() not in _KEYWORDS
        return token.text if simple else quote(token.text)
    return token.text


def unquote(token: Token) -> str:
    """The name that a token means where only a name can stand; SQLite takes 'single quotes' there too."""
    return token.text[1:-1].replace("''", "'") if token.kind == "text" else token.text


class Cursor:
    """Reads tokens one after the other."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def more(self) -> bool:
        return self.at < len(self.tokens)

    def next(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def sees(self, *words: str) -> bool:
        """Whether the next tokens are these words."""
        ahead = self.tokens[self.at : self.at + len(words)]
        return len(ahead) == len(words) and all(t.is_word(w) for t, w in zip(ahead, words, strict=True))

    def takes(self, *words: str) -> bool:
        """Step over these words, if they come next."""
        seen = self.sees(*words)
        if seen:
            self.at += len(words)
        return seen

    def sees_group(self) -> bool:
        return self.more and self.tokens[self.at].text == "(" and self.tokens[self.at].kind == "mark"

    def group(self) -> list[Token]:
        """The tokens inside the parentheses that come next."""
        if not self.sees_group():
            raise NotUnderstoodError
        depth, start = 0, self.at + 1
        while self.more:
            token = self.next()
            if token.kind == "mark" and token.text in "()":
                depth += 1 if token.text == "(" else -1
                if depth == 0:
                    return list(self.tokens[start : self.at - 1])
        raise NotUnderstoodError


class NotUnderstoodError(Exception):
    """The statement is not written as this reader expects; its whole text is kept instead."""


def items(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Split at the commas that are outside parentheses."""
    depth, item = 0, list[Token]()
    for token in tokens:
        if token.kind == "mark":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if token.text == "," and depth == 0:
                yield item
                item = []
                continue
        item.append(token)
    if item:
        yield item
