"""What the repository's code sees of the environment.

Children run env.py and revisions, before anybody approved them too. They get the variables of this process, since real
projects read their own there, but none that opens a door which their stage has no business with:

- Never: the approval token, the approvers, the ledger's URL, the scratch server's, the key of encrypted backups, the
  keys of a storage that backups go to, the CI's own tokens, the SSH agent (it may hold an approver's key). A variable
  is known by its name or by what it holds: whatever contains such a password is taken away.
- The target's URL and the URLs of `databases`, by name and by what they hold: only where the target is migrated or
  repaired. For `check` they are those of `read-url`, where there is one; for a dry run those of the copy. A variable
  that holds the password alone gets the other password.
- In a dry run, also the application's own URL of the target with another login, and the variables that the clients of
  PostgreSQL, MySQL and MariaDB read (`PGDATABASE`, `MYSQL_DATABASE`, ...), lead to the copy: a revision may start
  `psql`, which no wall sees.

The interpreter that forks all children starts without any of them (`/proc/PID/environ` shows what a process started
with); each child is told those of its stage by its pipe. What lies in files that this user can read (`file:`,
`.pgpass`, `~/.aws`) the environment can't hide.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_migrate.databases.composite.names import MAIN
from ci_migrate.errors import CiMigrateError
from ci_migrate.settings.secrets import LONG, OURS, Secrets
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.settings.urls import variable_of

OF_THE_CI = frozenset({
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN",
    "CI_DEPLOY_PASSWORD", "CI_JOB_JWT", "CI_JOB_JWT_V2", "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD",
    "SSH_AGENT_PID", "SSH_AUTH_SOCK", "SYSTEM_ACCESSTOKEN",
})  # fmt: skip
"""What lets a job act as the CI, or sign as a person."""

OF_STORAGES = frozenset(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
"""Withheld where backups go to a storage that they open; elsewhere they are the application's own."""

_CLIENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "postgresql": {
        "database": ("PGDATABASE",),
        "host": ("PGHOST",),
        "port": ("PGPORT",),
        "username": ("PGUSER",),
        "password": ("PGPASSWORD",),
    },
    "mysql": {
        "database": ("MYSQL_DATABASE", "MARIADB_DATABASE"),
        "host": ("MYSQL_HOST",),
        "port": ("MYSQL_TCP_PORT",),
        "username": ("MYSQL_USER", "MARIADB_USER"),
        "password": ("MYSQL_PWD", "MYSQL_PASSWORD", "MARIADB_PASSWORD"),
    },
}
"""By engine and part of a URL: the variables by which clients, and images of servers, name a database."""

_LOOPBACK = frozenset({None, "", "localhost", "127.0.0.1", "::1"})

_FORMS: tuple[Callable[[str], str], ...] = (str, quote_plus, lambda text: quote(text, safe=""))
"""A password as it is, and as it stands in URLs."""


@dataclass(frozen=True)
class _Door:
    """A database that a variable may lead to: the target (`MAIN`), or one of `databases`."""

    name: str
    url: URL
    password: str
    base: Path

    def opened_by(self, value: str) -> bool:
        """Whether this value names the database with this login, or holds its password."""
        if self.named_by(value):
            return True
        forms = {form(self.password) for form in _FORMS} if self.password else set()
        return value in forms or (len(self.password) >= LONG and any(form in value for form in forms))

    def named_by(self, value: str) -> bool:
        """Whether it is a URL of the database, with this login."""
        try:
            other = make_url(value.strip())
        except (ArgumentError, ValueError):
            return False
        return self._where(self.url) == self._where(other)

    def led_to_by(self, value: str) -> bool:
        """Whether it is a URL of the database, whoever logs in."""
        try:
            other = make_url(value.strip())
        except (ArgumentError, ValueError):
            return False
        ours, theirs = self._where(self.url), self._where(other)
        return ours[:4] + ours[5:] == theirs[:4] + theirs[5:]  # without the user

    def changed(self, value: str, instead: URL) -> str:
        """What the variable holds where `instead` is used."""
        if self.named_by(value):
            return with_driver_of(instead, value)
        for form in _FORMS:
            value = value.replace(form(self.password), form(str(instead.password or "")))
        return value

    def _where(self, url: URL) -> tuple[object, ...]:
        backend = url.get_backend_name()
        if backend == "sqlite":
            return backend, str(self.base / (url.database or ""))
        one = {"mariadb": "mysql"}.get(backend, backend)
        return one, url.host, url.port, url.database, url.username, dict(url.query).get("host")


