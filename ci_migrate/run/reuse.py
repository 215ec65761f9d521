"""What an approved run uses again instead of a second dump and a second rehearsal, and why it does not.

A backup is used again where it is younger than `reuse-backup` and shows the schema and heads that the target has now.
The evidence of a dry run is, where that restored this very backup, the approval names it, and nothing that it stood
upon is another: plan, files, settings, ci-migrate. What can't be told counts as changed.
"""

import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ci_migrate import __version__
from ci_migrate.approval.payload import rows_tolerance
from ci_migrate.approval.plan_diff import plan_diff
from ci_migrate.backups.catalog import Catalog
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger.rehearsals import seal_of
from ci_migrate.markers import PROJECT_NAME
from ci_migrate.migrations.graph import relative
from ci_migrate.model import (
    Approval,
    Backup,
    BackupStatus,
    Evidence,
    Fingerprint,
    NamedRehearsal,
    Outcome,
    Plan,
    Rehearsal,
    Report,
    Reused,
    StageResult,
    TargetState,
    list_some,
    now,
    sha256_hex,
)
from ci_migrate.reports.story import duration
from ci_migrate.run.identity import owner_of
from ci_migrate.run.inputs import digest_of
from ci_migrate.run.mark import facts_of
from ci_migrate.run.outside_code import code_outside
from ci_migrate.run.run import LedgerRun, Run, WritingRun, heads_of, translate_errors
from ci_migrate.run.state import named_in, named_tables
from ci_migrate.settings.kinds import plugin_name
from ci_migrate.settings.settings import Settings
from ci_migrate.settings.urls import redact

JUDGING = (
    "dry-run", "mask", "measure", "lock-budget", "rehearse-twice", "require-downgrade", "checks", "allow", "assertions",
    "squawk", "max-duration", "restore", "provider", "compare-budget",
)  # fmt: skip
"""Settings that decide how a dry run is made, or what its checks say; those that are inputs of the plan stand there."""

UNTOLD = ("previous-release", "deployed")
"""Settings that let a dry run look at the release that runs now: it may be another one when the next run comes."""

FILE = "file "
"""How the names of conditions begin that are files."""


# --------------------------------------------------------------------------- the backup


def find_backup(run: Run, plan: Plan, approval: Approval | None) -> Backup | str:
    """The backup that is used again; else why none is, "" where the settings ask for a new one each time.

    It is the newest one that is young enough, or none: an older one would lose more. Its files are read, and compared
    with the checksums in its manifest. An approved run uses none that its approval does not allow, or not any more.
    """
    age = run.settings.reuse_backup
    if not age:
        return ""
    if why := _why_not_allowed(run, approval):
        return why
    moment = now()
    known = {b.backup_id: b for b in run.catalog.list(owner_of(run))}
    # by a clock ahead it would stay young for ever
    young = [
        b for b in known.values() if _whole(b) and moment - timedelta(seconds=age) < b.backup_time <= moment
    ]
    if not young:
        why = f"there is none of the last {duration(age)}"
    # heads first: to read a schema of thousands of tables takes longer
    elif young[-1].heads != heads_of(run.reader, plan):
        why = f"{young[-1].backup_id} is of other heads"
    elif young[-1].fingerprint != Fingerprint.of(run.reader.schema()):
        why = f"the schema is not the one of {young[-1].backup_id} any more"
    else:
        return _why_unsound(run.catalog, young[-1]) or young[-1]
    return _why_not_the_named(run, known, approval, moment) or why


def _why_not_allowed(run: Run, approval: Approval | None) -> str:
    """What somebody approved says against any backup but a new one; "" where nothing does."""
    named = approval.rehearsal if approval is not None else None
    if named is None:
        return ""
    if named.until is None:
        return "the approval does not allow one of before: the settings did not when it was asked for"
    # the time is the least of two: one by this clock, one by that of the ledger's database
    moment = max(now(), run.ledger.clock()) if isinstance(run, LedgerRun) else now()
    if moment >= named.until:
        return f"the approval allows one of before until {named.until:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def _whole(backup: Backup) -> bool:
    return backup.status is BackupStatus.SUCCESS and not backup.partial


