"""Comments and suggestions for reviewdog, which writes them beside the code of a pull request.

The format: https://github.com/reviewdog/reviewdog/blob/master/proto/rdf/reviewdog.proto ("rdjson").
"""

import json
from typing import Any

from ci_migrate.model import Report, Severity
from ci_migrate.reports.clean import clean_report
from ci_migrate.reports.links import page_of
from ci_migrate.reports.located import Located, locate

SEVERITIES = {Severity.ERROR: "ERROR", Severity.WARNING: "WARNING", Severity.INFO: "INFO"}


class ReviewdogReporter:
    """`suggestions.json`: findings that have a file and nobody has accepted, each with what to write instead."""

    format = "rdjson"
    file = "suggestions.json"

    def render(self, report: Report) -> str:
        """One result; its diagnostics are empty where there is nothing to say."""
        found = [item for item in locate(clean_report(report)) if item.finding.acknowledged is None]
        document = {"source": {"name": "ci-migrate"}, "diagnostics": [_diagnostic(item) for item in found]}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _diagnostic(item: Located) -> dict[str, Any]:
    finding = item.finding
    page, first = page_of(finding.code), max(item.line, 1)
    found: dict[str, Any] = {
        "message": "\n".join((f"{finding.name}: {finding.text or finding.name}", *_shown(item))),
        "location": {"path": item.path, "range": {"start": {"line": first}}},
        "severity": SEVERITIES[finding.severity],
        "code": {"value": finding.code} | ({"url": page} if page else {}),
    }
    if finding.replacement is not None:
        # without columns both lines are meant whole, the last one included
        lines = {"start": {"line": first}, "end": {"line": finding.replacement.last_line}}
        found["location"]["range"] = lines
        found["suggestions"] = [{"range": lines, "text": finding.replacement.text}]
    return found


def _shown(item: Located) -> tuple[str, ...]:
    """The code to paste, unless the suggestion says all of it."""
    finding = item.finding
    whole = finding.replacement is not None and "\n\n" not in finding.example
    return () if whole or not finding.pasted else ("```python", *finding.pasted, "```")
