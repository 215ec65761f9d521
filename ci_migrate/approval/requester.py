"""Who asks for an approval, and for which commit, as the CI tells."""

from collections.abc import Mapping

ACTOR = "CI_MIGRATE_ACTOR"
"""Whom the HTTP service works for; set by it for its children."""

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


def commit_of(environ: Mapping[str, str]) -> str | None:
    """The commit that this job has checked out, as GitHub and GitLab tell; None where neither does."""
    return environ.get("GITHUB_SHA") or environ.get("CI_COMMIT_SHA") or None
