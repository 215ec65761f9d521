"""Backups by commands of the user's: pgBackRest, a snapshot of the storage, a cloud's. We keep the manifest."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_migrate.databases.base import Database, Dumped
from ci_migrate.databases.own_server import RunsServers
from ci_migrate.databases.same import are_same
from ci_migrate.errors import BackupError, CiMigrateError, DirtyError, RefusedError, ToolError
from ci_migrate.model import Backup, VersionTable, canonical_json
from ci_migrate.process import run_tool
from ci_migrate.settings.secrets import hide_secrets, register_url
from ci_migrate.tempdirs import private_folder

URL_VARIABLE = "CI_MIGRATE_PROVIDER_URL"
CLONE_VARIABLE = "CI_MIGRATE_PROVIDER_CLONE_URL"

FILE = "provider.json"
"""What lies in the backup's folder in the place of the data."""


@dataclass(frozen=True)
class Provider:
    """The user's commands, each a list of arguments; () where there is none.

    In arguments `{id}` is the provider's id of the backup (for `create` ours), `{target}` the target's name,
    `{folder}` an empty private folder that is gone afterwards (that of `clone` once the clone is dropped). The target's
    URL is in CI_MIGRATE_PROVIDER_URL, never in an argument. `environ` is all else that they see of an environment.
    """

    create: Sequence[str]
    restore: Sequence[str]
    delete: Sequence[str]
    clone: Sequence[str]
    drop: Sequence[str]
    directory: Path
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    before: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    """Called before each command: it may want the target for itself, as `CREATE DATABASE ... TEMPLATE` does."""

    lived: list[float] = field(default_factory=list, repr=False, compare=False)
    """How long each clone was there, in seconds: from the command that made it to the end of the one that drops it."""

    def dump(
        self,
        database: Database,
        into: Path,
        version_tables: Sequence[VersionTable],
        *,
        target: str,
        backup_id: str,
    ) -> Dumped:
        """Let the provider take a backup; the last line that it prints is its id.

        Raises:
            BackupError: it failed, printed nothing, or the schema changed meanwhile.
        """
        schema = database.schema()
        lines = self._run("create", self.create, database.url, {"id": backup_id, "target": target}).split(
            "\n"
        )
        provider_id = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if not provider_id or len(provider_id) > 1000 or not provider_id.isprintable():
            raise BackupError(
                "provider-create did not print an id as its last line.", hint="See docs/backup-places.md"
            )
        if database.schema() != schema:  # nobody can tell of which of the two the provider's backup is
            raise BackupError(
                f"The schema changed while provider-create ran (it made {provider_id}).",
                hint="Somebody else migrates it. Wait for the end, then run again.",
            )
        (into / FILE).write_bytes(canonical_json({"id": provider_id}))
        estimated = {
            table: msgspec.structs.replace(count, exact=False) for table, count in database.counts().items()
        }
        return Dumped(
            schema=schema,
            row_counts=estimated,  # of now, not of the moment that the backup shows
            engine_version="",
            tool_version=f"provider command {Path(self.create[0]).name}",
            how_to_restore=f"provider-create calls it {provider_id}: by provider-restore or provider-clone.",
            heads=database.heads(version_tables),
            provider_id=provider_id,
        )

    def bring_back(self, database: Database, backup: Backup) -> None:
        """Let the provider restore a backup over the database, in place.

        Raises:
            RefusedError: there is no command for it.
            DirtyError: it failed, and nobody knows how far it got.
        """
        if not self.restore:
            raise RefusedError(
                f"{backup.backup_id} is the provider's {backup.provider_id}, and no provider-restore is set.",
                hint="Set provider-restore or provider-clone, or restore it by the provider's own tools.",
            )
        try:
            self._run("restore", self.restore, database.url, self._of(backup))
        except BackupError as error:
            raise DirtyError(
                error.what, state="The provider restores in place: look at the database.", hint=error.hint
            ) from error

    def remove(self, url: URL | None, backup: Backup) -> None:
        """Let the provider delete a backup. Raises BackupError; RefusedError where there is no command for it."""
        if not self.delete:
            raise RefusedError(
                f"{backup.backup_id} is the provider's {backup.provider_id}, and no provider-delete is set.",
                hint="Set provider-delete; without it the provider's data would be left behind.",
            )
        self._run("delete", self.delete, url, self._of(backup))

    @contextmanager
    def clone_of(self, database: Database, backup: Backup) -> Iterator[URL]:
        """A clone of a backup: its URL is the last line that the command prints; `provider-drop` takes it away.

        It does so where the command failed or a signal came, too.

        Where that line is the path of a folder, it is a copy of the server's files, and a server of our own runs on it.

        Raises:
            BackupError: the command failed, or printed neither; or no server can run on the folder.
            DatabaseError, ToolError: as `RunsServers.server_on`.
        """
        with private_folder() as folder, self._timed():
            try:
                printed = self._run("clone", self.clone, database.url, self._of(backup), folder=folder)
            except BaseException:  # a signal, too: it may have made something, which may cost
                with suppress(CiMigrateError):  # there may be nothing to drop
                    self._drop(database, backup)
                raise
            clone = printed.strip().split("\n")[-1].strip()
            try:
                register_url(clone)
                with _running(database, clone, folder) as url:
                    yield url
            finally:
                self._drop(database, backup, clone)

    def _drop(self, database: Database, backup: Backup, clone: str = "") -> None:
        if self.drop:
            self._run("drop", self.drop, database.url, self._of(backup), clone=clone)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.lived.append(time.monotonic() - began)

    def _of(self, backup: Backup) -> dict[str, str]:
        return {"id": backup.provider_id or "", "target": backup.target}

    def _run(
        self,
        name: str,
        argv: Sequence[str],
        url: URL | None,
        given: dict[str, str],
        *,
        clone: str = "",
        folder: Path | None = None,
    ) -> str:
        environ = {**self.environ}
        if url is not None:
            environ[URL_VARIABLE] = url.render_as_string(hide_password=False)
        if clone:
            environ[CLONE_VARIABLE] = clone
        self.before()
        with private_folder() if folder is None else nullcontext(folder) as place:
            filled = [_fill(argument, {**given, "folder": str(place)}) for argument in argv]
            try:
                return run_tool(filled, env=environ, cwd=self.directory, inherit=False)
            except ToolError as error:
                raise BackupError(f"provider-{name}: {hide_secrets(error.what)}", hint=error.hint) from error


