"""What a ledger can't tell is told in one line, without what is secret and without a traceback."""

from datetime import timedelta

import pytest
from ledger_support import a_plan, a_run, ledger, tamper, url
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from ci_migrate.approval import tokens
from ci_migrate.errors import LedgerError
from ci_migrate.ledger import jobs, keys, protection
from ci_migrate.ledger.keys import Role
from ci_migrate.ledger.problems import problem, quote, sqlstate, translate_errors
from ci_migrate.model import EntryKind, JournalEntry
from ci_migrate.settings.secrets import register_secret

__all__ = ["ledger", "tamper", "url"]

PLACE = make_url("postgresql+psycopg://ana:s3cret@db:5433/shop_ci_migrate")


class DriverError(Exception):
    """As drivers make them: with a state, with what the server says apart, or with a number and words."""

    def __init__(self, *args: object, state: str | None = None, primary: str | None = None) -> None:
        super().__init__(*args)
        self.sqlstate = state
        self.diag = type("Diagnostics", (), {"message_primary": primary})()


def wrapped(error: Exception) -> DBAPIError:
    return OperationalError("SELECT secret FROM t", {"password": "s3cret"}, error)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (wrapped(DriverError("one\nDETAIL: Key (token)=(s3cret) exists", primary="one")), "one"),
        (wrapped(DriverError(1045, "Access denied. ")), "Access denied.  (1045)"),
        (wrapped(DriverError("first\nsecond")), "first"),
        (wrapped(DriverError("  \n")), "DriverError"),
        (DriverError(), "DriverError"),
        (OSError(28, "No space left on device"), "No space left on device (28)"),
        (wrapped(DriverError("password s3cret-4711 was refused.")), "password *** was refused"),
    ],
)
def test_an_error_is_one_line_of_the_driver(error, line):
    register_secret("s3cret-4711")
    told = problem(PLACE, "read", error, state="")
    assert told.what == f"The ledger (db:5433/shop_ci_migrate) could not be read: {line}."
    assert "s3cret" not in "".join(told.lines)
    assert "SELECT" not in told.what
    assert "`state = " in told.hint, "and what to set"


def test_a_missing_right_is_told_with_the_grants_that_give_it():
    url = PLACE.set(username='o"dd', database='a"b')
    told = problem(url, "written", wrapped(DriverError("no", state="42501")), state="")
    assert 'Run in "a""b" as its owner: GRANT ALL ON SCHEMA public TO "o""dd";' in told.hint
    assert (
        'TO "ROLE"'
        in problem(make_url("postgresql://h/d"), "read", DriverError("no", state="42501"), state="").hint
    )
    assert problem(url, "read", DriverError("no", state="42501"), state="", hint="own").hint == "own"
    assert (sqlstate(wrapped(DriverError(state="08006"))), sqlstate(ValueError())) == ("08006", "")
    assert quote("") == '""'


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("ours"), AssertionError()])
def test_what_is_no_error_of_a_ledger_passes(error):
    with pytest.raises(type(error)), translate_errors(PLACE, "read"):
        raise error


def test_a_raw_error_counts_only_where_the_driver_is_used():
    with pytest.raises(DriverError), translate_errors(PLACE, "read"):
        raise DriverError("x")
    with (
        pytest.raises(LedgerError, match="could not be made: x"),
        translate_errors(PLACE, "made", raw=DriverError),
    ):
        raise DriverError("x")


# --------------------------------------------------------------------------- rows that nobody wrote so


READERS = {
    "runs": lambda ledger: ledger.history(ledger.database_id(None)),
    "unfinished": lambda ledger: ledger.unfinished(ledger.database_id(None)),
    "stages": lambda ledger: ledger.stages("run-1"),
    "journal": lambda ledger: ledger.journal("run-1").entries(),
    "jobs": lambda ledger: jobs.latest(ledger, "dev"),
    "running jobs": lambda ledger: jobs.running(ledger, "dev"),
    "keys": keys.list_keys,
    "a key": lambda ledger: keys.find(ledger, KEY[0], "dev"),
    "tokens": tokens.list_tokens,
    "used tokens": lambda ledger: tokens.used_by(ledger, "run-1"),
    "protection": protection.read,
    "trail": lambda ledger: ledger.audit_records(),
    "requests": lambda ledger: ledger.open_requests(),
    "requesters": lambda ledger: ledger.requesters("d" * 64),
    "place of notes": lambda ledger: ledger.notes_place(),
    "identity": lambda ledger: ledger.identity_differences(a_plan().identity),
}
"""All that is read of a ledger for people."""

