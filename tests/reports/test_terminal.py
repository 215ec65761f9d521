import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ci_migrate.model import Finding, SchemaChange, Severity, TargetState
from ci_migrate.reports.terminal import render_text, stage_line, state_line


def test_golden(same_as_golden, sample, sample_name):
    same_as_golden(f"{sample_name}.txt", render_text(sample))


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("green", "OK. The database is migrated: now at 9c1d."),
        ("nothing_pending", "OK. The database is untouched, still at 9c1d."),
        ("refused", "REFUSED (exit 1). The database is untouched, still at 1b0c."),
        ("failed_and_repaired", "FAILED, put back (exit 6). The database is as it was before, at 1b0c: heads, schema and the rows of 1 table compared and equal."),
        ("dirty", "FAILED (exit 7). The database is left as the migration left it: 3f2a committed; 9c1d is half done: statement 3 is unknown."),
        ("errored", "ERROR (exit 8). The database is untouched, still at 1b0c."),
        ("interrupted", "INTERRUPTED (exit 130). The database is untouched, still at 1b0c."),
    ],
)  # fmt: skip
def test_the_last_line_is_the_state_of_the_database(samples, name, last):
    assert render_text(samples.ALL[name](), 40).splitlines()[-1] == last


def test_a_migration_that_was_not_verified_is_not_called_good(samples):
    report = samples.failed_and_repaired()
    report = replace(
        report, results=(*report.results[:-1], replace(report.results[-1], state=TargetState.MIGRATED))
    )
    assert render_text(report).endswith(
        "migrated to 9c1d, but this is not proved: manual intervention required.\n"
    )


