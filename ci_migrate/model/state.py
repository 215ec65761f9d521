"""What state a target is in, in one value: terminal, reports, `status`, `repair` and HTTP take their words from it."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from ci_migrate.model.base import Frozen
from ci_migrate.model.comparison import Comparison


class TargetState(StrEnum):
    """What is known about the target at the end."""

    UNTOUCHED = "untouched"
    MIGRATED = "migrated"
    AS_BEFORE = "as before"
    KEPT_PREFIX = "partly migrated"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> "TargetState | None":
        """Version 0.1.0 wrote "as before, proved", of heads and schema alone."""
        return cls.AS_BEFORE if value == OF_0_1_0 else None


OF_0_1_0 = "as before, proved"


class Progress(StrEnum):
    """How far a migration got, in the words of the report."""

    NOT_STARTED = "not started"
    ROLLED_BACK = "rolled back"
    COMMITTED = "revision committed"  # what is committed ends with a whole revision
    HALF = "half a revision"
    FINISHED = "finished"
    UNKNOWN = "unknown"


class NextCommand(Frozen, frozen=True, kw_only=True):
    """What a person can type next. `command` can be pasted as it is; `why` says what it does, or when."""

    command: str
    why: str = ""


def command_lines(commands: Sequence[NextCommand]) -> tuple[str, ...]:
    """For a shell: each command on a line of its own that can be pasted, below what it does."""
    return tuple(line for c in commands for line in ((f"# {c.why}",) if c.why else ()) + (c.command,))


def as_hint(*commands: NextCommand) -> str:
    """The hint of an error, of which each line can be pasted; `read_commands` reads it again."""
    return "\n".join(command_lines(commands))


def read_commands(lines: Iterable[str]) -> Iterator[NextCommand]:
    """The commands of lines as `command_lines` writes them."""
    why = ""
    for line in lines:
        if line.startswith("# "):
            why = line.removeprefix("# ")
        else:
            yield NextCommand(command=line, why=why)
            why = ""


class Diagnosis(Frozen, frozen=True, kw_only=True):
    """How far a migration got, told from journal, version rows and fingerprint."""

    found: Progress
    words: str
    commit_point: int | None = msgspec.field(default=None, name="rung")  # its name since 0.1.0
    last_statement: int | None = None
    commands: tuple[NextCommand, ...] = ()  # what a person can type next, the best first
    # somebody else's changes of the schema meanwhile, in words; not accepted yet
    foreign: tuple[str, ...] = ()


class State(Frozen, frozen=True, kw_only=True):
    """Where a target stands.

    `before` and `after` are heads for people, of the plan; "" where there is none. `done` is what a run that is green
    did ("migrated", "restored"); "" for a run that is not. `kept` says where a repair left a part of it. `proof` is
    what was compared for it.
    """

    target: TargetState
    before: str = ""
    after: str = ""
    done: str = ""
    kept: str = ""
    diagnosis: Diagnosis | None = None
    proof: Comparison = Comparison()

    @property
    def sentence(self) -> str:
        """The line that nobody may miss."""
        match self.target:
            case TargetState.UNTOUCHED:
                return f"The database is untouched{_still(self.before)}."
            case TargetState.AS_BEFORE:
                return f"The database is as it was before{_at(self.before)}: {describe_proof(self.proof)}."
            case TargetState.MIGRATED if self.done:
                return f"The database is {self.done}" + (f": now at {self.after}." if self.after else ".")
            case TargetState.MIGRATED:
                to = f" to {self.after}" if self.after else ""
                return f"The database is migrated{to}, but this is not proved: manual intervention required."
            case TargetState.KEPT_PREFIX:
                return f"The database is partly migrated. {self.kept or 'Manual intervention required.'}"
            case _ if self.diagnosis is None or self.diagnosis.found is Progress.UNKNOWN:
                return f"The state of the database is not known: {self._found}."
            case _:
                return f"The database is left as the migration left it: {self._found}."

    @property
    def _found(self) -> str:
        words = self.diagnosis.words if self.diagnosis is not None else ""
        return words.rstrip(".") or "manual intervention required"


def describe_proof(proof: Comparison) -> str:
    """What of a state was compared and is equal, and what was not: `heads and schema compared and equal`."""
    parts = [f"{_listed(proof.compared)} compared and equal"] if proof.compared else []
    if proof.not_compared:
        parts.append(f"not compared: {'; '.join(proof.not_compared)}")
    parts += proof.exceptions
    return "; ".join(parts) or "nothing was compared"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _at(heads: str) -> str:
    return f", at {heads}" if heads else ""


def _still(heads: str) -> str:
    return f", still at {heads}" if heads else ""
