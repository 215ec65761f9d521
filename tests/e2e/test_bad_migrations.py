"""Faults of the trade: what bit somebody is refused before the target is touched, what looks alike goes through."""

import pytest
from sqlalchemy import URL

from benchmarks.bad_migrations.case import Case, cases, on_mysql
from benchmarks.bad_migrations.play import play

BAD, HARMLESS = (list(cases(bad=bad)) for bad in (True, False))
QUICK = {"rebuild_cascades", "env_swallows_errors", "two_heads", "table_dropped_with_rows", "column_renamed",
         "rebuild_keeps_everything"}  # fmt: skip


def each_of(cases: list[Case]):
    """Each on its engine, those of MariaDB on MySQL as well."""
    for case in cases:
        yield pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.long)
    for case in on_mysql(cases):
        yield pytest.param(case, id=f"{case.name}-mysql", marks=pytest.mark.long)


FIXTURES = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}


@pytest.fixture
def url(request, tmp_path):
    def make(engine: str) -> URL:
        if engine == "sqlite":
            return URL.create("sqlite", database=str(tmp_path / "app.db"))
        return request.getfixturevalue(FIXTURES[engine])

    return make


@pytest.mark.parametrize("case", [*each_of(BAD)])
def test_a_bad_one_is_refused_and_the_target_stays_as_it_was(case: Case, url, tmp_path) -> None:
    played, _ = play(case, tmp_path / "project", url(case.engine))
    assert played.refused, played.report.results
    assert played.after == played.before
    assert played.as_expected, (played.by, case.expected)


@pytest.mark.parametrize("case", [*each_of(HARMLESS)])
def test_a_harmless_one_goes_through(case: Case, url, tmp_path) -> None:
    played, _ = play(case, tmp_path / "project", url(case.engine))
    assert played.as_expected, played.report.first_bad


def test_there_are_enough_of_them_on_all_engines() -> None:
    assert len(BAD) >= 125
    assert len(HARMLESS) >= 115
    assert {c.engine for c in BAD} == {c.engine for c in HARMLESS} == {"sqlite", "postgresql", "mariadb"}
    assert {c.name for c in (*BAD, *HARMLESS)} >= QUICK
