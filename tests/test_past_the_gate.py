"""The repository's author tries to get past a protected database: refused each time, and in the audit trail."""

import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from permits import protect
from signing_support import Approver, a_payload, signed
from sqlalchemy import make_url

from ci_migrate.approval.payload import new_nonce
from ci_migrate.approval.request import FILE_NAME, payload_of, read_request
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.gate import run
from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.protection import Rules
from ci_migrate.model import Direction, Outcome
from ci_migrate.run.mark import place_marks
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

SHOP = '[targets.shop]\nurl = "sqlite:///app.db"\n'
CI = {"GITHUB_ACTOR": "dev", "GITHUB_TRIGGERING_ACTOR": "dev"}


@pytest.fixture
def people(tmp_path_factory) -> dict[str, Approver]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Approver(name, folder) for name in ("ana", "ben", "dev", "eve")}


@pytest.fixture
def shop(alembic_project):
    """The settings ask for nothing; the database's ledger does."""
    alembic_project.settings("require-confirmation = false\n" + SHOP)
    alembic_project.sql("create table mine (id integer)")
    return alembic_project


@pytest.fixture
def ledger(shop) -> Ledger:
    with shop.ledger(create=True) as ledger:
        yield ledger


@pytest.fixture
def protected(shop, ledger, people):
    """Ana and Ben approve; dev, who writes the migrations, may not approve their own."""
    lines = tuple(people[name].line for name in ("ana", "ben", "dev"))
    rules = Rules(approvers=lines, emergency=(people["eve"].line,), forbid_self_approval=True)
    place_marks(SQLite(make_url(f"sqlite:///{shop.database}")), ledger)
    protect(ledger, rules, by="admin")
    return shop


@pytest.fixture
def payload(protected, ledger):
    """An approval of what is pending, without evidence: to be refused before it comes to that."""
    return a_payload(protected.gate("check").plan, ledger)


@pytest.fixture
def asked(protected, ledger):
    """An approval of what a run that stopped asked for."""
    refused(protected.call("run", env=CI), ledger, "protected since", trail="approval requested")
    request = read_request(protected.reports / FILE_NAME)
    assert request.requester == "dev"
    return payload_of(request, reason="ticket 4711", stages=request.stages, minutes=30, moment=ledger.clock())


def spend(project, token: str, *arguments: str, **environ: str):
    return project.call(*(arguments or ("run",)), env={**CI, **environ, "CI_MIGRATE_TOKEN": token})


def refused(done, ledger, *words: str, code: int = 4, trail: str = "refused") -> None:
    text = " ".join(done.text.split())
    assert done.code == code, done.text
    assert "Traceback" not in text
    for word in words:
        assert word in text, (word, text)
    records = ledger.audit_records()
    last = [r for r in records if r.kind == trail][-1]
    assert last.run_id == [r for r in records if r.run_id][-1].run_id
    assert ledger.verify_audit() == []


def test_signed_by_somebody_else_it_runs_once(protected, ledger, asked, people):
    payload = asked
    token = signed(payload, people["ana"])
    done = spend(protected, token)
    assert done.code == 0, done.text
    assert "Approved by ana: ticket 4711" in " ".join(done.text.split())
    assert protected.heads == ["r2"]
    # a job that is run again has nothing to do, and needs no token for that
    assert spend(protected, token).code == 0
    refused(spend(protected, token, "rollback", "--to", "r1"), ledger, "was used already")
    kinds = [record.kind for record in ledger.audit_records()]
    for kind in ("approval requested", "token reserved", "token used", "stage", "run finished"):
        assert kind in kinds
    reserved = next(r for r in ledger.audit_records() if r.kind == "token reserved")
    assert reserved.facts["by"] == ["ana"]
    assert reserved.facts["keys"][0].startswith("SHA256:")


def test_T9_oneself_the_cis_actor_and_one_person_twice(protected, ledger, asked, people):
    refused(spend(protected, signed(asked, people["dev"])), ledger, "asks and approves")
    other = msgspec.structs.replace(asked, requester="somebody")
    refused(spend(protected, signed(other, people["dev"])), ledger, "asks and approves")
    rules = msgspec.structs.replace(protection.read(ledger).rules, min_approvals=2)
    protect(ledger, rules, by="admin", approval_id="test")
    refused(spend(protected, signed(asked, people["ana"])), ledger, "2 people must approve")
    refused(spend(protected, signed(asked, people["ana"], people["ana"])), ledger)
    assert protected.heads == []
    assert spend(protected, signed(asked, people["ana"], people["ben"])).code == 0


