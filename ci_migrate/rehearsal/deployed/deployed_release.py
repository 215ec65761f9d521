"""The release that runs now, and those before it, held against the copy before and after the migration."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from ci_migrate import __version__
from ci_migrate.databases.base import Database
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.events import ReleaseModels
from ci_migrate.model import Direction, Misfit, Plan, ReleaseFit, Statement
from ci_migrate.rehearsal.deployed.fit import Sides, first_break, lasting_misfits, new_misfits, with_places
from ci_migrate.rehearsal.deployed.floor import MOST, describe, floor_after, walk_back
from ci_migrate.rehearsal.deployed.models import load_models
from ci_migrate.rehearsal.deployed.reflection import Reflected, reflect
from ci_migrate.rehearsal.deployed.source import (
    Commit,
    find_commit,
    found_in_files,
    laid_out,
    older_releases,
    root_of,
)
from ci_migrate.run.run import Run, translate_errors
from ci_migrate.settings.settings import Settings

Copies = Mapping[str, Reflected]
"""By the name of the database."""


def reflect_copy(run: Run, plan: Plan, scratch: Database) -> Copies | None:
    """The tables of the copy as they are now; None where no release is named, or the plan goes back."""
    if run.settings.deployed is None or plan.direction is not Direction.UPGRADE:
        return None
    with translate_errors(scratch):
        return {name: reflect(member) for name, member in members_of(scratch).items()}


def fit_of(
    run: Run, plan: Plan, scratch: Database, before: Copies | None, statements: Sequence[Statement]
) -> ReleaseFit | None:
    """Whether the deployed release works with the migrated copy, and which older ones do; None where nobody asked.

    Args:
        run: this run.
        plan: what was rehearsed.
        scratch: the copy, at the end of the plan.
        before: what `reflect_copy` saw before the migration.
        statements: what the dry run sent, for the places of findings.
    """
    name = run.settings.deployed
    after = reflect_copy(run, plan, scratch)
    if name is None or before is None or after is None:
        return None
    run.tell(f"comparing the models of {name} with the migrated copy")
    return _Comparison(run, plan, scratch, before, after, statements).fit(name)


class _Comparison:
    """One comparison: what stays the same for each release."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        scratch: Database,
        before: Copies,
        after: Copies,
        statements: Sequence[Statement],
    ) -> None:
        self.run = run
        self.plan = plan
        self.scratch = scratch
        self.sides = {name: Sides(before[name], after[name]) for name in before}
        self.statements = statements
        self.pending = [revision.id for revision in plan.revisions]
        self.root = root_of(run.settings)

    def fit(self, name: str) -> ReleaseFit:
        """The result for the deployed release and those before it."""
        settings = self.run.settings
        order = {revision: place for place, revision in enumerate(self.pending)}
        try:
            with ExitStack() as stack:
                source = stack.enter_context(found_in_files(settings, self.root))
                commit = None
                if source is None:
                    commit = find_commit(settings, name)
                    source = stack.enter_context(laid_out(settings, self.root, commit))
                models = load_models(self.run, self.scratch, name, source)
            older = older_releases(settings, commit, MOST) if commit is not None else []
        except CiMigrateError as error:
            return ReleaseFit(
                deployed=name, unknown=error.what, remedy=error.hint, words=f"unknown: {error.what}"
            )
        found = self._judged(models, new_misfits)

        def judge(others: Sequence[ReleaseModels]) -> int:
            now = {(one.database, one.search_path): one for one in models}

            def lasting(one: ReleaseModels, sides: Sides) -> list[Misfit]:
                deployed = now.get((one.database, one.search_path))
                return lasting_misfits(one, deployed, sides) if deployed is not None else []

            return first_break(self._judged(others, lasting), order)

        walk = walk_back((name, first_break(found, order)), older, self._models_of, judge)
        floors = {revision: floor_after(walk, place) for revision, place in order.items()}
        floor = floor_after(walk, len(order) - 1)
        return ReleaseFit(
            deployed=name,
            misfits=found,
            fitting=tuple(one for one, place in walk.breaks.items() if place == len(order)),
            floor=floor,
            floors=floors,
            ended=walk.ended,
            words=describe(name, floor, walk.ended),
        )

    def _judged(
        self, models: Sequence[ReleaseModels], judge: Callable[[ReleaseModels, Sides], list[Misfit]]
    ) -> tuple[Misfit, ...]:
        """What does not fit, each once: tenants say the same."""
        found = [misfit for one in models for misfit in judge(one, self.sides[one.database])]
        return with_places(list(dict.fromkeys(found)), self.statements, self.pending)

    def _models_of(self, release: Commit) -> list[ReleaseModels]:
        """The models of an older release; those of a tree that was read before are kept."""
        settings = self.run.settings
        file = _cache_file(settings, self._key(release))
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(file.read_bytes(), type=list[ReleaseModels])
        with laid_out(settings, self.root, release) as source:
            models = load_models(self.run, self.scratch, release.name, source)
        with suppress(OSError):  # where nothing can be written the next run asks again
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = file.with_suffix(f".{self.run.id}")
            part.write_bytes(msgspec.json.encode(models))
            part.replace(file)
        return models

    def _key(self, release: Commit) -> str:
        """Whatever the models of a tree may depend on, except for what its code reads elsewhere."""
        settings = self.run.settings
        asked = {
            "version": __version__,
            "tree": release.tree,
            "folder": str(settings.project_dir.relative_to(self.root)),
            "named": settings.deployed_models,
            "alembic": [str(settings.alembic_config), settings.alembic_name, *settings.x, settings.configure],
            "python": str(settings.python),
            "distributions": self.plan.inputs.distributions,
            "dialect": self.scratch.dialect,
            "target": settings.target,
        }
        return sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _cache_file(settings: Settings, key: str) -> Path:
    """In the user's cache, not in the checkout: what a branch brings along is no proof of what a release is."""
    place = Path(settings.environ.get("XDG_CACHE_HOME") or "-")
    if not place.is_absolute():  # the specification wants that
        try:
            place = Path.home() / ".cache"
        except RuntimeError:  # a container's user without a home: nothing is kept
            place = Path(os.devnull)
    return place / "ci-migrate" / "releases" / f"{key}.json"
