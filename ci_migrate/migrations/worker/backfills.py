"""Batched backfills (`ci_migrate.backfill`): which statements are theirs, and how far they are.

A backfill marks what it sends by an execution option of SQLAlchemy's. It keeps a checkpoint of its own, in the
transaction of each batch: so the number of its batches may be another one in each run, and a repair that goes on in the
middle of a revision lets it send what it has left.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from typing import Any

from .state import State

OPTION = "ci_migrate_backfill"
"""`ci_migrate.backfill.connection.MARK`."""

RECORDS = "ci_migrate_backfills"
"""`ci_migrate.backfill.checkpoints.RECORDS`: no model has it."""

FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "backfill"
)


class Backfills:
    """Hears of what backfills send."""

    def __init__(self) -> None:
        self._told: dict[str, Any] | None = None

    def name_of(self, state: State, context: Any) -> str:
        """Which backfill sends the statement of an execution context, "" for none; tells the parent how far it is."""
        found = getattr(context, "execution_options", {}).get(OPTION)
        if not isinstance(found, dict):
            return ""
        if found != self._told:
            self._told = dict(found)
            state.channel.send(
                "backfill",
                context=state.context,
                revision=state.revision,
                name=found["name"],
                table=found.get("table", ""),
                rows=found.get("rows", 0),
                changed=found.get("changed", 0),
                batches=found.get("batches", 0),
                total=found.get("total"),
                seconds=found.get("seconds", 0.0),
            )
            state.channel.hear_stop()  # it may wait for long, and asks nothing meanwhile
        return str(found.get("name", ""))


class Finder:
    """Finds `ci_migrate.backfill` where the project's interpreter has no ci-migrate, and nothing else of it."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> Any:
        """As `importlib.abc.MetaPathFinder`; asked last."""
        if name == "ci_migrate":
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = []
            return spec
        if name == "ci_migrate.backfill":
            file = os.path.join(FOLDER, "__init__.py")
            return spec_from_file_location(name, file, submodule_search_locations=[FOLDER])
        return None


def offer_backfill() -> None:
    """Let revisions import it."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())


def is_ours(difference: Any) -> bool:
    """Whether one of Alembic's differences is the table of the checkpoints."""
    return (
        isinstance(difference, tuple)
        and str(difference[0]).endswith("_table")
        and getattr(difference[1], "name", "") == RECORDS
    )
