"""Numbers, names and heads in words, the same wherever they are told."""

from collections import Counter
from collections.abc import Sequence

SHOWN = 5
"""Names that are listed at most before the rest is counted."""


def plural(count: int, noun: str) -> str:
    """`1 revision`, `1,200 revisions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def name_some(names: Sequence[str], shown: int = SHOWN) -> str:
    """`a, b`; of many the first ones: `a, b, c, d, e and 3 more`."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def list_some(words: Sequence[str], shown: int = SHOWN) -> str:
    """Sentences without their end: `a is gone; b is new; and 3 more`."""
    more = f"; and {len(words) - shown:,} more" if len(words) > shown else ""
    return "; ".join(words[:shown]) + more


def show_heads(heads: Sequence[Sequence[str]]) -> str:
    """`3f2a`, `3f2a + 77c1`, `base`; of several version tables each state once, with how many have it."""
    counted = Counter(" + ".join(h) or "base" for h in heads)
    return ", ".join(f"{at} ({n} version tables)" if n > 1 else at for at, n in counted.items()) or "base"
