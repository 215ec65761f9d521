"""The manifest of a backup."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ci_migrate.model.base import Frozen
from ci_migrate.model.plan import Identity
from ci_migrate.model.schema import Fingerprint, RowCount, Sample, TableContent

Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=0, le=2**62)]
"""What a manifest says is an outsider's word: a time without a zone can't be compared, a huge number not be written."""


class BackupStatus(StrEnum):
    """Whether a backup has its manifest."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"  # it has none: it was never finished
    UNREADABLE = (
        "UNREADABLE"  # it has one, which this user or this version can't read: the backup may be sound
    )


class BackupFile(Frozen, frozen=True, kw_only=True):
    """One file of a backup; `path` is relative to the backup's folder."""

    path: str
    size: Count
    sha256: str


class Backup(Frozen, frozen=True, kw_only=True):
    """The manifest of a backup. Written last: no manifest, no backup.

    `revision` is what the data is at, `migration_version` where the migration was going to. `contents` and `row_counts`
    are what the server itself held at the moment that the dump shows; without `contents` (a provider's, or one of
    version 0.1.0) rows can only be counted.
    """

    format: int = 1
    backup_id: str
    backup_path: str
    backup_time: Moment
    backup_size: Count = 0
    database_size: Count = 0  # what the engine told, or what was written where that is more
    status: BackupStatus = BackupStatus.SUCCESS
    description: str = ""
    target: str = ""  # its name in the settings
    sequence: Count = 0  # among those of its database
    catalog_sequence: Count = 0  # among all in its place, which is their order; 0 in those of version 0.1.0
    dialect: str = ""
    engine_version: str = ""
    tool_version: str = ""
    revision: str = ""
    heads: tuple[tuple[str, ...], ...] = ()
    migration_version: str = ""
    identity: Identity | None = None
    tables: tuple[str, ...] = ()
    partial: bool = False  # the rows of `tables` alone, with the whole schema
    row_counts: dict[str, RowCount] = {}
    contents: dict[str, TableContent] = {}  # of tables that were digested whole
    samples: dict[str, Sample] = {}  # of tables for which that would have taken too long
    sequences: dict[str, str] = {}  # how far they were, of those that nobody used meanwhile
    not_digested: dict[str, str] = {}  # tables, and what else holds data, and why it was not digested
    fingerprint: Fingerprint | None = None
    files: tuple[BackupFile, ...] = ()
    encryption: str | None = None  # "age", or None
    provider_id: str | None = None  # what the provider's command called it; then it keeps the data
    secrets: tuple[str, ...] = ()  # what in the dump is one, in words: "2 user mappings"
    exceptions: dict[str, str] = {}  # objects that a restore rightly makes otherwise, or not at all, and why
    seconds: float = 0.0
    how_to_restore: str = ""
