"""What was written outside of the copy while a dry run ran: by programs and server-side links, which no wall sees."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.outside import CountsWrites, ListsShared
from ci_migrate.model import Outcome, Schema, StageResult, TargetState, list_some, split_key
from ci_migrate.run.run import Run, translate_errors

OPENS_SESSIONS = re.compile(r"\bdblink(?:_\w+)?\s*\(", re.IGNORECASE)
"""PostgreSQL: in the body of a function, what leads to another database."""


@dataclass(frozen=True)
class Outside:
    """The target's write counters, and what the copies' server shares, at one moment."""

    writes: dict[str, int]
    shared: dict[str, str]

    @classmethod
    def of(cls, run: Run) -> "Outside":
        """As it is now."""
        writes: dict[str, int] = {}
        shared: dict[str, str] = {}
        for name, member in members_of(run.database).items():
            if isinstance(member, CountsWrites):
                with translate_errors(member):
                    writes |= {f"{name}:{table}": n for table, n in member.write_counters().items()}
        for member in members_of(run.copies).values():
            if isinstance(member, ListsShared):
                with translate_errors(member):
                    shared |= member.shared_objects()
        return cls(writes, shared)

    def compare(self, run: Run, result: StageResult) -> StageResult:
        """The result of a dry run that began here, with what was written elsewhere since."""
        now = Outside.of(run)
        changed = sorted(
            k for k in self.shared.keys() | now.shared.keys() if self.shared.get(k) != now.shared.get(k)
        )
        if changed:
            return replace(
                result,
                outcome=Outcome.ERROR,
                message=f"While the dry run ran, the server that it ran on was changed: {list_some(changed)}. "
                "Either somebody else did that, or the migration by a way that no wall sees. Run again once you know.",
                state=TargetState.UNKNOWN,
            )
        written = sorted(k.partition(":")[2] for k, n in now.writes.items() if n != self.writes.get(k, 0))
        if not written:
            return result
        told = (
            f"who wrote to {list_some(written)} of the target while the dry run ran: others who work on it, or the "
            "migration by a way that no wall sees (a program that it started, dblink)"
        )
        evidence = result.evidence
        if evidence is None:
            return replace(result, message=f"{result.message.rstrip('.')}. Nobody knows {told}.")
        seen = replace(evidence.comparison, not_compared=(*evidence.comparison.not_compared, told))
        # not in the stage's message: on a busy target it would stand there each time
        return replace(result, evidence=replace(evidence, comparison=seen))


def list_reaching_out(schema: Schema) -> Iterator[str]:
    """Functions that open sessions of their own, in words. No wall stands around the server that runs them."""
    for key, text in sorted(schema.items()):
        if OPENS_SESSIONS.search(text) and split_key(key)[0] in ("function", "procedure", "trigger"):
            yield (
                f"what {key} does elsewhere: it calls dblink, and where the dry run comes to it (by a trigger, say), "
                "that is done for real"
            )
