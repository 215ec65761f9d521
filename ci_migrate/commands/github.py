"""What a step on GitHub gets: outputs, summary, annotations. Elsewhere nothing."""

import secrets
from collections.abc import Callable
from pathlib import Path

from ci_migrate.commands.environment import Environment
from ci_migrate.model import Report
from ci_migrate.reports.github import annotations, summary
from ci_migrate.reports.outputs import github_output
from ci_migrate.settings.settings import Settings


class GitHub:
    """A step, if this is one. What env.py prints is fenced, so that it is no workflow command."""

    def __init__(self, environment: Environment, echo: Callable[[str], None]) -> None:
        self.environ = environment.environ
        self.echo = echo
        self.here = self.environ.get("GITHUB_ACTIONS") == "true"
        self.fence = secrets.token_hex(16)
        if self.here:
            echo(f"::stop-commands::{self.fence}")

    def tell(self, report: Report, folder: str) -> list[str]:
        """Write outputs and summary; what fails is returned as a warning."""
        renders: dict[str, Callable[[int], str]] = {
            "GITHUB_OUTPUT": lambda _size: github_output(report, folder),
            "GITHUB_STEP_SUMMARY": lambda size: summary(report, size),
        }
        warnings = []
        for name, render in renders.items():
            file = self.environ.get(name)
            try:
                if file:
                    # appended: both files are the step's, which may have written to them before
                    with Path(file).open("a", encoding="utf-8", errors="replace") as stream:
                        stream.write(render(Path(file).stat().st_size))
            except OSError as error:
                warnings.append(f"{name} could not be written: {error.strerror}.")
        return warnings

    def end(self, report: Report, settings: Settings | None) -> None:
        """Take the fence away and annotate the lines."""
        if not self.here:
            return
        self.echo(f"::{self.fence}::")
        root = Path(self.environ.get("GITHUB_WORKSPACE") or ".").resolve()
        folder = settings.project_dir.resolve() if settings is not None else root
        prefix = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
        for line in annotations(report, prefix):
            self.echo(line)