def test_the_emergency_key_suffices_alone_and_loudly(protected, ledger, asked, people):
    rules = msgspec.structs.replace(protection.read(ledger).rules, min_approvals=2)
    protect(ledger, rules, by="admin", approval_id="test")
    assert spend(protected, signed(asked, people["eve"])).code == 0
    assert "EMERGENCY KEY" in [record.kind for record in ledger.audit_records()]


def test_T7_a_stranger_and_a_revoked_key(protected, ledger, payload, people, tmp_path_factory):
    stranger = Approver("ana", tmp_path_factory.mktemp("more"))
    refused(spend(protected, signed(payload, stranger)), ledger, "no approver's")
    rules = Rules(approvers=(people["ben"].line,))
    protect(ledger, rules, by="admin", approval_id="test")
    refused(spend(protected, signed(payload, people["ana"])), ledger, "revoked key of ana")
    # the job's own variable names nobody where the ledger does
    refused(
        spend(protected, signed(payload, stranger), CI_MIGRATE_TRUST=stranger.line), ledger, "no approver's"
    )
    assert protected.heads == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("target", "other", "target: approved was other"),
        ("target_uuid", "0" * 36, "target's UUID"),
        ("from_heads", ("r0",), "heads before"),
        ("destination", "r1", "destination: approved was r1"),
        ("direction", Direction.DOWNGRADE, "direction: approved was downgrade"),
        ("files_digest", "0" * 64, "revision files"),
        ("plan_digest", "0" * 64, "plan: approved was"),
        ("commit", "0" * 40, "commit: approved was"),
    ],
)
def test_T4_each_field_is_refused_by_its_name(protected, ledger, payload, people, field, value, words):
    other = msgspec.structs.replace(payload, **{field: value})
    refused(spend(protected, signed(other, people["ana"]), GITHUB_SHA="c" * 40), ledger, words)
    assert protected.heads == []


def test_T3_by_the_ledgers_clock(protected, ledger, payload, people):
    now = payload.issued
    for changes, words in (
        (
            {"issued": now - timedelta(hours=1), "not_before": now - timedelta(hours=1), "expires": now},
            "expired",
        ),
        ({"not_before": now + timedelta(minutes=9)}, "not valid before"),
        ({"issued": now + timedelta(minutes=9)}, "made in the future"),
        ({"expires": now + timedelta(days=30)}, "allowed is"),
    ):
        refused(
            spend(protected, signed(msgspec.structs.replace(payload, **changes), people["ana"])),
            ledger,
            words,
        )
    assert protected.heads == []


def test_a_confirmation_token_and_a_plugin_that_grants(protected, ledger, payload):
    protected.write(
        "grants.py",
        """
        from ci_migrate import hookimpl
        from ci_migrate.approval import Decision

        class Always:
            def decide(self, plan):
                return Decision(granted=True, by="me")

        @hookimpl
        def ci_migrate_approvals(plan, settings):
            return [Always()]
        """,
    )
    protected.settings('plugins = ["grants.py"]\n' + SHOP)
    done = protected.call("run", env=CI)
    refused(done, ledger, "protected since", trail="approval requested")
    refused(spend(protected, "9f0d8a5e-6a0f-4f0e-8d3b-4a3f0c1d2e3f"), ledger, "they sign")
    assert protected.heads == []


def test_an_env_that_patches_the_verifier_in_its_own_process(protected, ledger, payload, people):
    stranger = signed(payload, Approver("ana", people["ana"].file.parent / ".."))
    env = protected.folder / "migrations" / "env.py"
    patch = """
try:
    from ci_migrate.approval import tokens, verification
    from ci_migrate.run import authorization
    verification.verify = tokens.reserve_signed = tokens.validate_signed = lambda *a, **k: ""
    authorization.why_needed = authorization.reserved = lambda *a, **k: ""
except ImportError:
    pass
"""
    env.write_text(patch + env.read_text())
    protected.write("conftest.py", patch)
    refused(spend(protected, stranger), ledger, "no approver's")
    # and an approval of before does not fit the changed env.py
    refused(spend(protected, signed(payload, people["ana"])), ledger, "revision files")
    assert protected.heads == []


