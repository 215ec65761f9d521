"""A plan is rehearsed a second time, on another copy, to see whether it does the same."""

from collections.abc import Iterable

from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.record import Follower, one_line
from ci_migrate.model import Backup, Divergence, Plan, Statement
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.rehearsal.measured import run_on_copy
from ci_migrate.rehearsal.without_rows import make_copy
from ci_migrate.run.run import Run


def rehearse_again(
    run: Run, plan: Plan, backup: Backup, statements: Iterable[Statement]
) -> tuple[Divergence | None, frozenset[int]]:
    """Rehearse on a second copy of the backup, and hold that against the first time.

    As in the migration itself rounds of a loop may be more or fewer, and values other ones.

    Returns:
        Where it did something else, None where it did the same; and the positions of those statements whose values
        vary, although all of them stand in a script: one of them was chosen by chance.

    Raises:
        CiMigrateError: there is no second copy to be had.
    """
    follower = Follower(run.settings.project_dir, tuple(statements), varying=set())
    found: list[Divergence] = []

    def handle(event: events.AnyEvent) -> str | None:
        if isinstance(event, events.StatementStarted) and not found and follower.check(event) is not None:
            found.append(_divergence(event, follower))
        return None

    run.tell("rehearsing a second time, on another copy")
    with make_copy(run, plan, backup, f"{run.id}_again") as scratch:
        mask_copy(run.settings, scratch, run.masks)
        ended = run_on_copy(run, plan, scratch, handle, asks=())
    varying = frozenset(follower.varying or ())
    if found:
        return found[0], varying
    if not ended.ok:
        revision = ended.failed.revision if ended.failed else None
        return Divergence(words=f"the second time it failed: {ended.words}", revision=revision), varying
    return _not_sent(follower.left) if follower.left else None, varying


def _divergence(event: events.StatementStarted, follower: Follower) -> Divergence:
    expected = follower.left
    if event.file is None and expected is not None:  # what a revision ends with came too early
        return _not_sent(expected)
    then = one_line(expected.sql) if expected else "no further statement"
    return Divergence(
        words=f"the second time it sent {one_line(event.sql)}, the first time {then}",
        revision=event.revision,
        file=relative(event.file, follower.project) if event.file else None,
        line=event.line,
    )


def _not_sent(left: Statement) -> Divergence:
    words = f"the second time this was not sent: {one_line(left.sql)}"
    return Divergence(words=words, revision=left.revision, file=left.file, line=left.line)
