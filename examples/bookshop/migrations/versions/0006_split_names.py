"""Full names become first and last names.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# full_name goes away with a value in every row: meant, and said here so that the gate knows it
ci_migrate = {"allow": {"CM202": "every full name was split into first_name and last_name"}}

customers = sa.table(
    "customers",
    sa.column("id", sa.Integer),
    sa.column("full_name", sa.String),
    sa.column("first_name", sa.String),
    sa.column("last_name", sa.String),
)


def upgrade() -> None:
    with op.batch_alter_table("customers") as batch:
        batch.add_column(sa.Column("first_name", sa.String(200), nullable=False, server_default=""))
        batch.add_column(sa.Column("last_name", sa.String(200), nullable=False, server_default=""))
    bind = op.get_bind()
    split = []
    for row in bind.execute(sa.select(customers.c.id, customers.c.full_name).order_by(customers.c.id)):
        # "Ursula K. Le Guin" is the easy case; a name of one word has no last name
        first, _, last = row.full_name.rpartition(" ")
        split.append({"row": row.id, "first": first, "last": last} if first else
                     {"row": row.id, "first": last, "last": ""})
    if split:
        bind.execute(
            sa.update(customers)
            .where(customers.c.id == sa.bindparam("row"))
            .values(first_name=sa.bindparam("first"), last_name=sa.bindparam("last")),
            split,
        )
    with op.batch_alter_table("customers") as batch:
        batch.alter_column("first_name", existing_type=sa.String(200), server_default=None)
        batch.alter_column("last_name", existing_type=sa.String(200), server_default=None)
        batch.drop_column("full_name")


def downgrade() -> None:
    with op.batch_alter_table("customers") as batch:
        batch.add_column(sa.Column("full_name", sa.String(200), nullable=False, server_default=""))
    both = customers.c.first_name + " " + customers.c.last_name
    op.execute(
        sa.update(customers).values(
            full_name=sa.case((customers.c.last_name == "", customers.c.first_name), else_=both)
        )
    )
    with op.batch_alter_table("customers") as batch:
        batch.alter_column("full_name", existing_type=sa.String(200), server_default=None)
        batch.drop_column("last_name")
        batch.drop_column("first_name")