KEY: list[str] = []


@pytest.fixture
def filled(ledger):
    """A row in each table."""
    ledger.pin_identity(a_plan().identity)
    ledger.begin_run(a_run(plan=a_plan()))
    with ledger.journal("run-1") as journal:
        journal.append(JournalEntry(kind=EntryKind("statement"), position=1, context=0, at=ledger.clock()))
    jobs.begin(ledger, target="dev", action="run", actor="ana", address="")
    KEY[:] = [keys.create(ledger, name="ana", role=Role.VIEWER, target="dev", by="root", days=9)[0]]
    token, approval = tokens.generate(
        ledger, plan=a_plan(), target="production", reason="x", by="ana", validity_minutes=30
    )
    tokens.reserve(ledger, token, a_plan(), "run-1")
    tokens.claim(ledger, approval.approval_id, "run-1")
    ledger.note_request(None, plan_digest="d" * 64, direction="restore", by="ana", command="x")
    ledger.pin_notes(None, "/srv/backups")
    for read in READERS.values():
        read(ledger)  # all of it is whole
    return ledger


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE ci_migrate_runs SET started = 'yesterday'", {"runs"}),
        ("UPDATE ci_migrate_runs SET plan = x'00', needs_repair = 1", {"runs", "unfinished"}),
        ("UPDATE ci_migrate_journal SET kind = 'dreamt'", {"journal"}),
        ("UPDATE ci_migrate_journal SET at = ''", {"journal"}),
        ("UPDATE ci_migrate_jobs SET status = 'paused'", {"jobs"}),
        ("UPDATE ci_migrate_jobs SET answer = '{'", {"jobs", "running jobs"}),
        ("UPDATE ci_migrate_jobs SET stages = 'null'", {"jobs", "running jobs"}),
        ("UPDATE ci_migrate_jobs SET started = '2026-13-01'", {"jobs", "running jobs"}),
        ("UPDATE ci_migrate_keys SET role = 'owner'", {"keys", "a key"}),
        ("UPDATE ci_migrate_keys SET expires = 'never'", {"keys", "a key"}),
        ("UPDATE ci_migrate_tokens SET kind = 'oral'", {"tokens", "used tokens"}),
        ("UPDATE ci_migrate_tokens SET approved_by = 'ana'", {"tokens", "used tokens"}),
        ("UPDATE ci_migrate_tokens SET direction = 'sideways'", {"tokens", "used tokens"}),
        ("UPDATE ci_migrate_protection SET since = 'soon'", {"protection"}),
        ("UPDATE ci_migrate_audit SET facts = '{'", {"trail", "requests", "place of notes"}),
        ("UPDATE ci_migrate_identity SET facts = '{}'", {"identity"}),
    ],
)
def test_a_row_that_can_not_be_read_is_told_by_whoever_needs_it_and_by_nobody_else(filled, tamper, sql, told):
    tamper(sql)
    found = set()
    for name, read in READERS.items():
        try:
            read(filled)
        except LedgerError as error:
            found.add(name)
            assert "holds a record that this version can't read" in error.what
            assert "\n" not in error.what
    assert found == told


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_broken_record_does_not_let_a_key_or_token_pass(filled, tamper):
    """Fail closed: what can't be read grants nothing."""
    tamper("UPDATE ci_migrate_keys SET role = 'owner', expires = NULL")
    with pytest.raises(LedgerError):
        keys.find(filled, KEY[0], "dev")
    later = (filled.clock() + timedelta(days=1)).isoformat(timespec="microseconds")
    token, _ = tokens.generate(
        filled, plan=a_plan(), target="production", reason="x", by="ana", validity_minutes=30
    )
    tamper("UPDATE ci_migrate_tokens SET expires = :at, created = 'then'", at=later)
    with pytest.raises(LedgerError):
        tokens.validate(filled, token, a_plan())
