import shlex

import pytest
from click import Context
from msgspec.structs import replace

from ci_migrate.cli import cli
from ci_migrate.errors import ExitCode
from ci_migrate.model import (
    Approval,
    ColumnContent,
    Comparison,
    Direction,
    Finding,
    Identity,
    Outcome,
    RowCount,
    Severity,
    StageResult,
    TableContent,
    TableEvidence,
    TargetState,
    TokenKind,
    WayBack,
)
from ci_migrate.reports import story


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.044, "0.04 s"),
        (12.34, "12.3 s"),
        (185, "3 min 05 s"),
        (3725, "1 h 02 min"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
    ],
)
def test_duration(seconds, words):
    assert story.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (3 * 10**12, "3.0 TB"),
    ],
)
def test_size(count, words):
    assert story.size(count) == words


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [("a.py", 3, "a.py:3"), ("a.py", 0, "a.py"), ("a.py", None, "a.py"), (None, 3, "")],
)
def test_place(file, line, words):
    assert story.place(file, line) == words


def test_headlines(samples):
    assert story.headline(samples.green()) == "shop 1b0c -> 9c1d (2 revisions)"
    assert story.headline(samples.nothing_pending()) == "nothing to migrate"
    assert story.headline(replace(samples.report(samples.CHECKED), command="check")) == "check passed"
    assert story.headline(samples.interrupted()) == "interrupted (Ctrl-C)"
    assert story.headline(samples.refused()) == "2 findings refuse this plan"


def test_the_state_of_a_downgrade_and_of_an_empty_database(samples):
    empty = replace(samples.plan().contexts[0], to_heads=())
    down = samples.plan(direction=Direction.DOWNGRADE, contexts=(empty,))
    report = samples.report(samples.passed("migrate", 1, "", plan=down, state=TargetState.MIGRATED))
    assert story.state_sentence(report) == "The database is downgraded: now at base."
    assert story.state_sentence(samples.report()) == "The database is untouched."


def test_no_next_command_after_a_good_run_and_none_twice(samples):
    assert story.next_commands(samples.green()) == ()
    report = samples.dirty()
    said = replace(report.results[4], message="half done\nRun: ci-migrate repair --forward --target shop")
    told = replace(report, results=(*report.results[:4], said, *report.results[5:]))
    (other,) = story.next_commands(told)
    assert other.command == "ci-migrate backup restore backup_1b0c_20261122_191633"


def test_next_command_when_only_a_human_can_tell(samples):
    migrate = StageResult(stage="migrate", outcome=Outcome.ERROR, message="gone", state=TargetState.UNKNOWN)
    report = replace(samples.report(migrate), target="my shop")
    (show,) = story.next_commands(report)
    assert show.command == "ci-migrate repair --dry-run --target 'my shop'"


def test_options_are_repeated_where_a_command_takes_them(samples):
    """Without `-c FILE` the next run would be of other scripts."""
    report = replace(samples.dry_run_failed(), options=("-c", "my other.ini"))
    (again,) = story.next_commands(report)
    assert again.command.endswith(" -c 'my other.ini'")
    restore = replace(samples.dirty(), options=("-c", "other.ini"))
    assert [
        c.command for c in story.next_commands(restore) if c.command.startswith("ci-migrate backup restore")
    ]
    assert not any(
        "-c " in c.command for c in story.next_commands(restore) if " backup restore " in c.command
    )
    for name in story.REPEATS_OPTIONS:
        parameters = cli.get_command(Context(cli), name).params
        assert any("-c" in parameter.opts for parameter in parameters), name


