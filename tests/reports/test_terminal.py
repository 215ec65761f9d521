import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ci_migrate.model import TargetState
from ci_migrate.reports.terminal import render_text, stage_line


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
