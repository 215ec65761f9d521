"""GitLab's code quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

import json
from typing import Any

from ci_migrate.model import Report, Severity
from ci_migrate.reports.clean import clean_report
from ci_migrate.reports.located import Located, locate

SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


class CodeQualityReporter:
    """`codequality.json`: findings that have a file, and the failure of a stage that has one."""

    format = "codequality"
    file = "codequality.json"

    def render(self, report: Report) -> str:
        """A JSON array; empty where there is nothing to show."""
        entries = [_entry(item) for item in locate(clean_report(report))]
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _entry(item: Located) -> dict[str, Any]:
    finding = item.finding
    severity = "blocker" if item.failure else SEVERITIES[finding.severity]
    return {
        "description": f"{finding.code} {finding.name}: {finding.text}",
        "check_name": finding.code,
        "fingerprint": item.fingerprint,
        "severity": "info" if finding.acknowledged is not None else severity,
        "location": {"path": item.path, "lines": {"begin": item.line}},
    }
