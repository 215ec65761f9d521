"""The secrets of this process: each is registered where it is resolved, and replaced in all that leaves the process.

There is one registry for the process, since what prints (an error's message, a reporter, a child's last words) has no
settings at hand, and a secret that somebody forgot to hand on is a secret that is printed.

What is replaced, and where, depends on what the secret looks like: a password `p` must not turn OperationalError into
O***erationalError.

- Up to three characters, few digits, a word that our own messages are made of (`password`), or what the same URL
  shows elsewhere (`postgres:postgres@`): only where it stands as a password: `:p@`, `password=p`, `"pwd": "p"`.
- Up to seven characters, letters only, digits only: as a whole word.
- All others: wherever they stand, also inside of something longer.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"

SHORT, LONG = 4, 8
"""Characters from which a secret is replaced as a word, and wherever it stands."""

NUMBER = 12
"""Digits that are no count of rows or bytes any more."""

OUR_WORDS = frozenset({
    "admin", "database", "false", "mariadb", "mysql", "null", "password", "postgres", "postgresql", "production",
    "root", "secret", "staging", "target", "test", "token", "true", "user", "username",
})  # fmt: skip
"""Passwords that are words of our own messages: replacing them hides nothing and garbles all."""

VARIABLES = frozenset(
    (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_KEY",
        "CI_MIGRATE_TOKEN",
        "MYSQL_PWD",
        "PGPASSWORD",
        "PGSSLPASSWORD",
    )
)
"""Variables that hold a secret and nothing else, whoever reads them."""

OURS = frozenset(
    f"CI_MIGRATE_{name}"
    for name in (
        "BACKUP_IDENTITY",
        "DATABASES",
        "FLEET_QUERY_URL",
        "FLEET_STATE",
        "READ_URL",
        "SCRATCH",
        "STATE",
        "TOKEN",
        "TRUST",
        "URL",
    )
)
"""Our own variables that lead somewhere, or permit something: no program of the repository sees them."""

_URL = re.compile(r"[A-Za-z][\w+.-]*://\S+")
_PARTS = re.compile(
    r"[A-Za-z][\w+.-]*://(?:(?P<user>[^:/?#@]*)(?::(?P<password>.*))?@)?(?P<rest>.*)", re.DOTALL
)
"""As generous as SQLAlchemy 1.4: the password ends at the last `@`. For SQLAlchemy 2 it ends at the first."""
_SECRET_ARGUMENT = re.compile("pass|pwd|secret|token|odbc_connect", re.IGNORECASE)
_ODBC_PASSWORD = re.compile(r"(?:^|;)\s*(?:pwd|password)\s*=\s*(\{[^}]*\}|[^;]*)", re.IGNORECASE)
_FOREIGN = re.compile(r"(://[^:/?#@\s'\"]*:)([^/@\s'\"]+)@")
"""A password in a URL that nobody registered."""

_IN_ITS_PLACE = (  # of a password
    r"(?:(?<=:)(?P<a>{0})(?=@)"
    r"|(?P<key>(?:pass(?:word|wd)?|pwd|secret|token|identified\s+by)[\"']?\s*[=:]?\s*[\"']?)(?P<b>{0})(?!\w))"
)


class Secrets:
    """What must not leave the process. Safe to use from several threads: what is known is replaced, never changed."""

    def __init__(self) -> None:
        # by text: whether it is only replaced where it stands as a password
        self._known: Mapping[str, bool] = {}
        self._patterns: tuple[re.Pattern[str], ...] = ()

    def __contains__(self, text: str) -> bool:
        return text in self._known

    def add(self, text: str, visible: Iterable[str] = ()) -> None:
        """A secret, in each of the forms in which it may be printed.

        Args:
            text: it; of a text with several lines (a private key) each line is one.
            visible: what stands beside it for all to see.
        """
        found: dict[str, bool] = {}
        for line in {text, *text.splitlines()}:
            plain = line.strip()
            if plain.startswith(("#", "-----")):  # what a file of keys says about them
                continue
            weak = len(plain) < (NUMBER if plain.isdigit() else SHORT)
            weak = weak or plain.lower() in OUR_WORDS or plain in set(visible)
            found |= dict.fromkeys(_forms(plain), weak)
        new = {form: weak for form, weak in found.items() if form and form not in self._known}
        if new:
            self._known = {**self._known, **new}
            self._patterns = _patterns(self._known)

    def add_url(self, text: str) -> None:
        """The passwords in a URL: in its user part, in its query, in a connection string within that."""
        parts = _PARTS.fullmatch(text.strip())
        if parts is None:
            return
        user, password, rest = (parts[name] or "" for name in ("user", "password", "rest"))
        place, _, query = rest.partition("?")
        visible = {unquote(word) for word in (user, *re.split(r"[/:,]", place)) if word}
        # as it stands, and as SQLAlchemy and libpq read it
        found = set()
        for ends in (password, password.partition("@")[0], password.partition("?")[0].rpartition("@")[0]):
            found |= {ends, unquote(ends), unquote_plus(ends)}
        for name, _, value in (pair.partition("=") for pair in re.split("[&;]", query)):
            if _SECRET_ARGUMENT.search(name):
                found |= {value, unquote(value), unquote_plus(value)}
                found |= set(_ODBC_PASSWORD.findall(unquote_plus(value)))
        for secret in filter(None, found):
            self.add(secret, visible)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """What is a secret in an environment: variables known for it, and each password of a URL.

        Projects read their URL from a variable that no setting names.
        """
        for name, value in environ.items():
            if name in VARIABLES:
                self.add(value)
            elif "://" in value:
                self.add_url(value)
                for url in _URL.findall(value):
                    self.add_url(url)

    def forget(self, text: str) -> None:
        """Leave a secret out."""
        self._known = {form: weak for form, weak in self._known.items() if form not in _forms(text)}
        self._patterns = _patterns(self._known)

    def holds(self, text: str) -> bool:
        """Whether one of them stands in the text."""
        return any(pattern.search(text) for pattern in self._patterns)

    def hide(self, text: str) -> str:
        """The text without any of them, and without the password of any other URL."""
        for pattern in self._patterns:
            text = pattern.sub(_hidden, text)
        return _FOREIGN.sub(rf"\1{HIDDEN}@", text) if "://" in text else text


def _forms(secret: str) -> set[str]:
    """As it is, as it stands in URLs, in JSON and in Python's own notation."""
    # "surrogateescape": a variable that is no UTF-8, whoever reads it
    found = {secret, quote_plus(secret, errors="surrogateescape")}
    found |= {quote(secret, safe=safe, errors="surrogateescape") for safe in ("", " +")}
    found |= {re.sub("%[0-9A-F]{2}", lambda part: part[0].lower(), form) for form in found}
    return found | {
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }


