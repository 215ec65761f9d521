"""What is going to happen, and to which database."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from ci_migrate.model.base import Frozen, canonical_json, sha256_hex
from ci_migrate.model.inputs import Inputs


class Identity(Frozen, frozen=True, kw_only=True):
    """Which database this is. Facts that the server tells, none that a repository can set.

    `place` is what a person reads (`/srv/app.db`, `db.example.com:5432/shop`) and holds no secret. `facts` are
    engine specific: SQLite `file`; PostgreSQL `host`, `port`, `database`, `system_identifier`, `oid`.
    """

    dialect: str
    place: str
    facts: dict[str, str]

    @property
    def key(self) -> str:
        """One text per database, the same whatever name or address leads to it. History and backups go by it.

        A PostgreSQL database that is restored by a rename gets another `oid`, so another key: the ledger knows all
        keys that a database had.
        """
        return self._text(_key)

    @property
    def name_key(self) -> str:
        """As `key`, with the database's name for its `oid`: the same before and after a restore by a rename."""
        return self._text(_name_key)

    def _text(self, one: Callable[[dict[str, str]], str]) -> str:
        members: dict[str, dict[str, str]] = {}
        for name, fact in self.facts.items():  # of several databases: "reports.oid"
            member, _, bare = name.rpartition(".")
            members.setdefault(member, {})[bare] = fact
        parts = [f"{name}={one(facts)}" if name else one(facts) for name, facts in sorted(members.items())]
        # a file's name may hold bytes that no text has
        text = f"{self.dialect}:{' '.join(parts)}".encode(errors="backslashreplace").decode()
        return shortened_key(text)


KEY_LENGTH = 255
"""Characters: what a column with an index may hold on each engine."""


def shortened_key(text: str) -> str:
    """A text that fits into a column with an index; a hash keeps apart long ones that begin alike."""
    if len(text) <= KEY_LENGTH:
        return text
    digest = sha256_hex(text.encode())
    return f"{text[: KEY_LENGTH - len(digest) - 1]}#{digest}"


def _key(facts: dict[str, str]) -> str:
    return f"{_server(facts)}/{facts['oid']}" if "oid" in facts else _name_key(facts)


def _name_key(facts: dict[str, str]) -> str:
    if "file" in facts:
        return facts["file"]
    if "database" in facts and ("oid" in facts or "server" in facts):
        return f"{_server(facts)}/{facts['database']}"
    return ",".join(f"{name}={fact}" for name, fact in sorted(facts.items()))


def _server(facts: dict[str, str]) -> str:
    # not every role may read PostgreSQL's system_identifier
    known = facts.get("server") or facts.get("system_identifier")
    return known or f"{facts.get('host', '')}:{facts.get('port', '')}"


class VersionTable(Frozen, frozen=True, kw_only=True):
    """One version table of Alembic's: several databases, schemas or tables make several of them."""

    name: str = "alembic_version"
    schema: str | None = None
    database: str = ""  # "" is the target itself; otherwise the key in the target's `databases`
    search_path: str | None = None  # the schema that unqualified names meant when env.py configured it

    @property
    def label(self) -> str:
        """For people: `alembic_version`, `tenant_a.alembic_version`."""
        parts = (self.database, self.schema or self.search_path, self.name)
        return ".".join(p for p in parts if p)


class Direction(StrEnum):
    """Which way a plan goes."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    RESTORE = "restore"  # `destination` is the backup's id


class Revision(Frozen, frozen=True, kw_only=True):
    """One revision script.

    `file` is relative to the project and POSIX; `has_downgrade` is False for an empty or missing `downgrade()`;
    `allow` is the module's `ci_migrate = {"allow": {code: reason}}`.
    """

    id: str
    file: str
    sha256: str
    message: str
    down_revisions: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    has_downgrade: bool = True
    allow: dict[str, str] = {}


class PlannedContext(Frozen, frozen=True, kw_only=True):
    """What will run in one version table: from which heads to which, by which revisions, in this order."""

    version_table: VersionTable
    from_heads: tuple[str, ...]
    to_heads: tuple[str, ...]
    revisions: tuple[str, ...]


class Plan(Frozen, frozen=True, kw_only=True):
    """What is going to happen, to which database. Its digest is what an approval is given for.

    `inputs` is what scripts and env.py executed and read when they were loaded to make this plan.
    """

    target: str
    identity: Identity
    direction: Direction
    destination: str
    contexts: tuple[PlannedContext, ...]
    revisions: tuple[Revision, ...]  # each revision that any context runs, once, in order
    env_sha256: str
    script_heads: tuple[str, ...]
    inputs: Inputs = Inputs()

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON; without inputs where there are none, as ci-migrate 0.1.0 made it."""
        if self.inputs:
            return sha256_hex(canonical_json(self))
        fields = msgspec.to_builtins(self, order="deterministic")
        del fields["inputs"]
        return sha256_hex(msgspec.json.encode(fields))  # in the order of the fields, as `canonical_json`

    @property
    def purpose(self) -> str:
        """What an approval of it is for: its direction."""
        return self.direction.value

    @property
    def pending(self) -> int:
        """How many times a revision will run."""
        return sum(len(context.revisions) for context in self.contexts)

    @property
    def changes_nothing(self) -> bool:
        """Whether the target is there already: nothing would run, no version row would change."""
        return not self.pending and (
            self.direction is not Direction.STAMP or all(c.from_heads == c.to_heads for c in self.contexts)
        )

    @property
    def from_heads(self) -> tuple[str, ...]:
        """All heads that the target is at now, sorted."""
        return tuple(sorted({head for context in self.contexts for head in context.from_heads}))

    @property
    def to_heads(self) -> tuple[str, ...]:
        """All heads that the target will be at, sorted."""
        return tuple(sorted({head for context in self.contexts for head in context.to_heads}))

    def place_of(self, context: int) -> str:
        """` in tenant_a.alembic_version`, for words about one of several version tables; "" if there is one alone."""
        several = len(self.contexts) > 1 and context < len(self.contexts)
        return f" in {self.contexts[context].version_table.label}" if several else ""

    def revision(self, revision_id: str) -> Revision | None:
        """The revision with this id, if the plan runs it."""
        return next((r for r in self.revisions if r.id == revision_id), None)
