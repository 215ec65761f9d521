"""What it costs to compare a restored copy with its backup by digests: on top of backup and restore, in one run.

python benchmarks/contents.py [--engine postgresql] [--size 1024] [--rounds 1]

Each round takes a backup, restores it into a scratch copy and compares that, as a dry run does before it migrates:
once with digests of all rows, once with `compare-budget = 0` (samples of what is large). The figure is how much longer
the first takes; the aim is at most a third. Peak memory is that of our process alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from backup import MB, mariadb, peak_memory, postgresql, sqlite
from sqlalchemy import URL, make_url

HERE = Path(__file__).resolve()
AIM = 1 / 3


def child() -> None:
    """In the child: a backup, a restore, a comparison."""
    from ci_migrate.backups.catalog import Catalog
    from ci_migrate.backups.comparison import compare_restored
    from ci_migrate.backups.storage import LocalStorage
    from ci_migrate.databases import BUILT_IN
    from ci_migrate.databases.base import SessionOptions

    order = json.load(sys.stdin)
    url = make_url(order["url"])
    factory = next(f for f in BUILT_IN if url.get_backend_name() in f.backends)
    database = factory.make(url, SessionOptions(compare_budget=order["budget"]))
    catalog = Catalog(LocalStorage(Path(order["folder"], "backups")))
    moments = [time.perf_counter()]
    backup = catalog.create(database, target="bench", version_tables=(), migration_version="0001")
    moments.append(time.perf_counter())
    with (
        database.scratch("bench_1", Path(order["folder"], "scratch")) as copy,
        catalog.reading(backup) as payload,
    ):
        copy.load(payload)
        moments.append(time.perf_counter())
        found = compare_restored(copy, backup)
        moments.append(time.perf_counter())
    steps = [end - start for start, end in pairwise(moments)]
    told = {"steps": steps, "memory": peak_memory(), "compared": found.compared, "wrong": found.wrong}
    print(json.dumps(told))


def run_once(url: URL, budget: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.sync()
        order = {"url": url.render_as_string(hide_password=False), "budget": budget, "folder": folder}
        done = subprocess.run(
            [sys.executable, str(HERE), "--child"],
            input=json.dumps(order).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        told = dict(json.loads(done.stdout))
    if told["wrong"]:
        raise SystemExit(f"The copy differs: {told['wrong']}")
    return told


def main() -> None:
    engines = {"postgresql": postgresql, "mariadb": mariadb, "sqlite": sqlite}
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=engines, default="postgresql")
    parser.add_argument("--size", type=int, default=1024, help="MB")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        child()
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        engines[options.engine](Path(folder), options.size * MB, 2) as engine,
    ):
        url = engine.url
        print(f"{engine.name}: {engine.size / MB:,.0f} MB, {engine.rows:,} rows")
        more = []
        for number in range(options.rounds):
            kinds = [("all rows", 3600.0), ("samples", 0.0)]
            told = {kind: run_once(url, budget) for kind, budget in (kinds if number % 2 else kinds[::-1])}
            for kind, one in told.items():
                backup, restore, compare = one["steps"]
                print(
                    f"  {kind}: backup {backup:.1f} s, restore {restore:.1f} s, comparison {compare:.1f} s,"
                    f" {one['memory']:.0f} MB: {'; '.join(one['compared'])}"
                )
            more.append(sum(told["all rows"]["steps"]) / sum(told["samples"]["steps"]) - 1)
        print(f"  digests of all rows take {statistics.median(more):.0%} longer (aim: at most {AIM:.0%})")


if __name__ == "__main__":
    main()