def _patterns(known: Mapping[str, bool]) -> tuple[re.Pattern[str], ...]:
    strong = sorted((text for text, weak in known.items() if not weak), key=len, reverse=True)
    weak = sorted((text for text, is_weak in known.items() if is_weak), key=len, reverse=True)
    found = []
    if strong:
        found.append(re.compile("|".join(map(_whole, strong))))
    if weak:
        words = "|".join(map(re.escape, weak))
        found.append(re.compile(_IN_ITS_PLACE.format(f"(?:{words})"), re.IGNORECASE))
    return tuple(found)


def _whole(text: str) -> str:
    pattern = re.escape(text)
    if len(text) >= LONG and not text.isalpha() and not text.isdigit():
        return pattern
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", text) else ""
    return before + pattern + after


def _hidden(found: re.Match[str]) -> str:
    return (found.groupdict().get("key") or "") + HIDDEN


def hide_secrets_in(value: Any) -> Any:
    """The same dicts and lists without any secret of this process in their texts."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {name: hide_secrets_in(item) for name, item in value.items()}
    return [hide_secrets_in(item) for item in value] if isinstance(value, list | tuple) else value


SECRETS = Secrets()
"""Those of this process."""

register_secret = SECRETS.add
register_url = SECRETS.add_url
register_environment = SECRETS.add_environment
hide_secrets = SECRETS.hide
