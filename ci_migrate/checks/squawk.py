"""CM801: what squawk, a program of its own, finds in PostgreSQL's statements of the dry run."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ci_migrate.checks.base import Check, Facts
from ci_migrate.databases.statements import first_word
from ci_migrate.errors import ToolError
from ci_migrate.migrations.worker.tokens import POSTGRESQL, dialect_of
from ci_migrate.model import Finding, Severity, Statement
from ci_migrate.process import run_command
from ci_migrate.timeouts import HOOK_TIMEOUT

LIMIT = 16_000_000
"""Bytes of its output that are read."""

DDL = (
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "COMMENT",
    "REINDEX",
    "CLUSTER",
    "VACUUM",
    "LOCK",
    "GRANT",
    "REVOKE",
)
"""Others hold a driver's placeholders, which are no SQL."""

TAKEN_CARE_OF = frozenset(
    {
        "prefer-robust-stmts",  # a failed revision rolls back, or is repaired
        "require-timeout-settings",  # our sessions have a lock timeout
        "require-lock-timeout",
        "require-statement-timeout",
    }
)


class Told(msgspec.Struct, frozen=True):
    """One finding of squawk's, of any version since 0.20; lines from 0 or from 1."""

    line: int
    rule_name: str
    message: str = ""
    help: str | None = None
    messages: tuple[dict[str, str], ...] = ()

    @property
    def words(self) -> str:
        """What it says, on one line."""
        parts = [self.message, self.help or "", *(text for one in self.messages for text in one.values())]
        return " ".join(" ".join(parts).split()).rstrip(".")


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """Warnings, with squawk's name of the rule; only where the setting `squawk` names the program."""
    if facts.squawk is None or facts.evidence is None:
        return
    if dialect_of(facts.plan.identity.dialect) != POSTGRESQL:
        return
    sent = [s for s in facts.evidence.statements if s.revision and s.file]
    statements = [s for s in sent if first_word(s.sql, "postgresql") in DDL]
    if not statements:
        return
    text, owners = _file_of(statements)
    said = set()
    for told in _run_squawk(facts.squawk, text):
        statement = owners[min(told.line, len(owners) - 1)]
        key = (statement.position, told.rule_name, told.words)
        if told.rule_name in TAKEN_CARE_OF or key in said:
            continue
        said.add(key)
        yield check.finding(
            f"squawk {told.rule_name}: {told.words}.",
            revision=statement.revision,
            file=statement.file,
            line=statement.line,
        )


def _file_of(statements: Sequence[Statement]) -> tuple[str, list[Statement]]:
    """One text with an empty line around each statement, and whose line is whose: counted from 0 or 1 alike."""
    lines: list[str] = []
    owners: list[Statement] = []
    for statement in statements:
        sql = statement.sql.replace("%%", "%").strip().rstrip(";")  # a driver's escape
        own = ["", *f"{sql}\n;".splitlines(), ""]
        lines += own
        owners += [statement] * len(own)
    return "\n".join(lines), owners


def _run_squawk(program: Path, text: str) -> list[Told]:
    with TemporaryDirectory(prefix="squawk-") as folder:
        file = Path(folder) / "migration.sql"
        file.write_text(text)
        argv = [str(program), "--reporter", "json", str(file)]
        code, output = run_command(argv, env={}, cwd=None, timeout=HOOK_TIMEOUT, limit=LIMIT)
    # versions differ in what they print around the list
    start, end = output.find("["), output.rfind("]")
    try:
        return msgspec.convert(json.loads(output[start : end + 1]), list[Told])
    except (ValueError, msgspec.ValidationError) as error:
        last = (output.strip().splitlines() or ["it printed nothing"])[-1]
        raise ToolError(f"{program.name} ended with {code} and no findings in JSON: {last[:200]}") from error


CHECK = Check("CM801", "squawk", Severity.WARNING, measured=True, find=find)
