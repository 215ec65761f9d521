"""SARIF 2.1.0, as GitHub's code scanning and editors read it.

The format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/. What GitHub reads of it:
https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning.
"""

import json
from typing import Any
from urllib.parse import quote

from ci_migrate.errors import ExitCode
from ci_migrate.model import Report, Severity
from ci_migrate.reports.clean import clean_report
from ci_migrate.reports.links import page_of
from ci_migrate.reports.located import Located, locate

LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
MOST = 5000
"""Results that GitHub shows of one run; it refuses more than 25,000."""


class SarifReporter:
    """`report.sarif`: findings that have a file, with those that somebody accepted as suppressed."""

    format = "sarif"
    file = "report.sarif"

    def render(self, report: Report) -> str:
        """One run; its results are empty where there is nothing to show, so that old alerts are closed."""
        report = clean_report(report)
        found = locate(report)[:MOST]
        rules = {item.finding.code: item.finding.name for item in found}
        driver = {
            "name": "ci-migrate",
            "version": report.version,
            "rules": [_rule(code, name) for code, name in sorted(rules.items())],
        }
        run = {
            "tool": {"driver": driver},
            # by target: without an id of its own a run for one target would close the alerts of another
            "automationDetails": {"id": f"ci-migrate/{report.target}/"},
            "invocations": [
                {"executionSuccessful": report.exit_code in (ExitCode.OK, ExitCode.REFUSED),
                 "exitCode": int(report.exit_code)}
            ],
            "columnKind": "unicodeCodePoints",
            "results": [_result(item, sorted(rules)) for item in found],
        }  # fmt: skip
        document = {
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str, name: str) -> dict[str, str]:
    rule = {"id": code, "name": name}
    page = page_of(code)
    return rule | {"helpUri": page} if page else rule


def _result(item: Located, rules: list[str]) -> dict[str, Any]:
    finding = item.finding
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rules.index(finding.code),
        "level": LEVELS[finding.severity],
        "message": {"text": finding.text or finding.name},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(item.path), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": max(item.line, 1)},
                }
            }
        ],
        "partialFingerprints": {"ciMigrateFinding/v1": item.fingerprint},
    }
    if finding.acknowledged is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.acknowledged}]
    return result
