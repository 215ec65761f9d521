"""What calls and answers hold, in camelCase. These models are the OpenAPI document; the work knows nouns alone."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TEXT = r"^[^\x00-\x1f\x7f]*$"
"""One line of text, without control characters."""

TOKEN_LENGTH = 32 * 1024


class Body(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Confirmation(Body):
    """Of a rollback, a restore, a removal or a repair: needed where the target is a production one."""

    confirmation_token: str | None = Field(None, min_length=1, max_length=TOKEN_LENGTH)
    confirmed_by: str = Field("", max_length=200, pattern=TEXT)
    reason: str = Field("", max_length=1000, pattern=TEXT)


class ConfirmedMigration(Body):
    """Of `/migrate-with-confirmation`."""

    confirmation_token: str = Field(min_length=1, max_length=TOKEN_LENGTH)
    confirmed_by: str = Field(min_length=1, max_length=200, pattern=TEXT)
    reason: str = Field(min_length=1, max_length=1000, pattern=TEXT)
    create_backup: bool = True


class Migrated(Body):
    """A migration or a rollback that ended well."""

    message: str
    target: str
    target_version: str | None
    migrations_run: int
    backup_id: str | None
    run_id: str
    state: str
    seconds: float
    warnings: list[str]
    findings: list[dict[str, Any]]


class Stamp(Body):
    """Of `/stamp`: why, and the token where the target is a production one."""

    confirmation_token: str | None = Field(None, min_length=1, max_length=TOKEN_LENGTH)
    confirmed_by: str = Field("", max_length=200, pattern=TEXT)
    reason: str = Field(min_length=1, max_length=1000, pattern=TEXT)


class StatusBody(Body):
    """Where the target is, and what to do. `exitCode` is what `ci-migrate status` returns."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    message: str
    target: str
    place: str
    heads: list[list[str]]
    script_heads: list[str]
    pending: list[str]
    next: str
    exit_code: int


class RunBody(Body):
    """A run of the target."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    run_id: str
    command: str
    started: datetime
    exit_code: int | None
    state: str | None
    actor: str


class History(Body):
    """The runs of the target, the newest first."""

    runs: list[RunBody]


class Verified(Body):
    """The target is as the last migration left it."""

    message: str
    run_id: str
    differences: list[str]


class Repaired(Migrated):
    """What a repair found and did, or would do."""

    dry_run: bool


class Pruned(Body):
    """The backups that were deleted, or would be."""

    message: str
    dry_run: bool
    deleted: list[str]


class Dropped(Body):
    """What restores had kept and was dropped, or would be."""

    message: str
    dry_run: bool
    dropped: list[str]


class BackupBody(Body):
    """A backup: its manifest, and whether it was restored since. `status` is `SUCCESS` or `FAILED`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    backup_id: str
    migration_version: str
    backup_path: str
    backup_time: datetime
    backup_size: int = Field(description="Bytes, as stored.")
    status: str
    description: str
    restored: bool
    revision: str = Field(description="What the data is at.")
    target: str


class DoneBackup(BackupBody):
    """A backup that was made or restored."""

    message: str


class Deleted(Body):
    """A backup that is gone."""

    backup_id: str
    message: str


class Requested(Body):
    """What approvers are asked for. `planDigest` names it; `/generate-token` takes that."""

    message: str
    plan_digest: str
    approval_request: dict[str, Any]


class Token(Body):
    """A confirmation token, shown once."""

    token: str
    validity_minutes: str


class Validity(Body):
    """Whether a token could be used now."""

    valid: bool


class StageBody(Body):
    """A stage of a job that has ended. `outcome`: `passed`, `failed`, `error` or `skipped`."""

    stage: str
    outcome: str
    seconds: float
    message: str


class JobBody(Body):
    """A job. `status`: `running`, `finished`, `failed`, or `interrupted`: the process that did it died.

    `result` is what the call would have answered, {} while it runs.
    """

    job_id: str
    target: str
    action: str
    actor: str
    status: str
    started: datetime
    finished: datetime | None
    exit_code: int | None
    message: str
    stages: list[StageBody]
    result: dict[str, Any]


class Health(Body):
    """The service answers."""

    status: str