def test_allow_is_offered_only_where_it_can_be_typed(samples):
    finding = Finding(code="CM101", name="single-head", severity=Severity.ERROR, message="two heads")
    check = StageResult(stage="check", outcome=Outcome.FAILED, message="no", findings=(finding,))
    assert story.next_commands(samples.report(check)) == ()
    with_revision = replace(check, findings=(replace(finding, revision="3f2a"),) * 2)
    mended, allow = story.next_commands(samples.report(with_revision))
    assert mended.command == "ci-migrate dry-run --target shop"
    assert allow.command == "ci-migrate run --target shop --allow CM101@3f2a=REASON"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (WayBack(tried=True, ran=True, same_schema=True, lossless=True, seconds=1), "same schema and loses nothing (1.00 s)."),
        (WayBack(tried=False, reason="not asked for."), "it was not tried: not asked for."),
        (WayBack(tried=True, reason="no such table"), "the downgrade does not run: no such table."),
        (WayBack(tried=True, ran=True), "the downgrade leads to another schema."),
        (WayBack(tried=True, ran=True, same_schema=True, lossless=False), "the downgrade does not bring everything back."),
        (WayBack(tried=True, ran=True, same_schema=True), "it could not be told whether rows are lost."),
    ],
)  # fmt: skip
def test_way_back(samples, way, words):
    assert words in story.way_back(samples.evidence(way_back=way))
    assert (
        "This run's backup is the rollback path." in story.way_back(samples.evidence(way_back=way))
    ) != way.proven
    assert "backup" not in story.way_back(samples.evidence(way_back=way, proven=False))


def test_row_changes(samples):
    def content(rows, **columns):
        return TableContent(rows=rows, columns=columns)

    same = content(5, a=ColumnContent(values=5, digest="x"))
    tables = {
        "gone": TableEvidence(before=content(3), after=None),
        "made": TableEvidence(before=None, after=content(4)),
        "nulled": TableEvidence(before=same, after=content(5, a=ColumnContent(values=2, digest="y"))),
        "rewritten": TableEvidence(before=same, after=content(5, a=ColumnContent(values=5, digest="y"))),
        "same": TableEvidence(before=same, after=same),
        "unread": TableEvidence(before=same, after=content(5, a=ColumnContent(values=5))),
    }
    evidence = samples.evidence(tables=tables, row_counts_before={}, row_counts_after={})
    assert story.row_changes(evidence) == [
        ("gone", "3", "no table", ""),
        ("made", "no table", "4", ""),
        ("nulled", "5", "5", "a: 5 -> 2 values"),
        ("rewritten", "5", "5", "a: rewritten"),
    ]


def test_proofs_say_what_was_not_proved(samples):
    assert list(story.proofs(samples.interrupted())) == [
        (False, "Backup backup_1b0c_20261122_191633 (1.2 MB) was written, but not yet restored.")
    ]
    unproven = replace(
        samples.REHEARSED, evidence=samples.evidence(proven=False, unproven_reason="row counts differ")
    )
    first, *_ = story.proofs(samples.report(samples.BACKED_UP, unproven))
    assert first == (False, "Backup backup_1b0c_20261122_191633 (1.2 MB) is unproven: row counts differ")


# --------------------------------------------------------------------------- what to type next


def ended(samples, stage, outcome="failed", state=None, **more):
    return StageResult(stage=stage, outcome=Outcome(outcome), state=state, **{"message": "boom", **more})


@pytest.mark.parametrize(
    ("stage", "more", "command", "why"),
    [
        ("dry-run", {"file": "r1.py"}, "ci-migrate dry-run --target shop", "once the cause is gone"),
        ("dry-run", {}, "ci-migrate dry-run --target shop", "once the cause is gone"),
        ("migrate", {"file": "r1.py"}, "ci-migrate run --target shop", "once the cause is gone"),
        ("verify", {}, "ci-migrate run --target shop", "once the cause is gone"),
    ],
)
def test_F72_once_the_cause_is_gone_it_is_tried_again_on_a_copy_where_that_said_no(
    samples, stage, more, command, why
):
    (told,) = story.next_commands(samples.report(ended(samples, stage, state=TargetState.AS_BEFORE, **more)))
    assert (told.command, told.why) == (command, why)


@pytest.mark.parametrize(
    ("stage", "outcome"), [("backup", "failed"), ("approve", "failed"), ("dry-run", "error")]
)
def test_where_the_next_run_would_end_alike_none_is_shown(samples, stage, outcome):
    assert story.next_commands(samples.report(ended(samples, stage, outcome))) == ()


def test_of_a_rollback_the_destination_is_repeated(samples):
    checked = replace(samples.CHECKED, plan=samples.plan(direction=Direction.DOWNGRADE, destination="1b0c"))
    report = samples.report(
        checked, ended(samples, "migrate", state=TargetState.AS_BEFORE), command="rollback"
    )
    (told,) = story.next_commands(report)
    assert told.command == "ci-migrate rollback --to 1b0c --target shop"


