import base64
import json

import pytest
from approval_support import a_payload, a_token

from ci_migrate.approval.envelope import (
    PAYLOAD_LIMIT,
    SIGNATURES_LIMIT,
    TOKEN_LIMIT,
    Envelope,
    is_envelope,
    merge,
    pae,
)
from ci_migrate.errors import NotApprovedError


def text_of(value, **options):
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), **options).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def parts():
    token = a_token()
    return json.loads(base64.urlsafe_b64decode(token + "=="))


def refused(token):
    with pytest.raises(NotApprovedError) as caught:
        Envelope.decode(token)
    return caught.value.what


def test_the_encoding_that_is_signed_is_dsse_s():
    """The example of the specification."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_a_token_is_one_text_of_an_envelope():
    token = a_token()
    found = Envelope.decode(f" {token}\n")
    assert found.payload == a_payload().encode()
    assert found.encode() == token == text_of(parts())
    assert is_envelope(token)


def test_a_confirmation_token_is_no_envelope():
    for text in ("", " ", "9f0c2b1e-8a55-4f7e-9d55-3a3a0f3c1d11", "A" * (TOKEN_LIMIT + 1)):
        assert not is_envelope(text)


def test_T1_missing_empty_white_space_two_tokens_too_long():
    token = a_token()
    assert refused("") == refused(" \n\t") == "The token is empty."
    assert refused(f"{token} {token}") == "More than one token was given, or one with white space in it."
    assert refused(f"{token[:50]}\n{token[50:]}").startswith("More than one token")
    assert refused("A" * (TOKEN_LIMIT + 1)).startswith("The token is too long: 32769")
    assert refused(" " * TOKEN_LIMIT + "A").startswith("The token is too long: 32769")


@pytest.mark.parametrize(
    "change",
    [
        lambda p: {**p, "more": 1},
        lambda p: {k: v for k, v in p.items() if k != "payloadType"},
        lambda p: {**p, "payload": p["payload"].rstrip("=") + "\n"},
        lambda p: {**p, "payload": 7},
        lambda p: {**p, "signatures": [{**p["signatures"][0], "keyid": "x"}]},
        lambda p: {**p, "signatures": p["signatures"][0]},
        lambda p: dict(reversed(p.items())),
        lambda p: json.dumps(p).encode(),
        lambda p: json.dumps(p, separators=(",", ":")).encode() + b" ",
        lambda p: json.dumps(p, separators=(",", ":")).replace("{", '{"payload":"",', 1).encode(),
        lambda _: [],
        lambda _: b"\xff",
        lambda _: b"[" * 20_000,
    ],
)
def test_there_is_no_second_way_to_write_a_token(change):
    assert refused(text_of(change(parts()))) == "The token is malformed: ci-migrate makes no such tokens."


def test_no_second_way_to_write_its_base64():
    token = a_token()
    padded = token + "=" * (-len(token) % 4 or 4)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    loose = token[:-1] + last[last.index(token[-1]) ^ 1]
    for text in (padded, loose, token.replace("e", "+", 1), token[:-1], "é" + token):
        assert refused(text).startswith("The token is malformed")


def test_it_carries_no_more_than_it_may():
    assert refused(Envelope(payload=b"x" * (PAYLOAD_LIMIT + 1), signatures=(b"s",)).encode()) == (
        "The token's payload is too long: 16385 bytes."
    )
    assert refused(Envelope(payload=b"x").encode()) == "The token is not signed."
    many = tuple(bytes([n]) for n in range(SIGNATURES_LIMIT + 1))
    assert (
        refused(Envelope(payload=b"x", signatures=many).encode()) == "The token has too many signatures: 9."
    )
    assert refused(Envelope(payload=b"x", signatures=(b"s" * 4097,)).encode()) == (
        "The token has a signature that is too long."
    )


def test_merging_never_makes_what_would_be_refused():
    tokens = [Envelope(payload=b"x", signatures=(bytes([n]),)).encode() for n in range(SIGNATURES_LIMIT + 1)]
    assert len(Envelope.decode(merge(tokens[:-1])).signatures) == SIGNATURES_LIMIT
    with pytest.raises(NotApprovedError, match="too many signatures"):
        merge(tokens)
    with pytest.raises(NotApprovedError, match="no token to merge"):
        merge([])


def test_the_same_signature_twice_is_one():
    """Whoever sends a token around gets it back with their own signature in it."""
    token = a_token()
    assert merge([token, token]) == token
    assert len(Envelope.decode(merge([token] * 9)).signatures) == 1
    with pytest.raises(NotApprovedError, match="no token to merge"):
        merge([])
