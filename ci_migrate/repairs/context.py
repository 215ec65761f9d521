"""What a repair looks at, and what all repairs share: where the target stands, and how that is compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from msgspec import structs

from ci_migrate.errors import CiMigrateError, LedgerError, RefusedError
from ci_migrate.migrations.graph import graph_of, relative
from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import (
    Backup,
    Comparison,
    Diagnosis,
    Evidence,
    Fingerprint,
    JournalEntry,
    Permit,
    Plan,
    Progress,
    Purpose,
    Report,
    Schema,
    TableContent,
    list_some,
    repair_subject,
    sha256_hex,
    show_heads,
)
from ci_migrate.repairs.diagnosis import Heads, Witness, diagnose, rows_on
from ci_migrate.repairs.foreign_ddl import SHOWN, find_foreign, with_foreign
from ci_migrate.repairs.foreign_writes import UNKNOWN, find_unexplained
from ci_migrate.run.run import LedgerRun, bare_schema, child_setup, heads_of, restore_copy, translate_errors
from ci_migrate.run.since_last_run import definitions_of, differs_from_rehearsal, schema_diff
from ci_migrate.run.state import compare_rows, named_in

AS_REHEARSED = Comparison(compared=("heads", "schema"), not_compared=("rows",))
"""The proof of a state that the dry run went through: the diagnosis has compared it with that."""


@dataclass(frozen=True)
class RepairContext:
    """A migration of `run`'s target that did not pass.

    `plan` is what was to run, `before` the target's fingerprint ahead of it, without version tables. `evidence` is what
    the dry run measured and `backup` what this run took or reused; None where there was none. The settings are
    `run.settings`; `run.forward` says that somebody asked for the rest to be run.
    """

    run: LedgerRun
    plan: Plan
    before: Fingerprint
    evidence: Evidence | None
    backup: Backup | None
    permit: Permit | None = None  # of the repair that mends; who only looks has none

    @classmethod
    def of(cls, run: LedgerRun, report: Report) -> "RepairContext":
        """What the ledger knows of the run that is repaired, which may be an earlier one, and what its stages gave.

        Raises:
            LedgerError: the ledger does not say what that run began with.
        """
        record = run.ledger.run(run.subject)
        if record is None or record.plan is None or record.before is None:
            raise LedgerError(
                f"The ledger ({run.ledger.place}) does not say what run {run.subject} began with.",
                state="The target is left as it is.",
                hint="ci-migrate history",
            )
        return cls(run, record.plan, record.before, report.evidence, report.backup)

    def with_permit(self, permit: Permit) -> "RepairContext":
        """The same, for the one repair that was permitted; what was found once stays found."""
        found = replace(self, permit=permit)
        # not changed_file: what will be run is looked at once more
        for name in ("diagnosis", "as_before"):
            if name in self.__dict__:
                found.__dict__[name] = self.__dict__[name]
        return found

    def permit_for(self, way: str) -> Permit:
        """The permit to mend this way, without which nothing is written. Raises RefusedError where there is none."""
        if self.permit is None:
            raise RefusedError("Nothing was permitted: this only looks.")
        self.permit.require(Purpose.REPAIR, subject=repair_subject(self.run.subject, way))
        return self.permit

    # ----------------------------------------------------------------- inputs

    @cached_property
    def changed_file(self) -> str:
        """The first revision file, or env.py, that is not the one that was rehearsed and approved; "" where all are.

        A repair that runs files of the repository runs those, or none.
        """
        folder = self.run.settings.project_dir
        for revision in self.plan.revisions:
            if _sha256(folder / revision.file) != revision.sha256:
                return revision.file
        env = Path(graph_of(self.run.workers, child_setup(self.run, "check")).env_file)
        return "" if _sha256(env) == self.plan.env_sha256 else relative(str(env), folder)

    # ----------------------------------------------------------------- where the target stands

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """How far the migration got, as it was found when it was first asked for."""
        return self.diagnose()

    def diagnose(self) -> Diagnosis:
        """How far the migration got, as the target is now."""
        schema, heads = self.read_schema(), self.read_heads()
        found = self._diagnose_from(self.before, schema, heads)
        if found.found is not Progress.UNKNOWN or self.evidence is None:
            return found
        foreign = find_foreign(self.before, schema, self.evidence)
        if foreign:
            beside = self._diagnose_from(with_foreign(self.before, schema, foreign), schema, heads)
            if beside.found is not Progress.UNKNOWN:
                theirs = tuple(foreign.values())
                words = (
                    f"{beside.words}; meanwhile somebody else changed the schema: {list_some(theirs, SHOWN)}"
                )
                return structs.replace(beside, words=words, foreign=theirs)
        if heads != tuple(c.to_heads for c in self.plan.contexts):
            return found
        differs = differs_from_rehearsal(with_foreign(self.before, schema, foreign), schema, self.evidence)
        return (
            structs.replace(found, words=f"{found.words}: {list_some(differs, SHOWN)}") if differs else found
        )

    def _diagnose_from(self, before: Fingerprint, schema: Schema, heads: Heads) -> Diagnosis:
        database = self.run.database
        witness = Witness(committed=database.commit_outcome, contents=database.contents)
        now = Fingerprint.of(schema)
        return diagnose(self.plan, self.evidence, before, now, heads, self.read_journal(), witness)

    def read_heads(self) -> Heads:
        """The rows of each version table, now."""
        return heads_of(self.run.database, self.plan)

    def read_schema(self) -> Schema:
        """The schema without version tables, now."""
        return bare_schema(self.run.database, self.plan)

    def read_contents(self, tables: Iterable[str]) -> Mapping[str, TableContent]:
        """What some tables hold, now; those that are not there are left out."""
        with translate_errors(self.run.database):
            return self.run.database.contents(tables)

    def read_journal(self) -> tuple[JournalEntry, ...]:
        """What the run, and repairs of it, wrote down of each statement."""
        with self.run.ledger.journal(self.run.subject) as journal:
            return journal.entries()

    def heads_at(self, commit_point: int | None) -> Heads:
        """The rows of each version table on a commit point of the dry run; 0 is where the run began."""
        if commit_point and self.evidence is not None:
            return self.evidence.commit_points[commit_point - 1].heads
        return tuple(c.from_heads for c in self.plan.contexts)

    # ----------------------------------------------------------------- proofs

    def prove_heads(self, commit_point: int) -> list[str]:
        """In words, what the version rows are instead of those of a commit point; [] where they are those."""
        heads, wanted = self.read_heads(), self.heads_at(commit_point)
        return [f"it is at {show_heads(heads)} instead of {show_heads(wanted)}"] if heads != wanted else []

    def prove_as_before(self) -> list[str]:
        """Heads and schema that are not those before the run, in words. Rows are not compared here."""
        changed = schema_diff(self.before, self.read_schema(), definitions_of(self.evidence))
        return self.prove_heads(0) + changed

    @cached_property
    def as_before(self) -> Comparison:
        """As `compare_with_before`, as it was found when it was first asked for."""
        return self.compare_with_before()

    def compare_with_before(self) -> Comparison:
        """Whether heads, schema and rows are those before the run."""
        wrong = self.prove_as_before()
        if wrong:
            return Comparison(wrong=tuple(wrong))
        return Comparison(compared=("heads", "schema")).plus(self._compare_rows())

    def _compare_rows(self) -> Comparison:
        """The rows of the tables that the migration changes or names, with those of the backup."""
        if self.run.interrupt.number is not None:
            return Comparison(not_compared=("rows: the run was interrupted",))
        if self.evidence is None:
            return Comparison(not_compared=("rows: there was no dry run that says which ones would change",))
        rehearsed = {} if self.evidence.masked else self.evidence.tables
        before = {table: e.before for table, e in rehearsed.items() if e.before is not None}
        if self.backup is not None:
            tables = self.backup.row_counts.keys() - version_table_names(self.plan)
            named = named_in(tables, (s.sql for s in self.evidence.statements)) | self.evidence.tables.keys()
            before = {
                t: held
                for t, held in self.run.catalog.with_digests(self.backup).contents.items()
                if t in named
            } | before
        if not before:
            return Comparison(not_compared=("rows: the migration names no table that the backup holds",))
        try:
            return compare_rows(before, rehearsed, self.read_contents(before))
        except CiMigrateError as error:
            return Comparison(not_compared=(f"rows: {error.what}",))

    def foreign_writes(self) -> str:
        """What somebody else wrote since the backup, in words; "" for nothing. What can't be told counts as written.

        Every row is compared with the restored backup or, in tables that the run touched, with the dry run.
        """
        run, commit_point = self.run, self.diagnosis.commit_point
        if self.backup is None or self.evidence is None or commit_point is None:
            return UNKNOWN
        with restore_copy(run, self.backup, f"{run.id}_cmp") as copy, translate_errors(copy):
            then = copy.contents(copy.counts())
        with translate_errors(run.database):
            now = run.database.contents(run.database.counts())
        rehearsed = rows_on(self.evidence, commit_point) if commit_point else {}
        if rehearsed and self.evidence.masked:
            return f"{UNKNOWN}: the rehearsal was masked"
        dropped = dict.fromkeys(rows_on(self.evidence, 0).keys() - rehearsed.keys()) if rehearsed else {}
        expected = {**then, **dropped, **rehearsed}
        ours = version_table_names(self.plan)
        return find_unexplained(
            {t: expected.get(t) for t in expected.keys() | now.keys() if t not in ours}, now
        )


def _sha256(file: Path) -> str:
    return sha256_hex(file.read_bytes()) if file.exists() else ""