def test_a_revision_that_is_swapped_after_the_approval(protected, ledger, payload, people):
    file = protected.folder / "migrations" / "versions" / "r2.py"
    file.write_text(file.read_text().replace("email", "e_mail"))
    refused(spend(protected, signed(payload, people["ana"])), ledger, "revision files", "plan")
    assert protected.heads == []


def test_an_older_database_put_back_to_use_a_token_again(protected, ledger, asked, people):
    token = signed(asked, people["ana"])
    before = protected.database.read_bytes()
    assert spend(protected, token).code == 0
    protected.database.write_bytes(before)
    anew = (
        "run",
        "--allow",
        "CM503=it begins anew",
    )  # else the run that left it elsewhere is in the way already
    refused(spend(protected, token, *anew), ledger, "was used already")
    # with the ledger put back as well: the note beside the backups is still there
    with sqlite3.connect(f"{protected.database}.ci-migrate") as connection:
        connection.execute("DELETE FROM ci_migrate_tokens")
        connection.execute("DELETE FROM ci_migrate_reservations")
        connection.execute(
            "DELETE FROM ci_migrate_runs"
        )  # else a run would find that the database is not as it left it
    connection.close()
    refused(spend(protected, token), ledger, "was used already", "has a note of it")
    assert protected.heads == []


def test_T5_two_jobs_with_one_token(protected, asked, people, ledger):
    token = signed(asked, people["ana"])
    jobs = [protected.start("run", env={**CI, "CI_MIGRATE_TOKEN": token}) for _ in range(2)]
    for job in jobs:
        job.communicate(timeout=300)
    # the second one finds the lock held, the token used, or nothing left to do: it has not migrated
    assert 0 in [job.returncode for job in jobs]
    assert [r.kind for r in ledger.audit_records()].count("token used") == 1
    assert protected.heads == ["r2"]


def test_reserved_at_the_start_it_counts_an_hour_later(protected, ledger, asked, people, monkeypatch):
    """The ledger's clock moves on between the first stage and the approval."""
    from ci_migrate.approval import tokens
    from ci_migrate.stages import dry_run

    clock = tokens.clock
    ahead = [timedelta()]
    monkeypatch.setattr(tokens, "clock", lambda connection: clock(connection) + ahead[0])
    make_copy = dry_run.make_copy

    def slow(*arguments, **named):
        ahead[0] = timedelta(hours=1)
        return make_copy(*arguments, **named)

    monkeypatch.setattr(dry_run, "make_copy", slow)
    done = spend(protected, signed(asked, people["ana"]))
    assert done.code == 0, done.text
    assert ahead[0]
    # another run may not begin with it now
    refused(
        spend(
            protected,
            signed(msgspec.structs.replace(asked, nonce=new_nonce()), people["ana"]),
            "rollback",
            "--to",
            "base",
        ),
        ledger,
        "expired",
    )


def test_T16_a_run_that_claimed_and_died_is_gone_on_with_and_no_other_may(protected, ledger, payload, people):
    token = signed(payload, people["ana"])
    from ci_migrate.approval import tokens
    from ci_migrate.approval.signers import parse_signers
    from ci_migrate.approval.trust import Trust

    trust = Trust(signers=parse_signers([people["ana"].line]))
    tokens.reserve_signed(ledger, token, trust, (), "dead")
    tokens.claim(ledger, payload.nonce, "dead")
    tokens.claim(ledger, payload.nonce, "dead")
    refused(spend(protected, token), ledger, "was used already, by run dead")
    assert protected.heads == []


def test_evidence_that_a_repeated_dry_run_does_not_give_again(protected, ledger, asked, people):
    other = msgspec.structs.replace(asked, evidence_digest="0" * 64)
    refused(spend(protected, signed(other, people["ana"])), ledger, "evidence: approved was 000000000000")
    assert protected.heads == []


