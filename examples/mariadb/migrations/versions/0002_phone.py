"""phone"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("customers", sa.Column("phone", sa.String(40)))
    op.create_index("customers_phone", "customers", ["phone"])


def downgrade():
    op.drop_index("customers_phone", "customers")
    op.drop_column("customers", "phone")
