"""Who asks for an approval, and for which commit, as the CI tells."""

import getpass
from collections.abc import Mapping

ACTOR = "CI_MIGRATE_ACTOR"
"""Whom the HTTP service works for; set by it for its children."""

_CI_JOBS = (
    "CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TF_BUILD", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID",
    "BUILDKITE",
)  # fmt: skip
"""What a CI sets in its jobs; not all of them set CI."""

_ACTORS = (
    ACTOR,
    "GITHUB_ACTOR",
    "GITHUB_TRIGGERING_ACTOR",
    "GITLAB_USER_LOGIN",
    "GITLAB_USER_EMAIL",
    "GITLAB_USER_NAME",
)


def actors(environ: Mapping[str, str]) -> frozenset[str]:
    """Who started this job, as GitHub, GitLab and our own HTTP service tell, by all their names, case folded."""
    return frozenset(environ[name].strip().casefold() for name in _ACTORS if environ.get(name, "").strip())


def in_ci(environ: Mapping[str, str]) -> bool:
    """Whether this is a CI's job."""
    return any(environ.get(name, "").lower() not in ("", "0", "false") for name in _CI_JOBS)


def starters(environ: Mapping[str, str]) -> frozenset[str]:
    """As `actors`; on a machine that is no CI its user. Empty where a CI does not tell: then it could be anybody."""
    found = actors(environ)
    if found or in_ci(environ):
        return found
    try:
        return frozenset({getpass.getuser().casefold()})
    except (KeyError, OSError):
        return frozenset()


def commit_of(environ: Mapping[str, str]) -> str | None:
    """The commit that this job has checked out, as GitHub and GitLab tell; None where neither does."""
    return environ.get("GITHUB_SHA") or environ.get("CI_COMMIT_SHA") or None
