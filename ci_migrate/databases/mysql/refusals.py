"""What the statements of a dump may do: make the objects of one database, and nothing else.

A backup may have been doctored by whoever can write where backups are kept. A scratch copy is loaded by an account that
may nothing elsewhere, where one can be made; these rules hold besides, and are all there is where none can.
"""

import re
from collections.abc import Iterator

from ci_migrate.databases.mysql.objects import Stored, without_definer
from ci_migrate.databases.mysql.payload import About, Objects
from ci_migrate.errors import BackupError

_TOKEN = re.compile(
    r"`(?:[^`]|``)*+`|'(?:[^'\\]|\\.|'')*+'|\"(?:[^\"\\]|\\.|\"\")*+\""
    # what stands in a comment with an exclamation mark is run
    r"|(?P<skipped>/\*M?![0-9]*|\*/|/\*.*?\*/|--(?=[\s\x00-\x1f])[^\n]*|\#[^\n]*|\s+)"
    r"|[\w$]+|.",
    re.DOTALL,
)

_EVENT = re.compile(
    r"ON SCHEDULE (?:AT '[0-9 :.-]+'|EVERY (?:'[0-9 :.-]+'|-?[0-9]+) \w+(?: STARTS '[0-9 :.-]+')?"
    r"(?: ENDS '[0-9 :.-]+')?) ON COMPLETION (?:NOT )?PRESERVE (?:ENABLE|DISABLE)\b"
)
_BEFORE = frozenset(("=", "ALGORITHM", "UNDEFINED", "MERGE", "TEMPTABLE", "SQL", "AGGREGATE"))
_SETTINGS = frozenset(("sql_mode", "time_zone", "character_set_client", "collation_connection"))


def refuse_strange(about: About, stored: Objects, *, copy: bool) -> frozenset[str]:
    """Raise BackupError for a statement that no dump of ours holds.

    Args:
        about: what stands beside the dump.
        stored: its statements.
        copy: they make a scratch copy, in which nothing may lead to another database or server.

    Returns:
        the tables that rows may be put into, quoted.
    """
    if not all(re.fullmatch(r"\w+", word) for word in (about.charset, about.collation)) or not all(
        re.fullmatch(r"rows-[0-9]\.sql\.zst", name) for name in about.rows
    ):
        raise BackupError("about.json of the dump holds something else than a dump of ours does.")
    filled = set()
    for one in (*stored.tables, *stored.programs):
        tokens = [token[0] for token in _TOKEN.finditer(one.create) if token["skipped"] is None]
        if not _SETTINGS.issuperset(one.settings) or not _names(tokens, one, about.database):
            raise _strange(one)
        if one.kind == "TABLE":
            if "SELECT" in (token.upper() for token in tokens):
                raise _strange(one)
            if not _leads_elsewhere(tokens, about.database):
                filled.add("`" + one.name.replace("`", "``") + "`")
            elif copy:
                raise BackupError(
                    f"Table {one.name} holds its rows in another database or on another server: what is done to a copy"
                    " of it would be done there."
                )
    return frozenset(filled)


def _names(tokens: list[str], one: Stored, database: str) -> bool:
    """Whether a statement makes this object, in this database."""
    found = iter(tokens)
    words = one.kind.split()
    if next(found, "").upper() != "CREATE" or one.kind not in _KINDS:
        return False
    for word in map(str.upper, found):
        if word == words[0]:
            break
        if word == "SECURITY":
            next(found, "")
        elif word == "DEFINER":
            # written so that it can be taken out: else a copy's programs would have somebody's rights
            if next(found, "") != "=" or not _skip_account(found) or without_definer(one) == one.create:
                return False
        elif word not in _BEFORE:
            return False
    if any(next(found, "").upper() != word for word in words[1:]):
        return False
    rest = list(found)
    name, rest = _take_name(rest, database)
    if name.casefold() != one.name.casefold():
        return False
    if one.kind == "EVENT":
        return bool(_EVENT.search(one.create)) and " ".join(rest[:2]).upper() == "ON SCHEDULE"
    if one.kind == "TRIGGER":
        upper = [token.upper() for token in rest[:3]]
        return (
            upper[2:] == ["ON"]
            and upper[0] in ("BEFORE", "AFTER")
            and bool(_take_name(rest[3:], database)[0])
        )
    return one.kind != "TABLE" or rest[:1] == ["("]


_KINDS = ("SEQUENCE", "TABLE", "VIEW", "TRIGGER", "EVENT", "FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")


def _skip_account(found: Iterator[str]) -> bool:
    """`user`@`host`, as the servers write it."""
    return next(found, "")[:1] in "`\"'" and next(found, "") == "@" and next(found, "")[:1] in "`\"'"


def _take_name(tokens: list[str], database: str) -> tuple[str, list[str]]:
    """The name that stands first, "" if it is of another database, and what follows."""
    if [token.upper() for token in tokens[:3]] == ["IF", "NOT", "EXISTS"]:
        tokens = tokens[3:]
    if tokens[1:2] == ["."]:
        return (_bare(tokens[2]) if _bare(tokens[0]) == database and len(tokens) > 2 else ""), tokens[3:]
    return (_bare(tokens[0]) if tokens else ""), tokens[1:]


def _bare(token: str) -> str:
    quote = token[:1]
    return token[1:-1].replace(quote * 2, quote) if quote in '`"' else token


def _leads_elsewhere(tokens: list[str], database: str) -> bool:
    """Whether a table is a MERGE of tables elsewhere, or one of an engine that connects to another server."""
    upper = [token.upper() for token in tokens]
    if "CONNECTION" in upper:
        return True
    for start, word in enumerate(upper):
        if word == "UNION" and upper[start + 1 : start + 3] == ["=", "("]:
            members = tokens[start + 3 : upper.index(")", start)]
            return any(dot == "." and _bare(members[n]) != database for n, dot in enumerate(members[1:]))
    return False


def _strange(one: Stored) -> BackupError:
    return BackupError(
        f"The statement for {one.kind.lower()} {one.name} is not one that a dump of ours holds; nothing of it was run.",
        hint="Somebody has changed the backup. Use another one: `ci-migrate backup list`",
    )
