"""The pytest plugin: `pytest --ci-migrate` tries each revision up and down on scratch databases, as test items.

Loaded by every pytest run of an environment, so it imports nothing of the gate until it is asked for. Only pytest's
public interface is used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ci_migrate.verbs import VERBS, verb_of

if TYPE_CHECKING:
    from ci_migrate.checks.base import Check
    from ci_migrate.errors import CiMigrateError
    from ci_migrate.model import Report, StageResult
    from ci_migrate.settings.settings import Settings
    from ci_migrate.testing.history import History
    from ci_migrate.testing.scratch import Failure, Trials, TriedDatabase
    from ci_migrate.testing.scripts import Scripts

CONFIG_FILES = ("alembic.ini", "migrations/alembic.ini")
STAGES = VERBS["dry-run"].stages
HEAD, UP, DOWN, MODELS, AROUND = "single_head", "upgrade", "downgrade", "models_match", "up_down_up"
TRIALS = pytest.StashKey["dict[Path, Trials]"]()
CHECKED = pytest.StashKey["Report"]()
CHECK_FILES = pytest.StashKey[list[Path]]()
SCRIPTS = pytest.StashKey["dict[Path, Scripts]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all of which begin with --ci-migrate."""
    group = parser.getgroup("ci-migrate")
    group.addoption(
        "--ci-migrate",
        action="store_true",
        help="Try each revision up and down on scratch databases, as items.",
    )
    group.addoption("--ci-migrate-target", metavar="NAME", help="Which target of ci-migrate's settings.")
    group.addoption(
        "--ci-migrate-url",
        metavar="URL",
        help="Beside which database scratch databases are made (env:VARIABLE keeps the password out of sight).",
    )
    group.addoption(
        "--ci-migrate-stages",
        action="store_true",
        help="Besides: check, backup and dry run of the target.",
    )
    group.addoption(
        "--ci-migrate-trace", action="store_true", help="The whole traceback of what fails (as with -vv)."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the project's Alembic file to what is collected, where it was not named."""
    if not config.getoption("--ci-migrate"):
        return
    path = _alembic_file(config)
    named = [str(a).partition("::")[0] for a in config.args]
    if path is not None and not any(name.endswith("alembic.ini") for name in named):
        config.args.append(str(path))
    config.stash[CHECK_FILES] = _check_files(config)
    for file in config.stash[CHECK_FILES]:
        if not any((config.invocation_params.dir / name).resolve() == file for name in named):
            config.args.append(str(file))


def _check_files(config: pytest.Config) -> list[Path]:
    """The files that the setting `plugins` names: there the project's own checks are."""
    from ci_migrate.errors import SettingsError

    path = _alembic_file(config)
    if path is None:
        return []
    try:
        settings = _settings(config, path, scripts_alone=True)
    except SettingsError:  # the items tell
        return []
    files = [settings.project_dir / name for name in settings.plugins if name.endswith(".py")]
    return [file.resolve() for file in files if file.is_file()]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """Collect alembic.ini, and files of checks that pytest does not take for modules of tests."""
    config = parent.config
    if config.getoption("--ci-migrate") and file_path.name == "alembic.ini":
        return MigrationFile.from_parent(parent, path=file_path)
    if file_path.resolve() not in config.stash.get(CHECK_FILES, ()):
        return None
    of_tests = any(file_path.match(pattern) for pattern in config.getini("python_files"))
    if of_tests or parent.session.isinitpath(file_path):
        return None  # see `pytest_pycollect_makemodule`
    return CheckFile.from_parent(parent, path=file_path)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> "CheckFile | None":
    """Collect a file of checks, which is not pytest's to import."""
    if module_path.resolve() in parent.config.stash.get(CHECK_FILES, ()):
        return CheckFile.from_parent(parent, path=module_path)
    return None


def _alembic_file(config: pytest.Config) -> Path | None:
    return next((p for p in (config.rootpath / name for name in CONFIG_FILES) if p.exists()), None)


def _settings(config: pytest.Config, path: Path, *, scripts_alone: bool = False) -> "Settings":
    """The settings of the project of an alembic.ini. Raises SettingsError.

    `scripts_alone`: where several targets are to choose from and none is named, any will do: they share their scripts.
    """
    from ci_migrate.errors import SettingsError
    from ci_migrate.settings.files import read_settings_file
    from ci_migrate.settings.settings import load
    from ci_migrate.settings.targets import any_target

    url, target = config.getoption("--ci-migrate-url"), config.getoption("--ci-migrate-target")
    files = read_settings_file(path.parent)
    first = any_target(files, os.environ)
    if files is not None and not target and first is not None:
        if not scripts_alone:
            names = ", ".join(files.targets)
            raise SettingsError(
                f"There are several targets, and beside which one scratch databases are made was not said: {names}.",
                hint=f"pytest --ci-migrate --ci-migrate-target {first}",
            )
        target = first
    flags = {
        "alembic-config": str(path),
        "target": target,
        "url": url,
        "scratch": "server" if url else None,
    }
    return load(path.parent, dict(os.environ), flags)


def _trials(config: pytest.Config, path: Path) -> "Trials":
    """The scratch databases of a project: opened once in a process, given back when pytest ends."""
    from ci_migrate.testing.scratch import Trials

    known = config.stash.setdefault(TRIALS, {})
    if path not in known:
        scripts: Scripts | None = config.stash.get(SCRIPTS, {}).get(path)
        known[path] = Trials(_settings(config, path), scripts)
        config.add_cleanup(known[path].close)
    return known[path]


class MigrationFile(pytest.File):
    """An Alembic project. Its history runs once in a process, however many items ask for a part of it."""

    _history: "History | CiMigrateError | None" = None

    def collect(self) -> Iterator[pytest.Item]:
        """The items; scripts are loaded, no database is asked."""
        from ci_migrate.errors import CiMigrateError
        from ci_migrate.testing.scripts import Scripts

        try:
            scripts = Scripts(_settings(self.config, self.path, scripts_alone=True))
        except CiMigrateError as error:
            raise self.CollectError(f"{error.what}\n{error.hint}") from error
        self.config.add_cleanup(scripts.close)
        self.config.stash.setdefault(SCRIPTS, {})[self.path] = scripts
        self.graph = scripts.graph
        revisions = [r.id for r in reversed(self.graph.revisions)]
        names = [(HEAD, ""), *((UP, r) for r in revisions), (MODELS, "")]
        names += [*((DOWN, r) for r in reversed(revisions)), (AROUND, "")]
        for kind, revision in names:
            name = f"{kind}[{revision}]" if revision else kind
            # the id as text: pytest 9.2 then reads the brackets as it does in the ids that --lf has kept
            nodeid = f"{self.nodeid}::{name}"
            item = TrialItem.from_parent(self, name=name, nodeid=nodeid, kind=kind, revision=revision)
            yield self._group(item)
        if self.config.getoption("--ci-migrate-stages"):
            for stage in STAGES:
                yield self._group(StageItem.from_parent(self, name=stage))

    def _group(self, item: pytest.Item) -> pytest.Item:
        """With `--dist loadgroup` one worker of xdist runs all of them, so that the history runs once."""
        if self.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(f"ci-migrate {self.path.parent.name}"))
        return item

    def select(self) -> list[str]:
        """The revisions that the items of this session are about: all, where one is about the whole history."""
        items = [i for i in self.session.items if isinstance(i, TrialItem) and i.parent is self]
        if any(i.kind in (MODELS, AROUND) for i in items):
            return [r.id for r in self.graph.revisions]
        return [i.revision for i in items]

    def history(self) -> "History":
        """The history. Raises CiMigrateError: there are no scratch databases to be had."""
        from ci_migrate.errors import CiMigrateError
        from ci_migrate.testing.history import History

        if self._history is None:
            try:
                trials = _trials(self.config, self.path)
            except CiMigrateError as error:
                self._history = error
            else:
                self._history = History(trials, self.graph)
                self.config.add_cleanup(self._history.close)
        if isinstance(self._history, CiMigrateError):
            raise self._history
        return self._history

    def report(self) -> "Report":
        """The finished report of a dry run. Errors before the first stage are its result, as on the command line."""
        return _report_for_checks(self.config)


