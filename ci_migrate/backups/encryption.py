"""Encryption at rest by age: a layer between the catalog and its storage, file by file, in constant memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ci_migrate.backups.storage import Storage
from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.errors import BackupError, SettingsError
from ci_migrate.model import BackupFile
from ci_migrate.tempdirs import private_folder

AGE = "age"
"""What `encryption` in a manifest says, and what the name of an encrypted file ends with."""

_SUFFIX = f".{AGE}"


def refuse_secrets(secrets: Sequence[str], storage: Storage, *, encrypted: bool) -> None:
    """A dump with passwords in it leaves this machine encrypted or not at all: raises BackupError."""
    if not encrypted and secrets and storage.remote:
        raise BackupError(
            f"The dump holds {', '.join(secrets)} and would go to {storage.place} unencrypted.",
            hint='Set backup-recipients = ["age1..."], or backup-dir to a local folder.',
        )


@dataclass(frozen=True)
class Encryption:
    """Who can read backups.

    Args:
        recipients: public keys, `age1...` or of SSH; new backups are encrypted for all of them. None: not encrypted.
        identity: gives the text of the private key that belongs to one of them; None where there is none.
    """

    recipients: Sequence[str] = ()
    identity: Callable[[], str | None] = field(default=lambda: None, repr=False)

    def check(self) -> None:
        """Raise if what is encrypted here could not be read again by this identity. Nothing is written.

        Raises:
            SettingsError: a key is none, there is no identity, or it belongs to none of the recipients.
        """
        if not self.recipients:
            return
        age, sealed = _age(), BytesIO()
        age.encrypt_io(BytesIO(b"probe"), sealed, _recipients(self.recipients))
        try:
            age.decrypt_io(BytesIO(sealed.getvalue()), BytesIO(), self._identities())
        except age.DecryptError as error:
            raise SettingsError(
                "backup-identity belongs to none of the keys in backup-recipients: its backups could not be read.",
                hint="Add its public key (`age-keygen -y FILE`), or name the file of another identity.",
            ) from error

    @contextmanager
    def sealing(self, stored: Path) -> Iterator[Path]:
        """A private local folder; its files come encrypted into `stored` when the block ends well.

        The plaintext never lies where the backups are. Raises BackupError, SettingsError or OSError.
        """
        if not self.recipients:
            yield stored
            return
        recipients = _recipients(self.recipients)
        with private_folder() as plain:
            yield plain
            for path in sorted(p for p in plain.rglob("*") if p.is_symlink() or not p.is_dir()):
                name = path.relative_to(plain).as_posix()
                if path.is_symlink() or not path.is_file():
                    raise BackupError(f"{name} in the backup is not a plain file.")
                with path.open("rb") as source, _new(stored / f"{name}{_SUFFIX}") as file:
                    writer = _Writer(file)
                    try:
                        _age().encrypt_io(source, writer, recipients)
                    except _age().EncryptError as error:
                        # pyrage makes text of what our own writer raised, such as a full disk
                        raise (writer.failed or BackupError(f"{name} could not be encrypted.")) from error
                path.unlink()

    @contextmanager
    def opening(
        self, stored: Path, files: Sequence[BackupFile], progress: Progress = no_progress
    ) -> Iterator[Path]:
        """The decrypted files of a backup, in a private local folder that is removed at the end.

        Raises:
            BackupError: the identity is missing or another one, or a file was changed.
        """
        identities = self._identities()
        self._readable(stored, files, identities)
        with private_folder() as plain:
            total, done = sum(file.size for file in files), 0
            for file in files:
                target = plain / file.path.removesuffix(_SUFFIX)
                with (stored / file.path).open("rb") as source, _new(target) as sink:
                    writer = _Writer(sink, progress, done, total)
                    try:
                        _age().decrypt_io(source, writer, identities)
                    except (_age().DecryptError, OSError) as error:
                        raise (writer.failed or _damage_error(file)) from error
                done += file.size
            yield plain

    def readable(self, stored: Path, files: Sequence[BackupFile]) -> None:
        """Raise BackupError or SettingsError if the identity does not open these files. Reads their headers only."""
        self._readable(stored, files, self._identities())

    def _readable(self, stored: Path, files: Sequence[BackupFile], identities: Sequence[Any]) -> None:
        for file in files[:1]:  # all are encrypted for the same recipients
            with (stored / file.path).open("rb") as source:
                try:
                    _age().decrypt_io(source, _First(), identities)
                except _EnoughError:
                    pass
                except _age().DecryptError as error:
                    raise BackupError(
                        f"{file.path} is encrypted for another identity than backup-identity.",
                        hint="Set backup-identity to the private key of one of its recipients.",
                    ) from error
                except OSError as error:
                    raise _damage_error(file) from error

    def _identities(self) -> list[Any]:
        text = self.identity()
        if text is None:
            raise SettingsError(
                "The backups are encrypted, and there is no backup-identity to read them with.",
                hint='Set backup-identity = "file:PATH" or "env:NAME" to the private key of one recipient.',
            )
        age = _age()
        lines = [line.strip() for line in text.splitlines()]
        try:
            if "PRIVATE KEY-----" in text:
                return [age.ssh.Identity.from_buffer(text.strip().encode() + b"\n")]
            found = [
                age.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")
            ]
        except age.IdentityError:
            found = []
        if not found:
            # the cause is left out on purpose: nothing of a private key may be shown
            raise SettingsError(
                "What backup-identity names is no private key of age's or SSH's (without a passphrase).",
                hint="`age-keygen -o FILE` makes one.",
            )
        return found


def how_to_restore(commands: str) -> str:
    """The words of a manifest: `commands` work on decrypted files."""
    loop = f'for f in $(find . -name "*{_SUFFIX}"); do age -d -i KEY_FILE -o "${{f%{_SUFFIX}}}" "$f"; done'
    return f"In a copy of this folder: {loop}; {commands}"


class _EnoughError(Exception):
    """The header fits: the rest need not be read."""


class _First:
    def write(self, _data: bytes) -> int:
        raise _EnoughError

    def flush(self) -> None:
        """Nothing is kept."""
        # an empty file never writes; its header has been read by now


class _Writer:
    """A file for pyrage; keeps the error that pyrage would make text of."""

    def __init__(
        self, file: BinaryIO, progress: Progress = no_progress, done: int = 0, total: int = 0
    ) -> None:
        self.failed: BaseException | None = None
        self._file = file
        self._progress = progress
        self._done, self._total = done, total

    def write(self, data: bytes) -> int:
        try:
            written = self._file.write(data)
            self._done += written
            self._progress(self._done, self._total)
        except BaseException as error:
            self.failed = error
            raise
        return written

    def flush(self) -> None:
        self._file.flush()


def _damage_error(file: BackupFile) -> BackupError:
    return BackupError(
        f"{file.path} can't be decrypted: it was changed or cut short.",
        hint="Take another backup: `ci-migrate backup list`",
    )


def _new(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _age() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise SettingsError(
            "Encrypted backups need pyrage.", hint="pip install 'ci-migrate[encryption]'"
        ) from error
    return pyrage


def _recipients(keys: Sequence[str]) -> list[Any]:
    age, found = _age(), []
    for key in keys:
        kind = age.ssh if key.startswith("ssh-") else age.x25519
        try:
            found.append(kind.Recipient.from_str(key))
        except age.RecipientError as error:
            raise SettingsError(
                f"backup-recipients: {key[:40]} is no public key of age's or SSH's.",
                hint="`age-keygen -y FILE` prints that of an identity.",
            ) from error
    return found
