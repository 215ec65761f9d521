"""What a check found."""

from enum import StrEnum

from ci_migrate.model.base import Frozen


class Severity(StrEnum):
    """What a finding weighs: only an error refuses."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Replacement(Frozen, frozen=True, kw_only=True):
    """What to write in place of a finding's lines, from `line` to `last_line`; `text` ends without a line break."""

    last_line: int
    text: str


class Finding(Frozen, frozen=True, kw_only=True):
    """What a check found, and what to do about it (`fix`, "" where nothing is known), `example` as code to paste.

    `replacement` is there where that can stand in place of the lines themselves.
    `acknowledged` is the reason given by somebody who means it; then it refuses nothing.
    """

    code: str
    name: str
    severity: Severity
    message: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None
    acknowledged: str | None = None
    fix: str = ""
    example: str = ""
    replacement: Replacement | None = None

    @property
    def text(self) -> str:
        """What was found and what to do, in one."""
        return f"{self.message} {self.fix}".rstrip()

    @property
    def pasted(self) -> tuple[str, ...]:
        """The lines of the example; none where somebody means what was found."""
        return tuple(self.example.splitlines()) if self.acknowledged is None else ()

    @property
    def refuses(self) -> bool:
        """Whether the gate says no because of it."""
        return self.severity is Severity.ERROR and self.acknowledged is None
