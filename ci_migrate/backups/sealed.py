"""Digests of an encrypted backup: they lie among its encrypted files, not in the manifest, which anybody can read.

A digest of a small table, or of a column with few values, can be guessed.
"""

from pathlib import Path

import msgspec

from ci_migrate.databases.base import Dumped
from ci_migrate.errors import BackupError
from ci_migrate.model import Backup, Frozen, Sample, TableContent, decode_foreign

FILE = "ci_migrate_digests.json"


class Digests(Frozen, frozen=True, kw_only=True):
    """What would otherwise stand in the manifest."""

    contents: dict[str, TableContent] = msgspec.field(default_factory=dict)
    samples: dict[str, Sample] = msgspec.field(default_factory=dict)

    def put_into(self, backup: Backup) -> Backup:
        """The manifest with them."""
        return msgspec.structs.replace(backup, contents=self.contents, samples=self.samples)


def seal_digests(folder: Path, dumped: Dumped) -> Dumped:
    """Write the digests of a dump beside its files, which are about to be encrypted; returns the dump without them."""
    digests = Digests(contents=dumped.contents, samples=dumped.samples)
    folder.joinpath(FILE).write_bytes(msgspec.json.encode(digests))
    return msgspec.structs.replace(dumped, contents={}, samples={})


def take_digests(folder: Path) -> Digests:
    """Take the digests out of a folder of decrypted files, so that nobody takes them for a part of the dump.

    Raises:
        BackupError: the file is damaged.
    """
    file = folder / FILE
    if not file.exists():  # a backup of an earlier version
        return Digests()
    data = file.read_bytes()
    file.unlink()
    try:
        return decode_foreign(data, Digests)
    except msgspec.DecodeError as error:
        raise BackupError(f"{FILE} in the backup is damaged: {error}.") from error
