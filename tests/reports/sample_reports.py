"""Finished Reports as real runs end: green, refused, failed and put back, errored, and one full of hostile text."""

from datetime import UTC, datetime

from msgspec.structs import replace

from ci_migrate.model import (
    Backup,
    ColumnContent,
    CommitPoint,
    Comparison,
    Diagnosis,
    Direction,
    Evidence,
    Finding,
    Fingerprint,
    Identity,
    NextCommand,
    Outcome,
    Plan,
    PlannedContext,
    Progress,
    Report,
    Revision,
    RowCount,
    SchemaChange,
    Severity,
    StageResult,
    Statement,
    TableContent,
    TableEvidence,
    TargetState,
    VersionTable,
    WayBack,
)

STARTED = datetime(2026, 11, 22, 19, 16, 33, tzinfo=UTC)
PLACE = "db.example.com:5432/shop"
ADD_EMAIL = "migrations/versions/3f2a_add_email.py"
UNIQUE_EMAIL = "migrations/versions/9c1d_unique_email.py"

HOSTILE = "\x00 \x1b[31mred\x1b[0m \ufffe\uffff \udc80 ]]> <b>|`pipe`|</b> @team $x$ \u202eevil\u2028 \x9b2J\r\nnext\x7f"


def plan(**changes) -> Plan:
    revisions = (
        Revision(id="3f2a", file=ADD_EMAIL, sha256="a" * 64, message="add e-mail", down_revisions=("1b0c",)),
        Revision(
            id="9c1d", file=UNIQUE_EMAIL, sha256="b" * 64, message="unique e-mail", down_revisions=("3f2a",)
        ),
    )
    context = PlannedContext(
        version_table=VersionTable(), from_heads=("1b0c",), to_heads=("9c1d",), revisions=("3f2a", "9c1d")
    )
    whole = Plan(
        target="shop",
        identity=Identity(dialect="postgresql", place=PLACE, facts={"database": "shop"}),
        direction=Direction.UPGRADE,
        destination="head",
        contexts=(context,),
        revisions=revisions,
        env_sha256="c" * 64,
        script_heads=("9c1d",),
    )
    return replace(whole, **changes)


def backup() -> Backup:
    return Backup(
        backup_id="backup_1b0c_20261122_191633",
        backup_path="backups/shop/backup_1b0c_20261122_191633",
        backup_time=STARTED,
        backup_size=1_234_567,
        description="3 tables",
        dialect="postgresql",
        engine_version="16.4",
        tool_version="pg_dump 16.4",
        revision="1b0c",
        migration_version="9c1d",
        row_counts={"users": RowCount(rows=1204)},
        seconds=0.31,
    )


def statement(position: int, revision: str, file: str, line: int, sql: str, **more) -> Statement:
    return Statement(
        position=position, context=0, revision=revision, file=file, line=line, sql=sql, digest=f"{position:064}",
        **{"seconds": 0.0125, "rows": None, **more},
    )  # fmt: skip


def evidence(**changes) -> Evidence:
    objects = {"table users": "1" * 16}
    whole = Evidence(
        proven=True,
        comparison=Comparison(compared=("schema (31 objects)", "heads", "row counts of 4 tables")),
        statements=(
            statement(1, "3f2a", ADD_EMAIL, 18, "ALTER TABLE users ADD COLUMN email VARCHAR(200)"),
            statement(
                2,
                "3f2a",
                ADD_EMAIL,
                21,
                "UPDATE users SET email=%(p)s WHERE id=%(i)s",
                rows=1204,
                repeats=1204,
            ),
            statement(3, "9c1d", UNIQUE_EMAIL, 16, "CREATE UNIQUE INDEX ix_users_email ON users (email)"),
        ),
        stream_digest="d" * 64,
        commit_points=(
            CommitPoint(
                position=1,
                context=0,
                revision="3f2a",
                complete=True,
                statements=2,
                heads=(("3f2a",),),
                delta={},
            ),
            CommitPoint(
                position=2,
                context=0,
                revision="9c1d",
                complete=True,
                statements=3,
                heads=(("9c1d",),),
                delta={},
            ),
        ),
        before=Fingerprint(objects=objects),
        after=Fingerprint(objects={**objects, "column users.email": "2" * 16}),
        changes=(
            SchemaChange(name="column users.email", before=None, after="VARCHAR(200)"),
            SchemaChange(name="index users.ix_users_email", before=None, after="UNIQUE (email)"),
        ),
        tables={
            "users": TableEvidence(
                before=TableContent(
                    rows=1204, digest="e", columns={"name": ColumnContent(values=1204, digest="f")}
                ),
                after=TableContent(
                    rows=1204, digest="g", columns={"name": ColumnContent(values=1180, digest="h")}
                ),
            )
        },
        row_counts_before={"users": RowCount(rows=1204), "orders": RowCount(rows=50_000, exact=False)},
        row_counts_after={"users": RowCount(rows=1204), "orders": RowCount(rows=49_000, exact=False)},
        way_back=WayBack(tried=True, ran=True, same_schema=True, lossless=True, seconds=0.08),
        restore_seconds=0.52,
        migrate_seconds=0.41,
        alembic_version="1.20.1",
        sqlalchemy_version="2.1.9",
    )
    return replace(whole, **changes)