class ChildEnvironment:
    """The variables of this process, divided into those for every child and those for the stages that need them.

    `targets` are the databases that are written, by name, `reader` is what `read-url` leads to.
    """

    def __init__(self, settings: Settings, targets: Mapping[str, URL], reader: URL | None = None) -> None:
        self._settings = settings
        login = settings.environ.get("PGPASSWORD") or settings.environ.get("MYSQL_PWD") or ""
        # a password that both URLs leave to the variable opens nothing that the reader may not
        alone = login if reader is not None and reader.password else ""
        base = settings.project_dir
        self._doors = [_Door(n, url, str(url.password or alone), base) for n, url in targets.items()]
        if reader is not None:
            self._doors.append(_Door(MAIN, reader, str(reader.password or ""), base))
        self._named = {variable: name for name, variable in settings.database_variables.items()}
        self._named |= {v: MAIN for v in (settings.read_url_variable, settings.url_variable) if v}
        scratch = Secret(settings.scratch or "")
        ours = (
            settings.state,
            scratch,
            settings.backup_identity,
            settings.fleet_query_url,
            settings.fleet_state,
        )
        others = {variable_of(value) for value in ours}
        self._never = OURS | OF_THE_CI | {v for v in others if v and v not in self._named}
        if settings.backup_dir.startswith("s3:"):
            self._never |= OF_STORAGES
        self._secrets = self._secrets_of_ours()

    def for_all(self) -> dict[str, str]:
        """What every child may see."""
        environ = self._settings.environ.items()
        return {n: v for n, v in environ if not self._withheld(n, v) and self._door_of(n, v) is None}

    def for_tools(self) -> dict[str, str]:
        """What a program that backs up and restores may see: the target and storages, nothing of ours."""
        environ = self._settings.environ.items()
        return {n: v for n, v in environ if n in OF_STORAGES or not self._withheld(n, v)}

    def for_stage(self, places: Mapping[str, URL] | None = None) -> dict[str, str]:
        """What the child of a stage sees beside that.

        Args:
            places: where the stage goes instead of the targets, by name; None where it goes to them.
        """
        found = {}
        for name, value in self._settings.environ.items():
            door = self._door_of(name, value)
            if door is None or self._withheld(name, value):
                continue
            instead = (places or {}).get(door.name, door.url)
            if instead == door.url:
                found[name] = value
            elif name in self._named:
                found[name] = with_driver_of(instead, value)
            else:
                found[name] = door.changed(value, instead)
        for door in self._doors:
            instead = (places or {}).get(door.name, door.url)
            if instead.database != door.url.database or instead.host != door.url.host:
                found.update(self._led_to(door, instead))
        return found

    def _led_to(self, door: _Door, instead: URL) -> dict[str, str]:
        """The variables by which programs that a revision starts would come to the target, with the copy's values."""
        environ = self._settings.environ
        found = {
            name: with_driver_of(instead, value)
            for name, value in environ.items()
            if door.led_to_by(value) and not self._withheld(name, value)
        }
        clients = _CLIENTS.get(door.url.get_backend_name().replace("mariadb", "mysql"), {})
        hosts = [environ[name] for name in clients.get("host", ()) if environ.get(name)]
        there = (
            not hosts
            or hosts[0] == door.url.host
            or {hosts[0], door.url.host} <= _LOOPBACK
            or not door.url.host
        )
        if there and any(environ.get(name) == door.url.database for name in clients.get("database", ())):
            for part, names in clients.items():
                value = getattr(instead, part)
                found |= {name: str(value) for name in names if name in environ and value}
        return found

    def _door_of(self, name: str, value: str) -> _Door | None:
        opened = next((door for door in self._doors if door.opened_by(value)), None)
        if opened is None and name in self._named:
            return next((door for door in self._doors if door.name == self._named[name]), None)
        return opened

    def _withheld(self, name: str, value: str) -> bool:
        if name in self._never:
            return True
        return self._secrets.holds(value) and not any(door.named_by(value) for door in self._doors)

    def _secrets_of_ours(self) -> Secrets:
        """The secrets of ledger, scratch server, backups and token, without those that open the target too."""
        settings, found = self._settings, Secrets()
        with suppress(CiMigrateError):
            if settings.state is not None and not _asks(settings.state):
                found.add_url(settings.resolve_state() or "")
            if settings.scratch is not None and not _asks(Secret(settings.scratch)):
                found.add_url(settings.resolve_scratch_url() or "")
        for resolve, value in (
            (settings.resolve_fleet_query_url, settings.fleet_query_url),
            (settings.resolve_fleet_state, settings.fleet_state),
        ):
            with suppress(
                CiMigrateError
            ):  # the catalog's variable may be the one in which env.py finds another URL
                if value is not None and not _asks(value) and variable_of(value) != settings.url_variable:
                    found.add_url(resolve() or "")
        with suppress(CiMigrateError):
            found.add(settings.resolve_backup_identity() or "")
        found.add(settings.environ.get("CI_MIGRATE_TOKEN", ""))
        for door in self._doors:
            found.forget(door.password)
        return found


def known_targets(settings: Settings) -> dict[str, URL]:
    """The databases that are written, as far as the settings tell without asking a program or env.py."""
    found = {}
    with suppress(CiMigrateError):
        if settings.url is not None and not _asks(settings.url):
            found[MAIN] = make_url(settings.resolve_url())
        if not any(_asks(value) for value in settings.databases.values()):
            found |= {name: make_url(text) for name, text in settings.resolve_databases().items()}
    return found


def known_reader(settings: Settings) -> URL | None:
    """What `read-url` leads to, as far as the settings tell so."""
    with suppress(CiMigrateError):
        if settings.read_url is not None and not _asks(settings.read_url):
            return make_url(settings.resolve_read_url())
    return None


def with_driver_of(url: URL, given: str) -> str:
    """The URL with the driver that the project's own variable names (an async env.py needs its async driver)."""
    if given:
        with suppress(ArgumentError, ValueError):
            theirs = make_url(given)
            if theirs.get_backend_name() == url.get_backend_name():
                url = url.set(drivername=theirs.drivername)
    return url.render_as_string(hide_password=False)


def _asks(value: Secret) -> bool:
    return value.reveal().startswith("command:")
