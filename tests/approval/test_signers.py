import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from approval_support import NOW, public_line, signature, to_armor

from ci_migrate.approval.signers import LINE_LIMIT, borrowed_keys, parse_signers, people_of
from ci_migrate.approval.sshsig import NAMESPACE
from ci_migrate.errors import NotApprovedError

KEY = public_line()


def parsed(*lines):
    return parse_signers(lines)


def test_a_line_names_people_a_key_and_when_it_counts():
    (signer,) = parsed(
        f'"alice@example.com,alice smith" namespaces="{NAMESPACE},git",valid-after="20260101",valid-before="20271231235959Z" {KEY} her laptop'
    )
    assert signer.principals == ("alice@example.com", "alice smith")
    assert signer.namespaces == (NAMESPACE, "git")
    assert signer.valid_after == datetime(2026, 1, 1).astimezone()
    assert signer.valid_before == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_comments_empty_lines_and_tabs():
    (signer,) = parsed("# approvers", "", "   ", f"\talice\t{KEY.replace(' ', chr(9))}\t# hers")
    assert signer.principals == ("alice",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("* KEY", "is a pattern"),
        ("*@example.com KEY", "is a pattern"),
        ("alice,!bob KEY", "is a pattern"),
        ("al?ce KEY", "is a pattern"),
        ("alice, KEY", "names nobody"),
        ('"alice KEY', "a quote is not closed"),
        ('"" KEY', "names nobody"),
        ("alice cert-authority KEY", "certificate authorities are not accepted"),
        ('alice cert-authority,namespaces="git" KEY', "certificate authorities are not accepted"),
        ('alice verify-required="x" KEY', "'verify-required' is no option"),
        ('alice namespaces="a",namespaces="b" KEY', "namespaces is there twice"),
        ('alice namespaces="" KEY', "namespaces names nothing"),
        ('alice namespaces="git KEY', "keys of the type"),
        ('alice namespaces="a\\"b" KEY', "keys of the type"),
        ('alice valid-before="tomorrow" KEY', "'tomorrow' is no time"),
        ('alice valid-before="20261301" KEY', "'20261301' is no time"),
        ('alice valid-before="2026010112" KEY', "'2026010112' is no time"),
        ("alice HALF", "its key is damaged"),
        ("alice ssh-ed25519", "its key is damaged"),
        ("alice ssh-ed25519 AAAA", "its key is damaged"),
        ("alice ssh-rsa BLOB", "its key is damaged"),
        ("alice ssh-dss AAAAB3NzaC1kc3M=", "keys of the type 'ssh-dss'"),
        ("alice", "keys of the type ''"),
        ("a" * (LINE_LIMIT + 1), "too long"),
    ],
)
def test_a_line_that_is_not_understood_lets_nobody_in(line, message):
    # no key in the parameters: they name the test
    line = line.replace("KEY", KEY).replace("HALF", KEY[:60]).replace("BLOB", KEY.split()[1])
    with pytest.raises(NotApprovedError, match="Line 2 of the approvers") as caught:
        parsed(f"carol {public_line('carol')}", line)
    assert message in caught.value.what


def test_one_key_under_two_names_is_found():
    (found,) = borrowed_keys(parsed(f"alice {KEY}", f"carol {public_line('carol')}", f"bob {KEY}"))
    assert found.startswith("bob's key is alice's too: SHA256:")
    assert len(people_of(parsed(f"alice {KEY}", f"bob {KEY}"))) == 1
    assert borrowed_keys(parsed(f"alice {KEY}", f"Alice,work {KEY}")) == ()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ("", True),
        (f'namespaces="git,{NAMESPACE}"', True),
        ('namespaces="ci-migrate-*"', True),
        (f'namespaces="*,!{NAMESPACE}"', False),
        ('namespaces="git"', False),
        ('valid-after="20261122",valid-before="20261123"', True),
        ('valid-after="202611221201Z"', False),
        ('valid-before="20261122115959Z"', False),
        ('valid-after="20261122115959Z",valid-before="202611221201Z"', True),
        ('valid-before="20261122Z"', False),
        ('Valid-Before="20261123Z"', True),
    ],
)
def test_T7_ssh_keygen_says_the_same(tmp_path, monkeypatch, options, counts):
    monkeypatch.setenv("TZ", "UTC")
    line = f"alice {options} {KEY}" if options else f"alice {KEY}"
    (tmp_path / "signers").write_text(line + "\n")
    (tmp_path / "asc").write_text(to_armor(signature(b"message")))
    time = f"verify-time={NOW + timedelta(0):%Y%m%d%H%M%S}"
    command = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "alice", "-n", NAMESPACE, "-s", "asc"]
    found = subprocess.run(
        [*command, "-O", time], input=b"message", cwd=tmp_path, capture_output=True, check=False
    )
    assert (found.returncode == 0) == counts, found.stderr + found.stdout
    (signer,) = parsed(line)
    assert (signer.refusal(NAMESPACE, NOW) == "") == counts