def test_what_was_kept_of_a_migration_is_gone_on_with(samples):
    report = samples.report(
        samples.CHECKED, ended(samples, "migrate", state=TargetState.KEPT_PREFIX), target="a b"
    )
    (told,) = story.next_commands(report)
    assert (told.command, told.why) == (
        "ci-migrate run --target 'a b'", "runs the rest, once the cause is gone",
    )  # fmt: skip


def test_rows_that_differ_are_looked_at_before_another_try(samples):
    repair = samples.passed(
        "repair",
        1,
        "put back",
        state=TargetState.AS_BEFORE,
        proof=Comparison(exceptions=("1 row differs: a trigger",)),
    )
    migrate = ended(samples, "migrate", state=TargetState.UNKNOWN)
    (told,) = story.next_commands(samples.report(samples.CHECKED, migrate, repair))
    assert told.why == "once the cause is gone, and somebody has looked at the rows that differ"


def test_what_the_message_says_itself_comes_first_and_once(samples):
    message = (
        "half done\n# puts it back\nci-migrate backup restore b_1\nci-migrate repair --dry-run --target shop"
    )
    report = samples.report(ended(samples, "migrate", state=TargetState.UNKNOWN, message=message))
    assert story.next_commands(report) == ()
    told = [(one.command, one.why) for one in story.all_next_commands(report)]
    assert told == [
        ("ci-migrate backup restore b_1", "puts it back"), ("ci-migrate repair --dry-run --target shop", ""),
    ]  # fmt: skip


def test_next_lines_can_be_pasted_into_a_shell(samples):
    for name in ("refused", "dirty", "dry_run_failed", "failed_and_repaired"):
        for line in story.next_lines(samples.ALL[name]()):
            assert line.startswith(("# ", "ci-migrate ")), name
            shlex.split(line)


# --------------------------------------------------------------------------- states and places


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("green", "at 9c1d"),
        ("nothing_pending", "at 9c1d"),
        ("refused", "at 1b0c"),
        ("failed_and_repaired", "at 1b0c"),
        ("dirty", ""),
    ],
)
def test_where_the_target_is_now(samples, name, now):
    assert story.heads_now(samples.ALL[name]()) == now


def test_a_plan_that_reached_no_database_says_so(samples):
    away = samples.plan(identity=Identity(dialect="", place="", facts={}))
    report = samples.report(replace(samples.CHECKED, plan=away))
    assert story.state_sentence(report) == "No database was reached."
    assert story.heads_now(report) == ""
    assert story.heads_now(samples.report()) == ""


def test_a_run_that_only_looked_is_not_called_good(samples):
    """`repair --dry-run`: green, and nobody knows more of the target than before."""
    looked = samples.report(samples.passed("repair", 1, "Found", state=TargetState.UNKNOWN), command="repair")
    assert story.verdict(looked) == story.ONLY_LOOKED
    assert story.verdict(samples.green()) == "OK"


def test_each_exit_code_has_a_verdict_of_its_own():
    assert story.VERDICT.keys() == set(ExitCode)
    assert len(set(story.VERDICT.values())) == len(ExitCode)


def test_the_revision_to_blame_is_the_one_whose_file_the_stage_names(samples):
    assert story.failing_revision(samples.dry_run_failed()).id == "9c1d"
    assert story.failing_revision(samples.errored()) is None
    elsewhere = samples.report(samples.CHECKED, ended(samples, "dry-run", file="env.py"))
    assert story.failing_revision(elsewhere) is None
    assert story.failing_revision(samples.report(ended(samples, "check", file="a.py"))) is None, (
        "there is no plan"
    )


@pytest.mark.parametrize(
    ("message", "name"),
    [("add phones", "3f2a (add phones)"), ("", "3f2a"), (" two\nlines ", "3f2a (two lines)")],
)
def test_a_revision_is_named_by_id_and_message(samples, message, name):
    assert story.revision_name(replace(samples.plan().revisions[0], message=message)) == name


def test_the_statement_to_blame_is_the_one_that_failed_or_that_of_its_line(samples):
    rehearsed = samples.REHEARSED
    own = ended(samples, "migrate", sql="INSERT 1", file=samples.ADD_EMAIL, line=18)
    assert story.failing_sql(samples.report(rehearsed, own)) == "INSERT 1"
    by_line = replace(own, sql="")
    assert story.failing_sql(samples.report(rehearsed, by_line)).startswith("ALTER TABLE users ADD")
    for other in (replace(by_line, line=99), replace(by_line, line=None), replace(by_line, file="x.py")):
        assert story.failing_sql(samples.report(rehearsed, other)) == ""
    assert story.failing_sql(samples.report(by_line)) == "", "nothing was rehearsed"
    assert story.failing_sql(samples.green()) == ""


