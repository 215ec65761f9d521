"""URLs in settings: passwords found and hidden, and the forms env:, file: and command: resolved."""

import re
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote_plus

from ci_migrate.errors import SettingsError
from ci_migrate.settings.kinds import Secret
from ci_migrate.settings.secrets import OURS, register_secret, register_url

# As generous as SQLAlchemy's own pattern: a password may hold any of @ : / % #, so it ends at the last @.
_USER_INFO = re.compile(r"(://[^:/\s]*:)(.+)@", re.DOTALL)
_QUERY = re.compile(
    r"([?&;]\s*(?:\w*pass(?:wd|word)?|pwd|\w*secret\w*|\w*token\w*)=)([^&;\s]+)", re.IGNORECASE
)
_ODBC = re.compile(r"([?&;]odbc_connect=)([^&;\s]+)", re.IGNORECASE)
_ODBC_PASSWORD = re.compile(r"(?:^|;)\s*(?:pwd|password)\s*=\s*[^;\s]", re.IGNORECASE)

COMMAND_SECONDS = 60.0


def holds_password(text: str) -> bool:
    """Whether a text holds a URL with a password, in its user part or in its query."""
    odbc = _ODBC.search(text)
    return bool(
        _USER_INFO.search(text)
        or (_QUERY.search(text) and "://" in text)
        or (odbc and _ODBC_PASSWORD.search(unquote_plus(odbc[2])))
    )


def redact(text: str) -> str:
    """A text with each password of a URL in it replaced by `***`."""
    text = _ODBC.sub(r"\1***", _USER_INFO.sub(r"\1***@", text))
    return _QUERY.sub(r"\1***", text)


def show_url(value: Secret | str) -> str:
    """A URL setting for people: without a password; of a command only the program's name."""
    text = value.reveal() if isinstance(value, Secret) else value
    form, _, rest = text.partition(":")
    if form == "command":
        program, *arguments = rest.split() or [""]
        return f"command:{redact(program)}" + (" ***" if arguments else "")
    return redact(text)


def variable_of(value: Secret | None) -> str | None:
    """NAME of `env:NAME`, None for any other form."""
    if value is None:
        return None
    form, _, rest = value.reveal().partition(":")
    return rest if form == "env" else None


def resolve(value: Secret | str, *, key: str, source: str, base: Path, environ: Mapping[str, str]) -> str:
    """The URL that a setting means, with its password.

    Args:
        value: a URL, `env:NAME`, `file:PATH` or `command:PROGRAM ARGUMENTS`.
        key: for messages.
        source: for messages.
        base: what relative paths start from.
        environ: where `env:` looks; what a command gets.

    Raises:
        SettingsError: there is none, or it can't be parsed; the message never holds it.
        ToolError: the command failed.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    place = f"{key} ({source})"
    form, _, rest = text.partition(":")
    if form == "env":
        text = environ.get(rest, "").strip()
        if not text:
            raise SettingsError(
                f"The environment variable {rest} is not set; {place} takes the URL from it.",
                hint=f"Set {rest}, in CI as a protected variable of this job.",
            )
    elif form == "file":
        text = _read(_path(rest, place, base), place)
    elif form == "command":
        text = _ask(rest, place, base, environ)
    register_url(text)
    return absolute_url(text, place, base)


def resolve_key(value: Secret, *, key: str, source: str, base: Path, environ: Mapping[str, str]) -> str:
    """The private key that a setting means by `env:NAME` or `file:PATH`.

    Raises:
        SettingsError: there is none, or others than its owner may read the file.
    """
    place = f"{key} ({source})"
    form, _, rest = value.reveal().partition(":")
    if form == "env":
        text = environ.get(rest, "").strip()
        if not text:
            raise SettingsError(
                f"The environment variable {rest} is not set; {place} takes the private key from it.",
                hint=f"Set {rest}, in CI as a protected variable of this job.",
            )
        register_secret(text)
        return text
    path = _path(rest, place, base)
    try:
        shared = path.stat().st_mode & 0o077
    except OSError as error:
        raise SettingsError(f"{place}: {path} can't be read: {error.strerror}.") from error
    if shared:
        raise SettingsError(f"{place}: others may read {path}.", hint=f"chmod 600 {path}")
    text = _read(path, place, "the private key")
    register_secret(text)
    return text


def _path(text: str, place: str, base: Path) -> Path:
    try:
        return base / Path(text.strip()).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{place}: there is no home folder for {text.strip()}.") from error


def _read(path: Path, place: str, holds: str = "the URL") -> str:
    try:
        regular = S_ISREG(path.stat().st_mode)
        text = path.read_text(encoding="utf-8").strip() if regular else ""
    except OSError as error:
        raise SettingsError(f"{place}: {path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{place}: {path} is not a text file.") from error
    if not regular:
        # what `<(...)` of a shell and /dev/stdin give can be read once, and it is asked for more often
        raise SettingsError(
            f"{place}: {path} is no regular file.",
            hint='Write "command:PROGRAM ARGUMENTS" for what a program prints, "env:NAME" for a variable.',
        )
    if not text:
        raise SettingsError(f"{place}: {path} is empty.", hint=f"It must hold {holds} and nothing else.")
    return text


def _ask(command: str, place: str, base: Path, environ: Mapping[str, str]) -> str:
    import shlex

    from ci_migrate.process import run_tool

    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"{place}: the command has a quote that is not closed.") from error
    if not argv:
        raise SettingsError(f"{place}: the command is empty.")
    env = {name: value for name, value in environ.items() if name not in OURS}
    printed = run_tool(argv, env=env, cwd=base, timeout=COMMAND_SECONDS, inherit=False).strip()
    if not printed or len(printed.splitlines()) != 1:
        raise SettingsError(
            f"{place}: {argv[0]} must print one line, the URL; it printed {len(printed.splitlines())}."
        )
    return printed


def absolute_url(text: str, place: str, base: Path) -> str:
    """The URL as SQLAlchemy wants it, the file of a SQLite URL with its whole path.

    The text is changed, not rendered from its parsed form: SQLAlchemy 2.1 quotes what 2.0 does not unquote.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    text = re.sub(r"^postgres(?=://|\+)", "postgresql", text)  # Heroku's name, dropped by SQLAlchemy 1.4
    try:
        text.encode()  # a variable may hold bytes that are no text: reports and approvals could not name the database
        url = make_url(text)
    except (ArgumentError, ValueError):
        # the cause is left out on purpose: it may quote the URL
        raise SettingsError(
            f"The URL of {place} can't be parsed.",
            hint="It must look like postgresql://USER:PASSWORD@HOST:5432/NAME; in the password @ : / % # are "
            "written %40 %3A %2F %25 %23.",
        ) from None
    relative = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:|file:)([^?]+)(\?.*)?", text)
    if relative is None or url.database is None:
        return text
    text = f"{relative[1]}{base / relative[2]}{relative[3] or ''}"
    # a folder's name is no URL: from a `?` on it is taken for arguments, and SQLAlchemy 2.1 reads `%41` as A
    if make_url(text).database != str(base / url.database):
        raise SettingsError(
            f"The file of {place} lies in {base}, which no URL can name: it has a ? or a % in it.",
            hint="Rename the folder.",
        )
    return text
