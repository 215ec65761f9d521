"""A release's models, as a child describes them that imports nothing but that release."""

import dataclasses
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from ci_migrate.databases.base import Database
from ci_migrate.errors import UsageError, WorkerError
from ci_migrate.migrations import events
from ci_migrate.migrations.events import ReleaseModels
from ci_migrate.migrations.requests import AlembicConfig, Mode, ReleaseModelsRequest
from ci_migrate.migrations.runner import Ended, Workers
from ci_migrate.rehearsal.deployed.source import Source
from ci_migrate.run.run import Run, child_setup


def load_models(run: Run, scratch: Database, release: str, source: Source) -> list[ReleaseModels]:
    """The models of a release, one entry for each database that they are of.

    Args:
        run: this run.
        scratch: the copy that the release's env.py connects to, where it is asked.
        release: its name, for messages.
        source: where its files are.

    Raises:
        WorkerError: they can't be loaded; its hint says what to do.
        UsageError: it is installed, and nothing says where it has its models.
    """
    named = run.settings.deployed_models
    if named is None and not source.there:
        raise UsageError(
            f"{release} is installed, and has no env.py to ask for its models.",
            hint='Set deployed-models, for example deployed-models = "shop.models:Base.metadata".',
        )
    found: list[ReleaseModels] = []

    def hear(event: events.AnyEvent) -> None:
        if isinstance(event, ReleaseModels):
            found.append(event)

    setup = child_setup(run, "dry-run", scratch)
    if source.there:
        setup = msgspec.structs.replace(setup, alembic=_moved(setup.alembic, source))
    request = ReleaseModelsRequest(
        setup=setup,
        mode=Mode.DRY_RUN,
        asks=(),
        here=str(source.here),
        there=source.there,
        ahead=source.ahead or _project_of(run, source),
        named=named or "",
    )
    with ExitStack() as stack:
        workers = run.workers
        if not source.there:
            launch = dataclasses.replace(workers.launch, directory=source.directory, lock_fds=())
            if source.python is not None:
                launch = dataclasses.replace(launch, python=str(source.python))
            workers = stack.enter_context(Workers(launch, run.interrupt))
        ended = workers.run(request, hear, urgent=True)
        python = workers.launch.python
    if not ended.ok:
        raise WorkerError(f"{release} can't be loaded: {_why(ended, source)}", hint=_fix(ended, python))
    return _checked(release, found, python, named)


def _project_of(run: Run, source: Source) -> tuple[str, ...]:
    """The project's folder in the other release, where modules are named: env.py may have been what adds it."""
    if run.settings.deployed_models is None or not source.there:
        return ()
    return (str(Path(source.there) / run.settings.project_dir.relative_to(source.here)),)


def _moved(config: AlembicConfig, source: Source) -> AlembicConfig:
    def moved(path: str | None) -> str | None:
        if path is None or not Path(path).is_relative_to(source.here):
            return path
        return str(Path(source.there) / Path(path).relative_to(source.here))

    return msgspec.structs.replace(config, ini=moved(config.ini), toml=moved(config.toml))


def _why(ended: Ended, source: Source) -> str:
    words = ended.words.rstrip(".")
    failed = ended.failed
    if failed is not None and failed.file:
        words += f" ({failed.file}:{failed.line})"
    return (words.replace(f"{source.there}/", "") if source.there else words) + "."


def _fix(ended: Ended, python: str) -> str:
    if "ModuleNotFoundError" in ended.words or "ImportError" in ended.words:
        return (
            f"What that release needs is not in {python}: install it there, or name an environment of that release: "
            'deployed = "FOLDER" with deployed-models.'
        )
    if "no Alembic in the interpreter" in ended.words:
        return f"{shlex.quote(python)} -m pip install alembic"
    if ended.failed is not None and ended.failed.kind == "refused":
        return 'Name a wheel or an environment of that release: deployed = "FOLDER" with deployed-models.'
    return 'Name its models: deployed-models = "module:attribute"; or see what env.py of that release says above.'


def _checked(
    release: str, found: Sequence[ReleaseModels], python: str, named: str | None
) -> list[ReleaseModels]:
    """Raises WorkerError where there is nothing that could be compared: that is no release that fits."""
    models = [one for one in found if not one.error]
    if models:
        return models
    if named is not None:
        raise WorkerError(
            f"{release} has no tables in {named} (run by {python}).",
            hint="deployed-models names a MetaData, or a class that has one, once its modules are imported.",
        )
    raise WorkerError(
        f"{release} gives Alembic no models: its env.py has no target_metadata, or one without tables.",
        hint='Name its models: deployed-models = "shop.models:Base.metadata".',
    )
