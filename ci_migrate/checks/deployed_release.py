"""CM701 to CM706: the release that runs now, by its models, does not work on the migrated database."""

from collections.abc import Iterable
from functools import partial

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, MisfitKind, Severity

_FIXES = {
    MisfitKind.GONE: "Keep it until no release runs that names it, and drop it then; to rename, add the new one first "
    "and fill both.",
    MisfitKind.REQUIRED: "Give it a server_default, or let it be NULL, until each release that runs sets it.",
    MisfitKind.TYPE: "Add a column of the new type beside it, and change over in a later release.",
    MisfitKind.NULL: "Deploy a release first that reads NULL, and let the column take one then.",
    MisfitKind.CONSTRAINT: "Deploy a release first that writes nothing else.",
}


def _find(check: Check, facts: Facts, kind: MisfitKind) -> Iterable[Finding]:
    release = facts.evidence.release if facts.evidence is not None else None
    if release is None:
        return
    for misfit in release.misfits:
        if misfit.kind is kind:
            yield check.finding(
                f"Release {release.deployed} runs until the deploy is through: {misfit.words}.",
                fix=_FIXES[kind],
                severity=None if misfit.certain else Severity.WARNING,
                revision=misfit.revision,
                file=misfit.file,
                line=misfit.line,
            )


def find_unknown(check: Check, facts: Facts) -> Iterable[Finding]:
    """An error: somebody asked for the comparison, and there is none."""
    release = facts.evidence.release if facts.evidence is not None else None
    if release is not None and release.unknown:
        yield check.finding(
            f"Nobody knows whether the deployed release works on the migrated copy: {release.unknown}",
            fix=release.remedy,
        )


def _check(code: str, name: str, kind: MisfitKind, severity: Severity = Severity.ERROR) -> Check:
    return Check(code, name, severity, measured=True, find=partial(_find, kind=kind))


GONE = _check("CM701", "deployed-names-what-is-gone", MisfitKind.GONE)
REQUIRED = _check("CM702", "deployed-inserts-fail", MisfitKind.REQUIRED)
TYPE = _check("CM703", "deployed-types-changed", MisfitKind.TYPE)
CONSTRAINT = _check("CM704", "deployed-meets-constraint", MisfitKind.CONSTRAINT, Severity.WARNING)
NULL = _check("CM706", "deployed-meets-null", MisfitKind.NULL, Severity.WARNING)
UNKNOWN = Check("CM705", "deployed-not-compared", Severity.ERROR, measured=True, find=find_unknown)
