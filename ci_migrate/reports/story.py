"""What a person must be told about a run, in words, before any format. Expects a cleaned Report."""

import shlex
from collections.abc import Iterable, Iterator

from ci_migrate.errors import EXIT_CODE_MEANING, CiMigrateError, ExitCode
from ci_migrate.model import (
    Backup,
    Comparison,
    Direction,
    Evidence,
    Finding,
    NextCommand,
    Outcome,
    Report,
    Reused,
    Revision,
    StageResult,
    State,
    TableContent,
    TargetState,
    command_lines,
    plural,
    read_commands,
)
from ci_migrate.reports.clean import one_line
from ci_migrate.verbs import verb_of

VERDICT = {
    ExitCode.OK: "OK",
    ExitCode.REFUSED: "REFUSED",
    ExitCode.USAGE: "USAGE",
    ExitCode.BUG: "BUG",
    ExitCode.NOT_APPROVED: "NOT APPROVED",
    ExitCode.LOCKED: "LOCKED",
    ExitCode.FAILED_RESTORED: "FAILED, put back",
    ExitCode.FAILED_DIRTY: "FAILED",
    ExitCode.COULD_NOT_TELL: "ERROR",
    ExitCode.INTERRUPTED: "INTERRUPTED",
    ExitCode.TERMINATED: "TERMINATED",
}

ONLY_LOOKED = "LOOKED, nothing was changed"
"""The verdict of a green run at whose end nobody knows more than before: `repair --dry-run`."""

NO_TABLE = "no table"
_DEFAULT_STATE = CiMigrateError("").state


def duration(seconds: float) -> str:
    """`0.04 s`, `12.3 s`, `3 min 05 s`, `1 h 02 min`."""
    # by what is shown, not by what is: 9.996 would be `10.00 s`, and 59.96 `60.0 s`
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(count: int) -> str:
    """Bytes for people: `812 bytes`, `1.2 MB`."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def place(file: str | None, line: int | None) -> str:
    """`migrations/versions/3f2a.py:24`, or what of it is known."""
    if not file:
        return ""
    name = one_line(file, 1000)
    return f"{name}:{line}" if line and line > 0 else name


def first_line(result: StageResult) -> str:
    """The first line of what the stage said."""
    return one_line(next((line for line in result.message.splitlines() if line.strip()), ""))


def verdict(report: Report) -> str:
    """How a run came out, in one word or two."""
    if report.exit_code is ExitCode.OK and report.state is TargetState.UNKNOWN:
        return ONLY_LOOKED
    return VERDICT[report.exit_code]


def headline(report: Report) -> str:
    """The run in one line: what came out for whom, or the first reason why not."""
    if report.exit_code is not ExitCode.OK:
        reason = first_line(report.first_bad) if report.first_bad else ""
        return reason or EXIT_CODE_MEANING[report.exit_code]
    plan = report.plan
    if plan is not None and plan.changes_nothing:
        return "nothing to migrate"
    if plan is not None and report.state is TargetState.MIGRATED:
        way = f"{heads(plan.from_heads)} -> {heads(plan.to_heads)}"
        ran = "stamped" if plan.direction is Direction.STAMP else plural(plan.pending, "revision")
        return f"{report.target} {way} ({ran})"
    return f"{report.command} passed"


def heads(ids: tuple[str, ...]) -> str:
    """Heads for people; an empty database is at `base`, as Alembic calls it."""
    return ", ".join(ids) or "base"


def state_of(report: Report) -> State:
    """In what state the target is now, with its proof."""
    plan = report.plan
    verb = {
        Direction.DOWNGRADE: "downgraded",
        Direction.STAMP: "stamped",
        Direction.RESTORE: "restored",
    }
    done = verb.get(plan.direction, "migrated") if plan else "migrated"
    return State(
        target=report.state,
        before=heads(plan.from_heads) if plan else "",
        after=heads(plan.to_heads) if plan else "",
        done=done if report.exit_code is ExitCode.OK else "",
        kept=next(
            (first_line(r) for r in reversed(report.results) if r.state is TargetState.KEPT_PREFIX), ""
        ),
        diagnosis=report.diagnosis,
        proof=report.proof,
    )


def heads_now(report: Report) -> str:
    """`at 3f2a`, where the run knows it; else nothing."""
    plan = report.plan
    if plan is None or not plan.identity.dialect:
        return ""
    if report.state is TargetState.MIGRATED and report.exit_code is ExitCode.OK:
        return f"at {heads(plan.to_heads)}"
    return (
        f"at {heads(plan.from_heads)}"
        if report.state in (TargetState.UNTOUCHED, TargetState.AS_BEFORE)
        else ""
    )


def state_sentence(report: Report) -> str:
    """In what state the target is now: the line that nobody may miss."""
    if report.plan is not None and not report.plan.identity.dialect:
        return "No database was reached."
    return one_line(state_of(report).sentence, 600)


def failing_revision(report: Report) -> Revision | None:
    """The revision whose script the first bad stage points at."""
    bad, plan = report.first_bad, report.plan
    if bad is None or bad.file is None or plan is None:
        return None
    return next((revision for revision in plan.revisions if revision.file == bad.file), None)


def revision_name(revision: Revision) -> str:
    """`3f2a (add phones)`; one without a message by its id alone."""
    message = one_line(revision.message)
    return f"{one_line(revision.id)} ({message})" if message else one_line(revision.id)


def failing_sql(report: Report) -> str:
    """The statement that the first bad stage is about: the one that failed, or that of its line in the rehearsal."""
    bad, evidence = report.first_bad, report.evidence
    if bad is None or bad.sql or evidence is None or bad.line is None:
        return bad.sql if bad is not None else ""
    return next((s.sql for s in evidence.statements if (s.file, s.line) == (bad.file, bad.line)), "")


def says_a_finding(result: StageResult) -> bool:
    """Whether the stage's message is that of a finding that refuses."""
    said = first_line(result)
    return any(f.refuses and one_line(f"{f.code} {f.name}: {f.message}") == said for f in result.findings)


