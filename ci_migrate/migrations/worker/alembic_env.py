"""Runs Alembic as its command line would: configuration, revision graph, env.py, one revision after the other."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .backfills import is_ours
from .channel import Refused, Stopped
from .failure import error_words
from .models import describe_models
from .recording import Recorder
from .script_text import read_scripts
from .state import State
from .statements import MYSQL
from .wall import READ


class NotFound(Exception):  # noqa: N818 - the setting is at fault
    """The setting `configure` names what Python can't import."""


class Attributes(dict):  # type: ignore[type-arg]
    """Config.attributes: a connection for those env.py that insist on one, and for nobody else."""

    def __init__(self, url: str | None) -> None:
        super().__init__()
        self.url = url

    def __missing__(self, key: Any) -> Any:
        if key != "connection" or not self.url:
            raise KeyError(key)
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self[key] = create_engine(self.url, poolclass=NullPool).connect()
        return self[key]


def make_config(setup: dict[str, Any]) -> Any:
    """Alembic's Config as its command line would make it, with the URL that this stage works on."""
    from argparse import Namespace

    from alembic import command
    from alembic.config import Config

    project = setup["alembic"]
    verb = getattr(command, setup["direction"])
    options = Namespace(
        x=project["x"] or None,
        config=project["ini"],
        name=project["section"],
        raiseerr=True,
        cmd=(verb, ["revision"], ["sql", "tag"]),
        revision=setup["destination"],
        sql=False,
        tag=None,
    )
    keywords: dict[str, Any] = {"ini_section": project["section"], "cmd_opts": options}
    if project["toml"]:
        keywords["toml_file"] = project["toml"]
    config = Config(project["ini"], **keywords)
    url = setup["url"]
    if url:
        config.set_main_option("sqlalchemy.url", keep_driver(config, url).replace("%", "%%"))
    config.attributes = Attributes(url)
    beside = os.path.dirname(os.path.abspath(project["ini"] or ""))
    if not config.get_main_option("script_location") and os.path.exists(os.path.join(beside, "env.py")):
        config.set_main_option("script_location", beside.replace("%", "%%"))  # Flask-Migrate's layout
    prepend_sys_path(config)
    if project["configure"]:
        module, _, function = project["configure"].partition(":")
        try:
            configure = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise NotFound(str(error)) from error
        configure(config)
    else:
        enter_flask(config)
    return config


def enter_flask(config: Any) -> None:
    """What `flask db` does ahead of Alembic: Flask-Migrate's env.py asks the application for its database."""
    location = config.get_main_option("script_location") or ""
    try:
        with open(os.path.join(location, "env.py"), encoding="utf-8") as file:
            asks = re.search(r"^from flask import .*\bcurrent_app\b", file.read(), re.MULTILINE)
        if asks is None:
            return
        from flask import cli, has_app_context
    except (OSError, ValueError, ImportError):
        return
    if has_app_context():
        return
    cli.load_dotenv()
    try:
        app = cli.ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()  # else wsgi.py or app.py
    except cli.NoAppException:
        return  # env.py may have one of its own; if not, it says what it misses
    app.app_context().push()


def keep_driver(config: Any, url: str) -> str:
    """The target's URL with the driver that the project wrote (an async env.py needs its async driver)."""
    from sqlalchemy.engine import make_url

    try:
        theirs = make_url(config.get_main_option("sqlalchemy.url") or "")
    except Exception:
        return url
    ours = make_url(url)
    names = [n if n not in MYSQL else "mysql" for n in (theirs.get_backend_name(), ours.get_backend_name())]
    if names[0] == names[1] and "+" in theirs.drivername:
        ours = ours.set(drivername=theirs.drivername)
    return ours.render_as_string(hide_password=False)


def prepend_sys_path(config: Any) -> None:
    """What `alembic` on the command line does with `prepend_sys_path` in the ini file."""
    value = config.get_main_option("prepend_sys_path")
    if not value:
        return
    folders = getattr(config, "get_prepend_sys_paths_list", lambda: re.split(r",|;|:|\s+", value))()
    sys.path[:0] = [str(folder) for folder in folders or ()]


