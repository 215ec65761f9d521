"""What the dry run measured, for people: held, never waited for."""

import pytest
from msgspec.structs import replace

from ci_migrate.model import Evidence, LockHeld
from ci_migrate.reports import measured
from ci_migrate.reports.markdown import MarkdownReporter

INDEX = LockHeld(table="public.users", mode="SHARE", seconds=2.345, blocks="writes")
REWRITE = LockHeld(table="public.orders", mode="ACCESS EXCLUSIVE", seconds=4.0, blocks="reads and writes")


@pytest.fixture
def found(samples) -> Evidence:
    statement = samples.statement
    return samples.evidence(
        statements=(
            statement(1, "3f2a", "versions/a.py", 18, "x", locks=(INDEX, LockHeld(table="t", mode="ROW SHARE", seconds=9.0))),
            statement(2, "3f2a", "versions/a.py", 19, "x", locks=(REWRITE,), rewrites=("public.orders", "other")),
            statement(3, "9c1d", None, None, "x", locks=(LockHeld(table="", mode="RESERVED", seconds=1.0, blocks="writes"),)),
            statement(4, "9c1d", None, None, "x", locks=(LockHeld(table="", mode="RESERVED", seconds=2.0, blocks="writes"),)),
        ),
        log_bytes=12_300_000, size_before=4_100, size_after=8_200,
    )  # fmt: skip


def test_locks_and_rewrites_the_longest_first(found: Evidence) -> None:
    assert [row[:5] for row in measured.locks_held(found)] == [
        ("versions/a.py:19", "public.orders", "ACCESS EXCLUSIVE", "4.00 s",
         "rewritten in 0.01 s; keeps others from reads and writes"),
        ("versions/a.py:18", "public.users", "SHARE", "2.35 s", "keeps others from writes"),
        ("9c1d", "whole database", "RESERVED", "2.00 s", "keeps others from writes"),
        ("versions/a.py:19", "other", "", "", "rewritten in 0.01 s"),
    ]  # fmt: skip


def test_bytes(samples, found: Evidence) -> None:
    assert measured.bytes_line(found) == "12.3 MB of log, 4.1 kB on disk before and 8.2 kB after"
    assert measured.bytes_line(samples.evidence()) == ""


def test_in_the_summary(samples, found: Evidence) -> None:
    report = samples.ALL["green"]()
    results = tuple(replace(r, evidence=found) if r.evidence else r for r in report.results)
    text = MarkdownReporter().render(replace(report, results=results))
    assert "| statement | table | lock | held until the commit | |".replace("| |", "|  |") in text
    assert "| `versions/a.py:18` | `public.users` | `SHARE` | 2.35 s | keeps others from writes |" in text
    assert "12.3 MB of log, 4.1 kB on disk before and 8.2 kB after." in text
    assert "waited" not in text
