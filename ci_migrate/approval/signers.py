"""Approvers: lines of OpenSSH's allowed-signers format (ssh-keygen(1), "ALLOWED SIGNERS").

Stricter than ssh-keygen: a principal is a name, never a pattern, since `*` would let any key pass as anyone; no
certificate authorities; a line with an option that is not known here is refused rather than half understood.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec

from ci_migrate.approval.sshsig import KEY_TYPES, fingerprint, well_formed
from ci_migrate.errors import NotApprovedError

LINE_LIMIT = 16 * 1024
LINES_LIMIT = 1000

_TIME = re.compile(r"(\d{8})(?:(\d{4})(\d{2})?)?(Z?)", re.ASCII)
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"]*)")?(?:,|(?=\s)|$)', re.ASCII)
_WILD = re.compile(r"[*?!]")


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """One line: who, and by which key. `key` is the public key in its binary form; () of namespaces means any."""

    principals: tuple[str, ...]
    key: bytes
    namespaces: tuple[str, ...] = ()
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    emergency: bool = False  # this key suffices alone

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l shows it."""
        return fingerprint(self.key)

    def refusal(self, namespace: str, now: datetime) -> str:
        """Why a signature by this line does not count in a namespace at a time; "" where it does."""
        who = self.principals[0]
        if self.namespaces and not _matches(self.namespaces, namespace):
            return f"{who}'s key is not for {namespace} (namespaces)"
        if self.valid_after is not None and now < self.valid_after:
            return f"{who}'s key is valid after {self.valid_after:%Y-%m-%d %H:%M:%S} only"
        if self.valid_before is not None and now >= self.valid_before:
            return f"{who}'s key expired at {self.valid_before:%Y-%m-%d %H:%M:%S}"
        return ""


def _matches(patterns: Iterable[str], namespace: str) -> bool:
    found = False
    for pattern in patterns:
        plain = pattern.removeprefix("!").replace("[", "[[]")  # OpenSSH's patterns know no [sets]
        if fnmatchcase(namespace, plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def parse_signers(lines: Iterable[str], *, emergency: bool = False) -> tuple[Signer, ...]:
    """The approvers that some lines name; empty lines and comments are left out.

    Args:
        lines: of OpenSSH's allowed-signers format.
        emergency: whether their keys suffice alone.

    Raises:
        NotApprovedError: a line is no such line, or names more than one person could be; nobody is trusted then.
    """
    found: list[Signer] = []
    for number, line in enumerate(lines, start=1):
        if number > LINES_LIMIT:
            raise _refusal(number, "there are too many lines")
        text = line.strip()
        if text and not text.startswith("#"):
            found.append(_parse(number, text, emergency=emergency))
    return tuple(found)


def _refusal(number: int, why: str) -> NotApprovedError:
    return NotApprovedError(
        f"Line {number} of the approvers can't be used: {why}.",
        hint='A line reads: alice@example.com namespaces="ci-migrate-approval@v1" ssh-ed25519 AAAA...',
    )


def _parse(number: int, text: str, *, emergency: bool) -> Signer:
    if len(text) > LINE_LIMIT:
        raise _refusal(number, "it is too long")
    principals, rest = _principals(number, text)
    options, kind, rest = _options(number, rest)
    words = rest.split(None, 1)
    namespaces = tuple(p for p in options.get("namespaces", "any").split(",") if p)
    if not namespaces:
        raise _refusal(number, "namespaces names nothing")
    if kind not in KEY_TYPES:
        raise _refusal(number, f"keys of the type {kind[:40]!r} are not accepted")
    try:
        key = base64.b64decode(words[0] if words else "", validate=True)
        # of the last letter some bits mean nothing: one key could be written in several ways
        if base64.b64encode(key).decode() != words[0] or not well_formed(key, kind):
            raise _refusal(number, "its key is damaged")
    except (ValueError, IndexError):
        raise _refusal(number, "its key is damaged") from None
    return Signer(
        principals=principals,
        key=key,
        namespaces=namespaces if "namespaces" in options else (),
        valid_after=_time(number, options.get("valid-after")),
        valid_before=_time(number, options.get("valid-before")),
        emergency=emergency,
    )


def _principals(number: int, text: str) -> tuple[tuple[str, ...], str]:
    if text.startswith('"'):
        quoted, quote, rest = text[1:].partition('"')
        if not quote:
            raise _refusal(number, "a quote is not closed")
    else:
        quoted, rest = (*text.split(None, 1), "")[:2]
    principals = tuple(quoted.split(","))
    if any(_WILD.search(p) for p in principals):
        raise _refusal(number, f"{quoted[:60]!r} is a pattern, and would let a key pass as anyone")
    if not all(p.strip() == p and p.isprintable() and p for p in principals):
        raise _refusal(number, "it names nobody")
    return principals, rest.strip()


def _options(number: int, rest: str) -> tuple[dict[str, str], str, str]:
    """Options, the key's type, and what follows."""
    options: dict[str, str] = {}
    first = rest.split(None, 1)[0] if rest else ""
    if first not in KEY_TYPES:
        at = 0
        while at < len(rest) and not rest[at].isspace():
            match = _OPTION.match(rest, at)
            if match is None:
                break
            name = match[1].lower()
            if name == "cert-authority":
                raise _refusal(number, "certificate authorities are not accepted: each approver has a line")
            if match[2] is None:
                break
            if name not in ("namespaces", "valid-after", "valid-before"):
                raise _refusal(number, f"{match[1][:40]!r} is no option that is known here")
            if name in options:
                raise _refusal(number, f"{name} is there twice")
            options[name] = match[2]
            at = match.end()
        rest = rest[at:].strip()
    kind, _, key = rest.replace("\t", " ").partition(" ")
    return options, kind, key.strip()


def _time(number: int, text: str | None) -> datetime | None:
    """A time as ssh-keygen reads it: YYYYMMDD[HHMM[SS]], UTC with a Z behind it, else this machine's time zone."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise _refusal(number, f"{text[:40]!r} is no time")
    day, minute, second, utc = match.groups()
    try:
        moment = datetime.strptime(f"{day}{minute or '0000'}{second or '00'}+0000", "%Y%m%d%H%M%S%z")
        # as ssh-keygen does: a line that is meant for all machines ends with Z
        return moment if utc else moment.replace(tzinfo=None).astimezone()
    except (ValueError, OverflowError, OSError):
        raise _refusal(number, f"{text[:40]!r} is no time") from None


def people_of(lines: Iterable[Signer]) -> list[frozenset[object]]:
    """Keys and case-folded names of each person: lines with a name or a key in common are one person's."""
    people: list[frozenset[object]] = []
    for line in lines:
        marks = frozenset((line.key, *_names(line)))
        apart = [p for p in people if not p & marks]
        people = [*apart, marks.union(*(p for p in people if p & marks))]
    return people


def borrowed_keys(lines: Sequence[Signer]) -> tuple[str, ...]:
    """Keys that stand under names with nothing in common, in words: one person, who must not count as two."""
    return tuple(
        f"{line.principals[0]}'s key is {other.principals[0]}'s too: {line.fingerprint}"
        for number, line in enumerate(lines)
        for other in lines[:number]
        if other.key == line.key and not _names(other) & _names(line)
    )


def _names(line: Signer) -> frozenset[str]:
    return frozenset(p.casefold() for p in line.principals)
