"""The catalog of backups: create, list, verify, delete. It is the manifests, and nothing else."""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import msgspec

from ci_migrate.backups.encryption import AGE, Encryption, how_to_restore, refuse_secrets
from ci_migrate.backups.fetch import LIST, check_id, check_listing, fetch, read_file
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.provider import Provider
from ci_migrate.backups.room import Estimate, estimate, room_for
from ci_migrate.backups.sealed import Digests, seal_digests, take_digests
from ci_migrate.backups.storage import Storage, written_at
from ci_migrate.databases.base import Database, Dumped, Progress, no_progress, takes_tables
from ci_migrate.errors import BackupError, RefusedError, UsageError
from ci_migrate.model import (
    Backup,
    BackupFile,
    BackupStatus,
    Fingerprint,
    Identity,
    Permit,
    Purpose,
    VersionTable,
    decode_foreign,
    now,
    plural,
    sha256_hex,
)
from ci_migrate.tempdirs import private_folder

FORMAT = 1

LAST_NUMBER = 2**62
"""The last of those by which backups are ordered: a manifest may claim it, and the next one has it too."""

Backups = list[Backup]
_REVISION_LENGTH = 90


def revision_words(heads: Sequence[Sequence[str]]) -> str:
    """What the data is at, for people and names: all heads, joined by `+`; `base` where there is none."""
    return "+".join(sorted({head for rows in heads for head in rows})) or "base"