def _dry_run(config: pytest.Config, path: Path, command: str, on: str | None) -> "Report":
    from ci_migrate import gate
    from ci_migrate.errors import CiMigrateError
    from ci_migrate.operations.dry_run_on import dry_run_on
    from ci_migrate.session import GateRequest

    try:
        settings = _settings(config, path)
        if on is not None:
            return dry_run_on(settings, GateRequest(VERBS[command]), on)
        return gate.run(settings, GateRequest(VERBS[command]))
    except CiMigrateError as error:
        return gate.error_report(VERBS[command], config.getoption("--ci-migrate-target") or "", error)


class GateItemError(Exception):
    """What an item says no about, in lines: where, what; and the whole text of it."""

    def __init__(self, lines: str, details: str = "") -> None:
        super().__init__(lines)
        self.details = details


class GateItem(pytest.Item):
    """A test that shows where and what, without a traceback of ours."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """Where and what, in three lines; the whole text with -vv or --ci-migrate-trace."""
        error = excinfo.value
        if not isinstance(error, GateItemError):
            lines = getattr(error, "lines", None)  # a CiMigrateError
            return "\n".join(lines) if lines else super().repr_failure(excinfo, *args, **kwargs)
        whole = self.config.get_verbosity() > 1 or self.config.getoption("--ci-migrate-trace")
        return f"{error}\n{error.details}" if whole and error.details else str(error)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file and the item's name."""
        return self.path, None, f"ci-migrate {self.name}"


