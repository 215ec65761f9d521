import shutil
import subprocess
import warnings

import pytest
from approval_support import (
    KINDS,
    SK_KINDS,
    key_file,
    private_key,
    public_line,
    signature,
    touched_signature,
    wire,
)

from ci_migrate.approval import sshsig
from ci_migrate.approval.sshsig import NAMESPACE, BadSignatureError, parse, verify
from ci_migrate.errors import ToolError, UsageError

MESSAGE = b"DSSEv1 1 a 1 b"

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def ssh_keygen_verifies(tmp_path, armored, line, message=MESSAGE, namespace=NAMESPACE):
    signers, file = tmp_path / "signers", tmp_path / "message.asc"
    signers.write_text(f"alice {line}\n")
    file.write_text(armored)
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "alice", "-n", namespace, "-s", file]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_accepts_what_is_signed_here(tmp_path, kind):
    path = key_file(tmp_path, kind=kind)
    armored = sshsig.to_armor(sshsig.sign(path, MESSAGE))
    assert ssh_keygen_verifies(tmp_path, armored, public_line(kind=kind))
    assert not ssh_keygen_verifies(tmp_path, armored, public_line(kind=kind), MESSAGE + b"!")


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_is_accepted_here(tmp_path, kind, hash_name):
    path = key_file(tmp_path, kind=kind)
    options = ["-n", NAMESPACE, "-O", f"hashalg={hash_name}", "-f", path]
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", *options], input=MESSAGE, capture_output=True, check=True
    )
    found = parse(sshsig.from_armor(made.stdout.decode()))
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
    assert ssh_keygen_verifies(tmp_path, sshsig.to_armor(data), line)
    verify(parse(touched_signature(MESSAGE, kind, flags=5)[0]), MESSAGE)
    untouched, _ = touched_signature(MESSAGE, kind, flags=4)
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
        verify(parse(sshsig.sign_with(short, MESSAGE)), MESSAGE)
    found = parse(signature(MESSAGE, kind="rsa"))
    data = sshsig._signed_data(NAMESPACE, "sha512", MESSAGE)
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


def test_a_key_with_a_passphrase(tmp_path):
    path = key_file(tmp_path, passphrase="secret")
    verify(parse(sshsig.sign(path, MESSAGE, lambda: "secret")), MESSAGE)
    with pytest.raises(UsageError, match=r"The passphrase of .+ is wrong") as caught:
        sshsig.sign(path, MESSAGE, lambda: "hunter2")
    assert "hunter2" not in "".join(caught.value.lines)
    with pytest.raises(UsageError, match="has a passphrase"):
        sshsig.sign(path, MESSAGE)


def test_files_that_hold_no_key(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(UsageError, match="can't be read: No such file"):
        sshsig.sign(path, MESSAGE)
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="holds no private key"):
        sshsig.sign(path, MESSAGE)


@needs_ssh_keygen
def test_an_agent_signs_for_a_public_key(tmp_path, monkeypatch):
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    path = key_file(tmp_path)
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        for _ in range(200):
            added = subprocess.run(["ssh-add", "-q", path], capture_output=True, check=False)
            if added.returncode == 0:
                break
        path.unlink()
        verify(parse(sshsig.sign(path.with_name(f"{path.name}.pub"), MESSAGE)), MESSAGE)
    finally:
        agent.terminate()
        agent.wait()
    with pytest.raises(ToolError):
        sshsig.sign(path.with_name(f"{path.name}.pub"), MESSAGE)


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