class Catalog:
    """The backups in one storage.

    Args:
        storage: where they are.
        encryption: who can read them; by default nothing is encrypted, and nothing that is can be read.
        provider: the user's commands; None where there are none.
        takes: whether new backups are taken by the provider.
    """

    def __init__(
        self,
        storage: Storage,
        encryption: Encryption | None = None,
        provider: Provider | None = None,
        *,
        takes: bool = False,
    ) -> None:
        self.storage = storage
        self.provider = provider
        self._takes = takes
        self.encryption = encryption or Encryption()
        self._sealed: dict[str, Digests] = {}  # of encrypted backups that were read

    # ---------------------------------------------------------------- create

    def create(
        self,
        database: Database,
        *,
        target: str,
        owner: Owner | None = None,
        version_tables: Sequence[VersionTable],
        migration_version: str,
        description: str | None = None,
        tables: Sequence[str] = (),
        progress: Progress = no_progress,
    ) -> Backup:
        """Write a backup of a database.

        Args:
            database: what to back up; only read.
            target: its name in the settings.
            owner: whose backups the earlier ones are; by default those of this very database.
            version_tables: whose rows tell which revision the data is at.
            migration_version: the revision that the migration goes to.
            description: for people; "15 tables" by default.
            tables: the rows of these alone, as `named_tables` gives them; () for all.
            progress: called while it is written.

        Raises:
            BackupError: no room, or it could not be written. Nothing is left behind.
            ToolError, DatabaseError: from the database; nothing is left behind either.
        """
        started, moment, database_size = time.monotonic(), now(), database.size()
        identity, heads = database.identity(), database.heads(version_tables)
        owner = owner or Owner(target, frozenset((identity.key,)))
        expected = self.estimate(database, owner, partial=bool(tables))
        with room_for(expected, self.storage, encrypted=bool(self.encryption.recipients)):
            self.storage.sweep()
            with self._new(heads, moment) as (backup_id, folder):
                with self.encryption.sealing(folder) as plain:
                    if tables:
                        dumped = takes_tables(database).dump_tables(plain, version_tables, tables, progress)
                    elif self.provider is not None and self._takes:
                        dumped = self.provider.dump(
                            database, plain, version_tables, target=target, backup_id=backup_id
                        )
                    else:
                        dumped = database.dump(plain, version_tables, progress)
                    if self.encryption.recipients and (dumped.contents or dumped.samples):
                        dumped = seal_digests(plain, dumped)
                    refuse_secrets(dumped.secrets, self.storage, encrypted=bool(self.encryption.recipients))
                if (dumped.heads or heads) != heads:
                    raise BackupError(
                        f"The revision of {identity.place} changed while the backup began:"
                        f" {revision_words(heads)} is now {revision_words(dumped.heads)}.",
                        hint="Somebody else migrates it. Wait for the end, then run again.",
                    )
                backup = msgspec.structs.replace(
                    self._describe(dumped, identity, description),
                    backup_id=backup_id,
                    backup_path=self.storage.path(backup_id),
                    backup_time=moment,
                    database_size=max(database_size, dumped.unpacked),
                    target=target,
                    partial=bool(tables),
                    **self._numbers(owner),
                    revision=revision_words(heads),
                    heads=heads,
                    migration_version=migration_version,
                )
                return self.storage.publish(
                    backup_id, lambda files: _finish(backup, files, time.monotonic() - started)
                )

    def _numbers(self, owner: Owner) -> dict[str, int]:
        """The number of the next backup: of its database, and of all here, which is what they are sorted by."""
        there = self.list()
        own = (b.sequence for b in there if owner.owns(b))
        everybody = (max(b.catalog_sequence, b.sequence) for b in there)
        numbers = {"sequence": max(own, default=0) + 1, "catalog_sequence": max(everybody, default=0) + 1}
        return {name: min(number, LAST_NUMBER) for name, number in numbers.items()}

    def estimate(self, database: Database, owner: Owner, *, partial: bool = False) -> Estimate:
        """How large a backup of this database would be, and how long it would take. Raises BackupError."""
        if self._takes and not partial:
            return Estimate(stored=0, needed=0)  # the provider's own affair
        return estimate(database, self.list(owner), partial=partial)

    def _describe(self, dumped: Dumped, identity: Identity, description: str | None) -> Backup:
        tables = tuple(sorted(dumped.row_counts))
        encrypted = bool(self.encryption.recipients)
        return Backup(
            backup_id="",
            backup_path="",
            backup_time=now(),
            description=plural(len(tables), "table") if description is None else description,
            dialect=identity.dialect,
            engine_version=dumped.engine_version,
            tool_version=dumped.tool_version,
            identity=identity,
            tables=tables,
            row_counts=dumped.row_counts,
            contents=dumped.contents,
            samples=dumped.samples,
            sequences=dumped.sequences,
            not_digested=dumped.not_digested,
            fingerprint=Fingerprint.of(dumped.schema),
            encryption=AGE if encrypted else None,
            provider_id=dumped.provider_id,
            secrets=dumped.secrets,
            exceptions=dict(dumped.exceptions),
            how_to_restore=how_to_restore(dumped.how_to_restore) if encrypted else dumped.how_to_restore,
        )

    @contextmanager
    def _new(self, heads: Sequence[Sequence[str]], moment: datetime) -> Iterator[tuple[str, Path]]:
        """A new id, and a folder for its files. Two processes never get the same."""
        revision = re.sub(r"[^A-Za-z0-9_.+-]", "_", revision_words(heads))[:_REVISION_LENGTH]
        name = f"backup_{revision}_{moment:%Y%m%d_%H%M%S}"
        for number in count(1):
            backup_id = name if number == 1 else f"{name}_{number}"
            with ExitStack() as stack:
                try:
                    folder = stack.enter_context(self.storage.writing(backup_id))
                except FileExistsError:
                    continue
                yield backup_id, folder
                return

    # ---------------------------------------------------------------- read

    def list(self, owner: Owner | None = None) -> Backups:
        """All backups, the oldest first; those of one database if it is given.

        Half-written ones (FAILED) and those that can't be read are among them: nobody knows whose they are. Raises
        BackupError where the place itself can't be read.
        """
        found = [self._read(backup_id) for backup_id in self.ids()]
        wanted = [b for b in found if owner is None or owner.owns(b) or b.status is not BackupStatus.SUCCESS]
        return sorted(wanted, key=_age_order)

    def get(self, backup_id: str) -> Backup:
        """The backup with this id.

        Raises:
            UsageError: it is no id, or there is no such backup.
            BackupError: the place itself can't be read.
        """
        if check_id(backup_id) not in self.ids():
            raise UsageError(f"There is no backup {backup_id} in {self.storage.place}.", hint=LIST)
        return self._read(backup_id)

    def ids(self) -> Sequence[str]:
        """Those of all backups that are there, sorted. Raises BackupError where the place can't be read."""
        try:
            return self.storage.ids()
        except OSError as error:
            raise BackupError(
                f"The backups in {self.storage.place} can't be listed: {error.strerror or error}.",
                hint="Look at backup-dir.",
            ) from error

    def _read(self, backup_id: str) -> Backup:
        def unreadable(why: str) -> Backup:
            return self._without_manifest(backup_id, why, BackupStatus.UNREADABLE)

        try:
            data = self.storage.manifest(backup_id)
        except OSError as error:
            return unreadable(f"its manifest can't be read: {error.strerror or error}")
        except BackupError as error:  # of a storage elsewhere
            return unreadable(f"its manifest can't be read: {error.what.rstrip('.')}")
        if data is None:
            words = "being written" if self.storage.busy(backup_id) else "half-written"
            return self._without_manifest(backup_id, words, BackupStatus.FAILED)
        try:
            backup = decode_foreign(data, Backup)
            moment = backup.backup_time.astimezone(UTC)
        except (msgspec.DecodeError, OverflowError):
            return unreadable("its manifest is damaged")
        if backup.format != FORMAT:
            return unreadable(f"its format {backup.format} is not known to this version")
        if backup.backup_id != backup_id:
            return unreadable(f"its manifest is that of {backup.backup_id}")
        return msgspec.structs.replace(backup, backup_path=self.storage.path(backup_id), backup_time=moment)

    def manifest_sha256(self, backup_id: str) -> str:
        """The sha256 of a backup's manifest as it is stored; "" where it has none, or it can't be read."""
        try:
            data = self.storage.manifest(backup_id)
        except (OSError, BackupError):
            return ""
        return sha256_hex(data) if data is not None else ""

    def _without_manifest(self, backup_id: str, why: str, status: BackupStatus) -> Backup:
        try:
            moment = datetime.strptime(written_at(backup_id) or "", "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            moment = datetime.fromtimestamp(0, UTC)
        return Backup(
            backup_id=backup_id,
            backup_path=self.storage.path(backup_id),
            backup_time=moment,
            status=status,
            description=why,
        )

    def verify(self, backup: Backup, progress: Progress = no_progress) -> None:
        """Read all files of a backup and compare their checksums.

        Raises:
            BackupError: it is half-written; a file is missing, changed or not in the manifest (named).
        """
        check_listing(self.storage, backup)
        total, done = sum(file.size for file in backup.files), 0
        for file in backup.files:
            read_file(self.storage, backup, file, progress=partial(_further, progress, done, total))
            done += file.size

    @contextmanager
    def reading(self, backup: Backup, progress: Progress = no_progress) -> Iterator[Path]:
        """A local folder with the files of a backup as they were dumped: verified, decrypted where they are encrypted.

        Whoever unpacks them stops at `most_unpacked` of the backup.

        Raises:
            BackupError: as `verify`, there is no room for them, or the identity does not fit.
            SettingsError: there is no identity.
        """
        with self._store(backup) as folder:
            if backup.encryption is None:
                yield folder
                return
            with self._decrypting(backup, folder, progress) as plain:
                self._sealed[backup.backup_id] = take_digests(plain)
                yield plain

    def with_digests(self, backup: Backup) -> Backup:
        """The manifest with the digests of what was backed up; an encrypted backup has them once it was read."""
        sealed = self._sealed.get(backup.backup_id)
        return backup if sealed is None else sealed.put_into(backup)

    @contextmanager
    def _store(self, backup: Backup) -> Iterator[Path]:
        """A local folder with the files as they are stored, verified. Where they lie elsewhere they are fetched."""
        folder = self.storage.folder(backup.backup_id)
        if folder is not None:
            self.verify(backup)
            yield folder
            return
        check_listing(self.storage, backup)
        with private_folder() as temporary:
            fetch(self.storage, backup, temporary)
            yield temporary

    def check_readable(self, backup: Backup) -> None:
        """Raise SettingsError or BackupError if an encrypted backup can't be opened by our identity."""
        if backup.encryption != AGE:
            return
        check_listing(self.storage, backup)
        folder = self.storage.folder(backup.backup_id)
        if folder is not None:
            self.encryption.readable(folder, backup.files)
            return
        with private_folder() as temporary:
            for file in backup.files[:1]:  # the header of one is enough
                start = Path(temporary, file.path)
                start.parent.mkdir(parents=True, exist_ok=True)
                start.write_bytes(next(self.storage.read(backup.backup_id, file.path), b""))
            self.encryption.readable(Path(temporary), backup.files)

    @contextmanager
    def _decrypting(self, backup: Backup, folder: Path, progress: Progress) -> Iterator[Path]:
        if backup.encryption != AGE:
            raise BackupError(
                f"{backup.backup_id} is encrypted by {backup.encryption}, which is not known here."
            )
        with ExitStack() as stack:
            try:
                plain = stack.enter_context(self.encryption.opening(folder, backup.files, progress))
            except OSError as error:
                raise BackupError(
                    f"{backup.backup_id} could not be decrypted: {error.strerror or error}.",
                    hint="The folder for temporary files (TMPDIR) needs room for the whole backup.",
                ) from error
            yield plain

    # ---------------------------------------------------------------- remove

    def delete(self, permit: Permit, backup_id: str) -> None:
        """Remove a backup, complete or not.

        Raises:
            RefusedError: something else was permitted.
            UsageError: there is none with this id.
            BackupError: it is being written, or the system refused.
        """
        permit.require(Purpose.REMOVAL, subject=backup_id)
        backup = self.get(backup_id)
        if self.storage.busy(backup_id):
            raise BackupError(f"{backup_id} is being written by another process.", hint="Wait for its end.")
        if backup.provider_id is not None:
            self.provider_of(backup).remove(None, backup)
        try:
            self.storage.delete(backup.backup_id)
        except OSError as error:
            raise BackupError(
                f"{backup_id} could not be removed: {error.strerror or error} ({error.filename}).",
                hint="Remove what hinders it, then run again.",
            ) from error

    def provider_of(self, backup: Backup) -> Provider:
        """The commands that can restore, clone or delete a provider's backup. Raises RefusedError without any."""
        if self.provider is None:
            raise RefusedError(
                f"{backup.backup_id} is the provider's {backup.provider_id}, and no provider's commands are set.",
                hint="Set provider-create and its companions, or use the provider's own tools.",
            )
        return self.provider

    def list_prunable(
        self, keep: int, owner: Owner, *, protected: Collection[str] = (), proven: Collection[str] = ()
    ) -> Backups:
        """The backups of a database that are older than its last migrations, the oldest first. Nothing is removed.

        Retries of one migration (from the same heads to the same version, one after the other) count once,
        and all of theirs are kept: if the first one broke something, only the first backup is without it.
        Those that are not complete, or of single tables, do not count and are not touched.

        Args:
            keep: of how many migrations backups are kept.
            owner: whose backups.
            protected: ids that are never removed (an unfinished run refers to them).
            proven: ids of which the newest that is here is never removed.

        Raises:
            UsageError: `keep` is below 1.
        """
        if keep < 1:
            raise UsageError(f"keep-backups = {keep} would remove every backup.", hint="Keep at least 1.")
        whole = [b for b in self.list(owner) if self._whole(b)]
        kept, migrations, last = set(protected), 0, None
        for backup in reversed(whole):
            migration = (backup.heads, backup.migration_version)
            migrations += migration != last
            last = migration
            if migrations <= keep:
                kept.add(backup.backup_id)
        kept.update([b.backup_id for b in whole if b.backup_id in proven][-1:])
        return [b for b in whole if b.backup_id not in kept]

    def _whole(self, backup: Backup) -> bool:
        """Complete and of the whole database, with all files in their sizes. Checksums are not read for it."""
        if backup.status is not BackupStatus.SUCCESS or backup.partial or not backup.files:
            return False
        try:
            sizes = self.storage.sizes(backup.backup_id)
        except OSError:  # another user's: who can't look at it does not count it, and leaves it alone
            return False
        return sizes == {file.path: file.size for file in backup.files}

    def sweep(self) -> Sequence[str]:
        """Remove half-written backups of processes that are gone; returns their ids. Raises OSError."""
        return self.storage.sweep()


def _age_order(backup: Backup) -> tuple[int, datetime, int, str]:
    # Clocks jump. Version 0.1.0 numbered by target alone, and renaming one began anew at 1: among those, time decides.
    return backup.catalog_sequence, backup.backup_time, backup.sequence, backup.backup_id


def _further(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _finish(backup: Backup, files: tuple[BackupFile, ...], seconds: float) -> Backup:
    size = sum(file.size for file in files)
    return msgspec.structs.replace(backup, files=files, backup_size=size, seconds=round(seconds, 3))
