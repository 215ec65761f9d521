"""Batched backfills for Alembic revisions: rows filled batch by batch, each in a transaction of its own.

```python
from alembic import op
from ci_migrate.backfill import backfill, forget_backfill

def upgrade():
    with op.get_context().autocommit_block():
        backfill(
            op.get_bind(),
            "users_email_lower",
            "UPDATE users SET email_lower = lower(email) WHERE {batch}",
            table="users",
        )

def downgrade():
    forget_backfill(op.get_bind(), "users_email_lower")
```

How far it got is written to the table `ci_migrate_backfills` in the transaction of the batch itself. So a backfill that
was killed goes on where it stopped, and does no row twice: by plain Alembic, by `ci-migrate repair --forward`, or by a
script.

The package needs nothing but SQLAlchemy (1.4 or later) and Python 3.9, and loads nothing else of ci-migrate: a project
whose interpreter has no ci-migrate may copy this one folder.
"""

from .batches import backfill
from .checkpoints import forget_backfill, requires_backfill
from .problems import BackfillError
from .progress import Progress

__all__ = ["BackfillError", "Progress", "backfill", "forget_backfill", "requires_backfill"]
