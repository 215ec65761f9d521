"""The setting `backfills`: batched backfills that are registered, to be run after a deploy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PACE = {
    "batch-size": int,
    "max-batch-size": int,
    "seconds-per-batch": float,
    "rest": float,
    "lock-timeout": float,
    "tries": int,
    "max-replica-lag": float,
    "max-lock-waits": int,
}
"""Numbers that say how fast: arguments of `ci_migrate.backfill.backfill`."""

_ABOVE_ZERO = ("batch-size", "max-batch-size", "seconds-per-batch", "lock-timeout", "tries")

WORDS = (
    "a list of tables with name, table and statement (with {batch} in it), and perhaps key, schema, remaining, "
    f"required, {', '.join(_PACE)}"
)


@dataclass(frozen=True)
class RegisteredBackfill:
    """A backfill that `ci-migrate backfill run` knows by its name; see `ci_migrate.backfill.backfill`.

    `key` is () for the primary key. `pace` has arguments of `backfill` by their names in Python. `required`: `verify`
    fails while it has not come to its end.
    """

    name: str
    table: str
    statement: str = field(repr=False)
    key: tuple[str, ...] = ()
    schema: str | None = None
    remaining: str | None = field(default=None, repr=False)
    required: bool = False
    pace: Mapping[str, float] = field(default_factory=dict)


def read_backfills(value: Any, _base: Path) -> tuple[RegisteredBackfill, ...]:
    """From a list of tables, as TOML gives them. Raises TypeError or ValueError for anything else."""
    if not isinstance(value, (list, tuple)):
        raise TypeError
    found = tuple(map(_read, value))
    if len({one.name for one in found}) != len(found):
        raise ValueError  # a name is that of the checkpoint
    return found


def _read(table: Any) -> RegisteredBackfill:
    if not isinstance(table, Mapping):
        raise TypeError
    rest = dict(table)
    name, on, statement = (_text(rest.pop(key, None)) for key in ("name", "table", "statement"))
    schema, remaining = (_text(rest.pop(key)) if key in rest else None for key in ("schema", "remaining"))
    key = rest.pop("key", ())
    required = rest.pop("required", False)
    if len(name) > 200 or "{batch}" not in statement or not isinstance(required, bool):
        raise ValueError
    pace = {key.replace("-", "_"): _number(key, rest.pop(key)) for key in _PACE if key in rest}
    if rest:
        raise ValueError
    columns = tuple(map(_text, [key] if isinstance(key, str) else key))
    return RegisteredBackfill(name, on, statement, columns, schema, remaining, required, pace)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError
    return value.strip()


def _number(name: str, value: Any) -> float:
    kinds = (int,) if _PACE[name] is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError
    if value < 0 or (not value and name in _ABOVE_ZERO):
        raise ValueError
    return value
