"""A bounded run of `fuzz_mutated.py`: parsers of approvals, manifests, bodies and queries."""

import pytest
from fuzz_parsers import Parser, fuzz, parsers
from mutator import Mutator

PARSERS = parsers()


@pytest.mark.parametrize("parser", PARSERS, ids=[p.name.replace("/", "") for p in PARSERS])
@pytest.mark.parametrize("runs", [pytest.param(30), pytest.param(20_000, marks=pytest.mark.long)])
def test_F31_nothing_that_was_altered_is_taken_and_nothing_but_a_refusal_is_raised(parser: Parser, runs: int):
    assert fuzz(parser, runs, seed=runs) < runs


def test_the_mutator_changes_most_of_what_it_is_given():
    corpus = [b'{"a": [1, 2, 3], "b": "text"}']
    mutator = Mutator(corpus, seed=1)
    made = [mutator.make() for _ in range(1000)]
    assert sum(data != corpus[0] for data in made) > 900
    assert len(set(made)) > 600
