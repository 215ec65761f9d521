"""JUnit XML, as GitHub's actions, GitLab and Jenkins really read it (see docs/reports.md).

junit-xml gives the model; its tree is mended and serialised here, since it drops a time of 0, writes an
attribute that Jenkins' schema lacks, and stops on characters that XML can't hold.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from xml.etree import ElementTree as ET

from junit_xml import TestCase, TestSuite

from ci_migrate.errors import EXIT_CODE_MEANING
from ci_migrate.model import Finding, Outcome, Report, StageResult, Statement
from ci_migrate.reports.clean import clean_report, one_line, plan_digest
from ci_migrate.reports.located import in_repository
from ci_migrate.reports.story import (
    failing_sql,
    finding_name,
    finding_weight,
    first_line,
    message_rest,
    next_lines,
    place,
    state_sentence,
)


class JUnitReporter:
    """One flat level of suites: the stages, the findings, the revisions of the dry run."""

    format = "junit"
    file = "junit.xml"

    def render(self, report: Report) -> str:
        """The XML document."""
        # before the text is cleaned: an approval binds the plan as it is
        digest = plan_digest(report)
        report = clean_report(report)
        name = f"ci-migrate.{one_line(report.target)}"
        suites = [
            TestSuite(
                name,
                list(_stage_cases(report, name)),
                properties=_properties(report, digest),
                timestamp=report.started.strftime("%Y-%m-%dT%H:%M:%S"),
                stdout="\n".join(f"warning: {warning}" for warning in report.warnings),
            )
        ]
        for suite, cases in (
            (f"{name}.checks", _finding_cases(report, f"{name}.checks")),
            (f"{name}.dry-run", _revision_cases(report, f"{name}.dry-run")),
        ):
            found = list(cases)
            if found:
                suites.append(TestSuite(suite, found))
        return document(suites)


# --------------------------------------------------------------------------- the three suites


def _stage_cases(report: Report, suite: str) -> Iterator[TestCase]:
    said_no = False
    for result in report.results:
        case = make_case(result.stage, suite, result.seconds, _link(report, result.file), result.line)
        kind = f"ci_migrate.{result.stage.replace('-', '_')}"
        said_no = said_no or result.outcome in (Outcome.FAILED, Outcome.ERROR)
        if result.outcome is Outcome.PASSED:
            case.stdout = result.message
        else:
            settle(case, result.outcome, first_line(result), kind, _stage_text(result, report))
        yield case
    if report.exit_code and not said_no:
        # interrupted between two stages, say: a red run must never look green
        case = make_case("run", suite, 0.0)
        text = state_sentence(report)
        settle(
            case,
            Outcome.ERROR,
            f"the run ended: {EXIT_CODE_MEANING[report.exit_code]}",
            "ci_migrate.run",
            text,
        )
        yield case


def _stage_text(result: StageResult, report: Report) -> str:
    said = "\n".join([first_line(result), *message_rest(result)])
    parts = [said, place(result.file, result.line)]
    if result is report.first_bad:
        parts.append(failing_sql(report))
    parts.append(result.details)
    if result.outcome is not Outcome.SKIPPED:
        parts += [result.diagnosis.words if result.diagnosis else "", state_sentence(report)]
        parts.append("\n".join(next_lines(report)))
    return "\n\n".join(part for part in parts if part)


def _finding_cases(report: Report, suite: str) -> Iterator[TestCase]:
    """One case per code and revision: two tables dropped by one revision are one case; names are unique."""
    grouped: dict[str, list[Finding]] = {}
    for finding in report.findings:  # the refusing ones come first
        grouped.setdefault(finding_name(finding), []).append(finding)
    for name, findings in grouped.items():
        worst = findings[0]
        case = make_case(name, suite, 0.0, _link(report, worst.file), worst.line)
        text = "\n".join(_finding_text(finding) for finding in findings)
        if worst.refuses:
            settle(case, Outcome.FAILED, worst.message, f"ci_migrate.checks.{worst.code}", text)
        else:
            case.stdout = text
        yield case


def _finding_text(finding: Finding) -> str:
    where = place(finding.file, finding.line)
    reason = f" (reason: {finding.acknowledged})" if finding.acknowledged is not None else ""
    lines = [f"{finding_weight(finding)}: {finding.text}{reason}", where, *finding.pasted]
    return "\n".join(line for line in lines if line)


def _revision_cases(report: Report, suite: str) -> Iterator[TestCase]:
    plan, dry_run = report.plan, report.result("dry-run")
    if plan is None or dry_run is None:
        return
    order = [(c, revision) for c, context in enumerate(plan.contexts) for revision in context.revisions]
    files = {revision.id: revision.file for revision in plan.revisions}
    sent: dict[tuple[int, str | None], list[Statement]] = defaultdict(list)
    for statement in dry_run.evidence.statements if dry_run.evidence else ():
        sent[statement.context, statement.revision].append(statement)
    done = _done(order, dry_run)
    failing = _failing(order[done:], files, sent.keys(), dry_run)
    reached = order.index(failing) + 1 if failing else done
    for index, key in enumerate(order):
        context, revision_id = key
        name = f"{plan.direction.value}[{revision_id}]"
        if len(plan.contexts) > 1:  # the same revision runs once per tenant
            name += f" {plan.contexts[context].version_table.label}"
        line = next((s.line for s in sent[key] if s.line), 1)
        case = make_case(
            name, suite, sum(s.seconds for s in sent[key]), _link(report, files.get(revision_id)), line
        )
        case.stdout = _floor_after(dry_run, revision_id)
        if key == failing:
            case.line = dry_run.line or case.line
            text = _stage_text(dry_run, report)
            settle(case, dry_run.outcome, first_line(dry_run), "ci_migrate.dry_run.revision", text)
        elif index >= reached:
            reason = (
                first_line(dry_run) if dry_run.outcome is Outcome.SKIPPED else "the dry run ended before it"
            )
            settle(case, Outcome.SKIPPED, reason, "", reason)
        yield case


def _floor_after(dry_run: StageResult, revision: str) -> str:
    """Which older releases work after a revision, where somebody asked."""
    release = dry_run.evidence.release if dry_run.evidence else None
    if release is None or release.unknown:
        return ""
    floor = release.floors.get(revision, "")
    return f"rollback floor: {floor or 'nothing before its own release'}"


def _done(order: list[tuple[int, str]], dry_run: StageResult) -> int:
    """How many revisions of the order are known to have been committed by the dry run."""
    if dry_run.outcome is Outcome.PASSED:
        return len(order)
    evidence = dry_run.evidence
    complete = {(r.context, r.revision) for r in evidence.commit_points if r.complete} if evidence else set()
    # one transaction around all revisions commits once: those before the committed one ran as well
    return max((index + 1 for index, key in enumerate(order) if key in complete), default=0)


def _failing(
    rest: list[tuple[int, str]],
    files: Mapping[str, str],
    sent: Collection[tuple[int, str | None]],
    dry_run: StageResult,
) -> tuple[int, str] | None:
    """Which of the uncommitted revisions the dry run failed in; None where none of them did."""
    if dry_run.outcome is Outcome.SKIPPED:
        return None
    pointed_at = [key for key in rest if dry_run.file and files.get(key[1]) == dry_run.file]
    begun = [key for key in rest if key in sent]
    both = [key for key in pointed_at if key in sent]
    # one that fails before its first statement is only pointed at; in a loop over tenants all of a file's are
    return next((keys[index] for keys, index in ((both, -1), (pointed_at, 0), (begun, -1)) if keys), None)


def _properties(report: Report, digest: str) -> dict[str, str]:
    evidence, backup = report.evidence, report.backup
    known = {
        "run-id": report.run_id,
        "command": report.command,
        "database": report.place,
        "exit-code": str(int(report.exit_code)),
        "state": report.state.value,
        "plan-digest": digest,
        "backup-id": backup.backup_id if backup else "",
        "ci-migrate-version": report.version,
        "rollback-floor": evidence.release.words if evidence and evidence.release else "",
        "alembic-version": evidence.alembic_version if evidence else "",
        "sqlalchemy-version": evidence.sqlalchemy_version if evidence else "",
        "engine-version": backup.engine_version if backup else "",
        "backup-tool-version": backup.tool_version if backup else "",
    }
    return {name: one_line(value) for name, value in known.items() if value}


# --------------------------------------------------------------------------- cases and the document


def make_case(
    name: str, suite: str, seconds: float, file: str | None = None, line: int | None = None
) -> TestCase:
    """A case with the seconds that it took; `file` is as forges link it."""
    case = TestCase(one_line(name), suite, elapsed_sec=seconds)
    if file:
        case.file = file
        case.line = line if line and line > 0 else None
    return case


def _link(report: Report, file: str | None) -> str | None:
    """The file as forges link it: POSIX, relative to the repository; one outside of the project can't be linked."""
    if not file:
        return None
    path = PurePosixPath(one_line(file).replace("\\", "/"))
    return None if path.is_absolute() or PureWindowsPath(path).drive else in_repository(report, str(path))


