import shutil
import subprocess

import pytest
from approval_support import KINDS, key_file, public_line, ssh_keygen_verifies, to_armor

from ci_migrate.approval import signing
from ci_migrate.approval.sshsig import parse, verify
from ci_migrate.errors import ToolError, UsageError

MESSAGE = b"DSSEv1 1 a 1 b"

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_accepts_what_is_signed_here(tmp_path, kind):
    path = key_file(tmp_path, kind=kind)
    armored = to_armor(signing.sign(path, MESSAGE))
    assert ssh_keygen_verifies(tmp_path, armored, public_line(kind=kind), MESSAGE)
    assert not ssh_keygen_verifies(tmp_path, armored, public_line(kind=kind), MESSAGE + b"!")


def test_a_key_with_a_passphrase(tmp_path):
    path = key_file(tmp_path, passphrase="secret")
    verify(parse(signing.sign(path, MESSAGE, lambda: "secret")), MESSAGE)
    with pytest.raises(UsageError, match=r"The passphrase of .+ is wrong") as caught:
        signing.sign(path, MESSAGE, lambda: "hunter2")
    assert "hunter2" not in "".join(caught.value.lines)
    with pytest.raises(UsageError, match="has a passphrase"):
        signing.sign(path, MESSAGE)


def test_files_that_hold_no_key(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(UsageError, match="can't be read: No such file"):
        signing.sign(path, MESSAGE)
    path.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match="holds no private key"):
        signing.sign(path, MESSAGE)


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
        verify(parse(signing.sign(path.with_name(f"{path.name}.pub"), MESSAGE)), MESSAGE)
    finally:
        agent.terminate()
        agent.wait()
    with pytest.raises(ToolError):
        signing.sign(path.with_name(f"{path.name}.pub"), MESSAGE)