def _why_not_the_named(
    run: Run, known: Mapping[str, Backup], approval: Approval | None, moment: datetime
) -> str:
    """Why the backup is not used that the approved dry run restored; "" where nothing is wrong with it."""
    if approval is None or approval.rehearsal is None:
        return ""
    name = approval.rehearsal.backup_id
    backup = known.get(name)
    if backup is None:
        return f"{name}, which the approved dry run restored, is gone"
    if not _whole(backup):
        return f"{name}: {backup.description}"
    if backup.backup_time > moment:
        return f"{name} was taken at a time to come: a clock was put back"
    age = (moment - backup.backup_time).total_seconds()
    if age >= run.settings.reuse_backup:
        return f"{name} is {duration(age)} old (reuse-backup = {duration(run.settings.reuse_backup)})"
    return ""


def _why_unsound(catalog: Catalog, backup: Backup) -> str:
    """Why a backup could not be restored, in words; "" where it is sound. An encrypted one is decrypted for it."""
    try:
        if backup.encryption is None:
            catalog.verify(backup)
        else:
            with catalog.reading(backup):
                pass
    except CiMigrateError as error:
        return f"{backup.backup_id} is not sound: {error.what.rstrip('.')}"
    return ""


def reused_backup(backup: Backup) -> Reused:
    """That a backup is used again."""
    return Reused(at=backup.backup_time, seconds=(now() - backup.backup_time).total_seconds())


# --------------------------------------------------------------------------- what a dry run stands upon


def with_rehearsal(run: Run, plan: Plan, backup: Backup, result: StageResult) -> StageResult:
    """The result of a dry run, with what a later run must find the same to use its evidence."""
    if not isinstance(run, WritingRun) or result.evidence is None or result.outcome is not Outcome.PASSED:
        return result  # nothing keeps it
    rehearsal = Rehearsal(
        run_id=run.id,
        at=run.ledger.clock(),
        plan=plan.digest,
        backup_id=backup.backup_id,
        backup_time=backup.backup_time,
        manifest=run.catalog.manifest_sha256(backup.backup_id),
        version=__version__,
        conditions=_conditions(run, plan) | _files(run.settings, _read_files(run.settings)),
    )
    return replace(result, evidence=replace(result.evidence, rehearsal=rehearsal))


def name_rehearsal(run: LedgerRun, evidence: Evidence | None) -> NamedRehearsal | None:
    """The dry run that some evidence is of, as an approval names it; None where the ledger does not know it."""
    made = evidence.rehearsal if evidence is not None else None
    seal = run.ledger.seal_of(made.run_id) if made is not None else ""
    if made is None or not seal:
        return None
    backup, rehearsed = run.settings.reuse_backup, run.settings.max_evidence_age
    until = min(made.backup_time + timedelta(seconds=backup), made.at + timedelta(seconds=rehearsed))
    return NamedRehearsal(
        run_id=made.run_id,
        at=made.at,
        evidence=seal,
        backup_id=made.backup_id,
        backup_time=made.backup_time,
        until=until if backup and rehearsed else None,
    )


def _conditions(run: Run, plan: Plan) -> dict[str, str]:
    """All but the files, as digests: what they are of may be long, or nobody's business."""
    settings, grading = run.settings, run.grading(plan)
    found = {f"setting {name}": _text(settings, _value(settings, name)) for name in JUDGING}
    found["the database itself"] = repr({n: facts_of(m) for n, m in members_of(run.database).items()})
    found["setting plugins"] = repr([plugin_name(name, settings.project_dir) for name in settings.plugins])
    found["setting scratch"] = redact(settings.scratch or "")
    holding = sorted(f"{one.place}={one.words}" for one in grading.allowed if not one.over(grading.today))
    found["what is acknowledged today"] = "\n".join(holding)
    installed = sorted(
        f"{e.name} {e.dist.name} {e.dist.version}"
        for e in entry_points(group=PROJECT_NAME)
        if e.dist is not None
    )
    found["installed plugins"] = "\n".join(installed)
    digests = {name: _digest(text.encode(errors="surrogatepass")) for name, text in found.items()}
    return digests | code_outside(settings)


