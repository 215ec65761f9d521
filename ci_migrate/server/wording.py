"""Messages over HTTP: where one names a command, the call that does the same."""

import re
import shlex
from collections.abc import Sequence
from urllib.parse import quote

PREFIX = "/api/database/migration"

_COMMAND = re.compile(
    r"(?:CI_MIGRATE_TOKEN=\S+ )?ci-migrate (?P<words>[a-z][^\n;`|()]*?)"
    r"(?=\s{2,}|\s*(?:[;`|()]|$)|[,.:](?:\s|$))",
    re.MULTILINE,
)

_CALLS: dict[str, tuple[str, str]] = {
    "backup delete": ("DELETE", "/backup/{}"),
    "backup list": ("GET", "/backup/list"),
    "backup prune": ("POST", "/backup/prune"),
    "backup restore": ("POST", "/backup/{}/restore"),
    "backup restore --drop-old": ("POST", "/backup/drop-old"),
    "backup show": ("GET", "/backup/{}"),
    "dry-run": ("POST", "/dry-run"),
    "history": ("GET", "/history"),
    "migrate": ("POST", "/migrate"),
    "plan": ("GET", "/plan"),
    "repair": ("POST", "/repair"),
    "rollback": ("POST", "/rollback?targetVersion={}"),
    "run": ("POST", "/migrate-with-backup"),
    "stamp": ("POST", "/stamp?revision={}"),
    "status": ("GET", "/status"),
    "token generate": ("POST", "/generate-token"),
    "token request": ("POST", "/request-approval"),
    "verify": ("POST", "/verify"),
}
_IN_THE_BODY = frozenset(("--by", "--reason", "--target", "--token-file"))
"""What the call's body holds, or its key says."""

_SWITCHES = {
    "--accept-foreign": "acceptForeign",
    "--dry-run": "dryRun",
    "--drop-old": "dropOld",
    "--forward": "forward",
    "--purge": "purge",
}
_PARAMETERS = {
    "--delete-backup": "deleteBackup",
    "--keep": "keep",
    "--protection": "protection",
    "--repair": "repair",
    "--restore": "backupId",
    "--rollback": "targetVersion",  # of a token: the revision follows `--to`
    "--stamp": "stamp",
    "--table": "tables",
}


def over_http(text: str) -> str:
    """The text with calls in the place of commands; a command that has no call stays one."""
    return _COMMAND.sub(lambda found: _call(found["words"]) or found[0], text)


def _call(words: str) -> str:
    try:
        arguments = shlex.split(words)
    except ValueError:
        return ""
    name = next((" ".join(arguments[:n]) for n in (3, 2, 1) if " ".join(arguments[:n]) in _CALLS), "")
    if not name:
        return ""
    method, path = _CALLS[name]
    found = _values(arguments[name.count(" ") + 1 :])
    if found is None:
        return ""
    values, query = found
    if len(values) != path.count("{}"):  # words that go on behind a command's name
        return ""
    if values:
        path = path.format(quote(values[0], safe="+" if "?" not in path else ""))
    return f"{method} {PREFIX}{path}" + (f"{'&' if '?' in path else '?'}{'&'.join(query)}" if query else "")


def _values(arguments: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """What is not an option, or is that of --to; and what goes into the call's query. The key says the target.

    None where there is an option that no call has.
    """
    values: list[str] = []
    query: list[str] = []
    goes_to = ""  # the parameter that the value of --to is for
    left = iter(arguments)
    for argument in left:
        if argument in ("--rollback", "--stamp"):
            goes_to = _PARAMETERS[argument]
        elif argument in _SWITCHES:
            query.append(f"{_SWITCHES[argument]}=true")
        elif argument in _PARAMETERS:
            query.append(f"{_PARAMETERS[argument]}={quote(next(left, ''), safe='')}")
        elif argument == "--to" and goes_to:
            query.append(f"{goes_to}={quote(next(left, ''), safe='')}")
        elif argument == "--to":
            values.append(next(left, ""))
        elif argument == "--yes":
            continue
        elif argument in _IN_THE_BODY:
            next(left, None)
        elif argument.startswith("--"):
            return None
        else:
            values.append(argument)
    return values, query
