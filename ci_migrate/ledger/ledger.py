"""The ledger: what must outlive a CI runner. Identity, runs, stage results, the way to journal and audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec
from sqlalchemy import URL, Connection, Engine, RowMapping, and_, insert, or_, select, update

from ci_migrate.errors import LedgerError
from ci_migrate.ledger import audit, tables
from ci_migrate.ledger import connect as opening
from ci_migrate.ledger.audit import AuditRecord
from ci_migrate.ledger.journal import Journal
from ci_migrate.ledger.place import ledger_url, marks_in, place
from ci_migrate.ledger.problems import translate_errors
from ci_migrate.model import Evidence, Identity, Outcome, RunRecord, StageResult, TargetState, canonical_json

__all__ = ["AuditRecord", "Journal", "Ledger", "ledger_url", "open_ledger"]

_RUN_FIELDS = frozenset(RunRecord.__struct_fields__) - {"run_id"}
_UNFINISHED = or_(
    tables.runs.c.needs_repair,
    and_(tables.runs.c.finished.is_(None), tables.runs.c.phase.in_(("migrating", "repairing"))),
)

_NEWEST_FIRST = (tables.runs.c.started.desc(), tables.runs.c.run_id)


def open_ledger(url: URL, *, create: bool) -> "Ledger | None":
    """Open the ledger at `url`, as `ledger_url` gives it.

    Args:
        url: where it is.
        create: make it where it is not there. What only reads passes False.

    Returns:
        The ledger, of this version; None where it is not there and `create` is False.

    Raises:
        LedgerError: it can't be reached, made or upgraded, or a newer ci-migrate made it.
    """
    engine = opening.ready(url, create=create)
    return None if engine is None else Ledger(engine, url)


class Ledger:
    """An open ledger. Every method is one transaction, and raises LedgerError where the database fails."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url

    def __repr__(self) -> str:
        return f"Ledger({self.place})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return place(self._url)

    def marks_in(self, target: URL) -> str | None:
        """Where transactions on the target leave a mark that tells whether they committed; as `place.marks_in`."""
        return marks_in(self._url, target)

    def close(self) -> None:
        """Close its connections. May be called twice."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, all of one moment."""
        options = opening.READS[self._engine.dialect.name]
        with (
            translate_errors(self._url, "read"),
            self._engine.connect().execution_options(**options) as connection,
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back where the block raises."""
        with translate_errors(self._url, "written"), self._engine.begin() as connection:
            yield connection

    def clock(self) -> datetime:
        """The time of the ledger's database, UTC."""
        with self.reading() as connection:
            return tables.clock(connection)

    # ----------------------------------------------------------------- identity

    @property
    def uuid(self) -> str:
        """What the target is called for good; made with the ledger."""
        with self.reading() as connection:
            return str(connection.execute(select(tables.identity.c.uuid)).scalar_one())

    def pin_identity(self, identity: Identity, *, replace: bool = False) -> None:
        """Note which database this ledger belongs to, the first time.

        Args:
            identity: what the server says now.
            replace: note it anew: a restore by rename gives the database another `oid`.
        """
        facts = canonical_json(identity).decode()
        statement = update(tables.identity).values(facts=facts)
        with self.writing() as connection:
            if not replace:
                statement = statement.where(tables.identity.c.facts.is_(None))
            if connection.execute(statement).rowcount:
                audit.append(connection, "identity pinned", None, {"identity": identity})

    def identity_differences(self, identity: Identity) -> list[str]:
        """Each fact that is not as pinned, in words; [] where all agree or nothing is pinned yet."""
        with self.reading() as connection:
            facts = connection.execute(select(tables.identity.c.facts)).scalar_one()
            pinned = msgspec.json.decode(facts, type=Identity) if facts else identity
        was = {"dialect": pinned.dialect, **pinned.facts}
        now = {"dialect": identity.dialect, **identity.facts}
        names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return [f"{name} was {was.get(name, 'unknown')}, is {now.get(name, 'unknown')}" for name in names]

    # ----------------------------------------------------------------- runs

    def begin_run(self, run: RunRecord) -> None:
        """Write a new run."""
        with self.writing() as connection:
            connection.execute(insert(tables.runs).values(run_id=run.run_id, **_run_values(_fields(run))))
            facts = {"target": run.target, "command": run.command, "actor": run.actor, "host": run.host}
            audit.append(connection, "run started", run.run_id, facts)

    def update_run(self, run_id: str, **fields: Any) -> None:
        """Change fields of a run, named as in RunRecord.

        Raises:
            LedgerError: there is no such run.
            TypeError: there is no such field.
        """
        with self.writing() as connection:
            self._change(connection, run_id, fields)

    def finish_run(
        self,
        run_id: str,
        exit_code: int,
        state: TargetState | str | None,
        *,
        needs_repair: bool | None = None,
    ) -> None:
        """Write that a run ended. `needs_repair`: None means yes if the target's state is unknown."""
        if needs_repair is None:
            needs_repair = state == TargetState.UNKNOWN
        words = None if state is None else str(state)
        with self.writing() as connection:
            fields = {
                "finished": tables.clock(connection),
                "phase": "finished",
                "exit_code": int(exit_code),
                "state": words,
                "needs_repair": needs_repair,
            }
            self._change(connection, run_id, fields)
            audit.append(connection, "run finished", run_id, {"exitCode": int(exit_code), "state": words})

    def _change(self, connection: Connection, run_id: str, fields: dict[str, Any]) -> None:
        if unknown := fields.keys() - _RUN_FIELDS:
            raise TypeError(f"a run has no {', '.join(sorted(unknown))}")
        if not fields:
            return
        statement = update(tables.runs).where(tables.runs.c.run_id == run_id).values(_run_values(fields))
        if connection.execute(statement).rowcount != 1:
            raise LedgerError(f"The ledger ({self.place}) knows no run {run_id}.", hint="ci-migrate history")

    def run(self, run_id: str) -> RunRecord | None:
        """The run with this id."""
        with self.reading() as connection:
            statement = select(tables.runs).where(tables.runs.c.run_id == run_id)
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _run(row)

    def runs(self, limit: int = 20) -> tuple[RunRecord, ...]:
        """The last runs, newest first."""
        statement = select(tables.runs).order_by(*_NEWEST_FIRST).limit(limit)
        with self.reading() as connection:
            return tuple(_run(row) for row in connection.execute(statement).mappings())

    def unfinished(self, target: str) -> RunRecord | None:
        """The newest run of the target that was killed while migrating or repairing, or needs repair."""
        statement = (
            select(tables.runs)
            .where(tables.runs.c.target == target, _UNFINISHED)
            .order_by(*_NEWEST_FIRST)
            .limit(1)
        )
        with self.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _run(row)

    # ----------------------------------------------------------------- stages and evidence

    def record_stage(self, run_id: str, result: StageResult) -> None:
        """Write what a stage did."""
        with self.writing() as connection:
            connection.execute(
                insert(tables.stages).values(
                    run_id=run_id,
                    stage=result.stage,
                    outcome=result.outcome.value,
                    recorded=tables.clock(connection),
                    result=result,
                )
            )
            if result.outcome is not Outcome.SKIPPED:
                facts = {"stage": result.stage, "outcome": result.outcome.value, "exitCode": result.exit_code}
                audit.append(connection, "stage", run_id, facts)

    def stages(self, run_id: str) -> tuple[StageResult, ...]:
        """What the stages of a run did, in the order in which it was written."""
        statement = (
            select(tables.stages.c.result)
            .where(tables.stages.c.run_id == run_id)
            .order_by(tables.stages.c.sequence)
        )
        with self.reading() as connection:
            return tuple(connection.execute(statement).scalars())

    def latest_evidence(self, plan_digest: str, max_age: timedelta) -> tuple[str, Evidence] | None:
        """The run and the evidence of the newest dry run that passed for this plan and is not older."""
        with self.reading() as connection:
            statement = (
                select(tables.stages.c.run_id, tables.stages.c.result)
                .join(tables.runs, tables.runs.c.run_id == tables.stages.c.run_id)
                .where(
                    tables.runs.c.plan_digest == plan_digest,
                    tables.stages.c.stage == "dry-run",
                    tables.stages.c.outcome == Outcome.PASSED.value,
                    tables.stages.c.recorded >= tables.clock(connection) - max_age,
                )
                .order_by(tables.stages.c.sequence.desc())
                .limit(1)
            )
            row = connection.execute(statement).one_or_none()
        return None if row is None or row.result.evidence is None else (row.run_id, row.result.evidence)

    # ----------------------------------------------------------------- journal and audit trail

    def journal(self, run_id: str) -> Journal:
        """The statement journal of a run, on a connection of its own."""
        return Journal(self._engine, self._url, run_id)

    def audit(self, kind: str, run_id: str | None = None, **facts: Any) -> None:
        """Add a record to the audit trail. `facts` must fit into JSON and hold no secrets."""
        with self.writing() as connection:
            audit.append(connection, kind, run_id, facts)

    def audit_records(self, limit: int = 100) -> tuple[AuditRecord, ...]:
        """The last records, oldest first."""
        with self.reading() as connection:
            return audit.records(connection, limit)

    def verify_audit(self) -> list[str]:
        """Altered, missing or reordered records, in words; [] where the trail is whole."""
        with self.reading() as connection:
            return audit.verify(connection)


def _fields(run: RunRecord) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _RUN_FIELDS}


def _run_values(fields: dict[str, Any]) -> dict[str, Any]:
    if "plan" not in fields:
        return fields
    plan = fields["plan"]
    return {**fields, "plan_digest": None if plan is None else plan.digest}


def _run(row: RowMapping) -> RunRecord:
    return RunRecord(run_id=row["run_id"], **{name: row[name] for name in _RUN_FIELDS})