def message_rest(result: StageResult) -> list[str]:
    """The lines of a message after the first; the usual word on the untouched database stands elsewhere."""
    lines = [line.rstrip() for line in result.message.splitlines() if line.strip()]
    last = _approval_lines(result)  # they stand at the end of each report
    return [line for line in lines[1:] if line != _DEFAULT_STATE and line not in last]


def _approval_lines(result: StageResult | None) -> list[str]:
    """What gives the approval that a run lacks: that is what it comes to, not a part of the stage's words."""
    if result is None or result.stage != "approve" or result.exit_code != ExitCode.NOT_APPROVED:
        return []
    return _pasted(result.message)


def _pasted(message: str) -> list[str]:
    return [line for line in message.splitlines() if line.startswith(("# ", "ci-migrate "))]


def finding_name(finding: Finding) -> str:
    """`CM201 table-dropped [3f2a]`: the same from run to run."""
    where = f" [{finding.revision}]" if finding.revision else ""
    return one_line(f"{finding.code} {finding.name}{where}")


def finding_weight(finding: Finding) -> str:
    """What the finding means for the gate: `refused`, `warning`, `info`, `accepted`."""
    if finding.refuses:
        return "refused"
    return "accepted" if finding.acknowledged is not None else finding.severity.value


def next_commands(report: Report) -> tuple[NextCommand, ...]:
    """What to type next, where the message of the failed stage does not say it itself."""
    if report.exit_code is ExitCode.OK and report.state is not TargetState.UNKNOWN:
        return ()
    said = report.first_bad.message if report.first_bad else ""
    commands: tuple[NextCommand, ...]
    if approval := _approval_lines(report.first_bad):
        return tuple(read_commands(approval))
    if report.state in (TargetState.UNTOUCHED, TargetState.AS_BEFORE):
        commands = _allow_command(report) or _again(report)
    elif report.state is TargetState.KEPT_PREFIX:
        run = shlex.join(["ci-migrate", "run", "--target", report.target])
        commands = (NextCommand(command=run, why="runs the rest, once the cause is gone"),)
    elif report.diagnosis and report.diagnosis.commands:
        commands = report.diagnosis.commands
    elif any(line.startswith("ci-migrate ") for line in said.splitlines()):
        commands = ()
    else:
        show = shlex.join(["ci-migrate", "repair", "--dry-run", "--target", report.target])
        commands = (NextCommand(command=show, why="says what is there, and what can be done"),)
    return tuple(_with_options(report, one) for one in commands if one.command not in said)


REPEATS_OPTIONS = ("check", "dry-run", "migrate", "repair", "rollback", "run", "stamp", "verify")
"""Commands that take `-c FILE`, and are named as the next ones."""


def _with_options(report: Report, command: NextCommand) -> NextCommand:
    """Another run without them would be of other scripts."""
    words = command.command.split(" ", 2)
    if not report.options or words[0] != "ci-migrate" or words[1] not in REPEATS_OPTIONS:
        return command
    return NextCommand(command=f"{command.command} {shlex.join(report.options)}", why=command.why)


def all_next_commands(report: Report) -> tuple[NextCommand, ...]:
    """`next_commands`, behind those that the message of the failed stage says itself."""
    said = _pasted(report.first_bad.message) if report.first_bad is not None else []
    return tuple(dict.fromkeys((*read_commands(said), *next_commands(report))))


