"""Who may approve: named in the ledger, else by `CI_MIGRATE_TRUST`.

The repository is no place for it: its author could name themselves.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ci_migrate.approval.requester import in_ci
from ci_migrate.approval.signers import Signer
from ci_migrate.errors import NotApprovedError

VARIABLE = "CI_MIGRATE_TRUST"
_LIMIT = 256 * 1024
_LINKS = 40
_WORK_TREES = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Who may approve; from the ledger or CI_MIGRATE_TRUST, never from the repository.

    `revoked` are fingerprints of keys (`SHA256:...`) that count no more, whoever they belong to.
    """

    signers: tuple[Signer, ...]
    revoked: frozenset[str] = frozenset()
    min_approvals: int = 1
    forbid_self_approval: bool = False


def trust_lines(environ: Mapping[str, str], project: Path) -> tuple[str, ...]:
    """The allowed-signers lines of `CI_MIGRATE_TRUST`; () where it is not set.

    Args:
        environ: the variable holds the lines themselves, or the absolute path of a file with them.
        project: a folder of the repository.

    Raises:
        NotApprovedError: no approver is named; the file can't be read, lies in the working tree, is reached
            through it, or others may change it.
    """
    value = environ.get(VARIABLE, "").strip()
    if not value:
        return ()
    if not value.startswith("/"):
        if " " not in value:  # a relative path would be one of the repository
            raise NotApprovedError(
                f"{VARIABLE} holds neither lines of approvers nor an absolute path.", hint=_HINT
            )
        return _some(value, "it")
    refuse_file(Path(value), work_trees(environ, project))
    try:
        with Path(value).open(encoding="utf-8") as file:
            return _some(file.read(_LIMIT + 1), value)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NotApprovedError(f"{VARIABLE}: {value} can't be read: {why}.", hint=_HINT) from error


_HINT = f"Put the approvers' lines into a protected variable {VARIABLE}, or into a file that root owns."


def _some(text: str, where: str) -> tuple[str, ...]:
    """The lines; that somebody names approvers, and none is there, never means that none is needed."""
    lines = _lines(text)
    if not lines:
        raise NotApprovedError(f"{VARIABLE}: {where} names no approver.", hint=_HINT)
    if len(text) > _LIMIT:
        raise NotApprovedError(f"{VARIABLE}: {where} is longer than {_LIMIT} characters.", hint=_HINT)
    return lines


def _lines(text: str) -> tuple[str, ...]:
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def work_trees(environ: Mapping[str, str], project: Path) -> frozenset[Path]:
    """The folders that the repository's author fills: the project's repository and the CI's checkout."""
    found = {project.resolve()}
    found |= {Path(environ[name]).resolve() for name in _WORK_TREES if environ.get(name)}
    for folder in (project.resolve(), *project.resolve().parents):
        if (folder / ".git").exists():
            found.add(folder)
    return frozenset(found - {Path("/")})


def dies_with_job(environ: Mapping[str, str], project: Path, place: Path) -> bool:
    """Whether a place is in the checkout of a CI's job, which is thrown away."""
    return in_ci(environ) and any(tree in place.resolve().parents for tree in work_trees(environ, project))


def refuse_file(path: Path, trees: frozenset[Path]) -> None:
    """Raise NotApprovedError where somebody but this account and root decides what a file of approvers says.

    Every link on the way is looked at, and every folder: links themselves are fine (Kubernetes mounts secrets so),
    one that lies in the working tree is not.
    """
    try:
        for place in _ways(path):
            inside = next((tree for tree in trees if place == tree or tree in place.parents), None)
            if inside is not None:
                raise NotApprovedError(
                    f"{VARIABLE}: {path} lies in, or is reached through, the working tree {inside}.",
                    hint=_HINT,
                )
            _refuse_place(path, place)
    except OSError as error:
        raise NotApprovedError(f"{VARIABLE}: {path} can't be read: {error.strerror}.", hint=_HINT) from error


def _refuse_place(path: Path, place: Path) -> None:
    status = place.lstat()
    if status.st_uid not in (0, os.geteuid()):
        raise NotApprovedError(f"{VARIABLE}: {place} belongs to another user than this one.", hint=_HINT)
    if place.is_symlink():
        return
    # in a sticky folder others can add files, and neither remove nor replace this one
    sticky = place.is_dir() and status.st_mode & 0o1000
    if status.st_mode & 0o022 and not sticky:
        what = f"{place} is" if place != path else "it is"
        raise NotApprovedError(f"{VARIABLE}: {path}: {what} writable by other users.", hint=_HINT)


def _ways(path: Path) -> Iterator[Path]:
    """Each folder, link and file that is met on the way to a file, in order. Raises OSError."""
    left = list(reversed(Path(os.path.normpath(path)).parts[1:]))
    here, links = Path("/"), 0
    while left:
        here = here / left.pop()
        yield here
        if not here.is_symlink():
            continue
        links += 1
        if links > _LINKS:
            raise OSError(40, "Too many levels of links")
        target = Path(os.path.normpath(here.parent / here.readlink()))
        left += reversed(target.parts[1:])
        here = Path("/")
