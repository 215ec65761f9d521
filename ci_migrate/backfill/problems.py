"""What a backfill raises."""

from __future__ import annotations


class BackfillError(Exception):
    """A backfill can't run, or has not come to its end. The message says what to do."""
