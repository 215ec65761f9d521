"""Comments and suggestions for reviewdog."""

import json

from msgspec.structs import replace

from ci_migrate.model import Finding, Replacement, Severity
from ci_migrate.reports.reviewdog import ReviewdogReporter


def diagnostics(report):
    return json.loads(ReviewdogReporter().render(report))["diagnostics"]


def with_findings(samples, *findings: Finding):
    green = samples.ALL["green"]()
    return replace(green, results=(replace(green.results[0], findings=findings), *green.results[1:]))


def finding(**more: object) -> Finding:
    fields = {
        "code": "CM301",
        "name": "lock",
        "severity": Severity.INFO,
        "message": "It waits.",
        "file": "r.py",
        "line": 8,
    }
    return Finding(**{**fields, **more})


def test_each_one_has_what_reviewdog_wants(sample) -> None:
    for one in diagnostics(sample):
        assert {"message", "location", "severity", "code"} <= one.keys()
        assert one["severity"] in ("ERROR", "WARNING", "INFO")
        assert not one["location"]["path"].startswith("/")
        assert one["location"]["range"]["start"]["line"] >= 1


def test_lines_that_can_be_replaced_are(samples) -> None:
    text = "    with op.get_context().autocommit_block():\n        op.create_index()"
    whole = finding(example="with ...", replacement=Replacement(last_line=10, text=text))
    (found,) = diagnostics(with_findings(samples, whole))
    lines = {"start": {"line": 8}, "end": {"line": 10}}
    assert found["location"]["range"] == lines
    assert found["suggestions"] == [{"range": lines, "text": text}]
    assert "```" not in found["message"], "the suggestion says it"
    (part,) = diagnostics(
        with_findings(samples, replace(whole, example="with ...\n\n# in the next revision\nop.execute()"))
    )
    assert "# in the next revision" in part["message"]


def test_what_can_only_be_pasted_is_in_the_words(samples) -> None:
    (found,) = diagnostics(with_findings(samples, finding(example="ci_migrate = {}", fix="Say so:")))
    assert found["message"] == "lock: It waits. Say so:\n```python\nci_migrate = {}\n```"
    assert "suggestions" not in found


def test_what_somebody_means_is_no_comment(samples) -> None:
    assert diagnostics(with_findings(samples, finding(acknowledged="it is meant"))) == []
