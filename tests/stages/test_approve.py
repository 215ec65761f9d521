"""approve: what a token for a production-tagged target must be, and when; by the whole gate."""

import json
import re
import shlex

import pytest
from signing_support import Approver

PRODUCTION = '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def production(alembic_project):
    alembic_project.settings(PRODUCTION)
    return alembic_project


def token_for(project, *arguments: str) -> str:
    done = project.run("token", "generate", "--reason", "ticket 4711", "--quiet", *arguments)
    assert done.code == 0, done.text
    return done.out.strip()


def refused(done, *words: str) -> None:
    """Exit 4, these words, no traceback, nothing done."""
    text = " ".join(done.text.split())
    assert done.code == 4, done.text
    assert "Traceback" not in text
    for word in words:
        assert word in text, (word, done.text)


def spend(project, token: str, *arguments: str):
    return project.run(*(arguments or ("run",)), env={"CI_MIGRATE_TOKEN": token})


def test_without_a_token_it_stops_and_what_it_prints_can_be_pasted(production):
    done = production.run("run")
    refused(done, "tag production", "ci-migrate token generate --target live --reason 'why'", "untouched")
    assert done.outcomes == {
        "check": "passed",
        "backup": "passed",
        "dry-run": "passed",
        "approve": "failed",
    }
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[lines.index("Next") + 2] == "ci-migrate token generate --target live --reason 'why'"
    assert lines.count("ci-migrate token generate --target live --reason 'why'") == 1
    assert production.heads == []
    request = json.loads((production.reports / "approval-request.json").read_text())
    assert request["planDigest"] == json.loads((production.reports / "report.json").read_text())["planDigest"]
    assert request["evidence"]["proven"] is True

    generate, go_on = (shlex.split(command) for command in request["howToApprove"])
    made = production.run(*generate[1:], "--by", "ana")
    assert made.code == 0, made.text
    assert UUID.fullmatch(made.out.strip()), "the token alone is on standard output"
    assert "by ana" in made.err
    token = made.out.strip()
    assert go_on[0] == "CI_MIGRATE_TOKEN=TOKEN"
    done = production.run(*go_on[2:], env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 0, done.text
    assert "Approved by ana" in done.text
    assert production.heads == ["r2"]
    assert token not in done.text
    assert token.encode() not in production.everything(), "only its hash is kept"


def test_of_two_who_must_sign_one_is_not_enough(production, tmp_path):
    """What exit 4 prints leads to a token that both have signed."""
    ana, bo = (Approver(name, tmp_path) for name in ("ana", "bo"))
    protected = production.call(
        "protect", "--approver", ana.line, "--approver", bo.line, "--min-approvals", "2"
    )  # fmt: skip
    assert protected.code == 0, protected.text
    done = production.call("run")
    refused(done, "2 of 2 approvers must sign: ana; bo.")
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[lines.index("Next") :][2:5:2] == [
        "ci-migrate approve --key KEY --reason 'why'",
        "ci-migrate approve --key KEY --token-file FILE",
    ]
    one = production.call("approve", "--key", str(ana.file), "--reason", "why")
    assert one.code == 0, one.text
    refused(spend(production, one.out.strip()))
    production.write("one.token", one.out)
    both = production.call("approve", "--key", str(bo.file), "--token-file", "one.token")
    assert both.code == 0, both.text
    ran = spend(production, both.out.strip())
    assert ran.code == 0, ran.text
    assert production.heads == ["r2"]


def test_a_token_is_used_once_and_by_one_run(production):
    token = token_for(production, "--to", "r1")
    assert spend(production, token, "run", "--to", "r1").code == 0
    done = spend(production, token)
    refused(done, "used already", "ci-migrate token generate --target live")
    assert done.outcomes == {"check": "failed"}, "said at once, not after a backup and a dry run"
    assert production.heads == ["r1"]
    assert "used" in production.run("token", "list").out


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "malformed"),
        ("00000000-0000-4000-8000-000000000000", "knows no such token"),
        (" \n", "empty"),
        ("a b", "More than one"),
        ("x" * 40_000, "too long"),
    ],
)
def test_a_token_that_is_none(production, token, words):
    refused(spend(production, token), words)
    assert production.heads == []


def test_an_empty_variable_is_no_token_and_the_request_is_written(production):
    refused(spend(production, ""), "tag production")
    assert (production.reports / "approval-request.json").exists()


def test_the_token_by_file_and_by_standard_input(production):
    production.write("secret", token_for(production, "--to", "r1") + "\n")
    assert production.run("run", "--to", "r1", "--token-file", "secret").code == 0
    token = token_for(production)
    assert production.run("run", "--token-file", "-", stdin=token + "\n").code == 0
    assert production.heads == ["r2"]


def test_T13_a_token_among_the_arguments_is_never_repeated(production):
    token = token_for(production)
    for arguments in (
        ["run", token],
        ["run", "--to", token],
        ["run", "--token-file", token],
        ["run", f"--token={token}"],
    ):
        done = production.run(*arguments)
        assert done.code == 2, done.text
        assert "An argument is an approval token itself" in done.text
        assert "--token-file PATH" in done.text
        assert token not in done.text
        assert token.encode() not in production.everything()
    assert production.heads == []


def test_a_binary_file_is_no_token(production):
    (production.folder / "secret").write_bytes(bytes(range(256)))
    done = production.run("run", "--token-file", "secret")
    assert done.code == 2
    assert "can't be read" in done.text


def test_what_changed_after_the_approval_is_named(production):
    token = token_for(production)
    path = production.folder / "migrations" / "versions" / "r2.py"
    path.write_text(path.read_text().replace("email", "mail"))
    refused(spend(production, token), "another plan", "r2")

    token = token_for(production)
    production.revision("r3", "r2", "pass")
    refused(spend(production, token), "another plan", "r3")

    token = token_for(production)
    env = production.folder / "migrations" / "env.py"
    env.write_text(env.read_text() + "\n# edited\n")
    refused(spend(production, token), "env.py")
    assert production.heads == []


