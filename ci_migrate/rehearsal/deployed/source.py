"""Where a release's files are: a commit of git, laid out in a temporary folder; a folder; a wheel; an environment."""

import os
import shlex
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci_migrate.errors import ToolError, UsageError
from ci_migrate.model import NextCommand, as_hint
from ci_migrate.process import run_tool
from ci_migrate.settings.settings import Settings
from ci_migrate.tempdirs import private_folder

GIT_SECONDS = 120.0
"""How long one call of git may take: a partial clone fetches what a checkout needs."""


@dataclass(frozen=True)
class Source:
    """Where a release is imported from; see `requests.ReleaseModelsRequest`.

    `directory` is where its child starts, `python` its interpreter; None: the project's.
    """

    here: Path
    there: str
    directory: Path
    ahead: tuple[str, ...] = ()
    python: Path | None = None


@dataclass(frozen=True)
class Commit:
    """A release that is a commit. `tree` names all of its files: commits with equal files have the same one."""

    name: str
    commit: str
    tree: str


def root_of(settings: Settings) -> Path:
    """The checkout that the project stands in; its own folder where it is none."""
    try:
        root = Path(git(settings.project_dir, "rev-parse", "--show-toplevel"))
    except ToolError:
        return settings.project_dir
    return root if settings.project_dir.is_relative_to(root) else settings.project_dir


def find_commit(settings: Settings, ref: str) -> Commit:
    """The commit of a git ref.

    Raises:
        UsageError: git knows none, or this is no repository.
    """
    folder = settings.project_dir
    try:
        git(folder, "rev-parse", "--git-dir")
    except ToolError as error:
        raise UsageError(
            f"deployed = {ref!r} names no wheel and no environment, and here is no git repository: {error.what}",
            hint="Name a wheel (.whl) or the folder of an environment, or run it in a checkout.",
        ) from error
    try:
        # `^{commit}`: of an annotated tag that what it names
        found = git(folder, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}", "--")
        commit = found.splitlines()[0]
        return Commit(ref, commit, git(folder, "rev-parse", "--verify", f"{commit}^{{tree}}"))
    except ToolError as error:
        name = shlex.quote(ref.removeprefix("origin/"))
        raise UsageError(
            f"deployed = {ref!r}: git knows no such commit here.",
            hint=as_hint(
                NextCommand(command=f"git fetch --depth=1 origin tag {name}", why="a tag"),
                NextCommand(command=f"git fetch --depth=1 origin {name}", why="a commit or a branch"),
            ),
        ) from error


@contextmanager
def laid_out(settings: Settings, root: Path, commit: Commit) -> Iterator[Source]:
    """A commit's files in a folder of their own, removed when the block is left; by the next run where that is killed.

    By an index of its own: `git worktree` would write into the repository and run its hooks, `git archive` leaves out
    what `.gitattributes` wants in no archive.

    Raises:
        ToolError: git failed.
    """
    with private_folder() as folder:
        there = folder / "release"
        environ = {"GIT_INDEX_FILE": str(folder / "index")}
        git(root, "read-tree", commit.commit, environ=environ)
        git(root, "checkout-index", "--all", "--quiet", f"--prefix={there}/", environ=environ)
        (there / settings.project_dir.relative_to(root)).mkdir(parents=True, exist_ok=True)
        yield Source(root, str(there), settings.project_dir)


@contextmanager
def found_in_files(settings: Settings, root: Path) -> Iterator[Source | None]:
    """What `deployed` names in the file system: a wheel, unpacked; an environment; the project's folder as it was.

    None where it is none of these: a name without a slash is no folder, since branches and folders are called alike.
    """
    name = settings.deployed or ""
    path = settings.project_dir / name
    python = next(
        (p for p in (path / "bin" / "python", path / "Scripts" / "python.exe") if p.is_file()), None
    )
    if python is None and path.is_file() and os.access(path, os.X_OK):
        python = path
    if path.suffix != ".whl" and python is None:
        folder_named = "/" in name and path.is_dir()
        yield Source(settings.project_dir, str(path), settings.project_dir) if folder_named else None
        return
    with private_folder() as folder:
        if python is not None:
            # not in the checkout: `python -m` and an empty entry of `sys.path` would lead there
            yield Source(root, "", folder, python=python)
            return
        try:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)  # it leaves out `..` and roots
        except (OSError, zipfile.BadZipFile) as error:
            raise UsageError(f"deployed = {str(path)!r} can't be read as a wheel: {error}.") from error
        yield Source(root, "", folder, ahead=(str(folder),))


def older_releases(settings: Settings, commit: Commit, most: int) -> list[Commit]:
    """Tags of the history that leads to a release, the newest first, without those of its own commit.

    Raises:
        CiMigrateError: git failed.
    """
    patterns = [f"refs/tags/{pattern}" if pattern != "*" else "refs/tags" for pattern in settings.releases]
    if not patterns:
        return []
    fields = "%(refname:strip=2)%09%(objectname)%09%(*objectname)"
    listed = git(
        settings.project_dir, "for-each-ref", f"--merged={commit.commit}", "--sort=-creatordate",
        f"--format={fields}", "--", *patterns
    )  # fmt: skip
    found: list[Commit] = []
    for line in listed.splitlines():
        name, own, aim = line.split("\t")
        if (aim or own) == commit.commit or len(found) == most:
            continue
        try:
            tree = git(settings.project_dir, "rev-parse", "--verify", f"{aim or own}^{{tree}}")
        except ToolError:  # a tag of a file, say
            continue
        found.append(Commit(name, aim or own, tree))
    return found


def git(folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> str:
    """What git prints, without its hooks, its watcher, and the parts that a sparse checkout leaves out.

    Raises:
        ToolError: it failed, or there is none.
    """
    apart = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.sparseCheckout=false")
    command = ["git", *(word for setting in apart for word in ("-c", setting)), "-C", str(folder), *arguments]
    # models are no large files: nobody waits for a download
    return run_tool(command, env={"GIT_LFS_SKIP_SMUDGE": "1", **(environ or {})}, timeout=GIT_SECONDS).rstrip(
        "\n"
    )
