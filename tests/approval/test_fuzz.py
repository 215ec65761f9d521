"""The parsers of tokens, approvers' lines and requests: nothing that was not signed, no traceback, never slow."""

from approval_fuzz import MODES, one_input, seeds
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

few = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = 24


def test_what_is_good_is_accepted():
    assert len(seeds()) == SEEDS
    assert all(one_input(seed) for seed in seeds())
    assert {seed[0] for seed in seeds()} == set(range(len(MODES)))


@few
@given(
    st.integers(0, SEEDS - 1),
    st.lists(
        st.tuples(st.integers(0, 1 << 16), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4
    ),
)
def test_nothing_that_was_altered_is_accepted_as_something_else(which, edits):
    data = seeds()[which]
    for at, removed, added in edits:
        place = 1 + at % len(data)
        data = data[:place] + added + data[place + removed :]
    one_input(data)


@few
@given(st.integers(0, SEEDS - 1), st.integers(0, 1 << 16), st.integers(0, 7))
def test_a_flipped_bit_is_never_accepted_as_something_else(which, at, bit):
    data = bytearray(seeds()[which])
    data[1 + at % (len(data) - 1)] ^= 1 << bit
    one_input(bytes(data))


@few
@given(st.binary(max_size=300))
@example(b"\x00" + b"A" * 33_000)
@example(b"\x01" + b"[" * 20_000)
@example(b"\x01" + b'{"payload":' * 2_000)
@example(b"\x02" + b"[" * 16_000)
@example(b"\x02" + b'{"reason":' * 1_000)
@example(b"\x03" + b"SSHSIG\x00\x00\x00\x01\xff\xff\xff\xff")
@example(b"\x05" + b'a namespaces="' * 1_000)
@example(b"\x05" + b"a," * 8_000 + b" ssh-ed25519")
@example(b"\x06" + b"[" * 100_000)
def test_anything_at_all(data):
    one_input(data)
