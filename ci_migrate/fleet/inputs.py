"""What a fleet run migrates by: scripts, settings and flags."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ci_migrate.fleet.look import Scripts
from ci_migrate.migrations.graph import relative
from ci_migrate.model import Frozen, canonical_json, sha256_hex
from ci_migrate.run.inputs import digest_of
from ci_migrate.settings.settings import Settings

SETTINGS = ("pyproject.toml", "ci-migrate.toml")

NO_INPUTS = ("target", "token", "by", "reason")
"""Flags that change nothing of what is migrated."""


class FleetInputs(Frozen, frozen=True, kw_only=True):
    """Digests of files, by their names from the project's folder; and folders of revisions, which hold no others."""

    files: dict[str, str]
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, scripts: Scripts) -> "FleetInputs":
        """Those of now: scripts, what lies beside them, Alembic's configuration, the settings files."""
        project = settings.project_dir
        _, *revisions = scripts.files
        folders = sorted({relative(str((project / file).parent), project) for file in revisions})
        configuration = [
            file for file in (settings.alembic_config, settings.alembic_toml) if file is not None
        ]
        paths = [*(project / name for name in (*scripts.files, *SETTINGS)), *configuration]
        names = dict.fromkeys(
            (*(relative(str(path), project) for path in paths), *_modules(folders, project))
        )
        return cls(files={name: digest_of(project / name) for name in names}, folders=tuple(folders))

    def first_other(self, project: Path) -> str:
        """The first file that is another one here, or that is here alone; "" where all are the same."""
        other = (name for name, digest in self.files.items() if digest_of(project / name) != digest)
        more = (name for name in _modules(self.folders, project) if name not in self.files)
        return next(other, "") or next(more, "")

    def digest(self, settings: Settings, flags: Mapping[str, Any]) -> str:
        """One digest of them, the destination and the flags."""
        given = {name: str(v) for name, v in flags.items() if name not in NO_INPUTS and v is not None}
        return sha256_hex(canonical_json({"files": self.files, "to": settings.to, "flags": given}))[:16]


def _modules(folders: Iterable[str], project: Path) -> Iterator[str]:
    for folder in folders:
        yield from (relative(str(path), project) for path in sorted((project / folder).glob("*.py")))