def passed(stage: str, seconds: float, message: str, **more) -> StageResult:
    return StageResult(stage=stage, outcome=Outcome.PASSED, seconds=seconds, message=message, **more)


def skipped(*stages: str, reason: str) -> tuple[StageResult, ...]:
    return tuple(StageResult(stage=stage, outcome=Outcome.SKIPPED, message=reason) for stage in stages)


def report(*results: StageResult, **changes) -> Report:
    whole = Report(
        run_id="20261122-191633-7f3a", command="run", target="shop", place=PLACE, started=STARTED,
        version="0.1.0", seconds=2.4, results=results,
    )  # fmt: skip
    return replace(whole, **changes)


CHECKED = passed("check", 0.04, "2 revisions to run: 3f2a, 9c1d", plan=plan())
BACKED_UP = passed("backup", 0.31, "backup_1b0c_20261122_191633, 1.2 MB", backup=backup())
REHEARSED = passed(
    "dry-run", 1.12, "2 revisions, 1,206 statements on the restored backup", evidence=evidence()
)


def green() -> Report:
    accepted = Finding(
        code="CM202", name="column-dropped", severity=Severity.ERROR, message="column users.nick has 17 values",
        revision="3f2a", file=ADD_EMAIL, line=20, acknowledged="moved to profile in 1b0c",
    )  # fmt: skip
    return report(
        replace(CHECKED, findings=(accepted,)),
        BACKED_UP,
        REHEARSED,
        *skipped("approve", reason="the target is not tagged production"),
        passed("migrate", 0.44, "2 revisions", state=TargetState.MIGRATED),
        passed("verify", 0.05, "heads and schema as rehearsed"),
        *skipped("repair", reason="nothing to repair"),
        warnings=("the lock could not be released: connection closed",),
    )


def nothing_pending() -> Report:
    context = PlannedContext(
        version_table=VersionTable(), from_heads=("9c1d",), to_heads=("9c1d",), revisions=()
    )
    empty = plan(contexts=(context,), revisions=())
    rest = skipped("backup", "dry-run", "approve", "migrate", "verify", "repair", reason="nothing to migrate")
    return report(passed("check", 0.04, "at head: 9c1d", plan=empty), *rest)


def refused() -> Report:
    findings = (
        Finding(code="CM401", name="missing-downgrade", severity=Severity.WARNING, revision="9c1d",
                message="downgrade() is empty", file=UNIQUE_EMAIL, line=30),
        Finding(code="CM201", name="table-dropped", severity=Severity.ERROR, revision="3f2a",
                message="table legacy is dropped with 420 rows in it", file=ADD_EMAIL, line=24),
        Finding(code="CM201", name="table-dropped", severity=Severity.ERROR, revision="3f2a",
                message="table notes is dropped with 3 rows in it", file=ADD_EMAIL, line=25),
    )  # fmt: skip
    check = StageResult(
        stage="check", outcome=Outcome.FAILED, seconds=0.06, plan=plan(), findings=findings,
        message="2 findings refuse this plan\nThe database was not touched.", file=ADD_EMAIL, line=24,
    )  # fmt: skip
    rest = skipped("backup", "dry-run", "approve", "migrate", "verify", reason="check failed")
    return report(check, *rest, *skipped("repair", reason="nothing to repair"), seconds=0.1)


def dry_run_failed() -> Report:
    """The second revision fails on the copy; the first one had been committed there."""
    whole = evidence()
    part = evidence(
        commit_points=whole.commit_points[:1], way_back=WayBack(tried=False, reason="the migration failed")
    )
    failing = StageResult(
        stage="dry-run", outcome=Outcome.FAILED, seconds=1.02, evidence=part, file=UNIQUE_EMAIL, line=16,
        message="duplicate key value violates unique constraint ix_users_email\nThe database was not touched.",
        details="sqlalchemy.exc.IntegrityError: (psycopg.errors.UniqueViolation)\n[SQL: CREATE UNIQUE INDEX ...]",
    )  # fmt: skip
    rest = skipped("approve", "migrate", "verify", reason="dry-run failed")
    return report(CHECKED, BACKED_UP, failing, *rest, *skipped("repair", reason="nothing to repair"))


