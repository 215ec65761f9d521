"""Tokens are verified in a process of its own: nothing of the repository is in it, and only a good word counts."""

import sys
from datetime import timedelta

import pytest
from approval_support import NOW, a_payload, a_token, a_trust

from ci_migrate.approval import verify_process
from ci_migrate.approval.verification import verify
from ci_migrate.approval.verify_process import verify_isolated
from ci_migrate.errors import NotApprovedError


def refused(token, trust=None, now=NOW):
    with pytest.raises(NotApprovedError) as caught:
        verify_isolated(token, trust or a_trust(), now)
    return caught.value


def test_it_says_what_the_verifier_says():
    trust = a_trust()
    assert verify_isolated(a_token(), trust, NOW) == verify(a_token(), trust, NOW)
    assert verify_isolated(a_token(), trust, NOW).payload == a_payload()


@pytest.mark.parametrize("token", ["", "rubbish", a_token(None, "mallory"), a_token()[:-4] + "AAAA"])
def test_a_refusal_comes_back_as_it_is(token):
    with pytest.raises(NotApprovedError) as here:
        verify(token, a_trust(), NOW)
    there = refused(token)
    assert (there.what, there.hint, there.exit_code) == (
        here.value.what,
        here.value.hint,
        here.value.exit_code,
    )


def test_nothing_of_the_working_folder_or_the_variables_is_in_it(tmp_path, monkeypatch):
    """Modules that would grant, where a job's author can put them."""
    grants = f"""
        open({str(tmp_path / "imported")!r}, "w")
        import ci_migrate.approval.verification as verification
        verification.verify = lambda *a: 1 / 0
    """.replace("\n        ", "\n")
    for name in ("sitecustomize", "usercustomize", "cryptography", "msgspec", "startup"):
        (tmp_path / f"{name}.py").write_text(grants)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PYTHONPATH": ".",
        "PYTHONSTARTUP": "startup.py",
        "PYTHONUSERBASE": str(tmp_path),
        "PYTHONINSPECT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert "is signed by a key that is no approver's" in refused(a_token(None, "mallory")).what
    assert verify_isolated(a_token(), a_trust(), NOW).approved_by == ("alice@example.com",)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
        ("echo '{}'", "it gave no answer"),
        ("echo granted", "its answer makes no sense"),
        ('echo \'{"verified": {"payload": {}, "signers": []}}\'', "its answer makes no sense"),
        ("sleep 60", "not within 1 s"),
        ("echo what went wrong >&2; exit 1", "what went wrong"),
    ],
)
def test_whatever_it_ends_with_but_a_good_word_is_a_refusal(tmp_path, monkeypatch, body, words):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(verify_process, "TIMEOUT", 1.0)
    error = refused(a_token())
    assert error.what.startswith("The token could not be verified")
    assert words in error.what


def test_no_secret_of_the_job_reaches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\nenv > {tmp_path}/env; echo "$@" > {tmp_path}/argv; pwd >> {tmp_path}/env\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    token = a_token()
    refused(token, now=NOW + timedelta(hours=1))
    assert "canary" not in (tmp_path / "env").read_text()
    assert token not in (tmp_path / "argv").read_text()
