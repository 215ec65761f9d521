"""Checks that are plain functions of a project's file: `check_*`, with what they look at as parameters."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ci_migrate.checks.base import Check, Facts
from ci_migrate.databases.base import Database, session
from ci_migrate.errors import SettingsError
from ci_migrate.markers import CheckMark, hookimpl
from ci_migrate.model import Direction, Finding, Severity

PREFIX = "check_"
KNOWN = ("plan", "before", "after", "evidence")
"""What a function may ask for by the names of its parameters."""


class FunctionChecks:
    """The functions of one module, as a plugin."""

    def __init__(self, checks: Sequence[Check], file: str | None) -> None:
        self.checks = tuple(checks)
        self.__file__ = file

    @hookimpl
    def ci_migrate_checks(self) -> Sequence[Check]:
        """One check for each function."""
        return self.checks


def function_checks(module: ModuleType, plugin: str, project: Path) -> list[Check]:
    """The checks among a module's functions; those that it imports are not its own.

    Args:
        module: as it was loaded.
        plugin: what messages call it.
        project: file names in findings are relative to it.

    Raises:
        SettingsError: a function asks for what is not there, or two have one name.
    """
    found = [
        (name, item)
        for name, item in vars(module).items()
        if inspect.isfunction(item)
        # what a file imports from another one of checks would run twice
        and item.__module__ == module.__name__
        and (name.startswith(PREFIX) or hasattr(item, "ci_migrate_check"))
    ]
    if found:
        _refuse_same_names(module, plugin)
    return [_check(name, function, plugin, project) for name, function in found]


def _refuse_same_names(module: ModuleType, plugin: str) -> None:
    """The second of two functions with one name would hide the first."""
    try:
        source = inspect.getsource(module)
    except OSError:  # a module without its source
        return
    lines: dict[str, int] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX):
            if node.name in lines:
                raise SettingsError(
                    f"{plugin}: {node.name} stands in line {lines[node.name]} and in line {node.lineno}.",
                    hint="Give one of them another name.",
                )
            lines[node.name] = node.lineno


def _check(name: str, function: Callable[..., object], plugin: str, project: Path) -> Check:
    code = function.__code__
    place = f"{plugin}:{code.co_firstlineno}: {name}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise SettingsError(f"{place} is no plain function.", hint="Write `def` and `assert`, without yield.")
    wants = tuple(inspect.signature(function).parameters)
    unknown = [f"`{parameter}`" for parameter in wants if parameter not in KNOWN]
    if unknown:
        raise SettingsError(
            f"{place} asks for {', '.join(unknown)}, which is not known.",
            hint=f"A check may ask for {', '.join(KNOWN[:-1])} and {KNOWN[-1]}.",
        )
    mark: CheckMark = getattr(function, "ci_migrate_check", CheckMark(None, Severity.ERROR))
    if mark.code is not None and not re.fullmatch(r"[A-Z]{2,}[0-9]{3,}", mark.code):
        raise SettingsError(
            f"{place} has the code {mark.code!r}.", hint="A code is letters and a number: SHOP001."
        )
    if mark.severity not in list(Severity):
        raise SettingsError(
            f"{place} has the severity {mark.severity!r}.", hint=f"There are: {', '.join(Severity)}."
        )
    copies = frozenset(wants) & {"before", "after"}
    if "before" in copies and "evidence" in wants:
        copies |= {"after"}  # evidence is there when the first copy is migrated: it looks at a second one
    return Check(
        code=mark.code or f"X-{name.removeprefix(PREFIX).replace('_', '-')}",
        name=name,
        severity=Severity(mark.severity),
        measured=bool(copies) or "evidence" in wants,
        find=_Function(function, wants, Path(code.co_filename), project).find,
        copies=copies,
    )


def place_of(check: Check) -> tuple[Path, int] | None:
    """File and line of the function that a check is; None where it is none."""
    owner = getattr(check.find, "__self__", None)
    return (owner.file, owner.call.__code__.co_firstlineno) if isinstance(owner, _Function) else None


@dataclass(frozen=True)
class _Function:
    call: Callable[..., object]
    wants: tuple[str, ...]
    file: Path
    project: Path

    def find(self, check: Check, facts: Facts) -> Iterator[Finding]:
        """What the function's assertions say. It is about upgrades: going back, the old schema is right."""
        if facts.plan.direction is not Direction.UPGRADE:
            return
        error: BaseException | None = None
        returned = None
        try:
            returned = self._call(facts)
        except BaseException as raised:  # noqa: BLE001 - pytest.fail() is none of Exception; this is its own thread
            error = raised
        file, line = self._place(error)
        severity = check.severity
        if isinstance(error, AssertionError):
            words = str(error) or _assert_text(self.file, line)
        elif error is None and returned is None:
            return
        else:
            what = f"it returned {returned!r:.100}; what is wrong is said by assert"
            words = f"The check {check.code} could not tell: {_explain(error, facts) if error else what}"
            severity = Severity.ERROR
        only = facts.plan.revisions[0].id if len(facts.plan.revisions) == 1 else None
        yield check.finding(words, revision=only, file=file, line=line, severity=severity)

    def _call(self, facts: Facts) -> object:
        given: dict[str, Any] = {"plan": facts.plan, "evidence": facts.evidence}
        with ExitStack() as stack:
            for name in ("before", "after"):
                if name in self.wants:
                    given[name] = stack.enter_context(_open_read_only(facts.copies[name]))
            return self.call(**{name: given[name] for name in self.wants})

    def _place(self, error: BaseException | None) -> tuple[str, int]:
        """The last line of the function's own file that the error came through."""
        line = self.call.__code__.co_firstlineno
        trace = error.__traceback__ if error is not None else None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(self.file):
                line = trace.tb_lineno
            trace = trace.tb_next
        inside = self.file.is_relative_to(self.project)
        return (self.file.relative_to(self.project) if inside else self.file).as_posix(), line


def _assert_text(file: Path, line: int) -> str:
    """The text of the assert statement in a line, in one line however it is broken."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # edited or removed meanwhile
        return "an assertion failed"
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Assert) and node.lineno <= line]
    inside = [node for node in found if line <= (node.end_lineno or node.lineno)]
    return ast.unparse(inside[-1]) if inside else "an assertion failed"


@contextmanager
def _open_read_only(database: Database) -> Iterator[Connection]:
    """A connection that only reads; each statement by itself, so that one that hangs holds no locks in between."""
    with session(database, read_only=True) as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def _explain(error: BaseException, facts: Facts) -> str:
    """The error in one line; a driver's one without the values that were bound."""
    if isinstance(error, DBAPIError) and facts.copies:
        return next(iter(facts.copies.values())).explain(error)
    return f"{type(error).__name__}: {error}"
