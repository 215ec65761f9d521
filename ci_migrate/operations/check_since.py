"""`check --since REF`: what a branch adds to the history, by git alone; no database is reached, env.py is not run."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from ci_migrate import __version__
from ci_migrate.backups.owner import Owner
from ci_migrate.checks.base import Facts, Grading, run_checks
from ci_migrate.checks.edited_after_applied import CHECK as EDITED
from ci_migrate.checks.edited_after_applied import accept_baselines
from ci_migrate.checks.without_data import told_without_data
from ci_migrate.errors import CiMigrateError, ToolError, UsageError
from ci_migrate.migrations import events
from ci_migrate.migrations.code import code_digest
from ci_migrate.migrations.graph import baselines_in, build_plan, graph_of, heads_after, relative
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.requests import project_setup
from ci_migrate.migrations.runner import Workers
from ci_migrate.migrations.script import asked_of
from ci_migrate.migrations.worker.tokens import MYSQL, Dialect, dialect_of
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Direction,
    Finding,
    Identity,
    NextCommand,
    Outcome,
    Plan,
    PlannedContext,
    Report,
    StageResult,
    TargetState,
    VersionTable,
    as_hint,
    now,
    show_heads,
)
from ci_migrate.plugins import manager as plugins
from ci_migrate.process import run_tool
from ci_migrate.session import new_run_id, open_catalog
from ci_migrate.settings.settings import Settings

_REVISION = re.compile(r"""^revision\b[^=\n]*=\s*["']([^"'\n]+)""", re.MULTILINE)

_ENGINE = re.compile(r"\b(postgresql|mysql|mariadb|sqlite)(?=_|\.|\b)")
"""`from sqlalchemy.dialects import postgresql`, `postgresql_using="gin"`: by what scripts themselves say."""

AT_A_TIME = 100
"""Files that git is asked about in one call."""


@dataclass(frozen=True)
class Changed:
    """The revision scripts that a branch adds or edits, by their ids; `base` is the commit that it left REF at.

    `gone` are those that it takes away, each with the file that it was in.
    """

    base: str
    new: frozenset[str]
    edited: frozenset[str]
    gone: Mapping[str, str]


def check_since(
    settings: Settings,
    ref: str,
    interrupt: Interrupt | None = None,
    *,
    workers: Workers | None = None,
    backup: Callable[[], Backup | None] | None = None,
) -> Report:
    """The report of a stage `check` on what is new since a commit.

    Args:
        settings: of any target.
        ref: the commit.
        interrupt: set by signal handlers.
        workers: what loads the scripts, where there is something that does already.
        backup: finds the last backup; by default `last_backup` of the settings.

    Raises:
        UsageError: git does not know the commit, or this is no repository.
        CiMigrateError: the scripts can't be loaded.
    """
    started = time.monotonic()
    manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
    with nullcontext(workers) if workers is not None else Workers(launch(settings), interrupt) as loading:
        graph = graph_of(loading, project_setup(settings, Direction.UPGRADE, settings.to))
    changed = find_changes(graph.revisions, settings.project_dir, ref)
    by_id = {r.id: r for r in graph.revisions}
    # Alembic lists the newest first
    order = [r.id for r in reversed(graph.revisions) if r.id in changed.new]
    old = [r.id for r in graph.revisions if r.id not in changed.new]
    context = PlannedContext(
        version_table=VersionTable(),
        from_heads=heads_after(by_id, (), old, Direction.UPGRADE),
        to_heads=heads_after(by_id, old, order, Direction.UPGRADE),
        revisions=tuple(order),
    )
    plan = build_plan(
        graph,
        [context],
        target=settings.target,
        identity=Identity(dialect="", place="no database", facts={}),
        direction=Direction.UPGRADE,
        destination="head" if settings.to == "head" else settings.to,
        project=settings.project_dir,
    )
    facts = Facts(plan=plan, require_downgrade=settings.require_downgrade)
    checks = plugins.unique(plugins.collect(manager, "ci_migrate_checks", settings=settings), "code")
    grading = Grading.of(settings.checks, settings.allow, plan)
    baselines = baselines_in(graph)
    squashed = {revision for one, ids in baselines.items() if one in changed.edited for revision in ids}
    gone = {revision: name for revision, name in changed.gone.items() if revision not in squashed}
    edited = _edited_findings(by_id, replace(changed, gone=gone), settings.project_dir, ref)
    graded = map(grading.apply, accept_baselines(edited, baselines))
    counted = (backup or partial(last_backup, settings))() if order else None
    told = (grading.apply(f) for f in _told(settings, plan, counted))
    findings = (
        *(f for f in graded if f is not None),
        *(f for f in told if f is not None),
        *run_checks(checks, facts, grading, measured=False, timeout=settings.hook_timeout),
    )
    refused = next((f for f in findings if f.refuses), None)
    count = "1 revision is" if len(order) == 1 else f"{len(order)} revisions are"
    at = f"{show_heads([context.from_heads])} -> {show_heads([context.to_heads])}"
    result = StageResult(
        stage="check",
        outcome=Outcome.FAILED if refused else Outcome.PASSED,
        message=f"{refused.code} {refused.name}: {refused.message}"
        if refused
        else f"{count} new since {ref} ({changed.base[:12]}){': ' + at if order else ''}",
        file=refused.file if refused else None,
        line=refused.line if refused else None,
        findings=findings,
        plan=plan,
        state=TargetState.UNTOUCHED,
    )
    return Report(
        run_id=new_run_id(),
        command="check",
        target=settings.target,
        place="no database",
        started=now(),
        version=__version__,
        seconds=time.monotonic() - started,
        results=(msgspec.structs.replace(result, seconds=time.monotonic() - started),),
    )


def find_changes(revisions: Sequence[events.GraphRevision], folder: Path, ref: str) -> Changed:
    """Which scripts are new, and which do something else, than where this branch left a commit's history.

    A script that was only moved, renamed or formatted is neither. What is not committed yet counts.

    Raises:
        UsageError: as `check_since`.
    """
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel"))
    except ToolError as error:
        raise UsageError(f"--since needs a git repository: {error.what}") from error
    try:
        # not REF itself: what main went on with meanwhile is not this branch's.
        # `--end-of-options` (git 2.24): a name that begins with a dash is a name
        base = _git(root, "merge-base", "--end-of-options", ref, "HEAD")
    except ToolError as error:
        raise UsageError(
            f"--since {ref}: git knows no commit that it and this branch have in common.",
            hint=as_hint(
                NextCommand(
                    command=f"git fetch origin {shlex.quote(ref.removeprefix('origin/'))}",
                    why="in CI fetch the whole history: fetch-depth: 0",
                )
            ),
        ) from error
    files = {r.id: Path(r.file).resolve() for r in revisions}
    names = {i: f.relative_to(root).as_posix() for i, f in files.items() if f.is_relative_to(root)}
    now_there = _hashes(root, list(names.values()))
    then = _tree(root, base, sorted({str(Path(name).parent) for name in names.values()}))
    moved = set(then.values())
    # a script that was renamed and edited at once has neither its name nor its text: its id is what databases know
    there = set(now_there.values())
    lost = {n: text for n, text in then.items() if n not in now_there and text not in there}
    was = _ids(root, lost)
    new = {
        i for i, name in names.items() if name not in then and now_there[name] not in moved and i not in was
    }
    edited = {
        i
        for i, name in names.items()
        if (i in was or (name in then and now_there[name] != then[name]))
        and not _does_the_same(root, base, was.get(i, name), files[i])
    }
    gone = {revision: name for revision, name in was.items() if revision not in files}
    return Changed(base, frozenset(new), frozenset(edited), gone)


def last_backup(settings: Settings) -> Backup | None:
    """The newest whole one of the target that is at hand: for its counts of rows. Who has none is not told off."""
    try:
        backups = open_catalog(settings).list(Owner(settings.target))
    except CiMigrateError:
        return None  # a place that this job may not read, say: pull requests get no secrets
    return next((b for b in reversed(backups) if b.status is BackupStatus.SUCCESS and not b.partial), None)


def _told(settings: Settings, plan: Plan, backup: Backup | None) -> Iterator[Finding]:
    """What the new scripts ask for."""
    sources = {
        r.id: (settings.project_dir / r.file).read_text(encoding="utf-8", errors="replace")
        for r in plan.revisions
    }
    dialect = _dialect(settings, backup, sources.values())
    # MySQL takes what stands in any of the quotes for a name where it wants one
    scripts = [(r, asked_of(sources[r.id], dialect or MYSQL)) for r in plan.revisions]
    return told_without_data(scripts, dialect.engine if dialect else "", backup)


def _dialect(settings: Settings, backup: Backup | None, sources: Iterable[str]) -> Dialect | None:
    """Which engine it is for; None where nothing tells. No database is asked."""
    if backup is not None:
        return dialect_of(backup.dialect)
    if not settings.url_of_program:  # which would be run, and may open a vault, for a name alone
        try:
            return dialect_of(make_url(settings.resolve_url()).get_backend_name())
        except (CiMigrateError, SQLAlchemyError, ValueError):
            pass  # the variable is not set in this job, env.py alone knows, or it is an engine that is not ours
    named = Counter(_ENGINE.findall("\n".join(sources)))
    return dialect_of(named.most_common(1)[0][0]) if named else None


def _git(folder: Path, *arguments: str) -> str:
    return run_tool(["git", "-C", str(folder), *arguments], timeout=60).rstrip("\n")


def _does_the_same(root: Path, commit: str, name: str, now: Path) -> bool:
    """Whether a script was only formatted anew, or has other comments."""
    code = code_digest(_git(root, "cat-file", "blob", f"{commit}:{name}").encode())
    return bool(code) and code == code_digest(now.read_bytes())


def _hashes(root: Path, names: Sequence[str]) -> dict[str, str]:
    """What git would call the texts that these files have now."""
    found: list[str] = []
    for start in range(0, len(names), AT_A_TIME):
        # by path, so that filters of .gitattributes apply: a checkout with CRLF has the text of the commit
        found += _git(root, "hash-object", "--", *names[start : start + AT_A_TIME]).splitlines()
    return dict(zip(names, found, strict=True))


def _tree(root: Path, commit: str, folders: Sequence[str]) -> dict[str, str]:
    """The files of these folders in a commit, with what git calls their texts."""
    found = {}
    for folder in folders:
        prefix = "" if folder == "." else f"{folder}/"
        lines = _git(root, "ls-tree", "-z", "--end-of-options", commit, prefix or ".").split("\0")
        # `100644 blob 5f2a...<tab>migrations/versions/0001_first.py`
        entries = [line.partition("\t") for line in lines if line.endswith(".py")]
        found.update({name: entry.split()[2] for entry, _, name in entries})
    return found


def _ids(root: Path, blobs: Mapping[str, str]) -> dict[str, str]:
    """The ids of the revisions in these files of a commit, by what git calls their texts, each with its file."""
    found = {}
    for name, blob in blobs.items():
        match = _REVISION.search(_git(root, "cat-file", "blob", blob))
        if match is not None:  # else it is a module that scripts import
            found[match[1]] = name
    return found


def _edited_findings(
    by_id: Mapping[str, events.GraphRevision], changed: Changed, project: Path, ref: str
) -> list[Finding]:
    gone = [
        EDITED.finding(
            f"Revision {revision} of {ref} is gone ({name}): databases that ran it are at a revision that nobody "
            "knows.",
            fix="Put it back.",
            revision=revision,
        )
        for revision, name in sorted(changed.gone.items())
    ]
    edited = [
        EDITED.finding(
            f"{file} does something else than in {ref}: databases that ran it have what the old text did.",
            fix="Put the text back and write a new revision.",
            revision=revision,
            file=file,
            line=1,
        )
        for revision in sorted(changed.edited)
        for file in [relative(by_id[revision].file, project)]
    ]
    return gone + edited
