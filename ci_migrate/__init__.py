"""The deploy gate for Alembic: backup, dry run on the restored backup, real migration, repair."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ci_migrate.markers import check, hookimpl

__all__ = ["__version__", "check", "hookimpl"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the markers when they are asked for: a revision that imports `ci_migrate.backfill` needs nothing else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ci_migrate import markers

    return getattr(markers, name)
