"""A small Alembic project on the disk, for tests of plugins: checks, observers, vetoes, reporters."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from ci_migrate import gate
from ci_migrate.checks.base import Facts
from ci_migrate.model import Report
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

INI = """\
[alembic]
script_location = %(here)s/migrations
path_separator = os
sqlalchemy.url = sqlite:///app.db
"""

ENV = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

section = context.config.get_section(context.config.config_ini_section, {})
with engine_from_config(section, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""

REVISION = '''\
"""{message}"""

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = {down!r}


def upgrade():
{upgrade}


def downgrade():
    pass
'''


@dataclass(frozen=True)
class Project:
    """A folder with alembic.ini, env.py and revisions; its database, a SQLite file, is not there yet."""

    folder: Path

    @property
    def database(self) -> Path:
        """The file that is migrated."""
        return self.folder / "app.db"

    def gate(self, command: str = "dry-run", destination: str | None = None, **settings: Any) -> Report:
        """Run a command as ci-migrate does, with all installed plugins and those that the settings name.

        Args:
            command: `check`, `dry-run`, `run`, ...
            destination: a revision; None is the head.
            settings: by their names, `_` for `-`. Variables of the environment are not looked at.

        Raises:
            CiMigrateError: nothing could begin.
        """
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        return gate.run(load(self.folder, {}, given), GateRequest(VERBS[command], destination=destination))

    def facts(self, command: str = "check") -> Facts:
        """What checks look at: the plan, and after a `dry-run` the evidence."""
        report = self.gate(command)
        assert report.plan is not None, report
        return Facts(plan=report.plan, evidence=report.evidence)


def make_project(folder: Path, revisions: Mapping[str, str], settings: str = "") -> Project:
    """Write a project.

    Args:
        folder: an empty one, such as pytest's `tmp_path`.
        revisions: from the message of each revision to the body of its `upgrade`, in their order; `op` and `sa` are
            imported. They are called r1, r2, ...
        settings: the text of ci-migrate.toml.
    """
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "ci-migrate.toml").write_text(settings)
    for number, (message, body) in enumerate(revisions.items(), start=1):
        text = REVISION.format(
            id=f"r{number}",
            message=message,
            down=f"r{number - 1}" if number > 1 else None,
            upgrade=indent(dedent(body).strip(), "    "),
        )
        (versions / f"r{number}.py").write_text(text)
    return Project(folder)
