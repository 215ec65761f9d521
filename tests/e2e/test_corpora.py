"""Real histories with their own env.py, in their own environments: to head, or refused with the target untouched.

What each is here for is told in `tests/corpora/README.md`; `docs/evidence/real-histories.md` shows how all of them ended.
"""

import pytest
from corpora_support import CASES, COPIES, MIGRATED, Case, as_plain_user, fresh_database, play, sqlite_url

pytest.importorskip("fcntl")


PARAMETERS = [pytest.param(c, id=c.id, marks=() if c.quick else pytest.mark.long) for c in CASES]


@pytest.fixture
def database(case: Case, tmp_path, request):
    """The URL of a fresh database, and the folder of its server's programs."""
    if case.backend == "sqlite":
        return sqlite_url(tmp_path), None
    if case.backend != "postgresql":
        server = request.getfixturevalue(f"{case.backend}_server")
        return as_plain_user(fresh_database(server.admin_url)), None
    server, url = request.getfixturevalue("postgresql_server"), request.getfixturevalue("postgresql_url")
    return as_plain_user(url), server.binaries


@pytest.mark.parametrize("case", PARAMETERS)
def test_history(case, database, tmp_path):
    url, client_tools = database
    played = play(case, tmp_path, url, COPIES[case.backend], client_tools)
    ended = played.ended
    if case.outcome == MIGRATED:
        assert ended.exit_code == 0, ended.output
        assert ended.report["state"] == "migrated"
        assert played.plain is not None, played.plain_output
        assert played.after.heads == played.plain.heads != played.before.heads
        assert played.after.schema == played.plain.schema
        assert played.after.counts == played.plain.counts
    else:
        assert ended.exit_code == 1, ended.output
        assert ended.report["state"] == "untouched"
        assert ended.stage["stage"] == "dry-run"
        assert case.says in ended.reason
        assert played.after == played.before
        assert bool(played.plain_exit_code) == case.by_alembic, played.plain_output
