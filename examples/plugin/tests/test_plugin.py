"""Run with pytest in an environment that has this plugin, ci-migrate and pytest."""

import csv
from datetime import UTC, datetime

from ci_migrate.testing.projects import make_project
from migration_window.plugin import veto
from migration_window.statements import StatementsReporter
from migration_window.tickets import TICKETS

TABLE = "op.execute('CREATE TABLE users (id INTEGER PRIMARY KEY)')"


def test_a_message_without_a_ticket(tmp_path):
    facts = make_project(tmp_path, {"SHOP-1: users": TABLE, "more": "pass"}).facts()
    (found,) = TICKETS.find(TICKETS, facts)
    assert (found.revision, found.file, found.line) == ("r2", "migrations/versions/r2.py", 1)


def test_the_whole_gate_with_the_plugin(tmp_path):
    project = make_project(tmp_path, {"users": TABLE})
    report = project.gate("dry-run", allow=["WIN001@r1=written in a hurry"])
    assert report.exit_code == 0
    (found,) = [f for f in report.findings if f.code == "WIN001"]
    assert found.acknowledged == "written in a hurry"
    head, *rows = csv.reader(StatementsReporter().render(report).splitlines())
    assert head == ["revision", "seconds", "rows", "sql"]
    assert next(row[3] for row in rows if row[0] == "r1") == "CREATE TABLE users (id INTEGER PRIMARY KEY)"


def test_no_migrations_on_friday_afternoons():
    friday = datetime(2026, 11, 27, 15, tzinfo=UTC)
    assert veto("migrate", friday) == "it is Friday afternoon"
    assert veto("dry-run", friday) is None
    assert veto("migrate", friday.replace(hour=9)) is None