def test_of_a_message_the_usual_word_on_the_database_is_left_out(samples):
    (line,) = story.message_rest(
        ended(
            samples,
            "check",
            message="No.\n\n  The database was not touched.\nThe database was not touched.\n  Why  ",
        )
    )[-1:]
    assert line == "  Why"
    assert story.message_rest(ended(samples, "check", message="")) == []
    assert story.first_line(ended(samples, "check", message="\n \n first \nsecond")) == "first"


@pytest.mark.parametrize(
    ("severity", "acknowledged", "weight"),
    [("error", None, "refused"), ("error", "meant", "accepted"), ("warning", None, "warning"),
     ("warning", "meant", "accepted"), ("info", None, "info")],
)  # fmt: skip
def test_what_a_finding_means_for_the_gate(severity, acknowledged, weight):
    found = Finding(code="CM1", name="n", severity=Severity(severity), message="m", acknowledged=acknowledged)
    assert story.finding_weight(found) == weight


# --------------------------------------------------------------------------- what was proved


def test_what_the_copy_lacks_is_told_once_for_each_reason(samples):
    away = [f"index i{n} is missing: made later" for n in range(13)] + ["view v differs: its owner", "odd"]
    compared = samples.evidence(
        comparison=Comparison(compared=(), exceptions=tuple(away), not_compared=("rows: too many",))
    )
    words = list(
        story.proofs(samples.report(samples.BACKED_UP, replace(samples.REHEARSED, evidence=compared)))
    )
    told = [sentence for _, sentence in words]
    assert told[0].endswith("which is equal to it: schema.")
    assert told[1].startswith("The copy rightly differs: index i0 is missing, index i1")
    assert told[1].endswith("index i9 is missing and 3 more: made later.")
    assert told[2:5] == [
        "The copy rightly differs: view v differs: its owner.", "The copy rightly differs: odd.",
        "Not compared: rows: too many.",
    ]  # fmt: skip
    assert [proved for proved, _ in words][1:5] == [True, True, True, False]


def test_who_approved_it_is_told_by_the_stage_that_used_it(samples):
    approval = Approval(
        approval_id="a", kind=TokenKind.SIGNED, plan_digest="d", target="shop", approved_by=("ana", "ben"),
        reason="ticket\n4711", created=samples.STARTED, expires=samples.STARTED,
    )  # fmt: skip
    used = samples.passed("approve", 1, "", approval=approval)
    assert list(story.proofs(samples.report(used))) == [(True, "Approved by ana, ben: ticket 4711")]
    reserved = samples.passed("check", 1, "", approval=approval)
    assert list(story.proofs(samples.report(reserved))) == [], "a run that stopped before has used nothing"


def test_what_was_compared_after_a_repair_is_told_and_what_was_not(samples):
    proof = Comparison(
        compared=("heads",),
        exceptions=("1 row differs: a trigger",),
        not_compared=("rows: too many", "views"),
    )
    repaired = samples.report(samples.passed("repair", 1, "", state=TargetState.AS_BEFORE, proof=proof))
    assert list(story.proofs(repaired)) == [
        (True, "The repair: it proved the state that is told here."),
        (True, "After the repair, compared and equal: heads."),
        (False, "After the repair: 1 row differs: a trigger."),
        (False, "After the repair, not compared: rows: too many; views."),
    ]  # fmt: skip
    failed = ended(samples, "verify", proof=proof)
    assert list(story.proofs(samples.report(failed))) == [], "who says no proves nothing"


def test_counts_that_are_estimates_are_told_as_such(samples):
    counted = samples.evidence(
        tables={}, row_counts_before={"big": RowCount(rows=1_000_000, exact=False), "same": RowCount(rows=1)},
        row_counts_after={"big": RowCount(rows=1_000_001), "same": RowCount(rows=1)},
    )  # fmt: skip
    assert story.row_changes(counted) == [("big", "~1,000,000", "1,000,001", "")]
