"""The reports of a fleet run."""

import json
from datetime import UTC, datetime

from junitparser import JUnitXml

from ci_migrate.fleet.report import advice, render_json, render_junit, render_page, summary_lines
from ci_migrate.fleet.runs import FleetReport
from ci_migrate.ledger.fleets import FleetRun, FleetStatus, FleetTarget, Rehearsed
from ci_migrate.settings.secrets import register_secret

STARTED = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


def report(*targets, code=7, stopped=""):
    run = FleetRun(
        fleet_run="fleet_1",
        fleet="tenants",
        shard="",
        started=STARTED,
        exit_code=code,
        stopped=stopped,
        destination="head",
        actor="ana",
        host="h",
        pid=1,
    )
    return FleetReport(run=run, targets=targets)


def target(number, status=FleetStatus.MIGRATED, **more):
    return FleetTarget(
        name=f"t{number:05}",
        number=number,
        place=f"db1:5432/t{number:05}",
        server="db1:5432",
        status=status,
        **{"exit_code": 0, "seconds": 1.5, "rehearsed": Rehearsed.OWN_COPY, **more},
    )


def failed(number, message="UNIQUE constraint failed: users.email", **more):
    return target(
        number, FleetStatus.FAILED, **{"exit_code": 6, "stage": "migrate", "message": message, **more}
    )


def test_of_ten_thousand_the_page_is_bounded_and_junit_has_all():
    many = report(*(failed(n) if n % 10 == 0 else target(n) for n in range(10_000)))
    page = render_page(many)
    assert len(page) < 1_000_000
    assert page.count("UNIQUE constraint failed") == 500
    assert "... and 500 more, all in fleet.json." in page
    assert "... and 8,000 more, all in fleet.json." in page
    suites = JUnitXml.fromstring(render_junit(many).encode())
    assert len(list(suites)) == 10_000
    assert suites.failures == 1000
    assert len(list(summary_lines(many, verbose=False))) < 40
    assert json.loads(render_json(many))["counts"] == {"migrated": 9000, "failed": 1000}


def test_each_status_is_one_of_junit_s_and_says_what_to_type():
    found = report(
        target(1),
        target(2, FleetStatus.ALREADY),
        failed(3, exit_code=7),
        target(4, FleetStatus.LEFT_OUT, exit_code=8, message="unreachable: no such file"),
        target(5, FleetStatus.APPROVAL, exit_code=4),
        target(6, FleetStatus.WAITING, exit_code=None),
        target(7, FleetStatus.INTERRUPTED, exit_code=143),
    )
    suites = {suite.name: next(iter(suite)) for suite in JUnitXml.fromstring(render_junit(found).encode())}
    kinds = {name[-5:]: [type(r).__name__ for r in case.result] for name, case in suites.items()}
    assert kinds == {
        "00001": [],
        "00002": [],
        "00003": ["Failure"],
        "00004": ["Error"],
        "00005": ["Failure"],
        "00006": ["Skipped"],
        "00007": ["Skipped"],
    }
    assert (
        "ci-migrate repair --dry-run --target tenants/t00003"
        in suites["ci-migrate.tenants/t00003"].result[0].text
    )
    page = render_page(found)
    for command in (
        "ci-migrate repair --dry-run --target tenants/t00003",
        "ci-migrate status --target tenants/t00004",
        "ci-migrate run --target tenants/t00005",
        "ci-migrate fleet resume fleet_1 --target tenants",
    ):
        assert command in page


def test_texts_are_clean_and_hold_no_secret():
    register_secret("kX7-horse-battery")
    found = report(failed(1, message="<b>\x1b[31m password kX7-horse-battery </b>\x00"), stopped="<script>")
    for text in (
        render_page(found),
        render_junit(found),
        render_json(found),
        "\n".join(summary_lines(found, verbose=True)),
    ):
        assert "kX7-horse-battery" not in text
        assert "\x1b" not in text
    assert "<script>" not in render_page(found)


def test_what_was_rehearsed_on_less_than_a_copy_with_rows_is_told():
    found = report(
        target(1, rehearsed=Rehearsed.OWN_SCHEMA),
        target(2, rehearsed=Rehearsed.NOTHING),
        target(3),
        target(4, FleetStatus.ALREADY, rehearsed=Rehearsed.NOTHING),
        code=0,
    )
    said = [next(iter(s)).system_out for s in JUnitXml.fromstring(render_junit(found).encode())]
    assert said == [
        "migrated (1.50 s, rehearsed on a copy of its own schema, without rows)",
        "migrated (1.50 s, rehearsed on nothing)",
        "migrated (1.50 s)",
        "nothing to do",
    ]
    assert render_page(found).count("<td>nothing</td>") == 1


def test_nothing_is_called_untouched_that_nobody_compared():
    found = report(failed(1, exit_code=7), failed(2, exit_code=8, state="untouched"))
    page = render_page(found)
    assert page.count('<td class="word">unknown</td>') == 1
    assert page.count('<td class="word">untouched</td>') == 1


def test_what_was_rehearsed_on_another_s_copy_is_told():
    found = report(target(1), target(2, rehearsed=Rehearsed.NOTHING, instead="t00001"), code=0)
    assert "a copy of t00001, not of this one" in render_page(found)
    case = next(iter(list(JUnitXml.fromstring(render_junit(found).encode()))[1]))
    assert "a copy of t00001, not of this one" in case.system_out
    last = list(summary_lines(found, verbose=False))[-1]
    assert last == "OK. 2 of 2 databases at the destination."


def test_who_is_in_no_approval_is_to_be_rehearsed_first():
    asks = target(1, FleetStatus.APPROVAL, stage="approve")
    unlisted = target(2, FleetStatus.APPROVAL)
    assert advice(report(asks, unlisted))[0].startswith("ci-migrate fleet request ")
    assert advice(report(target(0), unlisted))[0].startswith("ci-migrate fleet run ")