def test_another_state_to_get_a_ledger_that_knows_of_nothing(protected, ledger):
    protected.settings(SHOP + 'state = "sqlite:///mine.ledger"\n')
    done = protected.call("run", env=CI)
    assert done.code == 1, done.text
    assert "is protected, and its ledger is" in " ".join(done.text.split())
    assert protected.heads == []


def test_a_plugin_that_patches_the_verifier_comes_too_late(protected, ledger, people, payload) -> None:
    """It is imported once the token was looked at."""
    protected.write(
        "evil.py",
        """
        from ci_migrate.approval import tokens, verification
        from ci_migrate.run import authorization

        tokens.reserve_signed = tokens.validate_signed = lambda *a, **k: None
        authorization.first_look = verification.verify = lambda *a, **k: None
        open("imported", "w").close()
        """,
    )
    protected.settings('plugins = ["evil.py"]\nrequire-confirmation = false\n' + SHOP)
    (protected.folder.parent / "mallory").mkdir()
    mallory = Approver("mallory", protected.folder.parent / "mallory")
    token = signed(payload, mallory)
    before = protected.database.read_bytes()
    done = protected.run("run", env={**CI, "CI_MIGRATE_TOKEN": token})
    assert (protected.folder / "imported").exists()
    assert done.code == 4, done.text
    assert protected.database.read_bytes() == before


def test_an_engine_of_the_repositorys_own_is_imported_for_no_protected_target(protected) -> None:
    protected.write(
        "own.py",
        """
        from ci_migrate import hookimpl
        from ci_migrate.backups.storage import StorageFactory
        from ci_migrate.testing.memory import MemoryStorage, Shelf

        @hookimpl
        def ci_migrate_storages():
            return [StorageFactory(schemes=("own",), make=lambda *_: MemoryStorage(Shelf()))]
        """,
    )
    protected.settings('plugins = ["own.py"]\nbackup-dir = "own://place"\n' + SHOP)
    done = protected.run("run", env=CI)
    assert done.code == 1, done.text
    assert "nothing of the repository may be imported before" in " ".join(done.text.split())
    assert "entry point" in done.text


