"""What a forge shows beside the code: findings that have a file, and the failure of a stage that has one."""

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from ci_migrate.model import Finding, Report, Severity, sha256_hex


class Located(NamedTuple):
    """A finding at its place.

    `fingerprint` does not depend on lines, counts and times: those change from run to run. `failure`: it is the failure
    of a stage, named by the stage.
    """

    finding: Finding
    path: str
    line: int
    fingerprint: str
    failure: bool = False


def locate(report: Report) -> list[Located]:
    """The failure first, then the findings, worst first. Expects a cleaned Report."""
    bad, files = report.first_bad, {r.id: r.file for r in report.plan.revisions} if report.plan else {}
    entries: list[tuple[Finding, str, bool]] = [
        (finding, path, False)
        for finding in report.findings
        if (path := finding.file or files.get(finding.revision or ""))
    ]
    if bad is not None and bad.file and not any(f.refuses and f.file == bad.file for f in report.findings):
        failure = Finding(
            code=bad.stage, name="failed", severity=Severity.ERROR, message=bad.message, line=bad.line
        )
        entries.insert(0, (failure, bad.file, True))
    seen: Counter[str] = Counter()
    found = []
    for finding, file, failed in entries:
        words = re.sub(r"\d+", "", finding.message)
        same = sha256_hex("\0".join((finding.code, file, finding.revision or "", words)).encode())
        seen[same] += 1  # two that differ in numbers alone: told apart by which one comes first
        fingerprint = sha256_hex(f"{same} {seen[same]}".encode())
        found.append(Located(finding, in_repository(report, file), finding.line or 1, fingerprint, failed))
    return found


def in_repository(report: Report, file: str) -> str:
    """The file as the repository names it; the report names it as the project does."""
    return (PurePosixPath(report.folder) / file).as_posix()
