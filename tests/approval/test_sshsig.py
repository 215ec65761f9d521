"""Signatures as OpenSSH makes and reads them, both ways; and what is refused."""

import shutil
import subprocess

import pytest

from ci_migrate.approval import sshsig
from ci_migrate.approval.sshsig import NAMESPACE, BadSignatureError
from ci_migrate.errors import ToolError, UsageError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen (openssh-client)")

KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa-256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa-384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa-521": ["-t", "ecdsa", "-b", "521"],
    "rsa-2048": ["-t", "rsa", "-b", "2048"],
}
MESSAGE = b"DSSEv1 what is signed \x00\xff"


def keygen(*arguments, **more):
    return subprocess.run(["ssh-keygen", *arguments], capture_output=True, check=False, **more)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name, arguments in KINDS.items():
        assert not keygen("-q", "-N", "", "-C", name, "-f", str(folder / name), *arguments).returncode
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_accepts_what_is_signed_here(keys, tmp_path, kind):
    signature = sshsig.sign(keys / kind, MESSAGE)
    (tmp_path / "sig").write_text(sshsig.to_armor(signature))
    (tmp_path / "signers").write_text(f"alice {(keys / kind).with_suffix('.pub').read_text()}")
    arguments = ["-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "alice", "-n", NAMESPACE]
    assert not keygen(*arguments, "-s", str(tmp_path / "sig"), input=MESSAGE).returncode
    assert keygen(*arguments, "-s", str(tmp_path / "sig"), input=MESSAGE + b".").returncode


@pytest.mark.parametrize("hash_name", ["sha512", "sha256"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_keygen_signs_is_accepted_here(keys, tmp_path, kind, hash_name):
    (tmp_path / "message").write_bytes(MESSAGE)
    arguments = [
        "-n",
        NAMESPACE,
        "-O",
        f"hashalg={hash_name}",
        "-f",
        str(keys / kind),
        str(tmp_path / "message"),
    ]
    assert not keygen("-Y", "sign", *arguments).returncode
    signature = sshsig.parse(sshsig.from_armor((tmp_path / "message.sig").read_text()))
    assert signature.namespace == NAMESPACE
    sshsig.verify(signature, MESSAGE)
    with pytest.raises(BadSignatureError):
        sshsig.verify(signature, MESSAGE + b".")
    listed = keygen("-l", "-f", str(keys / kind)).stdout.decode()
    assert sshsig.fingerprint(signature.key) in listed


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_signature_can_be_another_one(keys, kind):
    signature = sshsig.sign(keys / kind, MESSAGE)
    for at in range(len(signature)):
        altered = bytearray(signature)
        altered[at] ^= 1
        try:
            parsed = sshsig.parse(bytes(altered))
            sshsig.verify(parsed, MESSAGE)
        except BadSignatureError:
            continue
        pytest.fail(f"byte {at} of {len(signature)} does not matter")


def test_an_agent_signs_where_only_the_public_key_is_at_hand(keys, tmp_path, monkeypatch):
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        while not (tmp_path / "agent").exists():
            assert agent.poll() is None
        subprocess.run(["ssh-add", "-q", str(keys / "ed25519")], check=True, capture_output=True)
        public = tmp_path / "only.pub"
        shutil.copy((keys / "ed25519").with_suffix(".pub"), public)
        sshsig.verify(sshsig.parse(sshsig.sign(public, MESSAGE)), MESSAGE)
    finally:
        agent.terminate()
        agent.wait()
    with pytest.raises(ToolError):
        sshsig.sign(public, MESSAGE)


def test_a_passphrase(tmp_path):
    pytest.importorskip("bcrypt")
    keygen("-q", "-t", "ed25519", "-N", "open sesame", "-f", str(tmp_path / "key"))
    signature = sshsig.sign(tmp_path / "key", MESSAGE, lambda: "open sesame")
    sshsig.verify(sshsig.parse(signature), MESSAGE)
    with pytest.raises(UsageError, match="passphrase"):
        sshsig.sign(tmp_path / "key", MESSAGE, lambda: "another")
    with pytest.raises(UsageError, match="holds no private key"):
        sshsig.sign(tmp_path / "key", MESSAGE)


def test_keys_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="can't be read"):
        sshsig.sign(tmp_path / "nowhere", MESSAGE)
    (tmp_path / "broken").write_text(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    )
    with pytest.raises(UsageError, match="holds no private key"):
        sshsig.sign(tmp_path / "broken", MESSAGE)


def test_an_rsa_key_that_is_too_small_counts_for_nothing():
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 1024)
    key = sshsig._public_blob(private)
    value = sshsig._sign(private, "ssh-rsa", sshsig._signed_data(NAMESPACE, "sha512", MESSAGE))
    signature = sshsig.Signature(key=key, namespace=NAMESPACE, hash_name="sha512", signature=value)
    with pytest.raises(BadSignatureError, match="too small"):
        sshsig.verify(signature, MESSAGE)


# ------------------------------------------------------------------ hardware keys, whose wire format is public


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize(("flags", "good"), [(0x01, True), (0x05, True), (0x00, False), (0x04, False)])
def test_a_hardware_key_must_have_been_touched(kind, flags, good):
    import hashlib

    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    data = sshsig._signed_data(NAMESPACE, "sha512", MESSAGE)
    application = b"ssh:"
    signed = hashlib.sha256(application).digest() + bytes([flags, 0, 0, 0, 7]) + hashlib.sha256(data).digest()
    if kind == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
        name = b"sk-ssh-ed25519@openssh.com"
        raw = private.public_key().public_bytes_raw()
        key = sshsig._string(name) + sshsig._string(raw) + sshsig._string(application)
        value = sshsig._string(private.sign(signed))
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        name = b"sk-ecdsa-sha2-nistp256@openssh.com"
        point = sshsig._Reader(sshsig._public_blob(private))
        point.string()
        key = sshsig._string(name) + sshsig._string(point.string()) + sshsig._string(point.string())
        key += sshsig._string(application)
        plain = sshsig._Reader(sshsig._sign(private, "ecdsa-sha2-nistp256", signed))
        plain.string()
        value = sshsig._string(plain.string())
    whole = sshsig._string(name) + value + bytes([flags, 0, 0, 0, 7])
    signature = sshsig.Signature(key=key, namespace=NAMESPACE, hash_name="sha512", signature=whole)
    if good:
        sshsig.verify(signature, MESSAGE)
        with pytest.raises(BadSignatureError):
            sshsig.verify(signature, MESSAGE + b".")
    else:
        with pytest.raises(BadSignatureError, match="touched"):
            sshsig.verify(signature, MESSAGE)
