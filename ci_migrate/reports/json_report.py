"""JSON for machines: the whole Report, with what a script asks first at the top. Its schema is published."""

import inspect
import json
from typing import Any

import msgspec

from ci_migrate.model import Frozen, NextCommand, Report, TargetState
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean_report, plan_digest
from ci_migrate.reports.failure import Failure, ReportedFinding, failure_of_report, report_findings


class JsonReport(Frozen, frozen=True, kw_only=True):
    """What `report.json` holds. `planDigest` is what an approval is given for, "" where there is no plan.

    `next` is what a person can type next, the best first; () where there is nothing to do. `failure` is null where the
    exit code is 0.
    """

    format: int = 1
    exit_code: int
    state: TargetState
    plan_digest: str
    next: tuple[NextCommand, ...] = ()
    failure: Failure | None = None
    findings: tuple[ReportedFinding, ...]
    report: Report


class JsonReporter:
    """`report.json`: the same Report gives the same bytes."""

    format = "json"
    file = "report.json"

    def render(self, report: Report) -> str:
        """The JSON document, indented, ending with a new line."""
        cleaned = clean_report(report)
        document = JsonReport(
            exit_code=int(report.exit_code),
            state=report.state,
            plan_digest=plan_digest(report),
            next=story.all_next_commands(cleaned),
            failure=failure_of_report(cleaned),
            findings=report_findings(cleaned),
            report=cleaned,
        )
        # without names for what is between: of a database with thousands of tables each is some ten MB
        return (
            msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=2).decode()
            + "\n"
        )


def schema() -> bytes:
    """The JSON Schema (2020-12) of `report.json`; docs/report.schema.json holds the same bytes."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The report.json of ci-migrate",
        **_without_indents(msgspec.json.schema(JsonReport)),
    }
    return json.dumps(described, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _without_indents(part: Any) -> Any:
    """The same with clean docstrings: msgspec takes their indents away since 0.23, and kept them before."""
    if isinstance(part, dict):
        return {
            name: inspect.cleandoc(value)
            if name == "description" and isinstance(value, str)
            else _without_indents(value)
            for name, value in part.items()
        }
    return [_without_indents(item) for item in part] if isinstance(part, list) else part
