"""GitLab's code quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""

import json
import re
from collections import Counter
from typing import Any

from ci_migrate.model import Finding, Report, Severity, sha256_hex
from ci_migrate.reports.clean import clean_report

SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


class CodeQualityReporter:
    """`codequality.json`: findings that have a file, and the failure of a stage that has one."""

    format = "codequality"
    file = "codequality.json"

    def render(self, report: Report) -> str:
        """A JSON array; empty where there is nothing to show."""
        report = clean_report(report)
        bad, files = report.first_bad, {r.id: r.file for r in report.plan.revisions} if report.plan else {}
        entries = [
            _entry(f, path, SEVERITIES[f.severity] if f.acknowledged is None else "info")
            for f in report.findings
            if (path := f.file or files.get(f.revision or ""))
        ]
        if (
            bad is not None
            and bad.file
            and not any(f.refuses and f.file == bad.file for f in report.findings)
        ):
            failure = Finding(
                code=bad.stage, name="failed", severity=Severity.ERROR, message=bad.message, line=bad.line
            )
            entries.insert(0, _entry(failure, bad.file, "blocker"))
        seen: Counter[str] = Counter()
        for entry in entries:  # two that differ in numbers alone: told apart by which one comes first
            seen[entry["fingerprint"]] += 1
            entry["fingerprint"] = sha256_hex(f"{entry['fingerprint']} {seen[entry['fingerprint']]}".encode())
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _entry(finding: Finding, path: str, severity: str) -> dict[str, Any]:
    """One finding. Its fingerprint does not depend on lines, counts and times: those change from run to run."""
    words = re.sub(r"\d+", "", finding.message)
    return {
        "description": f"{finding.code} {finding.name}: {finding.message}",
        "check_name": finding.code,
        "fingerprint": sha256_hex("\0".join((finding.code, path, finding.revision or "", words)).encode()),
        "severity": severity,
        "location": {"path": path, "lines": {"begin": finding.line or 1}},
    }