def next_lines(report: Report) -> tuple[str, ...]:
    """`next_commands` for a shell, each on a line of its own below what it does."""
    return command_lines(next_commands(report))


def _allow_command(report: Report) -> tuple[NextCommand, ...]:
    refusing = [f for f in report.findings if f.refuses]
    if report.exit_code is not ExitCode.REFUSED or not refusing or any(f.revision is None for f in refusing):
        return ()
    names = dict.fromkeys(f"{f.code}@{f.revision}" for f in refusing)
    flags = [part for name in names for part in ("--allow", f"{name}=REASON")]
    to = ["--to", report.plan.destination] if report.plan and verb_of(report.command).goes_back else []
    again = ["ci-migrate", report.command, *to, "--target", report.target]
    # data that is gone is gone: waving it through is never the only way that is shown
    return (
        NextCommand(command=shlex.join(_rehearsed(report, again)), why="once that is mended"),
        NextCommand(command=shlex.join([*again, *flags]), why="or, where it is meant: write the reason"),
    )


def again_command(report: Report) -> tuple[NextCommand, ...]:
    """What shows whether a finding is gone: the same command, up to its dry run; () where no database was reached."""
    if report.plan is None or not report.plan.identity.dialect:
        return ()
    to = ["--to", report.plan.destination] if verb_of(report.command).goes_back else []
    again = _rehearsed(report, ["ci-migrate", report.command, *to, "--target", report.target])
    return (_with_options(report, NextCommand(command=shlex.join(again), why="once that is mended")),)


def _rehearsed(report: Report, again: list[str]) -> list[str]:
    """The same command up to its dry run, where it has one."""
    verb = verb_of(report.command)
    return ["ci-migrate", verb.rehearsal or verb.name, *again[2:]]


def _again(report: Report) -> tuple[NextCommand, ...]:
    """The same once more, where a revision failed or lets the checks say no: on a copy first, where that is new."""
    bad = report.first_bad
    if bad is None or bad.outcome is not Outcome.FAILED or bad.stage not in ("dry-run", "migrate", "verify"):
        return ()
    verb = verb_of(report.command)
    command = verb.rehearsal if verb.rehearsal and bad.stage == "dry-run" else verb.name
    to = ["--to", report.plan.destination] if report.plan and verb.goes_back else []
    mended = "once the cause is gone"  # not always the revision: a lock, a value, what the copy lacks
    if report.state is TargetState.AS_BEFORE and report.proof.exceptions:
        mended += ", and somebody has looked at the rows that differ"
    return (
        NextCommand(command=shlex.join(["ci-migrate", command, *to, "--target", report.target]), why=mended),
    )


def kept(backup: Backup) -> str:
    """How large it is, or who keeps it."""
    if backup.provider_id is not None:
        return f"the provider's {one_line(backup.provider_id, 60)}"
    return size(backup.backup_size)


def proofs(report: Report) -> Iterator[tuple[bool, str]]:
    """What the run proved, and what it could not: (proved, sentence)."""
    backup, evidence = report.backup, report.evidence
    if backup is not None:
        name = f"Backup {backup.backup_id} ({kept(backup)})"
        if evidence is None:
            yield False, f"{name} was written, but not yet restored."
        elif evidence.proven:
            equal = ", ".join(evidence.comparison.compared) or "schema"
            yield (
                True,
                f"{name} was restored into a scratch copy{_by(report)}, which is equal to it: {one_line(equal, 200)}.",
            )
        else:
            yield False, f"{name} is unproven: {one_line(evidence.unproven_reason) or 'no reason given'}"
        reused = _reused(report, "backup")
        if reused is not None:
            taken = f"{reused.at:%Y-%m-%d %H:%M} UTC, {duration(reused.seconds)} before this run reached it"
            yield False, f"The backup was taken {taken}: rows written since are not in it."
        comparison = evidence.comparison if evidence is not None else Comparison()
        yield from (
            (True, f"The copy rightly differs: {one_line(words, 1000)}.")
            for words in _by_reason(comparison.exceptions)
        )
        yield from ((False, f"Not compared: {one_line(words)}.") for words in comparison.not_compared)
    dry_run = report.result("dry-run")
    if evidence is not None and dry_run is not None and dry_run.outcome is Outcome.PASSED:
        ran = sum(statement.repeats for statement in evidence.statements)
        took = duration(evidence.migrate_seconds)
        pending = f"{plural(report.plan.pending, 'revision')}, " if report.plan else ""
        where = "a copy without rows" if evidence.without_rows else "it"
        yield (
            True,
            f"The migration was rehearsed on {where}{_by(report)}: {pending}{plural(ran, 'statement')}, {took}.",
        )
        if dry_run.reused is not None:
            yield (
                False,
                "This run did not rehearse: what was written since that dry run may make the migration fail.",
            )
        yield from ((True, f"The {one_line(backfill.words, 300)}.") for backfill in evidence.backfills)
    if evidence is not None and evidence.way_back.tried:
        yield evidence.way_back.proven, way_back(evidence)
    if evidence is not None and evidence.release is not None:
        yield evidence.release.fits, f"Rollback floor: {one_line(evidence.release.words)}."
    approve = report.result("approve")  # the stage check only reserves it
    approval = approve.approval if approve is not None else None
    if approval is not None:
        yield True, f"Approved by {', '.join(approval.approved_by)}: {one_line(approval.reason)}"
    verify, repair = report.result("verify"), report.result("repair")
    if verify is not None and verify.outcome is Outcome.PASSED:
        yield from _proof_of("After the migration", verify.proof)
    if repair is not None and repair.outcome is Outcome.PASSED:
        yield True, f"The repair: {first_line(repair) or 'it proved the state that is told here.'}"
        yield from _proof_of("After the repair", repair.proof)


