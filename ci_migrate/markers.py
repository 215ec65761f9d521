"""The marks that a plugin sets: a leaf, so that it imports nothing else of ci-migrate."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import pluggy

F = TypeVar("F", bound=Callable[..., object])

PROJECT_NAME = "ci_migrate"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


class CheckMark(NamedTuple):
    """What `check` says of a function; `code` is None where its name will do."""

    code: str | None
    severity: str


def check(code: str | None = None, *, severity: str = "error") -> Callable[[F], F]:
    """A decorator for functions in a file that the setting `plugins` names: it is a check, whatever its name.

    Args:
        code: its own one, such as SHOP001; by default `X-` and the function's name, `check_` left out, with dashes.
        severity: `error` refuses; `warning` and `info` are shown.
    """

    def mark(function: F) -> F:
        function.__dict__["ci_migrate_check"] = CheckMark(code, severity)
        return function

    return mark
