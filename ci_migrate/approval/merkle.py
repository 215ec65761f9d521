"""One digest over a list, and short proofs that something is in it: the tree of RFC 9162, section 2.1, with sha256.

An entry and a node are hashed with different prefixes, so that none passes for the other.
"""

from collections.abc import Sequence
from hashlib import sha256


def list_digest(entries: Sequence[bytes]) -> str:
    """The root of the tree over a list that is not empty, as 64 hex digits."""
    return _levels(entries)[-1][0].hex()


def proofs(entries: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """For each entry the nodes that lead from it to the root, the nearest first."""
    levels = _levels(entries)
    found = []
    for index in range(len(entries)):
        siblings = [(level, (index >> height) ^ 1) for height, level in enumerate(levels)]
        found.append(tuple(level[place] for level, place in siblings if place < len(level)))
    return found


def is_in(entry: bytes, index: int, size: int, proof: Sequence[bytes], root: str) -> bool:
    """Whether an entry stands at a place, from 0, of the list of this size and digest."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, _leaf(entry)
    for sibling in proof:
        if last == 0:
            return False
        if place % 2 or place == last:
            node = _node(sibling, node)
            while place % 2 == 0 and place:  # a node without a neighbour stands for itself one level up
                place, last = place >> 1, last >> 1
        else:
            node = _node(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node.hex() == root


def _leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _levels(entries: Sequence[bytes]) -> list[list[bytes]]:
    """All nodes, entries first; the odd one at the end of a level stands for itself in the next."""
    levels = [[_leaf(entry) for entry in entries]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        levels.append([*(_node(*pair) for pair in pairs), *([below[-1]] if len(below) % 2 else [])])
    return levels
