"""Why a command did not end well, for programs: where, what to do, what to type next, where it is explained.

Whoever writes a revision, checks it and repairs it in a loop reads this, and no prose.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from ci_migrate.errors import CiMigrateError, ExitCode, UsageError, error_codes
from ci_migrate.migrations.graph import relative
from ci_migrate.model import Finding, Frozen, NextCommand, Report, StageResult, read_commands
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean
from ci_migrate.reports.links import STAGE_CODES, is_ours, page_of


class Failure(Frozen, frozen=True, kw_only=True):
    """Why a command did not end with 0.

    `code` is that of the finding that refuses (`CM202`), else the kind of error (`locked`), else the stage that failed
    (`dry-run-failed`). `stage` is "" where it was none of the pipeline. `file` is null where the cause is in no file of
    the project, `line` where nobody knows. `state` says in what state the database is. `next` is never empty. `docs`
    is the page of the code, "" as long as the documentation has no address: `ci-migrate explain CODE` shows it, too.
    """

    code: str
    exit_code: int
    stage: str = ""
    message: str
    state: str
    file: str | None = None
    line: int | None = None
    fix: str
    next: tuple[NextCommand, ...]
    docs: str = ""


class ReportedFinding(Finding, frozen=True, kw_only=True):
    """A finding with what to type next and the page that explains it.

    `file` and `line` are those of its revision where the check names none; `fix` is never "".
    """

    next: tuple[NextCommand, ...] = ()
    docs: str = ""


FIXES: Mapping[str, str] = {
    "backup-failed": "Remove what kept the backup from being written; the message names it.",
    "approve-failed": "Have the plan approved by a person.",
    "bug": "Run it again with --debug, and report the traceback.",
    "check-failed": "Do what the message asks for: a plugin refused.",
    "database": "Make the database answer with these settings; the message has its own words.",
    "dry-run-failed": "Correct the revision at the named place, and rehearse it again.",
    "error": "Remove the cause that the message names.",
    "backup": "Remove the cause that the message names: the place of the backups, or the disk.",
    "interrupted": "Run it again.",
    "ledger": "Make the ledger reachable, or grant what the message names.",
    "lock-wait": "Wait for the sessions that hold the lock, or end them, and run it again.",
    "locked": "Wait for the end of the other run.",
    "migrate-failed": "Read what state the database is in before anything else, then correct the cause.",
    "not-approved": "Have the plan approved by a person.",
    "refused": "Correct what the message names, and run it again.",
    "repair-failed": "A person must look at the database: the message says what is there.",
    "settings": "Correct the setting that the message names.",
    "tool": "Install the program that the message names, or correct its path.",
    "unfinished": "A person must repair the unfinished run first.",
    "usage": "Correct the command line; `--help` lists what there is.",
    "verify-failed": "Compare the database with what the message names, before anything else is migrated.",
    "worker": "Make env.py run: the message has its error.",
    "CM101": "Merge the heads, or ask for all of them with `--to heads`.",
    "CM102": "Put the old text back, and write a new revision.",
    "CM103": "Send the PRAGMA ahead of the transaction.",
    "CM104": "Move the statement into a revision, or into the function that env.py runs migrations in.",
    "CM105": "Stamp the database with the revision that its tables are at.",
    "CM106": "Correct the acknowledgement, or take it out.",
    "CM107": "Ask for the current database instead of its name.",
    "CM108": "Make roles and server settings outside of Alembic, before the deployment.",
    "CM201": "Copy the rows elsewhere first, and drop the table one release later.",
    "CM202": "Copy the values elsewhere first, and drop the column one release later.",
    "CM203": "Keep the wider type, or shorten the values first.",
    "CM204": "Keep the large objects, or copy them elsewhere first.",
    "CM205": "Set the sequence behind the highest number that its column holds.",
    "CM206": "Set the values by a statement that says so, or leave the column as it was.",
    "CM207": "Give the table a replica identity again, in the same revision.",
    "CM208": "Make the policies before row level security is switched on, in the same revision.",
    "CM209": "Validate the constraint in the next revision.",
    "CM210": "Make again what went along, in the same revision.",
    "CM301": "Split the work into batches, or build what is slow without the lock.",
    "CM302": "Add a new column, fill it in batches, and switch over one release later.",
    "CM303": "Put what must happen together into one transaction, and the rest into a revision of its own.",
    "CM304": "Change a few thousand rows at a time, and commit after each batch.",
    "CM305": "Build an index on the columns of the foreign key first, in a revision of its own.",
    "CM401": "Write a downgrade() that undoes upgrade(), in the opposite order.",
    "CM402": "Write a downgrade() that undoes all of upgrade(), in the opposite order.",
    "CM403": "Go back by the backup instead, or go forward with a new revision.",
    "CM404": "Correct downgrade() so that it leads to the schema that was there, or go back by the backup.",
    "CM501": "Write the change as a revision, or take it back.",
    "CM502": "Write a revision for what the models have, or correct the models.",
    "CM503": "Restore the backup, or stamp the database if only the version rows are gone.",
    "CM601": "Keep the rows; on SQLite switch foreign keys off while a table is rebuilt.",
    "CM602": "Keep the values, or copy them elsewhere first.",
    "CM603": "Let each run send the same statements: no random names, no time of day.",
    "CM604": "Correct the revision until the query gives what the settings expect.",
    "CM605": "Expand first: keep what the release that runs now needs, and contract one release later.",
    "CM606": 'Rehearse on a copy with rows: `dry-run = "backup"`, with `mask` where values are private.',
    "CM701": "Keep it until the release that uses it is gone.",
    "CM702": "Give the column a default, or let it be NULL until the release that does not fill it is gone.",
    "CM703": "Keep the type until the release that reads it is gone.",
    "CM704": "Add the constraint once the release that breaks it is gone.",
    "CM705": "Make the models of the deployed release importable; the message says what keeps them from it.",
    "CM706": "First deploy a release that reads NULL, then write it.",
    "CM801": "Do what squawk says of the statement.",
    "CM901": "Catch in the plugin what may fail there.",
}
"""What to do where the message of an error or a finding has no advice of its own, by code."""

UNSEEN = "Nobody has looked at the database since: `ci-migrate status` does."
"""The state after a bug."""

UNKNOWN = "Do what the message asks for."
"""For the codes of plugins."""


def all_codes() -> frozenset[str]:
    """What `Failure.code` can be, apart from the codes of findings; docs/errors.md has them all."""
    return error_codes() | set(STAGE_CODES)


class ErrorDocument(Frozen, frozen=True, kw_only=True):
    """What a command with `--json` prints where it ended before it had a document of its own."""

    format: int = 1
    exit_code: int
    failure: Failure


def failure_of_error(error: BaseException, exit_code: int, words: str, directory: Path) -> Failure:
    """Of a command that ended with an error. Texts are clean, without secrets.

    Args:
        error: one of ours, or any other.
        exit_code: what the command ends with.
        words: what is said of an error that is none of ours.
        directory: from where files are named.
    """
    if isinstance(error, CiMigrateError):
        code, message, state = error.code, error.what, error.state
        fix, commands = _split(error.hint)
        file, line = (relative(error.file, directory) if error.file else None), error.line
    else:
        by_exit_code = {ExitCode.USAGE: UsageError.code, ExitCode.BUG: "bug"}
        code, message, file, line = by_exit_code.get(ExitCode(exit_code), "interrupted"), words, None, None
        state = UNSEEN if code == "bug" else CiMigrateError("").state
        fix, commands = "", ()
    return Failure(
        code=code,
        exit_code=exit_code,
        message=clean(message),
        state=clean(state),
        file=file and clean(file),
        line=line,
        fix=clean(fix) or FIXES.get(code, UNKNOWN),
        next=(*commands, *_explained(code)),
        docs=page_of(code),
    )


def failure_of_report(report: Report) -> Failure | None:
    """Of a run; None for one that ended with 0. Expects a cleaned Report."""
    if report.exit_code is ExitCode.OK:
        return None
    bad = report.first_bad
    refusing = _refusing(bad)
    code = _code(report, bad, refusing)
    fix = _split(bad.fix)[0] if bad is not None else ""
    message = _split(bad.message)[0] if bad is not None else "Interrupted."
    file, line = (bad.file, bad.line) if bad is not None else (None, None)
    if file is None and refusing is not None:
        file, line = _place(report, refusing)
    return Failure(
        code=code,
        exit_code=int(report.exit_code),
        stage=bad.stage if bad is not None else "",
        message=message,
        state=story.state_sentence(report),
        file=file,
        line=line,
        fix=fix or (refusing.fix if refusing is not None else "") or FIXES.get(code, UNKNOWN),
        next=tuple(dict.fromkeys((*story.all_next_commands(report), *_explained(code)))),
        docs=page_of(code),
    )


def report_findings(report: Report) -> tuple[ReportedFinding, ...]:
    """All findings of a run with what a program needs beside them, worst first. Expects a cleaned Report."""
    again = story.again_command(report)
    return tuple(_reported(report, finding, again) for finding in report.findings)


def _reported(report: Report, finding: Finding, again: tuple[NextCommand, ...]) -> ReportedFinding:
    file, line = _place(report, finding)
    fields = {name: getattr(finding, name) for name in Finding.__struct_fields__}
    fields |= {"file": file, "line": line, "fix": finding.fix or FIXES.get(finding.code, UNKNOWN)}
    meant = finding.acknowledged is not None
    following = () if meant else (*_explained(finding.code), *again)
    return ReportedFinding(**fields, next=following, docs=page_of(finding.code))


def _place(report: Report, finding: Finding) -> tuple[str | None, int | None]:
    """Where a finding is: where its check says, else at the top of its revision."""
    revision = report.plan.revision(finding.revision) if report.plan and finding.revision else None
    file = finding.file or (revision.file if revision is not None else None)
    return file, finding.line or (1 if file else None)


def _refusing(bad: StageResult | None) -> Finding | None:
    """The finding because of which the stage failed; an error of machinery has none."""
    if bad is None or bad.code:
        return None
    return next((f for f in bad.findings if f.refuses and f.message in bad.message), None)


def _code(report: Report, bad: StageResult | None, refusing: Finding | None) -> str:
    if report.interrupted is not None or bad is None:
        return "interrupted"
    if refusing is not None:
        return refusing.code
    if not bad.code and bad.exit_code == ExitCode.NOT_APPROVED:
        return "not-approved"
    return bad.code or f"{bad.stage}-failed"


def _explained(code: str) -> tuple[NextCommand, ...]:
    if not is_ours(code) and code not in all_codes():
        return ()  # a plugin's
    command = shlex.join(["ci-migrate", "explain", code])
    return (NextCommand(command=command, why="what it means, and what to do"),)


def _split(text: str) -> tuple[str, tuple[NextCommand, ...]]:
    """The words of a message or a hint, and the commands in it that can be pasted."""
    lines = text.splitlines()
    pasted = [line for line in lines if line.startswith(("# ", "ci-migrate "))]
    return "\n".join(line for line in lines if line not in pasted), tuple(_commands(pasted))


def _commands(lines: Iterable[str]) -> Iterable[NextCommand]:
    return read_commands(clean(line) for line in lines)
