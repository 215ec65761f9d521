"""A red run says the same in each format: revision, file and line, statement, reason, fix, state of the database."""

import html
import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

from ci_migrate.model import Report
from ci_migrate.reports import story
from ci_migrate.reports.github import annotations
from ci_migrate.reports.html import HtmlReporter
from ci_migrate.reports.json_report import JsonReport
from ci_migrate.reports.junit import JUnitReporter
from ci_migrate.reports.markdown import MarkdownReporter
from ci_migrate.reports.terminal import render_text


def facts_of(report: Report) -> dict[str, str]:
    bad, revision = report.first_bad, story.failing_revision(report)
    assert bad is not None
    assert revision is not None
    (command, *_) = story.next_commands(report)
    return {
        "revision": revision.id,
        "file": bad.file or "",
        "line": str(bad.line),
        "statement": story.failing_sql(report),
        "reason": story.first_line(bad),
        "fix": command.command,
        "state": story.state_sentence(report),
    }


def plain(text: str) -> str:
    """Without line breaks, markup and escapes, as a reader sees it."""
    return re.sub(r"\s+", " ", text.replace("\\", ""))


def junit_failure(report: Report) -> str:
    cases = ET.fromstring(JUnitReporter().render(report)).iter("testcase")
    case = next(case for case in cases if case.find("failure") is not None)
    return f"{case.get('file')} {case.get('line')} {ET.tostring(case, encoding='unicode', method='text')}"


FORMATS = {
    "terminal": lambda r: render_text(r, 1000),
    "markdown": lambda r: MarkdownReporter().render(r),
    "annotation": lambda r: annotations(r)[0].replace("%0A", " "),
    "junit": junit_failure,
    "html": lambda r: html.unescape(re.sub("<[^>]+>", " ", HtmlReporter().render(r))),
}


def assert_same_facts(report: Report) -> None:
    facts = facts_of(report)
    assert all(facts.values()), facts
    for name, render in FORMATS.items():
        told = plain(render(report))
        for fact, words in facts.items():
            assert plain(words) in told, f"{name} does not tell the {fact}: {words}"


@pytest.mark.parametrize("name", ["dry_run_failed", "failed_and_repaired", "dirty"])
def test_the_same_facts_everywhere(samples, name) -> None:
    assert_same_facts(samples.ALL[name]())


def test_the_same_facts_of_a_real_run(alembic_project) -> None:
    project = alembic_project
    assert project.call("run").code == 0
    project.sql("insert into users values (1, 'ana', 'a@example.com'), (2, 'bob', 'a@example.com')")
    project.revision(
        "r3", "r2", 'op.create_index("ix_mail", "users", ["email"], unique=True)', message="unique mail"
    )
    done = project.call("run", env={"GITHUB_ACTIONS": "true"})
    assert done.code == 1
    text = (project.reports / "report.json").read_bytes()
    report = msgspec.json.decode(text, type=JsonReport).report
    assert_same_facts(report)
    facts = facts_of(report)
    assert facts["statement"] == "CREATE UNIQUE INDEX ix_mail ON users (email)"
    assert facts["fix"] == "ci-migrate dry-run --target dev"
    assert "site-packages/alembic" not in report.first_bad.details, (
        "how Alembic got there is the same each time"
    )
    assert 'op.create_index("ix_mail"' in report.first_bad.details
