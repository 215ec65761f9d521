import pytest
from click import Context
from msgspec.structs import replace

from ci_migrate.cli import cli
from ci_migrate.model import (
    ColumnContent,
    Direction,
    Finding,
    Outcome,
    Severity,
    StageResult,
    TableContent,
    TableEvidence,
    TargetState,
    WayBack,
)
from ci_migrate.reports import story


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.00 s"), (0.044, "0.04 s"), (12.34, "12.3 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")],
)
def test_duration(seconds, words):
    assert story.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1_234_567, "1.2 MB"), (3 * 10**12, "3.0 TB")]
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
        (WayBack(tried=True, ran=True, same_schema=True, lossless=False), "the downgrade loses rows."),
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
