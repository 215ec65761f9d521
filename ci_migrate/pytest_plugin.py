"""The pytest plugin: `pytest --ci-migrate` runs check, backup and dry run of the project, one test item a stage.

Loaded by every pytest run of an environment, so it imports nothing of the gate until it is asked for. Only pytest's
public interface is used.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ci_migrate.model import Report, StageResult

CONFIG_FILES = ("alembic.ini", "migrations/alembic.ini")
STAGES = ("check", "backup", "dry-run")


def pytest_addoption(parser: pytest.Parser) -> None:
    """--ci-migrate and --ci-migrate-target."""
    group = parser.getgroup("ci-migrate")
    group.addoption(
        "--ci-migrate",
        action="store_true",
        help="Rehearse the pending revisions on a restored backup, as items.",
    )
    group.addoption("--ci-migrate-target", metavar="NAME", help="Which target of ci-migrate's settings.")


def pytest_configure(config: pytest.Config) -> None:
    """Add the project's Alembic file to what is collected, where it was not named."""
    if not config.getoption("--ci-migrate"):
        return
    for name in CONFIG_FILES:
        path = config.rootpath / name
        if path.exists() and not any(str(a).partition("::")[0].endswith("alembic.ini") for a in config.args):
            config.args.append(str(path))
            break


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "MigrationFile | None":
    """Collect alembic.ini."""
    if parent.config.getoption("--ci-migrate") and file_path.name == "alembic.ini":
        return MigrationFile.from_parent(parent, path=file_path)
    return None


class MigrationFile(pytest.File):
    """An Alembic project. The pipeline runs once, when its first item does."""

    _report: "Report | None" = None

    def collect(self) -> Iterator["StageItem"]:
        """One item per stage of `ci-migrate dry-run`."""
        for stage in STAGES:
            yield StageItem.from_parent(self, name=stage)

    def report(self) -> "Report":
        """The finished report. Errors before the first stage are its result, as on the command line."""
        if self._report is None:
            from ci_migrate import gate
            from ci_migrate.errors import CiMigrateError
            from ci_migrate.opening import Order
            from ci_migrate.settings import load

            target = self.config.getoption("--ci-migrate-target")
            try:
                settings = load(
                    self.path.parent, dict(os.environ), {"alembic-config": str(self.path), "target": target}
                )
                self._report = gate.run(settings, Order("dry-run"))
            except CiMigrateError as error:
                self._report = gate.error_report("dry-run", target or "", error)
        return self._report


class StageFailedError(Exception):
    """A stage that did not pass."""

    def __init__(self, result: "StageResult") -> None:
        super().__init__(result.message)
        self.result = result


class StageItem(pytest.Item):
    """One stage as a test."""

    def runtest(self) -> None:
        """Pass, fail with the stage's message, or skip with its reason."""
        from ci_migrate.model import Outcome

        assert isinstance(self.parent, MigrationFile)
        result = self.parent.report().result(self.name)
        if result is None or result.outcome is Outcome.SKIPPED:
            pytest.skip(result.message if result else "an earlier stage did not pass")
        if result.outcome is not Outcome.PASSED:
            raise StageFailedError(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """Where and what, in three lines; the whole text with -vv."""
        if not isinstance(excinfo.value, StageFailedError):
            return super().repr_failure(excinfo, *args, **kwargs)
        result = excinfo.value.result
        where = f"{result.file}:{result.line}\n" if result.file else ""
        details = f"\n{result.details}" if self.config.get_verbosity() > 1 and result.details else ""
        return f"{where}{result.message}{details}"

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file and the item's name."""
        return self.path, None, f"ci-migrate {self.name}"
