"""The deploy gate for Alembic: backup, dry run on the restored backup, real migration, repair."""

from ci_migrate.markers import check, hookimpl

__all__ = ["__version__", "check", "hookimpl"]

__version__ = "0.1.0"
