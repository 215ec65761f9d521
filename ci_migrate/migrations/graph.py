"""The revision graph, the current heads, and the Plan: all that is known before anything runs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sqlalchemy import URL

from ci_migrate.errors import CiMigrateError, RefusedError, UsageError, WorkerError
from ci_migrate.migrations import events
from ci_migrate.migrations.requests import AskUrlRequest, GraphRequest, InspectRequest, Mode, Setup
from ci_migrate.migrations.runner import NO_ALEMBIC, Ended, Launch, Workers
from ci_migrate.migrations.version_rows import RowTrouble, row_troubles
from ci_migrate.model import Direction, Identity, Inputs, Plan, PlannedContext, Revision, VersionTable

READ_ONLY = ("SQLITE_READONLY", "25006", "1792")
"""What SQLite, PostgreSQL, MySQL and MariaDB say to a session that writes and may only read."""

TOOLS = {"poetry": "poetry.lock", "pipenv": "Pipfile"}
"""Those that keep a project's packages where only they find them, and the file that gives them away."""


@dataclass
class Inspection:
    """What the child told when it loaded the scripts and env.py without writing."""

    graph: events.Graph | None = None
    contexts: list[events.Context] = field(default_factory=list)
    wanted: list[events.Wanted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    writes_at_load: list[str] = field(default_factory=list)
    ended: Ended | None = None

    @property
    def row_troubles(self) -> list[RowTrouble]:
        """Version rows that make no sense to the scripts."""
        return row_troubles(self.graph.revisions, self.contexts) if self.graph is not None else []

    def handle(self, event: events.AnyEvent) -> None:
        """Sort the events."""
        match event:
            case events.Graph():
                self.graph = event
            case events.Context():
                self.contexts.append(event)
            case events.Wanted():
                self.wanted.append(event)
            case events.RefusedConnection():
                self.refused.append(event.words)
            case events.WriteAtLoad():
                self.writes_at_load.append(event.sql)
            case _:
                pass


def inspect(workers: Workers, setup: Setup, mode: Mode = Mode.READ) -> Inspection:
    """Load scripts and env.py in a child that may only read the target; by `mode` dry-run it asks a scratch copy.

    Version rows that make no sense (`Inspection.row_troubles`) raise nothing here: then nothing is pending.

    Raises:
        RefusedError: the scripts or the destination make no sense, or env.py connects to another database.
        WorkerError: env.py could not be run.
    """
    found = Inspection()
    found.ended = workers.run(InspectRequest(setup=setup, mode=mode), found.handle, urgent=True)
    if not found.ended.ok:
        raise explain_failure(found.ended, workers.launch, found.refused, found.writes_at_load)
    if found.graph is None:
        raise RefusedError("A revision script ends the process when it is loaded (sys.exit).")
    if not found.contexts:
        raise WorkerError(
            "env.py ended without configuring a migration context on this database.",
            hint="Run `alembic current` in the project: does it print a revision? See `configure` in the settings.",
        )
    error = next((c.error for c in found.contexts if c.error), "")
    if error and not found.row_troubles:
        raise RefusedError(
            f"Alembic says: {error.rstrip('.')}.", hint=_split_branch(found.graph, setup.destination)
        )
    return found


def _split_branch(graph: events.Graph, destination: str) -> str:
    """What to do where `label@head` is asked for, and the branch has several heads; "" otherwise."""
    label, _, what = destination.partition("@")
    heads = [r.id for r in graph.revisions if r.id in graph.heads and label in r.branch_labels]
    if what != "head" or len(heads) < 2:
        return ""
    return f"The branch {label} has {len(heads)} heads; merge them: alembic merge -m MESSAGE {' '.join(sorted(heads))}"


def are_branches(graph: events.Graph) -> bool:
    """Whether the heads are meant to stay apart: each has a branch label of its own, or all but one, the main line."""
    labels = [set(r.branch_labels) for r in graph.revisions if r.id in graph.heads]
    own = [each.difference(*(other for other in labels if other is not each)) for each in labels]
    return len(own) > 1 and own.count(set()) <= 1


def graph_of(workers: Workers, setup: Setup) -> events.Graph:
    """The revision graph alone: env.py is not run.

    Raises:
        RefusedError, WorkerError: the scripts can't be loaded.
    """
    found = Inspection()
    ended = workers.run(GraphRequest(setup=setup), found.handle, urgent=True)
    if not ended.ok:
        raise explain_failure(ended, workers.launch)
    if found.graph is None:
        raise RefusedError("A revision script ends the process when it is loaded (sys.exit).")
    return found.graph


def explain_failure(
    ended: Ended, launch: Launch, refused: Sequence[str] = (), writes: Sequence[str] = ()
) -> CiMigrateError:
    """The error that fits how a child ended while nothing was written; `writes` are statements that were held back."""
    failed = ended.failed
    if failed is None:
        hint = _other_interpreter(launch) if NO_ALEMBIC in ended.output else _last_line(ended)
        return WorkerError(f"Alembic could not be run: {ended.died}.", hint=hint)
    if failed.kind == "refused" and refused:
        return RefusedError(
            f"env.py asked for {refused[0]}, which is not the target.",
            hint="Set the target's `url` to the database that env.py uses, or name the other one in "
            "`allow-connections`: it may then be read, and written by the migration only. If env.py migrates it too, "
            "as that of Alembic's template multidb does, name it in the target's `databases`.",
        )
    where = f" ({failed.file}:{failed.line})" if failed.file else ""
    file, line = failed.file or None, failed.line
    if failed.kind == "command":
        return RefusedError(f"Alembic says: {failed.message.rstrip('.')}.")
    if failed.kind == "refused":
        return RefusedError(f"Refused{where}: {failed.message}.", file=file, line=line)
    if failed.kind == "script" and failed.message.startswith("KeyError: "):  # so Alembic says it
        missing = failed.message.removeprefix("KeyError: ")
        return RefusedError(
            f"A revision script builds on {missing}, and no script has that id.",
            hint="Look for it in `down_revision` and `depends_on`: is its file missing on this branch?",
        )
    if failed.kind == "script":
        return RefusedError(
            f"A revision script can't be loaded{where}: {failed.message}.", file=file, line=line
        )
    if failed.kind == "configure":
        return UsageError(
            f"The setting `configure` names what can't be imported: {failed.message.rstrip('.')}.",
            hint="It is MODULE:FUNCTION, found from the project's folder or by `prepend_sys_path` of alembic.ini.",
        )
    if writes or failed.sqlstate in READ_ONLY:
        wrote = f" ({' '.join(writes[0].split())[:120]})" if writes else ""
        return WorkerError(
            f"The application writes to its database when env.py loads it{wrote}. That is held back while the target "
            f"is only read, and then it fails{where}: {failed.message.rstrip('.')}.",
            hint="Let it not write where Alembic loads it: then CI_MIGRATE_STAGE is set in its environment.",
            file=file,
            line=line,
        )
    hint = "Run `alembic current` in the project to see all of it."
    if failed.message.startswith(("ModuleNotFoundError: ", "ImportError: ")):
        hint = _other_interpreter(launch)
    return WorkerError(f"env.py failed{where}: {failed.message}.", hint=hint, file=file, line=line)


def _other_interpreter(launch: Launch) -> str:
    """What to do where the interpreter lacks what env.py imports: some tools keep that outside of the project."""
    tool = next((tool for tool, file in TOOLS.items() if (launch.directory / file).is_file()), "")
    if "PRE_COMMIT" in launch.environ:
        tool = ""  # its hooks have an environment of their own, whatever they are started from
    if tool and not launch.environ.get("VIRTUAL_ENV"):
        return f"{tool.capitalize()} keeps the project's packages elsewhere: put `{tool} run` before the command."
    by = f" by `{tool} install`" if tool else ""
    named = 'in the settings: python = ".venv/bin/python"'
    if launch.environ.get("CI_MIGRATE_PYTHON"):
        # which the settings do not change
        named = "in CI_MIGRATE_PYTHON."
    return f"Install it there{by}, or name the interpreter that has it {named}"


def _last_line(ended: Ended) -> str:
    lines = [line.strip() for line in ended.output.splitlines() if line.strip()]
    return f"It printed: {lines[-1][:300]}" if lines else ""


def read_wanted_url(inspection: Inspection) -> URL:
    """The URL that env.py asked for, from a driver's connect arguments (password included)."""
    wanted = inspection.wanted[0]
    parts = wanted.parts
    if wanted.dialect == "sqlite":
        return URL.create("sqlite", database=parts["file"])
    host, port = parts.get("host", ""), parts.get("port", "")
    plain = ("user", "password", "host", "port", "database")
    query = {name: value for name, value in parts.items() if name not in plain and value}
    if not port.isdecimal():  # several hosts, which only the query of a URL may name
        query |= {name: value for name, value in (("host", host), ("port", port)) if value}
        host = port = ""
    return URL.create(
        wanted.dialect,
        username=parts.get("user") or None,
        password=parts.get("password") or None,
        host=host or None,
        port=int(port) if port else None,
        database=parts.get("database"),
        query=query,
    )


def ask_url(workers: Workers, setup: Setup) -> URL:
    """Ask env.py for the URL of its database; the connection itself is refused.

    Raises:
        RefusedError, WorkerError: the scripts or env.py can't be loaded, or it never connected.
    """
    found = Inspection()
    ended = workers.run(AskUrlRequest(setup=setup), found.handle, urgent=True)
    if found.wanted:
        return read_wanted_url(found)
    if ended.ok:
        raise WorkerError(
            "env.py never opened a connection, so the target's URL is not known.",
            hint="Set the target's `url`.",
        )
    raise explain_failure(ended, workers.launch, found.refused)


def make_plan(
    inspection: Inspection,
    *,
    target: str,
    identity: Identity,
    direction: Direction,
    destination: str,
    project: Path,
    inputs: Inputs,
) -> Plan:
    """The Plan that follows from an inspection, whose `inputs` say what the revision files were then."""
    graph = inspection.graph
    assert graph is not None
    by_id = {r.id: r for r in graph.revisions}
    contexts = [
        PlannedContext(
            version_table=VersionTable(
                name=c.table.name,
                schema=c.table.schema,
                database=c.table.database,
                search_path=c.table.search_path,
            ),
            from_heads=tuple(sorted(c.heads)),
            to_heads=(
                _stamped(graph.revisions, c)
                if direction is Direction.STAMP
                else heads_after(by_id, c.heads, c.revisions, direction)
            ),
            revisions=c.revisions,
        )
        for c in inspection.contexts
    ]
    return build_plan(
        graph,
        contexts,
        target=target,
        identity=identity,
        direction=direction,
        destination=destination,
        project=project,
        inputs=inputs,
    )


def build_plan(
    graph: events.Graph,
    contexts: Sequence[PlannedContext],
    *,
    target: str,
    identity: Identity,
    direction: Direction,
    destination: str,
    project: Path,
    inputs: Inputs = Inputs(),  # noqa: B008 - frozen
) -> Plan:
    """The Plan of these contexts; reads those revision files as bytes that are not among the inputs."""
    by_id = {r.id: r for r in graph.revisions}
    wanted = list(dict.fromkeys(revision for c in contexts for revision in c.revisions))
    return Plan(
        target=target,
        identity=identity,
        direction=direction,
        destination=destination,
        contexts=tuple(contexts),
        revisions=tuple(_revision(by_id[revision], project, inputs) for revision in wanted),
        env_sha256=_sha256(graph.env_file, project, inputs),
        script_heads=tuple(sorted(graph.heads)),
        inputs=inputs,
    )


def _stamped(revisions: Sequence[events.GraphRevision], context: events.Context) -> tuple[str, ...]:
    """The rows after a stamp; where those of now make no sense, all of them are taken away first."""
    return context.purged if row_troubles(revisions, [context]) else context.to_heads


def heads_after(
    by_id: Mapping[str, events.GraphRevision],
    heads: Iterable[str],
    revisions: Iterable[str],
    direction: Direction,
) -> tuple[str, ...]:
    """The version rows after these revisions: what is applied and nothing applied builds upon."""
    applied = set(heads)
    queue = list(applied)
    while queue:
        revision = by_id.get(queue.pop())
        for down in names_below(revision, by_id) if revision else ():
            if down not in applied:
                applied.add(down)
                queue.append(down)
    applied = applied - set(revisions) if direction is Direction.DOWNGRADE else applied | set(revisions)
    covered = {down for r in applied if r in by_id for down in names_below(by_id[r], by_id)}
    return tuple(sorted(applied - covered))


def baselines_in(graph: events.Graph) -> dict[str, tuple[str, ...]]:
    """By the id of each baseline, the revisions that were squashed into it."""
    return {one.id: one.replaces for one in graph.revisions if one.replaces}


def names_below(revision: events.GraphRevision, by_id: Mapping[str, events.GraphRevision]) -> tuple[str, ...]:
    """What a revision builds upon; `depends_on` may name a branch label or a partial id."""
    depends = []
    for name in revision.depends_on:
        if name in by_id:
            depends.append(name)
        else:
            depends += [r.id for r in by_id.values() if r.id.startswith(name) or name in r.branch_labels][:1]
    return (*revision.down_revisions, *depends)


def _revision(found: events.GraphRevision, project: Path, inputs: Inputs) -> Revision:
    return Revision(
        id=found.id,
        file=relative(found.file, project),
        sha256=_sha256(found.file, project, inputs),
        message=found.message,
        down_revisions=found.down_revisions,
        depends_on=found.depends_on,
        branch_labels=found.branch_labels,
        has_downgrade=found.has_downgrade,
        allow=found.allow,
    )


@cache
def relative(file: str, project: Path) -> str:
    """The file as reports name it: relative to the project where it lies inside, POSIX."""
    path = Path(file)
    try:
        return path.resolve().relative_to(project.resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def _sha256(file: str, project: Path, inputs: Inputs) -> str:
    """Of the bytes that the child compiled: the file itself may be another one by now."""
    known = inputs.files.get(relative(file, project)) or inputs.files.get(Path(file).as_posix())
    return known or hashlib.sha256(Path(file).read_bytes()).hexdigest()
