import shutil
import subprocess
import warnings

import pytest
from approval_support import (
    KINDS,
    SK_KINDS,
    key_file,
    private_key,
    signature,
    ssh_keygen_verifies,
    to_armor,
    touched_signature,
    wire,
)

from ci_migrate.approval import sshsig
from ci_migrate.approval.signing import from_armor, sign_with
from ci_migrate.approval.sshsig import NAMESPACE, BadSignatureError, parse, verify

MESSAGE = b"DSSEv1 1 a 1 b"

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_is_accepted_here(tmp_path, kind, hash_name):
    path = key_file(tmp_path, kind=kind)
    options = ["-n", NAMESPACE, "-O", f"hashalg={hash_name}", "-f", path]
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", *options], input=MESSAGE, capture_output=True, check=True
    )
    found = parse(from_armor(made.stdout.decode()))
    assert (found.namespace, found.hash_name) == (NAMESPACE, hash_name)
    verify(found, MESSAGE)
    with pytest.raises(BadSignatureError):
        verify(found, MESSAGE + b"!")
    listed = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, check=True)
    assert sshsig.fingerprint(found.key) in listed.stdout.decode()


@needs_ssh_keygen
@pytest.mark.parametrize("kind", SK_KINDS)
def test_a_hardware_key_counts_if_somebody_touched_it(tmp_path, kind):
    data, line = touched_signature(MESSAGE, kind)
    verify(parse(data), MESSAGE)
    assert ssh_keygen_verifies(tmp_path, to_armor(data), line, MESSAGE)
    verify(parse(touched_signature(MESSAGE, kind, flags=5)[0]), MESSAGE)
    untouched, line = touched_signature(MESSAGE, kind, flags=4)
    # should this fail one day, then ssh-keygen is as strict, and may take the place of our own
    assert ssh_keygen_verifies(tmp_path, to_armor(untouched), line, MESSAGE)
    with pytest.raises(BadSignatureError, match="nobody touched"):
        verify(parse(untouched), MESSAGE)
    with pytest.raises(BadSignatureError, match="does not fit"):
        verify(parse(data), MESSAGE + b"!")


@pytest.mark.parametrize("kind", KINDS)
def test_each_flipped_bit_is_a_bad_signature(kind):
    data = signature(MESSAGE, kind=kind)
    for at in range(len(data)):
        altered = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        with pytest.raises(BadSignatureError):
            verify(parse(altered), MESSAGE)
    for size in range(len(data)):
        with pytest.raises(BadSignatureError):
            verify(parse(data[:size]), MESSAGE)


def test_sha_1_and_short_rsa_keys_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        short = rsa.generate_private_key(65537, 1024)
    with pytest.raises(BadSignatureError, match="too small"):
        verify(parse(sign_with(short, MESSAGE)), MESSAGE)
    found = parse(signature(MESSAGE, kind="rsa"))
    data = sshsig.signed_data(NAMESPACE, "sha512", MESSAGE)
    for name in (b"ssh-rsa", b"rsa-sha1"):
        value = private_key(kind="rsa").sign(data, padding.PKCS1v15(), hashes.SHA1())
        old = sshsig.Signature(
            key=found.key, namespace=NAMESPACE, hash_name="sha512", signature=wire(name) + wire(value)
        )
        with pytest.raises(BadSignatureError, match="is not accepted"):
            verify(old, MESSAGE)


def test_a_signature_by_another_key_of_the_same_kind_does_not_fit():
    found, other = parse(signature(MESSAGE)), parse(signature(MESSAGE, "carol"))
    swapped = sshsig.Signature(
        key=other.key, namespace=NAMESPACE, hash_name="sha512", signature=found.signature
    )
    with pytest.raises(BadSignatureError, match="does not fit"):
        verify(swapped, MESSAGE)


def test_without_the_extra_it_says_which_one(monkeypatch):
    import builtins

    real = builtins.__import__

    def no_cryptography(name, *arguments, **options):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    found = parse(signature(MESSAGE))
    monkeypatch.setattr(builtins, "__import__", no_cryptography)
    with pytest.raises(sshsig.SettingsError) as caught:
        verify(found, MESSAGE)
    assert caught.value.hint == "pip install 'ci-migrate[approval]'"