def tell_graph(state: State, script: Any) -> None:
    """All revision scripts, newest first.

    Some can be imported only inside of the application that env.py makes. Where env.py runs they are tried again
    there, as Alembic imports them; else they are read as text.
    """
    state.loading = True
    try:
        revisions = [describe_revision(revision) for revision in script.walk_revisions()]
        heads = list(script.get_heads())
    except Exception:
        if state.request["action"] == "inspect" and not state.env_ran:
            state.loading = False
            return
        try:
            read = read_scripts(script)
        except Exception:
            read = []
        if state.request["action"] in ("inspect", "ask-url") or not read:
            raise
        revisions = [describe_one(one, one.leads_back, one.own) for one in read]
        below = {down for one in read for down in as_tuple(one.down_revision)}
        heads = [one.revision for one in read if one.revision not in below]
    state.loading = False
    state.graph_told = True
    state.channel.send("graph", revisions=revisions, heads=heads, env_file=find_env(script))


def describe_revision(revision: Any) -> dict[str, Any]:
    """One script that was imported."""
    back = getattr(revision.module, "downgrade", None)
    # an upgrade that does nothing, as a merge's, has nothing to take back
    leads_back = back is not None and (
        does_something(back) or not does_something(getattr(revision.module, "upgrade", None))
    )
    return describe_one(revision, leads_back, getattr(revision.module, "ci_migrate", None))


def describe_one(revision: Any, has_downgrade: bool, own: Any) -> dict[str, Any]:
    """What the parent is told of a script."""
    own = own if isinstance(own, dict) else {}
    return {
        "id": revision.revision,
        "file": revision.path,
        "message": (revision.doc or "").strip(),
        "down_revisions": list(as_tuple(revision.down_revision)),
        "depends_on": list(as_tuple(revision.dependencies)),
        "branch_labels": sorted(revision.branch_labels or ()),
        "own_labels": sorted(revision._orig_branch_labels),  # Alembic gives them to its neighbours, too
        "has_downgrade": has_downgrade,
        "allow": {str(k): str(v) for k, v in own.get("allow", {}).items()},
        "replaces": [str(one) for one in own.get("replaces", ())],
    }


def find_env(script: Any) -> str:
    """env.py, or the compiled one where the project has no sources, as Alembic looks for it."""
    source = str(script.env_py_location)
    compiled = (source + "c", importlib.util.cache_from_source(source))
    return next((file for file in (source, *compiled) if os.path.exists(file)), source)


def does_something(function: Any) -> bool:
    """Whether there is more in it than `pass`, a docstring, or raising NotImplementedError."""
    code = getattr(function, "__code__", None)
    names = set(getattr(code, "co_names", ())) | set(getattr(code, "co_freevars", ()))
    return code is None or bool(names - {"NotImplementedError"})


def code_file(revision: Any) -> str:
    """What tracebacks call a revision's file: a compiled one still has the name of its source."""
    if not str(revision.path).endswith(".pyc"):
        return str(revision.path)
    code = getattr(getattr(revision.module, "upgrade", None), "__code__", None)
    return code.co_filename if code is not None else str(revision.path)


