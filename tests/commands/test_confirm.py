"""A restore shows what it would lose and asks; without a terminal it needs --yes."""

from datetime import UTC, datetime
from types import SimpleNamespace

import click
import pytest

from ci_migrate.commands.confirm import confirm_restore
from ci_migrate.commands.environment import Environment
from ci_migrate.errors import RefusedError

RUN = SimpleNamespace(database=SimpleNamespace(identity=lambda: SimpleNamespace(place="db/shop")))
BACKUP = SimpleNamespace(backup_id="backup_r1_1", backup_time=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))


def ask(tmp_path, lost, *, yes=False, terminal=False, **how):
    environment = Environment(directory=tmp_path, debug=False, environ={}, interactive=terminal)
    confirm_restore(environment, RUN, BACKUP, lost, yes=yes, **how)


def test_each_table_is_named_with_what_it_would_be(tmp_path, capsys):
    lost = {"users": (3, 1), "gone": (None, 2), "new": (1200, None)}
    ask(tmp_path, lost, yes=True, tables=["users", "gone"])
    assert capsys.readouterr().out.splitlines() == [
        "Restore users, gone from backup_r1_1 of 2026-01-02 03:04 UTC over db/shop.",
        "  users: 3 rows now, 1 row in the backup",
        "  gone: no table now, 2 rows in the backup",
        "  new: 1,200 rows now, no table in the backup",
    ]


def test_what_nobody_knows_is_said(tmp_path, capsys):
    ask(tmp_path, None, yes=True, aside=True)
    told = capsys.readouterr()
    assert told.out == "", "it belongs to a report"
    assert "how much would be lost is not known" in told.err
    ask(tmp_path, {}, yes=True)
    assert "changes within rows since then would be lost" in capsys.readouterr().out


def test_without_a_terminal_it_is_refused_with_the_flag(tmp_path):
    with pytest.raises(RefusedError) as refused:
        ask(tmp_path, {})
    assert refused.value.hint == "Add --yes."
    with pytest.raises(RefusedError) as refused:
        ask(tmp_path, {}, other="ci-migrate rollback --by downgrade")
    assert refused.value.hint == "Add --yes, or: ci-migrate rollback --by downgrade"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_all_but_yes_is_no(tmp_path, monkeypatch, answer):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(click.Abort):
        ask(tmp_path, {}, terminal=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ask(tmp_path, {}, terminal=True)


def test_enter_alone_restores_nothing_and_says_so(tmp_path, monkeypatch, capsys):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(click.Abort):
        ask(tmp_path, {}, terminal=True, aside=True)
    told = capsys.readouterr()
    assert told.out == "", "the question too is asked beside a report"
    assert "Restore it? [y/N]" in told.err


def test_a_table_that_is_called_something_odd_steers_no_terminal(tmp_path, capsys):
    ask(tmp_path, {"a\x1b[2Kb": (1, 0)}, yes=True)
    assert "\x1b" not in capsys.readouterr().out
