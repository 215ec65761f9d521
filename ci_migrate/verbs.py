"""The table of commands: what each consists of and what it may do. It imports nothing, so that `--help` is quick."""

from dataclasses import dataclass
from enum import Flag, auto

ALL = ("check", "backup", "dry-run", "approve", "migrate", "verify", "repair")
"""The stages of `pipeline.PIPELINE`, in their order."""


class Trait(Flag):
    """What a verb does besides reading settings."""

    NONE = 0
    LOCKS = auto()  # holds the run lock from its beginning to its end
    WRITES = auto()  # to the target; so it locks
    LEDGER = auto()  # creates the ledger where there is none
    CHILDREN = auto()  # runs Alembic sooner or later
    SCRATCH = auto()  # rehearses on scratch copies: it runs Alembic, and somebody chose where the copies live
    REMOVES = auto()  # a way back: what the ledger says is looked for as where it writes
    NO_FILES = auto()  # it only looks: reports are written where somebody names a place for them
    NO_LEDGER = auto()  # does without: the application's own role, which runs it, may not reach one
    NO_TARGET = auto()  # works although the target does not answer: it may be what is broken


NONE, LOCKS, WRITES, LEDGER = Trait.NONE, Trait.LOCKS, Trait.WRITES, Trait.LEDGER
CHILDREN, SCRATCH, REMOVES, NO_TARGET = Trait.CHILDREN, Trait.SCRATCH, Trait.REMOVES, Trait.NO_TARGET
NO_LEDGER, NO_FILES = Trait.NO_LEDGER, Trait.NO_FILES


@dataclass(frozen=True)
class Verb:
    """One command. `ci-migrate backup create` is the verb `backup create`, in `commands/backup/create.py`."""

    name: str
    words: str = ""  # its line in `--help`; a verb within another one has none
    stages: tuple[str, ...] = ()  # of the pipeline
    traits: Trait = NONE
    leaves_out: str = ""  # what nobody may leave out on production: there it is refused
    rehearsal: str = ""  # the verb that does the same up to the dry run
    goes_back: bool = False  # to the revision that `--to` names; so it is said each time

    @property
    def locks(self) -> bool:
        """Whether it holds the run lock."""
        return bool(self.traits & (LOCKS | WRITES))

    @property
    def writes(self) -> bool:
        """Whether it writes to the target."""
        return WRITES in self.traits

    @property
    def removes(self) -> bool:
        """Whether it takes a way back away."""
        return REMOVES in self.traits

    @property
    def creates_ledger(self) -> bool:
        """Whether there is a ledger from then on."""
        return LEDGER in self.traits

    @property
    def leaves_files(self) -> bool:
        """Whether it writes reports where nobody names a place for them."""
        return NO_FILES not in self.traits

    @property
    def opens_ledger(self) -> bool:
        """Whether it looks for the ledger."""
        return NO_LEDGER not in self.traits

    @property
    def starts_children(self) -> bool:
        """Whether it runs Alembic."""
        return bool(self.traits & (CHILDREN | SCRATCH))

    @property
    def rehearses(self) -> bool:
        """Whether it makes scratch copies."""
        return SCRATCH in self.traits

    @property
    def needs_target(self) -> bool:
        """Whether the target must answer before anything else."""
        return NO_TARGET not in self.traits

    @property
    def runs_revisions(self) -> bool:
        """Whether revisions run, on the target or on a copy of it: a stamp only writes version rows."""
        return "backup" in self.stages

    @property
    def rehearses_first(self) -> bool:
        """Whether it migrates the target after a dry run: production may not do without that."""
        return "dry-run" in self.stages and "migrate" in self.stages


