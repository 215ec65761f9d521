"""What a run has at hand is in its type; what a driver says is told in a line without secrets."""

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.run.run import LedgerRun, Run, WritingRun, narrow, require_ledger, translate_errors


def a_run(ledger: object = None, lock: object = None) -> Run:
    names = ("id", "subject", "verb", "direction", "destination", "database", "reader", "copies", "workers",
             "interrupt", "scratch_folder", "catalog", "protection")  # fmt: skip
    settings = SimpleNamespace(target="shop")
    return Run(**dict.fromkeys(names), settings=settings, ledger=ledger, lock=lock)


@pytest.mark.parametrize(
    ("ledger", "lock", "kind"),
    [(None, None, Run), (None, "lock", Run), ("ledger", None, LedgerRun), ("ledger", "lock", WritingRun)],
)
def test_the_type_says_what_it_has(ledger, lock, kind):
    run = a_run(ledger, lock)
    found = narrow(run)
    assert type(found) is kind
    assert (found.ledger, found.lock, found.settings) == (ledger, lock, run.settings)


def test_what_needs_a_ledger_can_not_be_called_without():
    with pytest.raises(RefusedError, match="Target shop has no ledger") as caught:
        require_ledger(a_run())
    assert "ci-migrate run" in caught.value.hint
    run = narrow(a_run("ledger"))
    assert require_ledger(run) is run


def test_a_drivers_error_is_told_in_the_engines_words_and_others_pass():
    database = SimpleNamespace(explain=lambda error: f"The server said {error.orig}.")
    with pytest.raises(DatabaseError, match="The server said no") as caught, translate_errors(database):
        raise OperationalError("SELECT secret", {"p": "s3cret"}, Exception("no"))
    assert "s3cret" not in "".join(caught.value.lines)
    with pytest.raises(ZeroDivisionError), translate_errors(database):
        raise ZeroDivisionError
