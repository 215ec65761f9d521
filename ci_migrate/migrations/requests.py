"""The typed requests to the child, and the one place that builds them.

`worker/` reads them as JSON with exactly these names; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from ci_migrate.databases.base import Database, Wall
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.migrations import events
from ci_migrate.migrations.environment import ChildEnvironment, known_reader, known_targets
from ci_migrate.model import Direction, LockPolicy, Permit, Plan, PlannedContext, Purpose
from ci_migrate.settings.settings import Settings


class Mode(StrEnum):
    """What the child may do to the databases of a request."""

    READ = "read"
    DRY_RUN = "dry-run"  # connections to the target are led to a scratch copy
    MIGRATE = "migrate"


class AlembicConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the project's Alembic is configured."""

    ini: str | None = None
    toml: str | None = None
    section: str = "alembic"
    x: tuple[str, ...] = ()
    configure: str | None = None


class WallEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One database: how the target is recognised, and where to connect instead. See `databases.base.Wall`."""

    name: str
    dialect: str
    match: dict[str, str]
    connect: dict[str, str]
    identity: dict[str, str]

    def __repr__(self) -> str:
        return f"<WallEntry {self.name!r}>"


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts and name of the child's sessions; `options` are PostgreSQL's names, in milliseconds.

    `locks`: how long statements on the target wait for locks; on a copy nobody else is in the way.
    """

    application_name: str = ""
    busy_timeout: int = 0
    options: dict[str, str] = {}
    locks: LockPolicy | None = None


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """MySQL and MariaDB: the database in which a commit leaves its mark, and the run's id."""

    database: str
    run: str


class ExpectedInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the child may execute and read: files by name with their sha256; another one only where it is not `closed`.

    Names are relative to `project` where a file is inside. `distributions` that differ are refused, unless empty.
    """

    project: str = ""
    files: dict[str, str] = {}
    distributions: dict[str, str] = {}
    closed: bool = False


class Squashed(msgspec.Struct, frozen=True, kw_only=True):
    """Files of revisions that count as gone, and the file of the baseline in their place; "" where nothing is."""

    gone: tuple[str, ...] = ()
    baseline: str = ""
    revision: str = ""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every request says: the project's Alembic, where it goes, and where its connections lead.

    `programs`: whether it may start some; `show_values`: its errors may repeat what stood in a row.
    """

    alembic: AlembicConfig
    direction: Direction
    destination: str
    url: str | None = None
    environ: dict[str, str] = {}
    databases: tuple[WallEntry, ...] = ()
    allow_connections: tuple[str, ...] = ()
    session: SessionSettings = SessionSettings()
    marker: Marker | None = None
    # revisions whose statements may reach beyond the database; a copy is sent none
    elsewhere: tuple[str, ...] = ()
    inputs: ExpectedInputs = ExpectedInputs()
    squashed: Squashed = Squashed()
    programs: bool = True
    show_values: bool = False

    def __repr__(self) -> str:
        return f"<Setup {self.direction.value} {self.destination}>"  # the rest holds passwords


class PlannedTable(msgspec.Struct, frozen=True, kw_only=True):
    """What may run for one version table; the child refuses where it finds other heads."""

    key: str
    from_heads: tuple[str, ...]
    revisions: tuple[str, ...]


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier run has committed of a revision: the digests of its statements, which are not sent again."""

    context: int
    revision: str | None
    digests: tuple[str, ...]


class WireRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="action"):
    """Base of all requests. The tag is the `action` of the JSON; field names are exactly as sent.

    `asks` are the tags of the events at which the child waits for a word.
    """

    setup: Setup
    mode: Mode = Mode.READ
    asks: tuple[str, ...] = events.ASKED


class GraphRequest(WireRequest, frozen=True, kw_only=True, tag="graph"):
    """Load the revision scripts; env.py is not run."""


class AskUrlRequest(WireRequest, frozen=True, kw_only=True, tag="ask-url"):
    """Run env.py up to its first connection, which is refused: where would it lead?

    `stays`: then load the scripts, and fork a child for each later request (`template.Template`).
    """

    stays: bool = False


class InspectRequest(WireRequest, frozen=True, kw_only=True, tag="inspect"):
    """Load scripts and env.py, and tell what would run."""


class CompareRequest(WireRequest, frozen=True, kw_only=True, tag="compare"):
    """Compare env.py's models with the database."""


class ReleaseModelsRequest(WireRequest, frozen=True, kw_only=True, tag="release-models"):
    """Describe the models of another release, whose files stand in the folder `there` instead of `here`.

    `there` is "" for one that is installed. `ahead` are folders to import from before all others. `named` is
    `module:attribute`; "" asks the release's env.py.
    """

    here: str
    there: str = ""
    ahead: tuple[str, ...] = ()
    named: str = ""


class RunRequest(WireRequest, frozen=True, kw_only=True, tag="run"):
    """Run revisions, or write the rows of a stamp.

    `purge`: a stamp takes all version rows away first. `probe` is asked after each new statement on a scratch copy,
    `commit_probe` before each commit there. `each_revision`: each in a transaction of its own, whatever env.py says.
    """

    contexts: tuple[PlannedTable, ...]
    purge: bool = False
    skip: Skip | None = None
    probe: str = ""
    commit_probe: str = ""
    each_revision: bool = False


def migrate_request(permit: Permit, subject: str, request: RunRequest) -> RunRequest:
    """The request to run revisions on the target itself: nobody else makes one.

    Raises:
        RefusedError: the permit is for something else than `subject`: a plan's digest, or a repair of a run.
    """
    permit.require(Purpose.UPGRADE, Purpose.DOWNGRADE, Purpose.STAMP, Purpose.REPAIR, subject=subject)
    return msgspec.structs.replace(request, mode=Mode.MIGRATE)


