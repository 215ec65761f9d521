"""Every parser that reads what others wrote, with good inputs for it, and how it is fed inputs that are nearly good."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from approval_fuzz import MODES, one_input, seeds
from hostile_inputs import BODIES, MANIFESTS, QUERIES, Calls, read_manifest
from mutator import Mutator


@dataclass(frozen=True)
class Parser:
    """A parser by the corpus of good inputs that it is fed from; `feed` says whether one was accepted."""

    name: str
    corpus: Sequence[bytes]
    feed: Callable[[bytes], bool]


def approval(number: int) -> Parser:
    mark = bytes([number])
    corpus = [seed[1:] for seed in seeds() if seed[:1] == mark]
    return Parser(MODES[number], corpus, lambda data: one_input(mark + data))


def parsers() -> list[Parser]:
    calls = Calls()
    return [
        *map(approval, range(len(MODES))),
        Parser("manifest", MANIFESTS, read_manifest),
        *(Parser(f"body {path}", corpus, partial(calls.send_body, path)) for path, corpus in BODIES.items()),
        *(
            Parser(f"query {path}", corpus, partial(calls.send_query, path))
            for path, corpus in QUERIES.items()
        ),
    ]


def fuzz(parser: Parser, runs: int, seed: int = 0) -> int:
    """Feed it this many inputs; returns how many were accepted. Raises what is wrong, and prints the input."""
    assert all(map(parser.feed, parser.corpus)), parser.name
    mutator, accepted = Mutator(parser.corpus, seed), 0
    for _ in range(runs):
        data = mutator.make()
        try:
            accepted += parser.feed(data)
        except BaseException:
            print(f"{parser.name}: {data[:2000]!r}", file=sys.stderr, flush=True)
            raise
    return accepted