def _value(settings: Settings, name: str) -> Any:
    return getattr(settings, name.replace("-", "_"))


def _text(settings: Settings, value: Any) -> str:
    if isinstance(value, Path):  # another runner has the project in another folder
        return relative(str(value), settings.project_dir)
    return repr(sorted(value.items()) if isinstance(value, Mapping) else value)


def _read_files(settings: Settings) -> Iterator[str]:
    """The files of the repository that this process itself reads: the mask, plugins, and what those made it import.

    Not those of the interpreter and of installed packages, wherever they lie: `/usr` may be the folder of both.
    """
    if settings.mask is not None:
        yield from map(
            str, sorted(settings.mask.glob("*.sql")) if settings.mask.is_dir() else [settings.mask]
        )
    yield from (name for name in settings.plugins if name.endswith(".py"))
    ours = Path(__file__).resolve().parents[1]
    folders = _library_folders()
    inside = [f for f in folders if f.is_relative_to(settings.project_dir) and f != settings.project_dir]
    for module_name, module in list(sys.modules.items()):
        name = getattr(module, "__file__", None)
        path = Path(name) if isinstance(name, str) else None
        # the script that started this process is none of the project's, though its environment may lie there
        if path is None or module_name == "__main__" or not path.is_relative_to(settings.project_dir):
            continue
        if not path.is_relative_to(ours) and not any(path.is_relative_to(folder) for folder in inside):
            yield str(path)


def _library_folders() -> set[Path]:
    """Where the interpreter's library and installed packages are."""
    paths = sysconfig.get_paths()
    named = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return {Path(folder) for folder in (*named, *site.getsitepackages(), site.getusersitepackages())}


def _files(settings: Settings, files: Iterator[str]) -> dict[str, str]:
    folder = settings.project_dir
    return {f"{FILE}{relative(file, folder)}": digest_of(folder / file) for file in files}


def _digest(data: bytes) -> str:
    return sha256_hex(data)[:16]


# --------------------------------------------------------------------------- the dry run


def find_rehearsal(run: Run, plan: Plan, report: Report, backup: Backup) -> StageResult | str:
    """The result of the dry run that is used again; else why it is not, "" where that was not asked for."""
    settings, approval = run.settings, report.approval
    asked = settings.reuse_backup and settings.max_evidence_age and "migrate" in run.verb.stages
    if not asked or approval is None or not isinstance(run, LedgerRun):
        return ""
    taken = report.result("backup")
    if taken is None or taken.reused is None:
        return "the backup is a new one"
    named = approval.rehearsal
    if named is None:
        return "the approval names no dry run"
    if named.until is None:
        return "the approval does not allow it: the settings did not when it was asked for"
    result = run.ledger.dry_run(named.run_id)
    made = result.evidence.rehearsal if result is not None and result.evidence is not None else None
    if result is None or result.evidence is None or made is None:
        return f"the ledger does not know the dry run of run {named.run_id}"
    why = (
        _why_edited(run, named, result)
        or ("" if result.evidence.proven else "the dry run did not prove the backup")
        or _why_old(run, named, made)
        or _why_other_backup(run, made, backup)
        or _why_other(run, plan, made, result.evidence)
        or _why_rows(run, result.evidence)
    )
    if why:
        return why
    age = (run.ledger.clock() - made.at).total_seconds()
    words = (
        f"Reused: the dry run of run {made.run_id}, {made.at:%Y-%m-%d %H:%M} UTC, {duration(age)} before. Database, "
        "plan, inputs, schema, settings and backup are the same; rows written since were not rehearsed"
    )
    return StageResult(
        stage="dry-run",
        outcome=Outcome.PASSED,
        message=words,
        findings=result.findings,
        evidence=result.evidence,
        reused=Reused(run_id=made.run_id, at=made.at, seconds=age),
        state=TargetState.UNTOUCHED,
    )