def test_another_destination_target_or_direction(production):
    refused(spend(production, token_for(production, "--to", "r1")), "another plan", "r1")

    production.settings(PRODUCTION + PRODUCTION.replace("live", "other"))
    token = token_for(production, "--target", "other")
    refused(spend(production, token, "run", "--target", "live"), "other")

    production.settings(PRODUCTION)
    assert spend(production, token_for(production)).code == 0
    refused(spend(production, token_for(production, "--rollback", "--to", "base"), "rollback", "--to", "r1"))
    refused(production.run("rollback", "--to", "r1"), "--rollback --to r1")
    assert production.heads == ["r2"]


def test_a_revoked_token(production):
    token = token_for(production)
    listed = production.run("token", "list").out
    assert token not in listed
    assert "valid" in listed
    approval = listed.split()[0]
    assert production.run("token", "revoke", approval).code == 0
    refused(production.run("token", "validate", env={"CI_MIGRATE_TOKEN": token}), "revoked")
    refused(spend(production, token), "revoked")


def test_an_expired_token(production):
    token = token_for(production)
    ledger = type(production)(production.folder / "ledger")
    ledger.folder.mkdir()
    (ledger.folder / "app.db").symlink_to(production.folder / "app.db.ci-migrate")
    ledger.sql("update ci_migrate_tokens set expires = '2001-01-01T00:00:00.000000+00:00'")
    refused(spend(production, token), "expired")
    assert "expired" in production.run("token", "list").out


def test_a_rollback_needs_a_token_of_its_own(production):
    assert spend(production, token_for(production)).code == 0
    done = production.run("rollback", "--to", "r1")
    refused(done, "ci-migrate token generate --target live --rollback --to r1 --reason 'why'")
    request = json.loads((production.reports / "approval-request.json").read_text())
    generate, go_on = (shlex.split(command) for command in request["howToApprove"])
    token = production.run(*generate[1:]).out.strip()
    valid = production.run("token", "validate", "--rollback", "--to", "r1", env={"CI_MIGRATE_TOKEN": token})
    assert valid.code == 0, valid.text
    refused(spend(production, token), "downgrade") if production.run("check").stage("check")["plan"][
        "revisions"
    ] else None
    done = production.run(*go_on[2:], env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 0, done.text
    assert production.heads == ["r1"]


def test_a_restore_needs_a_token_of_its_own(production):
    assert spend(production, token_for(production)).code == 0
    backup = json.loads(production.run("backup", "list", "--json").out)[0]["backupId"]
    done = production.run("backup", "restore", backup, "--yes")
    refused(done, f"--restore {backup}")
    refused(
        spend(
            production,
            token_for(production, "--rollback", "--to", "r1"),
            "backup",
            "restore",
            backup,
            "--yes",
        )
    )
    assert production.heads == ["r2"]
    token = token_for(production, "--restore", backup)
    done = spend(production, token, "backup", "restore", backup)
    assert done.code == 1, "it asks, and there is no terminal"
    done = spend(production, token, "backup", "restore", backup, "--yes")
    assert done.code == 0, "a refusal to answer does not use the token up\n" + done.text
    assert production.heads == []
    refused(spend(production, token, "backup", "restore", backup, "--yes"), "used already")


def test_nothing_pending_needs_no_token(production):
    assert spend(production, token_for(production)).code == 0
    assert production.run("run").code == 0
    done = production.run("token", "generate", "--reason", "x")
    assert done.code == 1
    assert "nothing to approve" in done.text


def test_migrate_is_refused_on_production(production):
    done = production.run("migrate")
    assert done.code == 1
    assert "Use `ci-migrate run`" in done.text
    assert production.heads == []


def test_a_production_target_has_a_backup_and_a_dry_run(production):
    for setting, code in (("auto-backup = false", 1), ('dry-run = "off"', 2)):
        production.settings(f"{setting}\n{PRODUCTION}")
        done = spend(production, token_for(production) if code == 1 else "x")
        assert done.code == code, done.text
        assert setting.split()[0] in done.text
        assert production.heads == []


@pytest.mark.parametrize(
    ("name", "env"), [("prod", {}), ("dev", {"CI_ENVIRONMENT_TIER": "production"}), ("Production", {})]
)
def test_what_makes_a_target_a_production_one(alembic_project, name, env):
    alembic_project.settings(f'[targets.{name}]\nurl = "sqlite:///app.db"\ntags = []\nscratch = "server"\n')
    done = alembic_project.run("status", env=env)
    assert "production   yes" in done.out, done.text
    refused(alembic_project.run("run", env=env))
    assert alembic_project.heads == []


def test_a_tag_of_one_stage(alembic_project):
    alembic_project.settings(
        '[targets.dev]\nurl = "sqlite:///app.db"\nstages.rollback.tags = ["production"]\n'
    )
    assert alembic_project.run("run").code == 0
    refused(alembic_project.run("rollback", "--to", "r1"), "--rollback --to r1")
    assert (
        spend(
            alembic_project, token_for(alembic_project, "--rollback", "--to", "r1"), "rollback", "--to", "r1"
        ).code
        == 0
    )


def test_require_confirmation_off(production):
    production.settings("require-confirmation = false\n" + PRODUCTION)
    assert production.run("run").code == 0


def test_the_token_is_not_in_the_childs_environment(production):
    production.revision("r3", "r2", "import os\nassert 'CI_MIGRATE_TOKEN' not in os.environ")
    assert spend(production, token_for(production)).code == 0
