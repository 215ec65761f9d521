"""Inputs that are nearly good: what a fuzzer makes of a corpus without knowing which code they reach."""

import random
from collections.abc import Sequence

WORDS = (
    b"", b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80", b"\xed\xa0\x80", "é\u202e".encode(),
    b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 400, b'""', b"[]", b"{}", b"[" * 300, b'{"a":' * 300,
    b'"\\ud800"', b"\\u0000", b"=", b"==", b"-", b"_", b"\n", b" ", b"*", b",", b'"', b"9999-12-31T23:59:59-23:59",
    b"2026-01-31T23:59:59", b"../../etc/passwd", b"%s%n", b"SSHSIG\x00\x00\x00\x01", b"A" * 5000,
)  # fmt: skip
"""What parsers stumble over."""


class Mutator:
    """Makes inputs out of a corpus; the same ones for the same `seed`."""

    def __init__(self, corpus: Sequence[bytes], seed: int) -> None:
        self._corpus = corpus
        self._random = random.Random(seed)

    def make(self) -> bytes:
        """One good input with one to five changes in it."""
        chance = self._random
        data = bytearray(chance.choice(self._corpus))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
            self._change(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        chance = self._random
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 4, 16, 64, 1000)))
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[start % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[start % len(data)] = chance.randrange(256)
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:end] = chance.choice(WORDS)
        elif kind == 4:  # twice
            data[start:start] = data[start:end] * chance.choice((1, 1, 2, 50))
        elif kind == 5:  # a piece of another one, in the place of this one's
            other = chance.choice(self._corpus)
            at = chance.randrange(len(other) + 1)
            data[start:end] = other[at : at + chance.choice((1, 8, 64, 1000))]
        elif kind == 6:  # moved
            piece = data[start:end]
            del data[start:end]
            at = chance.randrange(len(data) + 1)
            data[at:at] = piece
        else:
            del data[start:]
