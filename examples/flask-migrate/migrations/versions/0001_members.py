"""members"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "member",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade():
    op.drop_table("member")
