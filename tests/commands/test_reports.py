"""What every run leaves: standard output, and the files of reports."""

import json

from alembic_project import ended
from junitparser import JUnitXml


def test_json_is_alone_on_standard_output(alembic_project):
    done = alembic_project.call("run", "--json")
    report = json.loads(done.out)
    assert report["exitCode"] == done.code == 0
    assert report == json.loads((alembic_project.reports / "report.json").read_text())
    assert "The database is migrated" in done.err


def test_json_of_a_refusal(alembic_project):
    done = alembic_project.call("run", "--json", "--target", "nowhere")
    assert done.code == json.loads(done.out)["exitCode"] == 2


def test_where_the_reports_go(alembic_project):
    flags = [
        "--report-dir",
        "out",
        "--junit-xml",
        "j/unit.xml",
        "--report",
        "markdown=m.md",
        "--report",
        "json=r.json",
    ]
    ended(alembic_project.call("plan", *flags), 0)
    place = alembic_project.folder
    assert sorted(p.name for p in (place / "out").iterdir()) == [
        "ci-migrate.env",
        "codequality.json",
        "report.html",
        "report.json",
        "report.sarif",
        "suggestions.json",
        "summary.md",
    ]
    assert (place / "r.json").read_text() == (place / "out" / "report.json").read_text()
    assert (place / "m.md").exists()
    assert sum(len(suite) for suite in JUnitXml.fromfile(str(place / "j" / "unit.xml")))


def test_a_report_that_can_not_be_written_is_a_warning(alembic_project):
    alembic_project.reports.parent.mkdir()
    alembic_project.reports.write_text("a file")
    ended(alembic_project.call("run"), 0, "WARNING", "could not be written", "now at r2")
    assert alembic_project.heads == ["r2"]
