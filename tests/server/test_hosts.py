"""Which names the service answers to: its own and addresses; never one that somebody else's name server decides."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_migrate.server.hosts import Hosts

OURS = Hosts(["Deploy.Example.com", "inner."])
LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=10)


@given(labels=st.lists(LABELS, min_size=1, max_size=3), port=st.sampled_from(["", ":80", ":"]))
@settings(max_examples=60)
def test_a_name_that_only_contains_one_of_ours_is_not_ours(labels, port):
    """`localhost.evil.example` and `evil-localhost` are whoever registered them."""
    for own in ("localhost", "deploy.example.com", "127.0.0.1"):
        for name in (f"{own}.{'.'.join(labels)}x", f"x{'.'.join(labels)}.{own}"):
            assert not OURS.serve(name + port)


@given(address=st.ip_addresses(), port=st.sampled_from(["", ":80", ":65535"]))
@settings(max_examples=60)
def test_an_address_is_no_name_that_could_be_pointed_elsewhere(address, port):
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    assert OURS.serve(host + port)
    assert Hosts().serve(host + port)


@given(header=st.text(max_size=30))
@settings(max_examples=100)
def test_whatever_a_header_holds_there_is_an_answer(header):
    assert OURS.serve(header) in (True, False)
    assert len(OURS.words(header * 50)) < 1200, "what somebody sends does not fill the answer"


@pytest.mark.parametrize("header", ["inner", "INNER.", "inner:8000", "user@inner", "deploy.example.com.:443"])
def test_how_one_of_ours_may_be_written(header):
    assert OURS.serve(header)


@pytest.mark.parametrize(
    "header",
    [
        "inner,evil",
        "evil#@inner.evil",
        "0x7f000001",
        "017700000001",
        "127.1",
        "localhost\x00",
        "\uff4cocalhost",
    ],
)
def test_how_no_name_of_ours_is_written(header):
    """What an operating system's resolver takes for 127.0.0.1 is a name to a browser."""
    assert not OURS.serve(header)


def test_the_answer_says_what_to_do():
    assert "--host-name NAME" in OURS.words("evil.example")
    assert "'evil.example'" in OURS.words("evil.example")
