"""Keys, jobs and tokens in the order in which the audit trail names them: clocks jump, the trail does not."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import contextlib
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

audit = sa.table("ci_migrate_audit", *map(sa.column, ("sequence", "kind", "facts")))
FIRST_TOLD: dict[str, Callable[[dict[str, Any]], tuple[str, list[str]]]] = {
    "key created": lambda facts: ("key_id", [facts["key"]["keyId"]]),
    "job started": lambda facts: ("job_id", [facts["jobId"]]),
    "token generated": lambda facts: ("approval_id", [facts["approval"]["approvalId"]]),
    "token reserved": lambda facts: ("approval_id", [facts["approvalId"]]),  # the first of a signed token
    "token revoked": lambda facts: ("approval_id", facts["approvalIds"]),
}
"""By the kind of a record: which rows it may be the first to tell of."""


def upgrade() -> None:
    bind = op.get_bind()
    told: dict[str, dict[str, int]] = {}
    records = sa.select(audit).where(audit.c.kind.in_(FIRST_TOLD)).order_by(audit.c.sequence)
    for record in bind.execute(records):
        # a record that was altered tells nothing; `audit verify` names it, which takes a ledger that opens
        with contextlib.suppress(ValueError, LookupError, TypeError):
            key, ids = FIRST_TOLD[record.kind](json.loads(record.facts))
            for name in ids:
                told.setdefault(key, {}).setdefault(name, record.sequence)
    for table, key, time in (
        ("ci_migrate_keys", "key_id", "created"),
        ("ci_migrate_jobs", "job_id", "started"),
        ("ci_migrate_tokens", "approval_id", "created"),
    ):
        _number(bind, sa.table(table, *map(sa.column, (key, time, "sequence"))), key, time, told.get(key, {}))
    name, table = "ix_ci_migrate_jobs_order", "ci_migrate_jobs"
    if name not in {index["name"] for index in sa.inspect(bind).get_indexes(table)}:
        op.create_index(name, table, ["target", "sequence"])
    if "ix_ci_migrate_jobs_target" in {index["name"] for index in sa.inspect(bind).get_indexes(table)}:
        op.drop_index("ix_ci_migrate_jobs_target", table)


def _number(bind: sa.Connection, table: Any, key: str, time: str, told: dict[str, int]) -> None:
    # DDL commits by itself on MySQL: whoever was killed in here may have added it
    if "sequence" not in {column["name"] for column in sa.inspect(bind).get_columns(table.name)}:
        op.add_column(table.name, sa.Column("sequence", sa.Integer))
    ids = bind.execute(sa.select(table.c[key]).order_by(table.c[time].desc())).scalars().all()
    unheard = [name for name in ids if name not in told]  # of these only a clock knows: before all others
    numbers = {**told, **{name: -number for number, name in enumerate(unheard, 1)}}
    for name in ids:
        bind.execute(sa.update(table).where(table.c[key] == name).values(sequence=numbers[name]))