def failed_and_repaired() -> Report:
    migrate = StageResult(
        stage="migrate", outcome=Outcome.FAILED, seconds=0.44, file=UNIQUE_EMAIL, line=16, state=TargetState.UNKNOWN,
        message="duplicate key value violates unique constraint ix_users_email",
        details="Somebody inserted a second ann@example.com between the dry run and the migration.",
    )  # fmt: skip
    repair = passed(
        "repair", 0.21, "Nothing of the migration is left: 3 statements were sent and rolled back.",
        state=TargetState.AS_BEFORE, proof=Comparison(compared=("heads", "schema", "the rows of 1 table")),
        diagnosis=Diagnosis(found=Progress.ROLLED_BACK, words="Statement 3 failed; its transaction rolled back."),
    )  # fmt: skip
    approve = skipped("approve", reason="the target is not tagged production")
    verify = skipped("verify", reason="migrate failed")
    return report(CHECKED, BACKED_UP, REHEARSED, *approve, migrate, *verify, repair)


def dirty() -> Report:
    commands = (
        "ci-migrate repair --forward --target shop",
        "ci-migrate backup restore backup_1b0c_20261122_191633",
    )
    diagnosis = Diagnosis(
        found=Progress.HALF, words="3f2a committed; 9c1d is half done: statement 3 is unknown.", commit_point=1,
        commands=tuple(NextCommand(command=c) for c in commands),
    )  # fmt: skip
    base = failed_and_repaired()
    repair = StageResult(
        stage="repair", outcome=Outcome.FAILED, seconds=0.2, message="no repair fits",
        state=TargetState.UNKNOWN, diagnosis=diagnosis,
    )  # fmt: skip
    return replace(base, results=(*base.results[:-1], repair))


def errored() -> Report:
    backup_failed = StageResult(
        stage="backup", outcome=Outcome.ERROR, seconds=0.02, exit_code=8,
        message="pg_dump 14.2 is older than the server (16.4)\nThe database was not touched.\n"
        "Install postgresql-client-16, or name it: CI_MIGRATE_PG_BIN=/usr/lib/postgresql/16/bin",
        details="looked in PATH and /usr/lib/postgresql/*/bin",
    )  # fmt: skip
    rest = skipped("dry-run", "approve", "migrate", "verify", reason="backup ended with an error")
    return report(CHECKED, backup_failed, *rest, *skipped("repair", reason="nothing to repair"))


def interrupted() -> Report:
    """Ctrl-C between two stages: none of them failed."""
    return report(CHECKED, BACKED_UP, interrupted=130)


def hostile(text: str = HOSTILE) -> Report:
    """A refused run in which everything that can be foreign is `text`."""
    finding = Finding(
        code="CM201", name=text, severity=Severity.ERROR, message=text, revision=text, file=text, line=1,
    )  # fmt: skip
    revision = Revision(id="3f2a", file=text, sha256="a" * 64, message=text)
    foreign = plan(revisions=(revision, *plan().revisions[1:]), target=text)
    rows = TableEvidence(before=TableContent(rows=1), after=None)
    part = evidence(
        statements=(statement(1, "3f2a", text, 3, text),),
        commit_points=(),
        changes=(SchemaChange(name=text, before=text, after=text),),
        tables={text: rows},
        way_back=WayBack(tried=True, reason=text, differences=(text,)),
    )
    check = passed("check", 0.04, text, plan=foreign, findings=(finding,))
    failing = StageResult(
        stage="dry-run", outcome=Outcome.FAILED, message=text, details=text, file=text, line=3, evidence=part,
        diagnosis=Diagnosis(found=Progress.UNKNOWN, words=text, commands=(NextCommand(command=text, why=text),)),
    )  # fmt: skip
    error = StageResult(stage="approve", outcome=Outcome.ERROR, message=text, details=text)
    rest = skipped("migrate", reason=text)
    whole = report(check, BACKED_UP, failing, error, *rest, warnings=(text,), target=text, place=text)
    return replace(whole, run_id=text, version=text)


ALL = {
    f.__name__: f
    for f in (
        green, nothing_pending, refused, dry_run_failed, failed_and_repaired, dirty, errored, interrupted, hostile,
    )
}  # fmt: skip