def test_modules_in_the_working_directory_have_no_say(protected) -> None:
    for name in ("cryptography", "sqlalchemy", "msgspec"):
        (protected.folder / f"{name}.py").write_text("open('imported', 'w').close()")
    (protected.folder / "ci_migrate").mkdir()
    (protected.folder / "ci_migrate" / "cli.py").write_text("open('imported', 'w').close()")
    script = Path(sys.executable).parent / "ci-migrate"
    for command in ([str(script)], [sys.executable, "-m", "ci_migrate"]):
        done = subprocess.run(
            [*command, "status"],
            cwd=protected.folder,
            env=protected.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not (protected.folder / "imported").exists()


# --------------------------------------------------------------------------- F26: who asks is who the ledger recorded


def test_F26_who_asked_is_what_the_ledger_recorded_not_what_the_request_says(
    protected, ledger, asked, people
):
    """Dev asked, lets another name stand in the request, signs it, and has somebody else start the job."""
    other = msgspec.structs.replace(asked, requester="somebody")
    boss = {"GITHUB_ACTOR": "boss", "GITHUB_TRIGGERING_ACTOR": "boss"}
    token = signed(other, people["dev"])
    refused(spend(protected, token, **boss), ledger, "dev asks and approves")
    done = protected.call("token", "validate", env={**boss, "CI_MIGRATE_TOKEN": token})
    assert done.code == 4, done.text
    assert protected.heads == []
    assert spend(protected, signed(other, people["ana"]), **boss).code == 0


def test_F26_what_nobody_is_recorded_to_have_asked_for_is_refused(protected, ledger, payload, people):
    """Signed for the plan that is pending, with the evidence of a dry run that no run of the gate asked about."""
    token = signed(payload, people["ana"])
    refused(spend(protected, token), ledger, "no record of who asked")
    assert protected.heads == []


def test_F26_a_ci_that_does_not_say_who_started_the_job(protected, ledger, asked, people):
    token = signed(asked, people["ana"])
    unknown = {"CI": "true", "CI_MIGRATE_TOKEN": token}
    refused(protected.call("run", env=unknown), ledger, "does not say who started", "CI_MIGRATE_ACTOR")
    assert protected.heads == []
    # whoever holds the emergency key needs no second one, and so is asked nothing
    assert protected.call("run", env={**unknown, "CI_MIGRATE_TOKEN": signed(asked, people["eve"])}).code == 0


def test_F26_confirmation_tokens_in_a_ci_that_says_nothing(shop, ledger):
    protect(ledger, Rules(forbid_self_approval=True), by="admin")
    generated = shop.call("token", "generate", "--reason", "why", "--quiet", "--by", "ana")
    token = generated.out.strip()
    refused(shop.call("run", env={"CI": "1", "CI_MIGRATE_TOKEN": token}), ledger, "does not say who started")
    refused(
        shop.call("run", env={"GITHUB_ACTOR": "ana", "CI_MIGRATE_TOKEN": token}),
        ledger,
        "ana asks and approves",
    )
    assert shop.heads == []
    assert shop.call("run", env={"GITHUB_ACTOR": "dev", "CI_MIGRATE_TOKEN": token}).code == 0


# --------------------------------------------------------------------------- F25: the place of the notes is pinned


def put_back(project) -> None:
    """The ledger as it was before the token came."""
    with sqlite3.connect(f"{project.database}.ci-migrate") as connection:
        for table in ("tokens", "reservations", "runs"):
            connection.execute(f"DELETE FROM ci_migrate_{table}")
    connection.close()


def test_F25_an_older_ledger_and_another_backup_dir_revive_no_token(protected, ledger, asked, people):
    token, before = signed(asked, people["ana"]), protected.database.read_bytes()
    assert spend(protected, token).code == 0
    protected.database.write_bytes(before)
    put_back(protected)
    elsewhere = 'backup-dir = "./elsewhere"\n' + SHOP
    protected.settings(elsewhere)
    refused(spend(protected, token), ledger, "was used already", "has a note of it")
    # a link in the place of the folder is another place
    protected.settings(SHOP)
    backups = protected.folder / ".ci-migrate" / "backups"
    backups.rename(protected.folder / "old")
    (protected.folder / "mine").mkdir()
    backups.symlink_to(protected.folder / "mine")
    put_back(protected)
    refused(spend(protected, token), ledger, "can't be reached: a link leads elsewhere", "--move-notes")
    assert protected.heads == []


def test_F25_the_notes_are_moved_by_an_approval(protected, ledger, asked, people):
    assert spend(protected, signed(asked, people["ana"])).code == 0
    (protected.folder / ".ci-migrate" / "backups").rename(protected.folder / "moved")
    protected.settings('backup-dir = "./moved"\n' + SHOP)
    refused(protected.call("protect", "--move-notes", env=CI), ledger, "needs an approval", "move-notes-")
    command = protected.call("protect", "--move-notes", env=CI).text.split("ci-migrate token request ")[1]
    assert protected.call("token", "request", *command.replace(",", "").split()[:4], env=CI).code == 0
    approved = protected.call("approve", "--key", str(people["ana"].file), "--reason", "why")
    done = spend(protected, approved.out.strip(), "protect", "--move-notes")
    assert done.code == 0, done.text
    assert ledger.notes_place() == str(protected.folder / "moved")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ci_migrate_protection SET protected = 0",
        "UPDATE ci_migrate_signers SET revoked = '2026-01-31T00:00:00.000000+00:00'",
        "UPDATE ci_migrate_protection SET forbid_self_approval = 0",
    ],
)
def test_F28_protection_that_goes_while_a_run_is_at_work(protected, ledger, change) -> None:
    """As env.py could do with a login that it finds: what stood there when the run began counts."""
    before = protected.database.read_bytes()

    def strike(result) -> None:
        if result.stage == "check":
            with ledger.writing() as connection:
                connection.exec_driver_sql(change)

    settings = load(protected.folder, protected.environment(CI), {})
    report = run(settings, GateRequest(VERBS["run"], done=strike))
    assert any("was changed while this run was at work" in result.message for result in report.results)
    assert int(report.exit_code) == 4
    assert report.result("migrate").outcome is Outcome.SKIPPED
    assert protected.database.read_bytes() == before