@contextmanager
def _running(database: Database, clone: str, folder: Path) -> Iterator[URL]:
    """The URL of a clone; on a folder with a server's files runs a server of our own meanwhile.

    Tablespaces may lie beside these, in the folder that was given to the command.
    """
    if not clone.startswith("/"):
        try:
            url = make_url(clone)
        except (ArgumentError, ValueError):
            # the cause is left out on purpose: it may quote the URL
            raise BackupError(
                "provider-clone did not print a URL, or the path of a folder, as its last line.",
                hint="See docs/backup-places.md",
            ) from None
        yield url
        return
    if not isinstance(database, RunsServers):
        raise BackupError(
            f"provider-clone printed the folder {clone}: there is no server of {database.dialect} to run on it.",
            hint="Let it print a URL.",
        )
    data = Path(clone)
    inside = data.resolve().is_relative_to(folder.resolve())
    with database.server_on(data, folder if inside else data) as url:
        yield url


def _fill(argument: str, given: dict[str, str]) -> str:
    for name, value in given.items():
        argument = argument.replace(f"{{{name}}}", value)
    return argument


OpenDatabase = Callable[[URL], Database]
"""The database behind a URL."""


def refuse_same(original: Database, clone: Database, words: str = "the target itself") -> None:
    """Raise RefusedError if a clone is the original, in `words`: the dry run would migrate it."""
    ours, theirs = original.identity(), clone.identity()
    same = ours.facts == theirs.facts or ours.place == theirs.place
    if "file" in ours.facts and "file" in theirs.facts:
        files = (Path(ours.facts["file"]), Path(theirs.facts["file"]))
        same = same or (all(file.exists() for file in files) and files[0].samefile(files[1]))
    if ours.dialect != theirs.dialect:
        words = f"{theirs.dialect}, not {ours.dialect}"
    elif not same and not are_same(original, clone):
        return
    raise RefusedError(
        f"provider-clone answered with {theirs.place}, which is {words}.",
        hint="It must make a database of its own and print its URL.",
    )
