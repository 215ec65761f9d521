"""What a long history costs: commands on a ledger with 100,000 runs of several targets, against one with two.

    python benchmarks/ledger.py [--runs 100000] [--rounds 5]

A small project on SQLite is migrated by `ci-migrate run`. A copy of its ledger is filled with runs: most had nothing to
do, each fifth migrated and proved a backup, half of them are of other databases. Then commands run in turns with either
ledger; their processor time is compared. The aim is a ratio of at most 1.5 each. Upgrading a ledger of version 0.1.0
that is as long is timed too: it happens once.
"""

import argparse
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, text

COMMANDS = {
    "status": ["status"],
    "verify": ["verify"],
    "check": ["check"],
    "backup prune (shows only)": ["backup", "prune", "--keep", "1"],
    "history": ["history"],
}
ENV = """\
from alembic import context
from sqlalchemy import create_engine

with create_engine("sqlite:///app.db").connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """\
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "r1", None, None, None


def upgrade():
    op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("users")
"""


def command(folder: Path, *arguments: str) -> float:
    """Seconds of processor time that one command and its children took: others may be at work on this machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [sys.executable, "-m", "ci_migrate", *arguments]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_project(folder: Path) -> None:
    """A project that was migrated once, at a place that stays: the ledger knows its database by it."""
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (folder / "migrations" / "env.py").write_text(ENV)
    (folder / "migrations" / "versions" / "r1.py").write_text(REVISION)
    (folder / "ci-migrate.toml").write_text('[targets.dev]\nurl = "sqlite:///app.db"\n')
    command(folder, "run")


def fill(ledger: Path, runs: int) -> None:
    """Copies of the first run, with all that belongs to it, before and after it."""
    with closing(sqlite3.connect(ledger)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(ci_migrate_runs)")]
        row = dict(zip(columns, connection.execute("SELECT * FROM ci_migrate_runs").fetchone(), strict=True))
        stages = connection.execute(
            "SELECT stage, outcome, recorded, result FROM ci_migrate_stages"
        ).fetchall()
        own = row["database_id"]
        there = connection.execute("SELECT max(sequence) FROM ci_migrate_audit").fetchone()[0]
        rows, applied, rehearsals, of_run = [], [], [], []
        for number in range(1, runs + 1):
            sequence, run_id = there + number, f"{row['run_id']}-{number}"
            database = own if number % 2 else f"another database {number % 6}"
            migrated = number % 10 == 1 or number % 10 == 6
            changes = {"run_id": run_id, "sequence": sequence, "database_id": database}
            if not migrated:
                changes |= {"plan": None, "plan_digest": None, "state": "untouched", "changed": False}
            rows.append(tuple((row | changes).values()))
            if migrated:
                applied.append((sequence, "r1", database, True, True, "0" * 64))
                rehearsals.append(
                    (database, run_id, f"backup_{number}", row["plan_digest"], True, True, row["started"])
                )
                of_run += [(run_id, *stage) for stage in stages]
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO ci_migrate_runs VALUES ({marks})", rows)
        columns_of_stage = "run_id, stage, outcome, recorded, result"
        connection.executemany(
            f"INSERT INTO ci_migrate_stages ({columns_of_stage}) VALUES (?, ?, ?, ?, ?)", of_run
        )
        connection.executemany("INSERT INTO ci_migrate_applied VALUES (?, ?, ?, ?, ?, ?)", applied)
        connection.executemany(
            "INSERT INTO ci_migrate_rehearsals (database_id, run_id, backup_id, plan_digest, passed, proven, recorded)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rehearsals,
        )
        # the newest of its runs left the target as it is; its files were those of the script that is there
        connection.execute(
            "UPDATE ci_migrate_applied SET sha256 = (SELECT sha256 FROM ci_migrate_applied LIMIT 1)"
        )
        connection.commit()


def upgrade_seconds(folder: Path, runs: int) -> float:
    """How long a ledger of version 0.1.0 with so many runs takes to become ours."""
    from alembic import command as alembic
    from alembic.config import Config

    from ci_migrate.ledger.connect import MIGRATIONS
    from ci_migrate.ledger.ledger import open_ledger

    path = folder / "old.ledger"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0003")
    with (
        closing(sqlite3.connect(folder / "project" / "app.db.ci-migrate")) as made,
        engine.begin() as connection,
    ):
        made.row_factory = sqlite3.Row
        run = dict(made.execute("SELECT * FROM ci_migrate_runs").fetchone())
        facts = made.execute("SELECT facts FROM ci_migrate_identity").fetchone()[0]
        result = made.execute("SELECT result FROM ci_migrate_stages WHERE stage = 'dry-run'").fetchone()[0]
        for name in ("sequence", "database_id", "changed"):
            run.pop(name)
        connection.execute(text("UPDATE ci_migrate_identity SET facts = :facts"), {"facts": facts})
        names = ", ".join(f'"{name}"' for name in run)
        marks = ", ".join(f":{name}" for name in run)
        rows = [{**run, "run_id": f"run-{n}", "target": f"target {n % 4}"} for n in range(runs)]
        connection.execute(text(f"INSERT INTO ci_migrate_runs ({names}) VALUES ({marks})"), rows)
        trail = "INSERT INTO ci_migrate_audit VALUES (:n, '', 'run started', :run_id, '{}', '', '')"
        connection.execute(text(trail), [{"n": n + 1, "run_id": f"run-{n}"} for n in range(runs)])
        stage = (
            "INSERT INTO ci_migrate_stages (run_id, stage, outcome, recorded, result)"
            " VALUES (:run_id, 'dry-run', 'passed', '', :result)"
        )
        connection.execute(
            text(stage), [{"run_id": f"run-{n}", "result": result} for n in range(0, runs, 10)]
        )
    engine.dispose()
    started = time.process_time()
    with open_ledger(create_engine(f"sqlite:///{path}").url, create=False) as ledger:
        assert ledger is not None
        assert len(ledger.history(ledger.uuid, 5)) == 5
    return time.process_time() - started


def main() -> None:
    """Print a table for README.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        project, ledger = top / "project", top / "project" / "app.db.ci-migrate"
        make_project(project)
        shutil.copy(ledger, top / "short.ledger")
        fill(ledger, options.runs)
        shutil.copy(ledger, top / "long.ledger")
        seconds: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for which in ("short", "long"):
                for side in project.glob("app.db.ci-migrate-*"):
                    side.unlink()
                shutil.copy(top / f"{which}.ledger", ledger)
                for words, arguments in COMMANDS.items():
                    seconds.setdefault((words, which), []).append(command(project, *arguments))
        shutil.copy(top / "short.ledger", ledger)
        print(f"| command | 1 run | {options.runs:,} runs more | ratio |\n| --- | --- | --- | --- |")
        for words in COMMANDS:
            short, long = median(seconds[words, "short"]), median(seconds[words, "long"])
            print(f"| `{words}` | {short:.2f} s | {long:.2f} s | {long / short:.2f} |")
        took = upgrade_seconds(top, options.runs)
        print(f"\nA ledger of version 0.1.0 with {options.runs:,} runs is upgraded in {took:.1f} s.")


if __name__ == "__main__":
    main()