def _why_edited(run: LedgerRun, named: NamedRehearsal, result: StageResult) -> str:
    """Somebody changed the evidence in the ledger since it was approved, or something else that a run goes by."""
    if not _is_same(named.evidence, seal_of(result)):
        return f"what the ledger has of the dry run of run {named.run_id} is not what was approved: it was changed"
    broken = run.ledger.verify_audit()
    return f"the audit trail is not whole: {broken[0]}" if broken else ""


def _why_old(run: LedgerRun, named: NamedRehearsal, made: Rehearsal) -> str:
    moment, longest = run.ledger.clock(), timedelta(seconds=run.settings.max_evidence_age)
    if made.at > moment:
        return (
            f"the dry run was made at a time to come, {made.at:%Y-%m-%d %H:%M:%S} UTC: a clock was put back"
        )
    if named.until is not None and moment >= named.until:
        return f"the approval allows it until {named.until:%Y-%m-%d %H:%M:%S} UTC"
    if moment - made.at >= longest:
        age = duration((moment - made.at).total_seconds())
        return f"the dry run is {age} old (max-evidence-age = {duration(longest.total_seconds())})"
    return ""


def _why_other_backup(run: LedgerRun, made: Rehearsal, backup: Backup) -> str:
    if made.backup_id != backup.backup_id:
        return f"it restored {made.backup_id}, and there is a newer backup: {backup.backup_id}"
    if not _is_same(made.manifest, run.catalog.manifest_sha256(backup.backup_id)):
        return f"the manifest of {backup.backup_id} was changed"
    if backup.provider_id is not None:
        return f"{backup.backup_id} is the provider's, and a clone alone shows that it is still there"
    return ""


def _why_other(run: LedgerRun, plan: Plan, made: Rehearsal, evidence: Evidence) -> str:
    """What the dry run stood upon and is another now."""
    settings = run.settings
    if made.plan != plan.digest:
        then = next((s.plan for s in run.ledger.stages(made.run_id) if s.plan is not None), None)
        return f"it was of another plan: {list_some(plan_diff(then, plan) if then is not None else ['unknown'], 3)}"
    if made.version != __version__:
        return f"ci-migrate was {made.version}, and is {__version__}"
    untold = [name for name in UNTOLD if _value(settings, name)]
    if untold:
        return f"{untold[0]} is set: whether the same release still runs nobody can tell"
    if evidence.inputs.distributions or evidence.inputs.settings:
        return "it met other distributions or settings than the plan names"
    files = {name for name in made.conditions if name.startswith(FILE)}
    again = _conditions(run, plan) | _files(settings, (name.removeprefix(FILE) for name in files))
    other = sorted(
        n for n in made.conditions.keys() | again.keys() if not _is_same(made.conditions.get(n), again.get(n))
    )
    seen = evidence.inputs.files
    other += [f"file {n}" for n in sorted(seen) if not _is_same(seen[n], digest_of(settings.project_dir / n))]
    return f"changed since: {list_some(other, 3)}" if other else ""


def _is_same(then: str | None, today: str | None) -> bool:
    """Whether two digests are of the same; of what can't be told they are "", and nobody knows."""
    return bool(then) and then == today


def _why_rows(run: LedgerRun, evidence: Evidence) -> str:
    """Tables that the migration names or changes, and that grew or shrank by more than an approval allows."""
    before = evidence.row_counts_before
    # a function's name says nothing of its tables; the name of an index may not, but its definition does
    changed = named_in(before, (f"{c.name} {c.before or ''} {c.after or ''}" for c in evidence.changes))
    with translate_errors(run.reader):
        counts = run.reader.counts()
    for table in sorted({*named_tables(evidence), *changed, *evidence.tables} & before.keys()):
        then, rows = before[table].rows, counts[table].rows if table in counts else 0
        if abs(rows - then) > rows_tolerance(then):
            return f"{table} had {then:,} rows and has {rows:,}"
    return ""
