"""What a dry run measured and a plan, as diagnosis and repairs look at them."""

from ledger_support import a_plan

from ci_migrate.model import (
    CommitPoint,
    Evidence,
    Fingerprint,
    PlannedContext,
    Statement,
    VersionTable,
    WayBack,
)

F0 = Fingerprint(objects={"table users": "u"})
PLAN = a_plan(
    contexts=(
        PlannedContext(
            version_table=VersionTable(), from_heads=("r0",), to_heads=("r3",), revisions=("r1", "r2", "r3")
        ),
    )
)


def fingerprint(**objects: str) -> Fingerprint:
    return Fingerprint(objects={**F0.objects, **objects})


def commit_point(
    number: int, revision: str | None, head: str, statements: int, *, complete: bool = True, **rest
) -> CommitPoint:
    return CommitPoint(
        position=number, context=0, revision=revision, complete=complete, statements=statements,
        heads=((head,),), delta=rest.pop("delta", {}), **rest,
    )  # fmt: skip


def statement(
    position: int, revision: str | None, sql: str = "UPDATE users SET x = 1", repeats: int = 1
) -> Statement:
    return Statement(
        position=position, context=0, revision=revision, file=None, line=None, sql=sql, digest=f"d{position}",
        seconds=0.0, rows=None, repeats=repeats,
    )  # fmt: skip


def evidence(*commit_points: CommitPoint, statements: tuple[Statement, ...] = (), tables=None) -> Evidence:
    return Evidence(
        proven=True, commit_points=commit_points, statements=statements, before=F0, after=F0, tables=tables or {},
        way_back=WayBack(tried=False),
    )  # fmt: skip


THREE = evidence(
    commit_point(1, "r1", "r1", 2, delta={"table a": "a"}),
    commit_point(2, "r2", "r2", 4),
    commit_point(3, "r3", "r3", 6, delta={"table b": "b", "table a": None}),
)