AnyRequest = (
    GraphRequest | AskUrlRequest | InspectRequest | CompareRequest | ReleaseModelsRequest | RunRequest
)


def project_setup(settings: Settings, direction: Direction, destination: str) -> Setup:
    """The setup of a child that reaches no database."""
    targets, reader = known_targets(settings), known_reader(settings)
    places = {**targets, MAIN: reader} if reader is not None else None
    return Setup(
        environ=ChildEnvironment(settings, targets, reader).for_stage(places),
        alembic=AlembicConfig(
            ini=str(settings.alembic_config) if settings.alembic_config else None,
            toml=str(settings.alembic_toml) if settings.alembic_toml else None,
            section=settings.alembic_name,
            x=tuple(settings.x),
            configure=settings.configure,
        ),
        direction=direction,
        destination=destination,
        inputs=ExpectedInputs(project=str(settings.project_dir)),
        show_values=settings.show_values,
    )


def target_setup(
    project: Setup,
    settings: Settings,
    *,
    run_id: str,
    stage: str,
    database: Database,
    place: Database,
    scratch: Database | None = None,
    reader: Database | None = None,
    marks: str | None = None,
) -> Setup:
    """The setup of a child that reaches the target, or a scratch copy in its place.

    Args:
        project: from `project_setup`.
        settings: for the target.
        run_id: names the child's sessions.
        stage: told to the project as CI_MIGRATE_STAGE.
        database: the target.
        place: where env.py is told to connect.
        scratch: where connections to the target go instead; None leaves them on the target.
        reader: what `read-url` leads to; None where there is none.
        marks: the database in which commits leave their marks (MySQL and MariaDB).
    """
    url = place.url.render_as_string(hide_password=False) if settings.url is not None else None
    targets = {name: member.url for name, member in members_of(database).items()}
    places = {name: member.url for name, member in members_of(place).items()}
    environment = ChildEnvironment(settings, targets, reader.url if reader is not None else None)
    environ = environment.for_stage(None if place is database else places)
    copies = members_of(scratch) if scratch is not None else {}
    # where a stage reads, `read-url` logs in, whatever env.py has for a login
    others = copies or (members_of(place) if place is not database else {})
    return msgspec.structs.replace(
        project,
        url=url,
        environ={**environ, "CI_MIGRATE_STAGE": stage},
        databases=(
            *(
                wall_entry(name, member.wall(), others[name].wall() if others else None)
                for name, member in members_of(database).items()
            ),
            *(
                _stand_in_entry(name, match, (others or members_of(database))[name].wall())
                for name, match in settings.stands_for.items()
            ),
        ),
        allow_connections=tuple(settings.allow_connections),
        session=_session_settings(settings, run_id, on_copy=scratch is not None),
        marker=Marker(database=marks, run=run_id) if marks else None,
    )


LOGIN = ("user", "password")
"""What a wall says of how a database is logged in to."""


def wall_entry(name: str, target: Wall, other: Wall | None = None) -> WallEntry:
    """One database for the child's wall; `other` is where connections to the target go instead."""
    match = {key: value for key, value in target.match.items() if key not in LOGIN}
    return WallEntry(
        name=name,
        dialect=target.dialect,
        match=match,
        # the child connects to the target with the login that env.py has: it is told none
        connect=match if other is None else dict(other.connect),
        identity=dict((other or target).identity),
    )


def _stand_in_entry(name: str, match: Mapping[str, str], place: Wall) -> WallEntry:
    """The database that a scratch copy stands in for, which env.py may know by a URL of its own."""
    named = {key: value for key, value in match.items() if key not in LOGIN}
    # with the login: that of env.py may be one on another server
    return WallEntry(
        name=name,
        dialect=place.dialect,
        match=named,
        connect=dict(place.connect),
        identity=dict(place.identity),
    )


def _session_settings(settings: Settings, run_id: str, *, on_copy: bool) -> SessionSettings:
    """As connection options: a revision's own RESET can't undo them."""
    policy = settings.lock_policy
    wait = settings.harmless_wait if on_copy else policy.queued
    options = {"lock_timeout": f"{round(wait * 1000)}"}
    if settings.statement_timeout:
        options["statement_timeout"] = f"{int(settings.statement_timeout * 1000)}"
    return SessionSettings(
        application_name=f"ci-migrate/{run_id}",
        busy_timeout=int(settings.harmless_wait * 1000),
        options=options,
        locks=None if on_copy else policy,
    )


def make_tables(plan: Plan) -> tuple[PlannedTable, ...]:
    """All of a plan."""
    return tuple(make_table(c, c.from_heads, c.revisions) for c in plan.contexts)


def make_tables_back(plan: Plan) -> tuple[PlannedTable, ...]:
    """The downgrade from the end of a plan to where it begins."""
    return tuple(make_table(c, c.to_heads, c.revisions[::-1]) for c in plan.contexts)


def make_table(context: PlannedContext, heads: Sequence[str], revisions: Sequence[str]) -> PlannedTable:
    """What may run for one version table of a plan that is at these heads by now."""
    return PlannedTable(key=context_key(context), from_heads=tuple(heads), revisions=tuple(revisions))


def context_key(context: PlannedContext) -> str:
    """The key by which the child recognises a version table; `worker.alembic_env.Contexts` makes the same."""
    table = context.version_table
    return "|".join((table.database, table.schema or "", table.search_path or "", table.name))