def as_tuple(value: Any) -> tuple[str, ...]:
    """What Alembic holds as None, a text or several."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


class Contexts:
    """The `fn` of EnvironmentContext: called once for each version table that env.py configures."""

    def __init__(self, state: State, script: Any) -> None:
        self.state = state
        self.script = script
        self.action: str = state.request["action"]
        self.direction: str = state.request["setup"]["direction"]
        self.destination: str = state.request["setup"]["destination"]
        self.planned = {c["key"]: c for c in state.request.get("contexts", ())}
        self.seen: list[str] = []

    def table(self, context: Any) -> dict[str, str | None]:
        """Which version table this is: by name, schema and the schema that unqualified names mean."""
        connection = context.connection
        session = self.state.session_of(connection.connection) if connection is not None else None
        if session is None or session.entry is None:
            raise Refused("env.py migrates a database that is not the target")
        path = None
        if connection.dialect.name == "postgresql":
            self.state.internal = True
            try:
                path = connection.exec_driver_sql("SELECT current_schema()").scalar()
            finally:
                self.state.internal = False
        return {
            "name": context.version_table,
            "schema": context.version_table_schema,
            "database": session.entry,
            "search_path": path,
        }

    def __call__(self, heads: Iterable[str], context: Any) -> list[Any]:
        """The steps that Alembic runs for this version table."""
        if self.action == "inspect" and not self.state.graph_told:
            self.state.env_ran = True
            tell_graph(self.state, self.script)
        table = self.table(context)
        key = "|".join(str(table[k] or "") for k in ("database", "schema", "search_path", "name"))
        heads = sorted(heads)
        if key in self.seen:  # env.py comes back to a version table: all of it has run
            return []
        if self.action == "compare":
            self.seen.append(key)
            self.state.channel.send(
                "models", context=len(self.seen) - 1, **compare_models(self.state, context)
            )
            return []
        if self.action == "release-models":
            self.seen.append(key)
            self.state.channel.send(
                "release-models",
                database=table["database"],
                search_path=table["search_path"],
                **describe_models(context.opts.get("target_metadata"), context.dialect),
            )
            return []
        inspect = self.action == "inspect"
        found = self.preview(tuple(heads)) if inspect else {"revisions": self.confirm(key, table, heads)}
        number = len(self.seen) if inspect else list(self.planned).index(key)
        self.seen.append(key)
        self.state.context = number
        session = self.state.session_of(context.connection.connection)
        if session is not None:
            session.contexts.append(number)
            self.state.of_context[number] = session
        models = bool(context.opts.get("target_metadata"))
        self.state.channel.send(
            "context", key=key, number=number, table=table, heads=heads, models=models, **found
        )
        if inspect:
            return []
        if self.direction == "stamp":
            return self.announce(self.stamps(tuple(heads)), context, number)
        return self.announce(self.steps(found["revisions"]), context, number)

    def confirm(self, key: str, table: dict[str, str | None], heads: Sequence[str]) -> list[str]:
        """What the plan says for this version table; refused where it says nothing, or something else by now."""
        planned = self.planned.get(key)
        name = ".".join(part for part in (table["schema"] or table["search_path"], table["name"]) if part)
        if planned is None:
            raise Refused("a version table that is not in the plan: " + name)
        if sorted(planned["from_heads"]) != list(heads) and not self.state.request.get("purge"):
            at, wanted = (", ".join(h) or "base" for h in (heads, planned["from_heads"]))
            raise Refused(f"the plan is stale: {name} is at {at}, planned was {wanted}")
        return list(planned["revisions"])

    def preview(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Alembic's own answer to what would run, or where a stamp would lead (`purged`: from no rows at all).

        What it says against that is an event too: the parent knows rows that make no sense when it sees them.
        """
        from alembic.util import CommandError

        try:
            if self.direction != "stamp":
                return {"revisions": self.pending_revisions(heads)}
            found: dict[str, Any] = {"revisions": [], "purged": heads_after_stamp(self.stamps(()), ())}
        except CommandError as error:
            return {"revisions": [], "error": str(error).splitlines()[0]}
        try:
            return {**found, "to_heads": heads_after_stamp(self.stamps(heads), heads)}
        except (CommandError, AssertionError) as error:  # two rows, one of which builds on the other
            return {**found, "error": str(error).splitlines()[0] if str(error) else "the rows do not fit"}

    def pending_revisions(self, heads: tuple[str, ...]) -> list[str]:
        """What would run. Alembic's private names: here and in `stamps`, nowhere else."""
        upgrade = self.direction == "upgrade"
        function = self.script._upgrade_revs if upgrade else self.script._downgrade_revs
        return [step.revision.revision for step in function(self.destination, heads)]

    def stamps(self, heads: tuple[str, ...]) -> list[Any]:
        """The steps of a stamp."""
        steps: list[Any] = self.script._stamp_revs(self.destination, heads)
        return steps

    def steps(self, revisions: Iterable[str]) -> list[Any]:
        """Just these revisions, in this order, as Alembic would run them."""
        from alembic.runtime.migration import MigrationStep

        map_ = self.script.revision_map
        upgrade = self.direction == "upgrade"
        make = MigrationStep.upgrade_from_script if upgrade else MigrationStep.downgrade_from_script
        return [make(map_, map_.get_revision(revision)) for revision in revisions]

    def announce(self, steps: Iterable[Any], context: Any, number: int) -> list[Any]:
        """Tell of each revision before its upgrade() or downgrade() runs, and of its version rows after it."""
        steps = list(steps)
        for step in steps:
            step.migration_fn = self.wrap_revision(step.migration_fn, getattr(step, "revision", None), number)
        context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, self.on_stamped)
        return steps

    def wrap_revision(self, original: Callable[..., Any], revision: Any, number: int) -> Callable[..., Any]:
        """upgrade() or downgrade(), announced."""
        state = self.state

        def run(*args: Any, **kwargs: Any) -> Any:
            state.context = number
            state.revision = revision.revision if revision is not None else None
            state.blame.revision_file = file = revision.path if revision is not None else None
            state.blame.revision_code = file if revision is None else code_file(revision)
            state.stamped = False
            state.before_revision = state.position
            session = state.of_context.get(number)
            if session is not None:
                session.revision, session.stamped = state.revision, False
            state.channel.send("revision", context=number, revision=state.revision, file=file)
            return original(*args, **kwargs)

        return run

    def on_stamped(self, heads: Iterable[str] = (), **_rest: Any) -> None:
        """Alembic wrote the version rows of a revision."""
        state = self.state
        state.stamped = True
        session = state.of_context.get(state.context)
        if session is not None:
            session.stamped = True
        state.channel.send("stamped", context=state.context, revision=state.revision, heads=sorted(heads))


