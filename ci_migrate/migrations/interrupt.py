"""What a signal handler leaves for those who must end in good order."""

from dataclasses import dataclass


@dataclass
class Interrupt:
    """Set by the signal handlers of the command line, looked at by the runner.

    `number` is the first signal that came; `again` says that a second one came, which ends the child at once. `silent`
    says that the database does not answer any more: then nobody waits for it.
    """

    number: int | None = None
    again: bool = False
    silent: str = ""
    defer_signals: bool = False  # the target is being written: the handlers only note the signal

    def set(self, number: int) -> None:
        """Note a signal."""
        self.again = self.number is not None
        self.number = self.number or number
