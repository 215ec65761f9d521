"""Version rows that make no sense: seen from the revision graph, told in words."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ci_migrate.migrations import events
from ci_migrate.model import Frozen


class RowTrouble(Frozen, frozen=True, kw_only=True):
    """What is wrong with the rows of one version table.

    `kind`: "unknown" (no script has `row`; `by` is the baseline that it was squashed into, if there is one), "covered"
    (`row` is an ancestor of `by`, another row) or "twice".
    """

    kind: str
    table: str
    rows: tuple[str, ...]
    row: str
    by: str = ""

    @property
    def words(self) -> str:
        """What is found, without what to do about it."""
        if self.kind == "unknown":
            return f"the revision {self.row}, which the scripts do not have"
        found = f"{len(self.rows)} rows ({', '.join(self.rows)}) where one is expected"
        if self.kind == "twice":
            return f"{found}: {self.row} stands there twice, so {self.table} lacks its primary key"
        return f"{found}: {self.row} is an ancestor of {self.by}, not the head of a branch of its own"


def row_troubles(
    revisions: Sequence[events.GraphRevision], contexts: Sequence[events.Context]
) -> list[RowTrouble]:
    """All of it, version table by version table; [] where each row is the head of a branch."""
    by_id = {revision.id: revision for revision in revisions}
    return [trouble for context in contexts for trouble in _of_table(by_id, context)]


def _of_table(by_id: Mapping[str, events.GraphRevision], context: events.Context) -> Iterator[RowTrouble]:
    where = context.table.schema or context.table.search_path
    table = f"{where}.{context.table.name}" if where else context.table.name
    rows = tuple(sorted(context.heads))
    for row, times in sorted(Counter(rows).items()):
        if row not in by_id:
            by = next((one.id for one in by_id.values() if row in one.replaces), "")
            yield RowTrouble(kind="unknown", table=table, rows=rows, row=row, by=by)
        if times > 1:
            yield RowTrouble(kind="twice", table=table, rows=rows, row=row)
        for other in sorted(set(rows) - {row}):
            if row in _ancestors(by_id, other):
                yield RowTrouble(kind="covered", table=table, rows=rows, row=row, by=other)


def _ancestors(by_id: Mapping[str, events.GraphRevision], revision: str) -> set[str]:
    """What a revision builds upon; `depends_on` is none of it: both rows may stand there."""
    found: set[str] = set()
    queue = [revision]
    while queue:
        script = by_id.get(queue.pop())
        new = set(script.down_revisions) - found if script else set()
        found |= new
        queue += new
    return found