def settle(case: TestCase, outcome: Outcome, message: str, kind: str, text: str) -> None:
    """Give the case its outcome, always with a text: without one junit-xml writes a failure as passed."""
    message = one_line(message) or f"{case.name}: no reason given"
    text = text.strip() or message
    if outcome is Outcome.FAILED:
        case.add_failure_info(message, text, kind)
    elif outcome is Outcome.ERROR:
        case.add_error_info(message, text, kind)
    else:
        case.add_skipped_info(message, text)


def document(suites: list[TestSuite], *, apart: bool = False) -> str:
    """The XML of these suites. `apart`: their times add up; else the others are parts of the first."""
    root = ET.Element("testsuites", name="ci-migrate")
    for suite in suites:
        element = suite.build_xml_doc()
        element.attrib.pop("disabled", None)  # not in Jenkins' schema
        for case, node in zip(suite.test_cases, element.iter("testcase"), strict=True):
            node.set("time", f"{case.elapsed_sec:.3f}")  # junit-xml leaves 0 out
            for skipped in node.iter("skipped"):
                skipped.set("type", "ci_migrate.skipped")
        element.set("time", f"{sum(case.elapsed_sec for case in suite.test_cases):.3f}")
        root.append(element)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(element.get(key, "0")) for element in root)))
    times = [float(element.get("time", "0")) for element in root]
    root.set("time", f"{sum(times) if apart else times[0]:.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
