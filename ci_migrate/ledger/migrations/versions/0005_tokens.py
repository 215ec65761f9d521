"""One table for tokens of both kinds, in place of `approvals` (confirmation tokens) and `nonces` (signed ones).

What was used or revoked must stay so, whatever happens on the way. The old tables are renamed first: that waits for
whoever is writing to them, and a process of an older version fails from then on rather than use a token up where
nobody looks any more. They are dropped only after their rows were copied.
"""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# MySQL's BLOB ends at 64 KiB; a plan of a long history does not
_BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")

TOKENS = sa.Table(
    "ci_migrate_tokens",
    sa.MetaData(),
    sa.Column("approval_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("target_uuid", sa.String(36), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("plan_digest", sa.String(64), nullable=False),
    sa.Column("direction", sa.String(16), nullable=False),
    sa.Column("from_heads", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text, nullable=False),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Column("expires", sa.String(32), nullable=False),
    sa.Column("token_sha256", sa.String(64), unique=True),
    sa.Column("plan", _BYTES),
    sa.Column("payload", sa.Text),
    sa.Column("emergency", sa.Boolean),
    sa.Column("claimed_by", sa.String(255)),
    sa.Column("claimed", sa.String(32)),
    sa.Column("revoked", sa.String(32)),
)


def upgrade() -> None:
    bind = op.get_bind()
    # DDL commits by itself on MySQL: whoever was killed in here left some of these steps done, and the rest to us
    if not sa.inspect(bind).has_table(TOKENS.name):
        TOKENS.create(bind)
    for name, copied in (("ci_migrate_approvals", _confirmation), ("ci_migrate_nonces", _signed)):
        moved = f"{name}_old"
        if sa.inspect(bind).has_table(name):
            op.rename_table(name, moved)
        if sa.inspect(bind).has_table(moved):
            rows = [copied(dict(row._mapping)) for row in bind.execute(sa.text(f"SELECT * FROM {moved}"))]  # noqa: SLF001 - its public name
            bind.execute(sa.delete(TOKENS).where(TOKENS.c.approval_id.in_([r["approval_id"] for r in rows])))
            if rows:
                bind.execute(sa.insert(TOKENS), rows)
            op.drop_table(moved)


def _confirmation(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "payload": None, "emergency": None}


def _signed(row: dict[str, Any]) -> dict[str, Any]:
    payload = json.loads(row["payload"])
    return {
        "approval_id": row["approval_id"],
        "kind": "signed",
        "target_uuid": payload["targetUuid"],
        "target": payload["target"],
        "plan_digest": payload["planDigest"],
        "direction": payload["direction"],
        "from_heads": json.dumps(payload["fromHeads"], separators=(",", ":")),
        "destination": payload["destination"],
        "reason": payload["reason"],
        "approved_by": row["approved_by"],
        "created": _time(payload["issued"]),
        "expires": _time(payload["expires"]),
        "token_sha256": None,
        "plan": None,
        "payload": row["payload"],
        "emergency": row["emergency"],
        "claimed_by": row["claimed_by"],
        "claimed": row["claimed"],
        "revoked": row["revoked"],
    }


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")