# A row has: name, line in `--help`, stages, traits.
# fmt: off
GROUPS: dict[str, tuple[Verb, ...]] = {
    "Every day": (
        Verb("run", "Check, back up, rehearse on the restored backup, migrate, verify.", ALL,
             WRITES | LEDGER | SCRATCH, rehearsal="dry-run"),
        Verb("plan", "Show what would run, on which database. Only reads.", ALL[:1],
             CHILDREN | NO_FILES),
        Verb("check", "Show the plan and run every static check. Only reads.", ALL[:1], CHILDREN),
        Verb("dry-run", "Back up and rehearse on the restored copy. The target is not written.", ALL[:3], SCRATCH),
        Verb("migrate", "Like run, without the dry run. Refused on production.",
             ("check", "backup", "approve", "migrate", "verify", "repair"),
             WRITES | LEDGER | CHILDREN, leaves_out="the dry run"),
        Verb("status", "Show where the target is, the last run, and what to do next.", (), CHILDREN),
        Verb("history", "List the runs of this target.", (), NO_TARGET),
        Verb("show", "Show the report of a run again, in any format. Reads no database.", (), NO_TARGET),
        Verb("explain", "Explain a finding or an error: why, and what to do instead.", (), NO_TARGET),
        Verb("wait", "Wait until the database serves what these scripts need.", (), CHILDREN | NO_LEDGER),
        Verb("verify", "Compare the target with what the last migration left."),
        Verb("backfill", "Fill rows in batches after a deploy: registered, resumed, stoppable."),
        Verb("backfill run", traits=WRITES | LEDGER),
        Verb("backfill dry-run", traits=SCRATCH),
        Verb("backfill status"),
        Verb("fleet", "Migrate many databases with the same scripts: one per tenant."),
        Verb("fleet status"),
        Verb("fleet run"),
        Verb("fleet resume"),
        Verb("fleet retry"),
        Verb("fleet request"),
        Verb("fleet matrix"),
    ),
    "When it failed": (
        Verb("repair", "Say what state an unfinished run left, repair it, prove it.", (), WRITES | LEDGER | SCRATCH),
        Verb("rollback", "Go back to a revision, by downgrade or by its backup.", ALL,
             WRITES | LEDGER | SCRATCH, goes_back=True),
        # its old version rows stand in the plan and in the audit trail: no backup holds more of what it changes
        Verb("stamp", "Mark a revision without running anything.",
             ("check", "approve", "migrate", "verify", "repair"), WRITES | LEDGER | CHILDREN),
        Verb("backup", "Take, inspect, copy, restore and delete backups."),
        Verb("backup create", traits=LOCKS | CHILDREN),
        Verb("backup list", traits=NO_TARGET),
        Verb("backup show"),
        Verb("backup verify", traits=SCRATCH),
        Verb("backup copy"),
        Verb("backup restore", traits=WRITES | NO_TARGET),
        Verb("backup restore --table", traits=WRITES | SCRATCH),
        Verb("backup restore --drop-old", traits=WRITES | REMOVES),
        Verb("backup delete", traits=REMOVES | NO_TARGET),
        Verb("backup prune", traits=REMOVES | NO_TARGET),
    ),
    "Approval": (
        Verb("approve", "Sign an approval request with an SSH key."),
        Verb("token", "Make, check, list, revoke and merge approval tokens."),
        Verb("token generate", traits=LEDGER | CHILDREN),
        Verb("token request", traits=LEDGER | CHILDREN),
        Verb("token validate"),
        Verb("token list", traits=NO_TARGET),
        Verb("token revoke"),
        Verb("token merge"),
        Verb("token show"),
        Verb("protect", "Write into the database that it is production, and who approves.", (), LEDGER),
        Verb("unprotect", "Take the protection away. Needs an approval.", (), LEDGER),
    ),
    "Set-up": (
        Verb("init", "Write commented settings and the job for your CI."),
        Verb("doctor", "Find what stops or weakens the gate, each with its fix."),
        Verb("squash", "Write one baseline for a long history, and prove it.", (), SCRATCH | NO_LEDGER | NO_FILES),
        Verb("settings", "Show each setting with its value and where it comes from."),
        Verb("plugins", "Show all hooks and who implements them."),
        Verb("audit", "Show, verify or export the audit trail."),
        Verb("audit show", traits=NO_TARGET),
        Verb("audit verify", traits=NO_TARGET),
        Verb("audit export", traits=NO_TARGET),
        Verb("serve", "Run it over HTTP, for deploy tools. Needs the extra server."),
        Verb("serve work"),
        Verb("serve key"),
        Verb("serve key create", traits=LEDGER),
        Verb("serve key list", traits=NO_TARGET),
        Verb("serve key revoke", traits=NO_TARGET),
        Verb("mcp", "Let coding agents plan, check and rehearse. Needs the extra mcp."),
        Verb("demo", "Take a bookshop through the gate, in a new folder."),
    ),
}
"""By the groups of `--help`, in its order. A new verb is a row here and a file in `commands/`."""
# fmt: on

VERBS: dict[str, Verb] = {verb.name: verb for verbs in GROUPS.values() for verb in verbs}

HABITS = {
    "upgrade": "run {}",
    "downgrade": "rollback --to {}",
    "current": "status",
    "heads": "status",
}
"""What Alembic calls what we have by another name; `{}` is the revision."""

ALEMBICS_OWN = ("revision", "merge", "branches", "edit", "ensure_version", "list_templates")
"""Commands of Alembic that reach no database that anybody has to guard: nothing here takes their place."""


def verb_of(name: str) -> Verb:
    """The verb that a report or a ledger names; a command that this version does not know has no traits."""
    return VERBS.get(name) or Verb(name)
