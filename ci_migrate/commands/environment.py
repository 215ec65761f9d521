"""What the process gave the command line: folder, variables, terminal, signals. Filled in by `cli`, nowhere else."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ci_migrate.commands.ticker import Ticker
from ci_migrate.migrations.interrupt import Interrupt


@dataclass(frozen=True)
class Environment:
    """Handed to every command by click."""

    directory: Path
    debug: bool
    environ: Mapping[str, str] = field(repr=False)
    color: bool = False
    interactive: bool = False
    terminal: bool = False  # standard error is one: a progress bar may be drawn there
    screen: bool = False  # standard output is one
    width: int = 100
    quiet: bool = False
    verbose: bool = False
    interrupt: Interrupt = field(default_factory=Interrupt)
    ticker: Ticker = field(default_factory=Ticker)

    def listen(self) -> None:
        """Take SIGINT and SIGTERM: noted while the target is written, raised otherwise.

        Only the first one is raised: a CI sends a second soon after, and it must not spoil the cleaning up.
        """
        from ci_migrate.pipeline import Interrupted

        def handle(number: int, _frame: FrameType | None) -> None:
            self.interrupt.set(number)
            if not self.interrupt.defer_signals and not self.interrupt.again:
                raise Interrupted(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle)
