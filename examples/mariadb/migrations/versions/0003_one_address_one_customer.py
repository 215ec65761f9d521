"""one address, one customer"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("customers", sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_unique_constraint("customers_email", "customers", ["email"])


def downgrade():
    op.drop_constraint("customers_email", "customers", type_="unique")
    op.drop_column("customers", "verified")