def _reused(report: Report, stage: str) -> Reused | None:
    result = report.result(stage)
    return result.reused if result is not None else None


def _by(report: Report) -> str:
    """` by run R at 2026-11-30 08:12 UTC` where it was not this run that rehearsed; "" where it was."""
    reused = _reused(report, "dry-run")
    return f" by run {reused.run_id} at {reused.at:%Y-%m-%d %H:%M} UTC" if reused is not None else ""


def _proof_of(what: str, proof: Comparison | None) -> Iterator[tuple[bool, str]]:
    """What was compared of a state, and what was not."""
    if proof is None:
        return
    if proof.compared:
        yield True, f"{what}, compared and equal: {one_line(', '.join(proof.compared), 200)}."
    yield from ((False, f"{what}: {one_line(words)}.") for words in proof.exceptions)
    if proof.not_compared:
        yield False, f"{what}, not compared: {one_line('; '.join(proof.not_compared), 300)}."


def _by_reason(exceptions: Iterable[str], shown: int = 10) -> Iterator[str]:
    """`index a is missing: why`, those with the same reason on one line; the report's file lists each of them."""
    found: dict[str, list[str]] = {}
    for words in exceptions:
        how, _, why = words.partition(": ")
        found.setdefault(why, []).append(how)
    for why, hows in found.items():
        more = f" and {len(hows) - shown} more" if len(hows) > shown else ""
        yield f"{', '.join(hows[:shown])}{more}" + (f": {why}" if why else "")


def way_back(evidence: Evidence) -> str:
    """Whether `downgrade` leads back, in one sentence."""
    way = evidence.way_back
    if way.proven:
        return f"The rollback path by downgrade leads to the same schema and loses nothing ({duration(way.seconds)})."
    if not way.tried:
        why = "it was not tried"
    elif not way.ran:
        why = "the downgrade does not run"
    elif not way.same_schema:
        why = "the downgrade leads to another schema"
    else:
        why = (
            "the downgrade does not bring everything back"
            if way.lossless is False
            else "it could not be told whether rows are lost"
        )
    reason = f": {one_line(way.reason)}" if way.reason else ""
    other = " This run's backup is the rollback path." if evidence.proven else ""
    return f"The rollback path by downgrade is not proven, {why}{reason}.".replace("..", ".") + other


def row_changes(evidence: Evidence) -> list[tuple[str, str, str, str]]:
    """Tables whose rows changed: (table, rows before, rows after, what changed inside)."""
    changes = []
    names = {*evidence.tables, *evidence.row_counts_before, *evidence.row_counts_after}
    for name in sorted(names):
        table = evidence.tables.get(name)
        if table is not None:
            before, after = _content_rows(table.before), _content_rows(table.after)
            inside = _inside(table.before, table.after)
        else:
            counts = evidence.row_counts_before.get(name), evidence.row_counts_after.get(name)
            before, after = (f"{'' if c.exact else '~'}{c.rows:,}" if c else NO_TABLE for c in counts)
            inside = ""
        if before != after or inside:
            changes.append((name, before, after, inside))
    return changes


def _content_rows(content: TableContent | None) -> str:
    return NO_TABLE if content is None else f"{content.rows:,}"


def _inside(before: TableContent | None, after: TableContent | None) -> str:
    """`email: 1,204 -> 1,100 values`: columns that were there before and hold something else now."""
    if before is None or after is None:
        return ""
    words = []
    for name in sorted(before.columns.keys() & after.columns.keys()):
        old, new = before.columns[name], after.columns[name]
        if old.held != new.held:
            words.append(f"{name}: {old.held:,} -> {new.held:,} values")
        elif before.rows == after.rows and None not in (old.digest, new.digest) and old.digest != new.digest:
            words.append(f"{name}: rewritten")
    return ", ".join(words)
