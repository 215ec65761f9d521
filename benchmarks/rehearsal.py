"""What the dry run takes beside plain `alembic upgrade head`, on each server, in one run.

python benchmarks/rehearsal.py [--engine MariaDB] [--revisions 200] [--rows 2000] [--rounds 3]

A history of small revisions (a table, an index, a column, another type, rows, rows and an index, in turns) on tables
with rows. Plain Alembic, as a process of its own, and the dry run go in turns, each from the same start. Printed are
medians, and the ratios of the same round: of the revisions on the scratch copy with all that is measured and read
there, and of the whole stage, in which the backup is restored and compared, the revisions run, and all of them are
downgraded again.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import ENGINES, TABLES, filled, project
from sqlalchemy import URL, create_engine

AIM = 2.5
SERVERS = [name for name in ENGINES if name != "SQLite"]
"""SQLite has no ALTER of a column's type; `gate.py` is about it."""


def body(number: int) -> tuple[str, str]:
    """Upgrade and downgrade of a revision: six kinds, in turns."""
    table = f"t{number // 6 % TABLES}"
    if number % 6 == 0:
        columns = 'sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40))'
        return f'op.create_table("n{number}", {columns})', f'op.drop_table("n{number}")'
    if number % 6 == 1:
        return (
            f'op.create_index("ix{number}", "{table}", ["amount"])',
            f'op.drop_index("ix{number}", "{table}")',
        )
    if number % 6 == 2:
        return (
            f'op.add_column("{table}", sa.Column("c{number}", sa.Integer))',
            f'op.drop_column("{table}", "c{number}")',
        )
    if number % 6 == 3:
        alter = 'op.alter_column("{}", "name", existing_type=sa.String({}), type_=sa.String({}))'
        return alter.format(table, 40, number + 50), alter.format(table, number + 50, 40)
    update = 'op.execute("UPDATE {} SET amount = amount {} 1")'
    up, back = update.format(table, "+"), update.format(table, "-")
    if number % 6 == 4:
        return up, back
    index = (
        f'op.create_index("ix{number}", "{table}", ["name"])'  # where DDL commits, it ends half a revision
    )
    return f"{up}\n{index}", f'op.drop_index("ix{number}", "{table}")\n{back}'


def emptied(url: URL) -> None:
    """The database without its tables."""
    engine = create_engine(url)
    with engine.begin() as connection:
        if url.get_backend_name() == "postgresql":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            connection.exec_driver_sql(f"DROP DATABASE {url.database}")
            connection.exec_driver_sql(f"CREATE DATABASE {url.database}")
    engine.dispose()


def plain(made: Any) -> float:
    """Seconds of `alembic upgrade head`."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command, cwd=made.folder, env={**os.environ, **made.environ}, check=True)
    return time.perf_counter() - began


def dry_run(made: Any) -> tuple[float, float]:
    """Seconds of the revisions on the copy, and of the whole stage."""
    report = made.gate("dry-run", lock_budget=3600.0)
    stage = report.result("dry-run")
    assert report.exit_code == 0, [result.message for result in report.results]
    assert stage is not None
    return report.evidence.migrate_seconds, stage.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=SERVERS)
    arguments = parser.parse_args()
    missed = False
    for name in [arguments.engine] if arguments.engine else SERVERS:
        rounds = []
        with ENGINES[name]() as url, tempfile.TemporaryDirectory() as folder:
            made = project(Path(folder) / "project", url, arguments.revisions, body)
            for _ in range(arguments.rounds):
                filled(url, arguments.rows)
                rounds.append((*dry_run(made), plain(made)))
                emptied(url)
        copy, stage, alone = (statistics.median(r[n] for r in rounds) for n in range(3))
        ratios = [r[0] / r[2] for r in rounds]
        whole = statistics.median(r[1] / r[2] for r in rounds)
        missed |= statistics.median(ratios) > AIM
        print(
            f"{name}: {arguments.revisions} revisions, alembic {alone:.2f} s, on the copy {copy:.2f} s: ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}; aim {AIM}); whole stage "
            f"{stage:.2f} s: {whole:.2f}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
