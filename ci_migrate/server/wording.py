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
    "verify": ("POST", "/verify"),
}
_IN_THE_BODY = frozenset(("--by", "--reason", "--target", "--token-file"))
"""What the call's body holds, or its key says."""

_SWITCHES = {"--dry-run": "dryRun=true", "--forward": "forward=true", "--purge": "purge=true"}


def over_http(text: str) -> str:
    """The text with calls in the place of commands; a command that has no call stays one."""
    return _COMMAND.sub(lambda found: _call(found["words"]) or found[0], text)


def _call(words: str) -> str:
    try:
        arguments = shlex.split(words)
    except ValueError:
        return ""
    name = next((" ".join(arguments[:n]) for n in (2, 1) if " ".join(arguments[:n]) in _CALLS), "")
    if not name:
        return ""
    method, path = _CALLS[name]
    found = _values(arguments[name.count(" ") + 1 :])
    if found is None:
        return ""
    values, switches = found
    if len(values) != path.count("{}"):  # words that go on behind a command's name
        return ""
    if values:
        path = path.format(quote(values[0], safe="+"))
    query = "&".join(switches)
    return f"{method} {PREFIX}{path}" + (f"{'&' if '?' in path else '?'}{query}" if query else "")


def _values(arguments: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """What is not an option, or is that of --to; and the switches that a call has too. The key says the target.

    None where there is an option that no call has.
    """
    values: list[str] = []
    switches: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument in _SWITCHES:
            switches.append(_SWITCHES[argument])
        elif argument == "--to":
            values += [next(left, "")]
        elif argument in _IN_THE_BODY:
            next(left, None)
        elif argument.startswith("--") and argument != "--yes":
            return None
        elif argument == "--yes":
            continue
        else:
            values.append(argument)
    return values, switches
