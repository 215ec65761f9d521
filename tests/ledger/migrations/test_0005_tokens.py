"""Tokens of version 0.1.0, as it wrote them: what was used or revoked stays so when their two tables become one."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.operations import Operations
from ledger_support import a_plan, make_tables, tamper, url
from sqlalchemy import MetaData, create_engine, inspect, text

from ci_migrate.approval import tokens
from ci_migrate.approval.signers import parse_signers
from ci_migrate.approval.trust import Trust
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.tables import VERSION_TABLE
from ci_migrate.model import ProtectionChange, TokenKind

__all__ = ["tamper", "url"]

FOUND = json.loads(Path(__file__).with_name("tokens_of_0_1_0.json").read_text())
MADE = FOUND["tokens"]
TRUST = Trust(signers=parse_signers([FOUND["line"]]))


def value(stored):
    return base64.b64decode(stored["base64"]) if isinstance(stored, dict) else stored


def make_old(engine) -> None:
    """A ledger of 0.1.0 with its tokens, not opened yet."""
    with engine.begin() as connection:
        make_tables(connection, "0003")
        found = MetaData()
        found.reflect(connection)
        connection.execute(found.tables["ci_migrate_identity"].delete())
        for name, rows in FOUND["rows"].items():
            table = found.tables[f"ci_migrate_{name}"]
            connection.execute(table.insert(), [{k: value(v) for k, v in row.items()} for row in rows])


def refused(action, *arguments) -> str:
    with pytest.raises(NotApprovedError) as caught:
        action(*arguments)
    return caught.value.what


def expects_what_0_1_0_left(ledger, tamper) -> None:
    plan = a_plan()
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat(timespec="microseconds")
    tamper("UPDATE ci_migrate_tokens SET expires = :at", at=later)
    # confirmation tokens
    assert "used already, by run run-1" in refused(tokens.reserve, ledger, MADE["used"], plan, "run-9")
    assert "was revoked at" in refused(tokens.reserve, ledger, MADE["revoked"], plan, "run-9")
    assert tokens.validate(ledger, MADE["fresh"], plan).reason == "fresh"
    reserved = tokens.reserve(ledger, MADE["reserved"], plan, "run-1")
    tokens.claim(ledger, reserved.approval_id, "run-1")
    assert "used already" in refused(tokens.reserve, ledger, MADE["reserved"], plan, "run-9")
    change = ProtectionChange(target=plan.target, identity=plan.identity, destination="unprotect")
    assert tokens.validate(ledger, MADE["protection"], change).reason == "protection"
    other = ProtectionChange(target=plan.target, identity=plan.identity, destination="unfreeze")
    assert "destination was unprotect, is unfreeze" in refused(
        tokens.validate, ledger, MADE["protection"], other
    )
    assert "direction was protection, is upgrade" in refused(
        tokens.validate, ledger, MADE["protection"], plan
    )
    # signed ones
    for name, words in (
        ("signed used", "used already, by run run-2"),
        ("signed revoked", "was revoked at"),
        ("signed unseen revoked", "was revoked at"),
    ):
        assert words in refused(tokens.reserve_signed, ledger, MADE[name], TRUST, (), "run-9"), name
    stages = {r.approval.reason: r.stages for r in tokens.used_by(ledger, "run-2")}
    assert stages["signed used"] == ("migrate", "undo", "downgrade")
    verified = tokens.reserve_signed(ledger, MADE["signed reserved"], TRUST, (), "run-2")
    tokens.claim(ledger, verified.payload.nonce, "run-2")
    assert "used already" in refused(
        tokens.reserve_signed, ledger, MADE["signed reserved"], TRUST, (), "run-9"
    )
    with pytest.raises(UsageError, match="was used already"):
        tokens.revoke(ledger, MADE["signed used"])
    records = {r.approval.reason: r for r in tokens.list_tokens(ledger)}
    assert records.keys() == MADE.keys()
    assert records["signed used"].approval.approved_by == ("alice",)
    assert records["signed used"].used_by == "run-2"
    assert records["signed revoked"].status == "revoked"
    assert records["signed used"].approval.kind is TokenKind.SIGNED
    assert records["protection"].direction == "protection"


def test_used_and_revoked_tokens_stay_so(url, tamper):
    make_old(create_engine(url))
    with open_ledger(url, create=False) as ledger:
        expects_what_0_1_0_left(ledger, tamper)
        names = inspect(create_engine(url)).get_table_names()
        assert not [n for n in names if n.startswith(("ci_migrate_approvals", "ci_migrate_nonces"))]


class KilledError(Exception):
    """In place of a signal: DDL that ran before it is committed on MySQL."""


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("step", range(4))
def test_mysql_an_upgrade_that_was_killed_on_its_way_is_gone_on_with(url, tamper, step, monkeypatch):
    """Elsewhere a transaction undoes all of it."""
    make_old(create_engine(url))
    steps = [Operations.rename_table, Operations.drop_table]
    ran = []

    def dying(original):
        def run(*arguments, **named):
            if len(ran) == step:
                raise KilledError
            ran.append(original)
            return original(*arguments, **named)

        return run

    with monkeypatch.context() as patch:
        for original in steps:
            patch.setattr(Operations, original.__name__, dying(original))
        with pytest.raises(KilledError):
            open_ledger(url, create=False)
    with open_ledger(url, create=False) as ledger:
        expects_what_0_1_0_left(ledger, tamper)


def test_a_ledger_of_0_1_0_without_tokens(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        make_tables(connection, "0003")
    engine.dispose()
    with open_ledger(url, create=False) as ledger:
        assert tokens.list_tokens(ledger) == ()
        assert ledger.verify_audit() == []
    with create_engine(url).connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() > "0003"
