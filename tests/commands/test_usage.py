"""What a command line that makes no sense is told: exit 2, the words, and nothing is made. No database is looked at."""

import json
import shlex

import pytest
from alembic_project import ended

DIGITS = "0" * 36
"""As long as a token, and none."""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run r1 --to r2", "The destination is given twice: r1, and --to r2."),
        ("run r1 r2", "unexpected extra argument"),
        ("run --report nonsense", "--report nonsense: it is FORMAT=PATH."),
        (
            "run --report pdf=x.pdf",
            "--report pdf=x.pdf: there is no format pdf. The formats are codequality,",
        ),
        ("run --allow CM201", "The command line: allow must be a list of"),
        ("run --token-file none.txt", "The token file none.txt can't be read: No such file or directory."),
        ("run --target nowhere", "There is no target named nowhere (--target). The targets are: dev."),
        ("migrate --to", "--to"),
        ("check --since main r1", "leave"),
        ("history --limit 0", "--limit"),
        ("rollback", "--to"),
        ("rollback --to r1 --by magic", "magic"),
        ("stamp", "REVISION"),
        ("stamp r1", "--reason"),
        ("backup show", "BACKUP"),
        ("backup show ../x", "is no backup id"),
        ("backup prune --keep x", "--keep"),
        ("backup nonsense", "nonsense"),
        ("repair --dry-run --forward --nonsense", "--nonsense"),
        ("serve key create ana", "--role"),
        ("serve key create ana --role king", "king"),
        ("serve key create a/b --role viewer", "'a/b' can't be a key's name."),
        ("serve key create ana --role viewer --days 0", "A key can't be good for 0 days."),
        ("serve key revoke 012345", "no ledger yet, so there are no keys"),
        ("token merge", "FILE"),
        ("token merge none.txt", "The token file none.txt can't be read"),
        ("protect --freeze x --unfreeze", "are for one call each"),
        ("protect --guard-except bo", "--guard-except goes with --guard."),
        ("protect --min-approvals 0", "--min-approvals"),
        ("protect --approver nonsense", "Line 1 of the approvers can't be used"),
        ("protect --freeze ''", "A freeze needs a reason."),
        ("nonsense", "No such command 'nonsense'"),
        ("statu", "Did you mean status?"),
        ("-C nowhere status", "There is no folder"),
    ],
)
def test_exit_2_and_nothing_is_made(alembic_project, arguments, words):
    done = alembic_project.call(*shlex.split(arguments))
    ended(done, 2, words)
    if not arguments.startswith(("run", "migrate")):  # those print a report, whatever came of it
        assert done.out == "", "standard output is for answers"
    assert not (alembic_project.folder / ".ci-migrate" / "backups").exists()
    assert alembic_project.heads == []


def test_a_token_file_that_is_none(alembic_project):
    folder = alembic_project.folder
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    ended(alembic_project.call("run", "--token-file", "binary"), 2, "can't be read: it is no text.")
    (folder / "long").write_text("a" * 70_000)
    ended(alembic_project.call("run", "--token-file", "long"), 2, "long is too long to be a token.")
    ended(alembic_project.call("run", "--token-file", "."), 2, "Is a directory")
    (folder / "none").write_text(DIGITS)
    ended(alembic_project.call("token", "show", "--token-file", "none"), 4)


def test_what_makes_no_sense_is_told_on_standard_error_and_by_json_for_programs_too(alembic_project):
    for arguments in (("status", "--json"), ("history",), ("backup", "list", "--json")):
        done = alembic_project.call(*arguments, "--target", "nowhere")
        assert done.code == 2, arguments
        if "--json" in arguments:
            assert json.loads(done.out)["failure"]["code"] == "settings"
        else:
            assert done.out == ""
        assert "nowhere" in done.err