class TrialItem(GateItem):
    """One revision in one direction, or something about all of them."""

    def __init__(self, *, kind: str, revision: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.kind = kind
        self.revision = revision

    def runtest(self) -> None:
        """Pass, fail with where and what, or skip with the reason."""
        failure = self._result()
        if failure is not None and failure.skipped:
            pytest.skip(failure.what)
        if failure is not None:
            again = (
                f"Again, with the whole traceback: pytest --ci-migrate --ci-migrate-trace -k '{self.name}'"
            )
            lines = [failure.where, f"{self.name}: {failure.what}", again if failure.trace else ""]
            raise GateItemError("\n".join(line for line in lines if line), failure.trace)

    def _result(self) -> "Failure | None":
        from ci_migrate.testing.scratch import Failure

        assert isinstance(self.parent, MigrationFile)
        if self.kind == HEAD:
            from ci_migrate.migrations.graph import are_branches

            graph = self.parent.graph
            words = (
                f"There are {len(graph.heads)} heads: {', '.join(sorted(graph.heads))}. "
                "Join them: alembic merge heads"
            )
            return Failure(words) if len(graph.heads) > 1 and not are_branches(graph) else None
        history, selected = self.parent.history(), self.parent.select()
        if self.kind == UP:
            return history.up(self.revision, selected)
        if self.kind == DOWN:
            return history.down(self.revision, selected)
        return history.models_match() if self.kind == MODELS else history.up_down_up()


class CheckFile(pytest.File):
    """A file of the project's own checks; each function is an item."""

    def collect(self) -> Iterator[pytest.Item]:
        """The items; the file is imported as the gate does it."""
        from ci_migrate.checks.functions import FunctionChecks, place_of
        from ci_migrate.errors import CiMigrateError
        from ci_migrate.session import create_manager

        try:
            manager = create_manager(_settings(self.config, _project(self.config), scripts_alone=True))
            manager.load_named()
        except CiMigrateError as error:
            raise self.CollectError(f"{error.what}\n{error.hint}") from error
        checks = [c for p in manager.get_plugins() if isinstance(p, FunctionChecks) for c in p.checks]
        for check in checks:
            file, line = place_of(check) or (self.path, 0)
            if file.resolve() == self.path.resolve():
                yield CheckItem.from_parent(self, name=check.name, check=check, line=line)


class CheckItem(GateItem):
    """One check of the project's own: what it finds in a dry run of the whole history, or of the target."""

    def __init__(self, *, check: "Check", line: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.check = check
        self.line = line

    def reportinfo(self) -> tuple[Path, int, str]:
        """File and line of the function, and its name."""
        return self.path, self.line - 1, self.name

    def runtest(self) -> None:
        """Pass, or fail with what it finds, or with why it did not run."""
        report = _report_for_checks(self.config)
        result = report.result("dry-run" if self.check.measured else "check")
        found = [f for f in result.findings if f.code == self.check.code] if result is not None else []
        lines = [f"{f.file}:{f.line}\n{f.code} {f.name}: {f.text}" for f in found if f.refuses]
        if lines:
            raise GateItemError("\n".join(lines))
        if result is None or not _checks_ran(result):
            stopped = next((r for r in report.results if r.outcome != "passed"), None)
            why = stopped.message if stopped is not None else "there is no result"
            raise GateItemError(
                f"{self.name} did not run to its end: {why}", stopped.details if stopped else ""
            )
        for one in found:
            self.warn(pytest.PytestWarning(f"{one.code} {one.name}: {one.text}"))


def _checks_ran(result: "StageResult") -> bool:
    """Whether a stage came to its checks: it passed, or what it says first is what one of them found."""
    refusing = next((f for f in result.findings if f.refuses), None)
    return result.outcome == "passed" or (
        refusing is not None and result.message.startswith(f"{refusing.code} {refusing.name}: ")
    )


def _report_for_checks(config: pytest.Config) -> "Report":
    """Of a dry run that runs once in a process: of the target with --ci-migrate-stages, else on an empty database."""
    if CHECKED not in config.stash:
        on = None if config.getoption("--ci-migrate-stages") else "empty"
        config.stash[CHECKED] = _dry_run(config, _project(config), "dry-run", on)
    return config.stash[CHECKED]


class StageItem(GateItem):
    """One stage of a dry run of the target."""

    def runtest(self) -> None:
        """Pass, fail with the stage's message, or skip with its reason."""
        from ci_migrate.model import Outcome

        assert isinstance(self.parent, MigrationFile)
        result = self.parent.report().result(self.name)
        if result is None or result.outcome is Outcome.SKIPPED:
            pytest.skip(result.message if result else "an earlier stage did not pass")
        if result.outcome is not Outcome.PASSED:
            where = f"{result.file}:{result.line}\n" if result.file else ""
            raise GateItemError(f"{where}{result.message}", result.details)


def _project(config: pytest.Config) -> Path:
    path = _alembic_file(config)
    if path is None:
        pytest.fail(f"There is no alembic.ini in {config.rootpath}.", pytrace=False)
    return path


@pytest.fixture
def ci_migrate_database(pytestconfig: pytest.Config) -> Iterator[Callable[[str], "TriedDatabase"]]:
    """Makes scratch databases, each at a revision, to fill, to move on and to ask: see `trials.TriedDatabase`."""
    path = _project(pytestconfig)
    with ExitStack() as stack:

        def at(revision: str = "heads") -> "TriedDatabase":
            from ci_migrate.testing.scratch import TriedDatabase

            trials = _trials(pytestconfig, path)
            database = TriedDatabase(trials, stack.enter_context(trials.scratch()))
            if revision != "base":
                database.upgrade(revision)
            return database

        yield at


@pytest.fixture
def ci_migrate_gate(pytestconfig: pytest.Config) -> Callable[..., "Report"]:
    """Runs the gate and gives its Report; the command is `check` or `dry-run`, `on` means what `dry-run --on` does."""
    path = _project(pytestconfig)

    def run(command: str = "dry-run", *, on: str | None = None) -> "Report":
        verb = verb_of(command)
        if not verb.stages or verb.writes or (on is not None and not verb.rehearses):
            message = f"{command!r}: a test runs `check` or `dry-run`, and `on` belongs to the latter"
            raise ValueError(message)
        return _dry_run(pytestconfig, path, command, on)

    return run
