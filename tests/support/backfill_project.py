"""An Alembic project whose second revision adds a column and counts in it, row by row, in batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic_project import INI, AlembicProject, new_project
from backfill_shop import Shop

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(os.environ["SHOP"], poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

ASYNC_ENV = """
import asyncio, os
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    async with create_async_engine(os.environ["SHOP"], poolclass=pool.NullPool).connect() as connection:
        await connection.run_sync(migrate)

asyncio.run(main())
"""

IMPORTS = """
import json, os, signal, time
from ci_migrate.backfill import backfill, forget_backfill, requires_backfill

def waits(connection):
    return time.time() < float(os.environ.get("WAITS_UNTIL", "0"))

def told(progress):
    # `{"after": 3, "gate": pid}`: the batch was committed, nobody has heard of it
    time.sleep(float(os.environ.get("SECONDS_AFTER_A_BATCH", "0")))
    kill = json.loads(os.environ.get("KILL_PLAN", "{}"))
    if os.environ.get("CI_MIGRATE_STAGE") == "dry-run" or progress.batches < kill.get("after", 1e9):
        return
    if kill.get("raises"):
        raise RuntimeError("injected")
    if kill.get("gate"):
        os.kill(kill["gate"], signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""

COLUMN = 'op.add_column("t", sa.Column("n", sa.Integer, nullable=False, server_default="0"))'
FILL = """
with op.get_context().autocommit_block():
    backfill(op.get_bind(), "count", "UPDATE t SET n = n + 1 WHERE {batch}", table="t",
             batch_size=20, max_batch_size=%s, rest=0, on_progress=told, throttle=waits)
"""
FORGET = 'forget_backfill(op.get_bind(), "count")'


class BackfillProject:
    """The project, on any engine.

    `r1` makes the table, which is filled, `r2` the column, `r3` fills it; `mixed`: `r2` does both, then `after`.
    """

    def __init__(
        self,
        folder: Path,
        url: sa.URL,
        *,
        env: str = ENV,
        rows: int = 1000,
        most: int | str = 50,
        mixed: bool = False,
        after: str = "",
    ) -> None:
        self.shop = Shop(url)
        self.project: AlembicProject = new_project(folder, env=env, ini=INI, revisions=False)
        self.project.environ["SHOP"] = url.render_as_string(hide_password=False)
        self.project.settings('[targets.dev]\nurl = "env:SHOP"\n')
        table = 'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True))'
        self.project.revision("r1", None, table, 'op.drop_table("t")')
        done = self.alembic("upgrade", "r1")
        assert done.returncode == 0, done.stderr
        if rows:
            self.shop.run("INSERT INTO t (id) VALUES (:id)", rows=[{"id": n * 2} for n in range(1, rows + 1)])
        fill = FILL % most
        back = 'op.drop_column("t", "n")'
        if mixed:
            self.project.revision(
                "r2", "r1", f"{COLUMN}\n{fill}\n{after}", f"{FORGET}\n{back}", extra=IMPORTS
            )
        else:
            self.project.revision("r2", "r1", COLUMN, back)
            self.project.revision("r3", "r2", fill, FORGET, extra=IMPORTS)

    def kill_after(self, batches: int, **more: object) -> None:
        """Each process that comes so far is killed."""
        self.project.environ["KILL_PLAN"] = json.dumps({"after": batches, **more})

    def survive(self) -> None:
        """None is."""
        del self.project.environ["KILL_PLAN"]

    def alembic(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Plain Alembic."""
        return subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.project.folder,
            env={**os.environ, **self.project.environ},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def heads(self) -> list[str]:
        return [row[0] for row in self.shop.run("SELECT version_num FROM alembic_version")]

    @property
    def batches(self) -> int:
        """How many there were so far."""
        try:
            return int(
                self.shop.run("SELECT batch_count FROM ci_migrate_backfills WHERE name = 'count'")[0][0]
            )
        except Exception:
            return 0