def test_without_colour_no_escape_sequence_whatever_the_environment_says(samples, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    assert "\x1b" not in render_text(samples.hostile())
    monkeypatch.delenv("FORCE_COLOR")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[32m" in render_text(samples.green(), color=True)


def test_paths_and_commands_are_never_cut(samples):
    path = "/srv/very/long/path/to/some/file.sql"
    assert f" {path}\n" in render_text(samples.report(samples.passed("check", 1, f"wrote {path}")), 30)
    narrow = render_text(samples.refused(), 30)
    assert f"{samples.ADD_EMAIL}:24" in narrow
    assert "ci-migrate run --target shop --allow CM201@3f2a=REASON\n" in narrow


def test_the_place_comes_before_the_reason(samples):
    text = render_text(samples.dry_run_failed())
    why = text.index("dry-run FAILED in revision 9c1d")
    where = text.index(f"  {samples.UNIQUE_EMAIL}:16\n", why)
    assert why < where < text.index("duplicate key", where)


def test_stages_that_were_printed_already_are_left_out(samples):
    text = render_text(samples.green(), stages=False)
    assert "  ok       backup" not in text
    assert "Proved" in text


def test_one_stage_as_it_ends(samples):
    assert (
        stage_line(samples.BACKED_UP) == "  ok       backup       0.31 s  backup_1b0c_20261122_191633, 1.2 MB"
    )
    assert stage_line(samples.errored().first_bad, 300).endswith(
        "pg_dump 14.2 is older than the server (16.4)"
    )


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_no_text_can_fake_a_line(samples, text):
    rendered = render_text(samples.hostile(text + "\nOK. The database is migrated: now at 9c1d.\n"))
    assert rendered.splitlines()[-1] == "REFUSED (exit 1). The database is untouched, still at 1b0c."
    assert not any(line.startswith("OK. ") for line in rendered.splitlines())


# --------------------------------------------------------------------------- width and lists


@pytest.mark.parametrize("width", [20, 40, 79, 80, 120])
def test_no_line_of_prose_is_wider_than_the_terminal(samples, width):
    """Longer are only pieces that will be copied: a path, a name, a command."""
    for name in ("green", "refused", "dry_run_failed", "dirty"):
        lines = render_text(samples.ALL[name](), width, screen=True).splitlines()
        kept_whole = [
            i for i, line in enumerate(lines) if any(w in line for w in ("ci-migrate ", " CM", "# "))
        ]
        for number, line in enumerate(lines):
            words = line.split()
            longest = max(map(len, words), default=0)
            if number not in kept_whole and longest < width - 34:
                assert len(line) <= width or len(words) <= 4, (name, line)


def test_on_a_narrow_terminal_a_message_stands_below_its_stage(samples):
    wide, narrow = (render_text(samples.green(), width).splitlines() for width in (100, 60))
    assert any("ok       backup       0.31 s  backup_1b0c" in line for line in wide)
    at = next(i for i, line in enumerate(narrow) if line.startswith("  ok       backup"))
    assert narrow[at].endswith("0.31 s")
    assert narrow[at + 1] == "    backup_1b0c_20261122_191633, 1.2 MB"


def many(samples, count: int):
    findings = tuple(
        Finding(code="CM401", name="n", severity=Severity.WARNING, message=f"finding {n}", revision="3f2a")
        for n in range(count)
    )
    changes = tuple(SchemaChange(name=f"column t.c{n}", before=None, after="text") for n in range(count))
    evidence = samples.evidence(changes=changes)
    return samples.report(
        replace(samples.CHECKED, findings=findings),
        samples.BACKED_UP,
        replace(samples.REHEARSED, evidence=evidence),
    )


def test_of_a_long_list_the_rest_is_counted_and_with_verbose_there(samples):
    short, whole = (render_text(many(samples, 25), verbose=verbose) for verbose in (False, True))
    assert short.count("finding ") == 20
    assert short.count("... and 5 more: -v shows them, and report.json has them") == 2
    assert (whole.count("finding "), whole.count("column t.c"), "more: -v" in whole) == (25, 25, False)
    assert "more: -v" not in render_text(many(samples, 20))


def test_statements_are_shown_where_all_is_asked_for(samples):
    assert "CREATE UNIQUE INDEX" not in render_text(samples.green())
    told = render_text(samples.green(), verbose=True)
    assert f"  {samples.ADD_EMAIL}:21  0.01 s, 1,204 rows" in told
    assert "CREATE UNIQUE INDEX ix_users_email" in told


def test_all_that_a_failed_stage_said_is_shown_where_it_is_asked_for(samples):
    assert "  | [SQL: CREATE UNIQUE INDEX ...]" in render_text(samples.dry_run_failed(), verbose=True)
    assert "[SQL:" not in render_text(samples.dry_run_failed())


def test_what_would_run_is_shown_until_it_was_rehearsed(samples):
    planned = samples.report(samples.CHECKED, command="plan")
    told = render_text(planned)
    assert "What would run" in told
    assert f"plan {samples.plan().digest}" in told, "which an approval names"
    assert "What would run" not in render_text(samples.report(samples.CHECKED, samples.REHEARSED))
    assert "What would run" not in render_text(samples.nothing_pending())


def test_figures_of_a_rehearsal_are_left_out_when_the_migration_broke(samples):
    assert "What the dry run changed" in render_text(samples.green())
    for name in ("failed_and_repaired", "dirty"):
        assert "What the dry run changed" not in render_text(samples.ALL[name]())


def test_what_an_accepted_finding_says_is_why_and_no_fix(samples):
    found = Finding(
        code="CM1", name="n", severity=Severity.ERROR, message="m", fix="do it", acknowledged="meant so"
    )
    told = render_text(samples.report(replace(samples.CHECKED, findings=(found,))))
    assert "Accepted: meant so" in told
    assert "Fix:" not in told
    refused = replace(found, acknowledged=None)
    assert "Fix: do it" in render_text(samples.report(replace(samples.CHECKED, findings=(refused,))))


def test_the_last_line_is_whole_for_scripts_and_wrapped_on_a_screen(samples):
    whole, *wrapped = (
        render_text(samples.dirty(), 60, screen=screen).splitlines() for screen in (False, True)
    )
    (lines,) = wrapped
    assert whole[-1] == state_line(samples.dirty())
    begins = next(i for i, line in enumerate(lines) if line.startswith("FAILED (exit 7). "))
    assert " ".join(lines[begins:]) == whole[-1]
    assert max(map(len, lines[begins:])) <= 60


def test_a_stage_that_failed_is_told_by_its_place_where_the_summary_follows(samples):
    assert samples.UNIQUE_EMAIL in stage_line(samples.dry_run_failed().first_bad, 300, short=True)
    assert "duplicate key" not in stage_line(samples.dry_run_failed().first_bad, 300, short=True)
    assert "CM201 table-dropped [3f2a]" in stage_line(samples.refused().first_bad, 300, short=True)
    assert stage_line(samples.BACKED_UP, short=True) == stage_line(samples.BACKED_UP), (
        "of a good one all is told"
    )
