"""The ledger: what must outlive a CI runner. Identity, runs, stage results, the way to journal and audit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec
from sqlalchemy import URL, Connection, Engine, RowMapping, delete, insert, select, update

from ci_migrate.errors import LedgerError
from ci_migrate.ledger import audit, databases, queries, rehearsals, tables
from ci_migrate.ledger.audit import AuditRecord
from ci_migrate.ledger.connect import READS, open_engine
from ci_migrate.ledger.journal import Journal
from ci_migrate.ledger.place import ledger_url, marks_in, place
from ci_migrate.ledger.problems import translate_errors
from ci_migrate.model import (
    Direction,
    Evidence,
    Identity,
    Outcome,
    Plan,
    RunRecord,
    StageResult,
    TargetState,
    canonical_json,
    shortened_key,
)
from ci_migrate.model.state import OF_0_1_0
from ci_migrate.settings.secrets import hide_secrets

__all__ = ["AuditRecord", "Journal", "Ledger", "ledger_url", "open_ledger"]

_RUN_FIELDS = frozenset(RunRecord.__struct_fields__) - {"run_id"}
_UNCHANGED = (None, TargetState.UNTOUCHED.value, TargetState.AS_BEFORE.value, OF_0_1_0)
"""The states after which a run has not changed the target."""

_PAGE = 50
"""Runs that are read at a time where many are walked through: a plan has megabytes at worst."""


_AT_ONCE = 500
"""Values in one IN: each engine has a limit."""


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
    engine = open_engine(url, create=create)
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
        options = READS[self._engine.dialect.name]
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
                databases.note_key(connection, identity, databases.find_id(connection, None))

    def note_key(self, identity: Identity) -> None:
        """Note another key of the database that this ledger belongs to, such as a replica's."""
        with self.writing() as connection:
            # one writer at a time, as in the trail: two that come at once would both find the key unknown
            connection.execute(select(tables.audit_head).with_for_update())
            databases.note_key(connection, identity, databases.find_id(connection, None))

    def known_keys(self, identity: Identity | None) -> frozenset[str]:
        """All keys that a database had, its own among them; of the pinned one where `identity` is None.

        What was written under another key of the same database (before it was restored by a rename, moved or failed
        over) is its own too.
        """
        with self.reading() as connection:
            return databases.known_keys(connection, identity)

    def database_id(self, identity: Identity | None) -> str:
        """What the runs of a database have in common, whatever its target is called.

        Args:
            identity: what the server says now; None where it does not answer: then the pinned one is meant.
        """
        with self.reading() as connection:
            return databases.find_id(connection, identity)

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

    def begin_run(self, run: RunRecord, identity: Identity | None = None) -> None:
        """Write a new run, of the database that the server says it is; of the pinned one where nothing is said."""
        with self.writing() as connection:
            facts = {"target": run.target, "command": run.command, "actor": run.actor, "host": run.host}
            sequence = audit.append(connection, "run started", run.run_id, facts)
            own = {"sequence": sequence, "database_id": databases.find_id(connection, identity)}
            connection.execute(insert(tables.runs).values(run_id=run.run_id, **own, **_values(_fields(run))))
            _derive(connection, run.run_id, with_plan=True)

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
        this = tables.runs.c.run_id == run_id
        if connection.execute(update(tables.runs).where(this).values(_values(fields))).rowcount != 1:
            raise LedgerError(f"The ledger ({self.place}) knows no run {run_id}.", hint="ci-migrate history")
        if fields.keys() & {"plan", "state"}:
            _derive(connection, run_id, with_plan="plan" in fields)

    def run(self, run_id: str) -> RunRecord | None:
        """The run with this id."""
        with self.reading() as connection:
            statement = select(tables.runs).where(tables.runs.c.run_id == run_id)
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _run(row)

    def history(self, database_id: str, limit: int = 20) -> tuple[RunRecord, ...]:
        """The last runs of a database, newest first, whatever its target was called."""
        with self.reading() as connection:
            found = connection.execute(queries.newest(database_id, limit)).mappings()
            return tuple(_run(row) for row in found)

    def unfinished(self, database_id: str) -> RunRecord | None:
        """The newest run of a database that was killed while migrating or repairing, or needs repair."""
        return self._one(queries.unfinished(database_id))

    def restoring(self, database_id: str) -> tuple[RunRecord, ...]:
        """The runs that were killed, or are at work, while a backup takes the place of the database; newest first."""
        with self.reading() as connection:
            return tuple(_run(row) for row in connection.execute(queries.restoring(database_id)).mappings())

    def changes(self, database_id: str) -> Iterator[RunRecord]:
        """The runs that changed a database, or may have; the newest first. They have plans. Read when asked for."""
        before = None
        while True:
            with self.reading() as connection:
                page = connection.execute(queries.changes(database_id, before, _PAGE)).mappings().all()
            yield from map(_run, page)
            if len(page) < _PAGE:
                return
            before = page[-1]["sequence"]

    def later_change(self, run_id: str) -> RunRecord | None:
        """The first run that changed the same database, or may have, after this one began."""
        this = select(tables.runs.c.database_id, tables.runs.c.sequence).where(tables.runs.c.run_id == run_id)
        with self.reading() as connection:
            row = connection.execute(this).one_or_none()
        return None if row is None else self._one(queries.later_change(row.database_id, row.sequence))

    def plans(self, database_id: str) -> Iterator[RunRecord]:
        """The newest run of each plan that was to migrate a database. Read when asked for."""
        with self.reading() as connection:
            sequences = sorted(connection.execute(queries.plans(database_id)).scalars(), reverse=True)
        for start in range(0, len(sequences), _PAGE):
            some = tables.runs.c.sequence.in_(sequences[start : start + _PAGE])
            with self.reading() as connection:
                statement = select(tables.runs).where(some).order_by(tables.runs.c.sequence.desc())
                page = connection.execute(statement).mappings().all()
            yield from map(_run, page)

    def applied_files(self, database_id: str) -> dict[str, str]:
        """The sha256 of each applied revision's file, by revision; revisions taken back since are left out."""
        with self.reading() as connection:
            return {
                row.revision: row.sha256 for row in connection.execute(queries.applied_files(database_id))
            }

    def applying(self, database_id: str, revision: str) -> RunRecord | None:
        """The newest run that upgraded a database to or through a revision, or tried to."""
        return self._one(queries.applying(database_id, shortened_key(revision)))

    def _one(self, statement: queries.Rows) -> RunRecord | None:
        with self.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _run(row)

    # ----------------------------------------------------------------- stages and evidence

    def record_stage(self, run_id: str, result: StageResult) -> None:
        """Write what a stage did; what it says holds no secret, what it proves stays as it is."""
        words = {name: hide_secrets(getattr(result, name)) for name in ("message", "details", "sql")}
        result = msgspec.structs.replace(result, **words)
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
            seal = rehearsals.note(connection, run_id, result)
            if (
                result.outcome is not Outcome.SKIPPED
            ):  # of each `plan` most stages are: the trail would hold little else
                facts = {"stage": result.stage, "outcome": result.outcome.value, "exitCode": result.exit_code}
                audit.append(connection, audit.STAGE, run_id, facts | seal)

    def stages(self, run_id: str) -> tuple[StageResult, ...]:
        """What the stages of a run did, in the order in which it was written."""
        statement = (
            select(tables.stages.c.result)
            .where(tables.stages.c.run_id == run_id)
            .order_by(tables.stages.c.sequence)
        )
        with self.reading() as connection:
            return tuple(connection.execute(statement).scalars())

    def evidence(self, run_id: str) -> Evidence | None:
        """What the dry run of a run measured, if it passed."""
        result = self.dry_run(run_id)
        return None if result is None else result.evidence

    def dry_run(self, run_id: str) -> StageResult | None:
        """What the dry run of a run gave, if it passed."""
        with self.reading() as connection:
            return rehearsals.dry_run(connection, run_id)

    def seal_of(self, run_id: str) -> str:
        """The sha256 of what the dry run of a run gave, as the audit trail has it; "" where it has none."""
        with self.reading() as connection:
            return rehearsals.sealed(connection, run_id)

    def rehearsed(self, database_id: str, plan_digest: str, max_age: timedelta) -> str | None:
        """The newest run of a database that measured this very plan and is not older, by the ledger's own clock."""
        return next(iter(self.rehearsals(database_id, plan_digest, max_age, limit=1)), None)

    def last_approved(self) -> str | None:
        """The newest run that used an approval to migrate, forward or back."""
        with self.reading() as connection:
            found = connection.execute(queries.last_approved((Direction.UPGRADE, Direction.DOWNGRADE)))
            return found.scalar_one_or_none()

    def rehearsals(
        self, database_id: str, plan_digest: str, max_age: timedelta, *, limit: int
    ) -> tuple[str, ...]:
        """As `rehearsed`, several of them, newest first."""
        with self.reading() as connection:
            now = tables.clock(connection)
            found = connection.execute(queries.rehearsed(database_id, plan_digest, now - max_age, now, limit))
            return tuple(found.scalars())

    def proven(self, database_id: str, backup_ids: Sequence[str]) -> frozenset[str]:
        """Those of these backups that a dry run of a database restored and found equal."""
        found: set[str] = set()
        with self.reading() as connection:
            for start in range(0, len(backup_ids), _AT_ONCE):
                some = backup_ids[start : start + _AT_ONCE]
                found.update(connection.execute(queries.proven(database_id, some)).scalars())
        return frozenset(found)

    # ----------------------------------------------------------------- journal and audit trail

    def journal(self, run_id: str) -> Journal:
        """The statement journal of a run, on a connection of its own."""
        return Journal(self._engine, self._url, run_id)

    def audit(self, kind: str, run_id: str | None = None, **facts: Any) -> None:
        """Add a record to the audit trail. `facts` must fit into JSON and hold no secrets."""
        with self.writing() as connection:
            audit.append(connection, kind, run_id, facts)

    def pin_notes(self, run_id: str | None, place: str) -> None:
        """Write down where the use of tokens is noted, from now on."""
        self.audit(audit.NOTES, run_id, place=place)

    def notes_place(self) -> str | None:
        """Where the use of tokens is noted; None where nobody has pinned it yet."""
        with self.reading() as connection:
            return audit.notes_place(connection)

    def note_request(
        self, run_id: str | None, *, plan_digest: str, direction: str, by: str, command: str = ""
    ) -> None:
        """Write down who asks for an approval of a plan, and the command by which that is given."""
        facts = {"planDigest": plan_digest, "direction": direction, "by": by, "command": command}
        self.audit(audit.REQUESTED, run_id, **facts)

    def open_requests(self, limit: int = 20) -> tuple[dict[str, Any], ...]:
        """What was asked for apart from runs and neither approved nor denied since, the newest first."""
        with self.reading() as connection:
            return audit.open_requests(connection, limit)

    def requesters(self, plan_digest: str) -> frozenset[str]:
        """Who asked for an approval of a plan."""
        with self.reading() as connection:
            return audit.requesters(connection, plan_digest)

    def reasons(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Why runs were asked for, by their ids; those without a reason are left out."""
        with self.reading() as connection:
            return audit.reasons(connection, run_ids)

    def approvals_used(self, run_ids: Sequence[str]) -> dict[str, tuple[tuple[str, ...], str]]:
        """By whom runs were approved, and the reason that stands in the approval, by the runs' ids."""
        with self.reading() as connection:
            return {
                row.claimed_by: (tuple(msgspec.json.decode(row.approved_by)), row.reason)
                for row in connection.execute(queries.approvals_used(run_ids))
            }

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


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    if "plan" not in fields:
        return fields
    plan = fields["plan"]
    return {**fields, "plan_digest": None if plan is None else plan.digest}


def _derive(connection: Connection, run_id: str, *, with_plan: bool) -> None:
    """Write down what follows from a run's plan and state, for the queries that need an index."""
    this = tables.runs.c.run_id == run_id
    row = connection.execute(select(tables.runs).where(this)).one()
    changed = row.plan is not None and row.state not in _UNCHANGED
    connection.execute(update(tables.runs).where(this).values(changed=changed))
    of_run = tables.applied.c.sequence == row.sequence
    if with_plan:
        connection.execute(delete(tables.applied).where(of_run))
        if row.plan is not None and row.plan.revisions:
            connection.execute(insert(tables.applied), _revisions(row.sequence, row.database_id, row.plan))
    migrated = row.state == TargetState.MIGRATED.value
    connection.execute(update(tables.applied).where(of_run).values(migrated=migrated))


def _revisions(sequence: int, database_id: str, plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "sequence": sequence,
            "database_id": database_id,
            "revision": shortened_key(revision.id),
            "upgrade": plan.direction is Direction.UPGRADE,
            "migrated": False,
            "sha256": revision.sha256,
        }
        for revision in plan.revisions
    ]


def _run(row: RowMapping) -> RunRecord:
    return RunRecord(run_id=row["run_id"], **{name: row[name] for name in _RUN_FIELDS})
