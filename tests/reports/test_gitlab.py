"""GitLab's code quality report."""

import json

from msgspec.structs import replace

from ci_migrate.model import Finding, Severity
from ci_migrate.reports.gitlab import CodeQualityReporter


def entries(report):
    return json.loads(CodeQualityReporter().render(report))


def test_each_entry_has_what_gitlab_wants(sample) -> None:
    found = entries(sample)
    for entry in found:
        assert {"description", "check_name", "fingerprint", "severity", "location"} == entry.keys()
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert not entry["location"]["path"].startswith("/")
        assert entry["location"]["lines"]["begin"] >= 1
    assert len({entry["fingerprint"] for entry in found}) == len(found)
    bad = sample.first_bad
    if bad is not None and bad.file and bad.file.isprintable():
        assert found[0]["location"]["path"] == bad.file


def test_fingerprints_stay_when_lines_and_counts_change(samples) -> None:
    def report(line: int, rows: int):
        green = samples.ALL["green"]()
        finding = Finding(
            code="CM201", name="table-dropped", severity=Severity.ERROR, message=f"notes had {rows} rows",
            revision="3f2a", file="versions/3f2a.py", line=line,
        )  # fmt: skip
        return replace(
            green, results=(replace(green.results[0], findings=(finding, finding)), *green.results[1:])
        )

    first, second = entries(report(3, 10)), entries(report(7, 12))
    assert [e["fingerprint"] for e in first] == [e["fingerprint"] for e in second]
    assert first[0]["fingerprint"] != first[1]["fingerprint"]