def compare_models(state: State, context: Any) -> dict[str, Any]:
    """What the models (target_metadata) have and the database has not, or the other way round, by Alembic's compare."""
    from alembic.autogenerate import compare_metadata

    models = context.opts.get("target_metadata")
    if not models:
        return {"differences": []}
    state.internal = True
    try:
        found = compare_metadata(context, models)
    except Exception as error:  # types of the project's own may raise anything when they are compared
        return {"differences": [], "error": error_words(error, names=state.blame.read_loaded)[:300]}
    finally:
        state.internal = False
    # SQLite says of INTEGER PRIMARY KEY that it may be NULL, which it can't be
    tables = [table for one in as_list(models) for table in one.tables.values()]
    keys = {(t.schema, t.name, c.name) for t in tables for c in t.primary_key.columns}
    differences = [words for one in found if not is_ours(one) for words in difference_words(one, keys)]
    return {"differences": differences[:1000]}


def as_list(value: Any) -> list[Any]:
    """`target_metadata`, which may be several."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def difference_words(found: Any, keys: set[tuple[Any, ...]]) -> list[str]:
    """One of Alembic's differences, for people. `keys` are the columns of primary keys."""
    if isinstance(found, list):  # what is modified of one column
        return [words for one in found for words in difference_words(one, keys)]
    verb, _, kind = str(found[0]).partition("_")
    if verb == "modify":
        if kind == "nullable" and tuple(found[1:4]) in keys:
            return []
        column = ".".join(str(part) for part in found[1:4] if part)
        was, wanted = (getattr(getattr(value, "arg", None), "text", value) for value in found[-2:])
        if kind == "nullable":
            was, wanted = ("NULL" if value else "NOT NULL" for value in (was, wanted))
        return [f"column {column}: {kind} is {was}, {wanted} in the models"[:300]]
    if verb not in ("add", "remove"):
        return [str(found)[:300]]
    where = "in the models only" if verb == "add" else "in the database only"
    if kind == "column":
        name = ".".join(str(part) for part in (*found[1:3], found[3].name) if part)
    elif kind.startswith("table"):
        name = str(found[1])  # a Table: with its schema
    else:
        parts = (getattr(found[1], "table", None), found[1].name)
        name = (
            ".".join(str(part) for part in parts if part is not None)
            if found[1].name
            else "of " + str(parts[0])
        )
    kinds = {"fk": "foreign key", "constraint": "unique constraint", "table_comment": "comment of table"}
    return [f"{kinds.get(kind, kind)} {name} is {where}"]


def heads_after_stamp(steps: Iterable[Any], heads: Iterable[str]) -> list[str]:
    """The version rows after a stamp."""
    rows = set(heads)
    for step in steps:
        rows = (rows - set(step.from_revisions)) | set(step.to_revisions)
    return sorted(rows)


def run_env(state: State, recorder: Recorder, config: Any, script: Any) -> None:
    """Run env.py as Alembic does, with our function to say which revisions run."""
    from alembic.runtime.environment import EnvironmentContext

    request = state.request
    reads = request["mode"] == READ
    environment: Any = EnvironmentContext(
        config,
        script,
        fn=Contexts(state, script),
        as_sql=False,
        destination_rev=request["setup"]["destination"],
        dont_mutate=reads,
        purge=not reads and bool(request.get("purge")),
    )
    original = environment.configure

    def configure(connection: Any = None, *args: Any, **keywords: Any) -> Any:
        if connection is not None:
            recorder.wrap_dialect(connection.dialect)
            if connection.dialect.name == "sqlite":
                session = state.session_of(connection.connection)
                if session is not None:
                    session.migrates = True
                # whatever env.py says (it passes its own default): each revision in a real transaction
                keywords["transactional_ddl"] = True
            if connection.dialect.name == "sqlite" or request.get("each_revision"):
                keywords["transaction_per_migration"] = True
        return original(connection, *args, **keywords)

    environment.configure = configure
    with environment:
        try:
            script.run_env()
        except Stopped:
            if not request.get("stays") or state.graph_told:
                raise
            tell_graph(state, script)  # after env.py, as Alembic loads them
            state.reached = True
