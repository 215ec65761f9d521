"""The contract of a database that opens one session for many calls."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class KeepsSession(Protocol):
    """What a Database may do besides: open one session for many calls."""

    def keep_session(self) -> AbstractContextManager[None]:
        """Within the block, calls that read share a session, one after the other, while it is as good as a new one.

        `identity` and `wall` open their own: the URL may lead elsewhere by now.
        """

    def end_kept_session(self) -> None:
        """End it, if one is there: what is about to run may want to be alone. Whoever reads next opens another."""
