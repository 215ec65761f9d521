"""`python tests/fuzz/fuzz_mutated.py RUNS [NAMES]`: so many inputs at each parser that reads what others wrote.

Nothing that was not signed is accepted, nothing but a parser's own error is raised. Needs nothing but the development
packages; where atheris can be installed `fuzz_approval.py` is led by what the inputs reach.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from fuzz_parsers import fuzz, parsers

ROUND = 10_000


def main(runs: int, names: Sequence[str]) -> None:
    """In rounds, so that each parser has had its share whenever it is stopped."""
    chosen = [parser for parser in parsers() if not names or parser.name in names]
    given, accepted = 0, Counter[str]()
    while given < runs:
        part = min(ROUND, runs - given)
        begun = time.process_time()
        for parser in chosen:
            accepted[parser.name] += fuzz(parser, part, seed=given)
        given += part
        rate = part * len(chosen) / (time.process_time() - begun)
        print(
            f"{given:,} inputs at each of {len(chosen)} parsers, {rate:,.0f}/s; accepted: {dict(accepted)}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
