"""Readers of the HTTP service while a migration runs: how long they wait, and whether any call fails.

python benchmarks/http_readers.py [--clients 50] [--seconds 60] [--pause 0.5]

Each client calls `/jobs`, `/backup/list` and one manifest in turns, with a pause after each call; 0 for none, which
measures how many calls a second the service can do. Meanwhile revisions are migrated and rolled back over HTTP.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
from gate import ENV, INI, REVISION, body

PREFIX = "/api/database/migration"
COMMAND = [sys.executable, "-m", "ci_migrate"]


def project(folder: Path, revisions: int) -> None:
    """A history of small revisions on SQLite."""
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    for number in range(1, revisions + 1):
        up, back = body(number)
        down = f'"{number - 1:04}"' if number > 1 else None
        text = REVISION.format(number=number, down=down, up=up, back=back)
        (folder / "migrations" / "versions" / f"{number:04}.py").write_text(text)


async def reader(client: httpx.AsyncClient, paths: list[str], until: float, pause: float, seen: list) -> None:
    """Call until the time is up; what was answered, and after how many seconds."""
    while time.monotonic() < until:
        for path in paths:
            started = time.monotonic()
            try:
                status: int | str = (await client.get(PREFIX + path)).status_code
            except httpx.HTTPError as error:
                status = type(error).__name__
            seen.append((status, time.monotonic() - started))
            await asyncio.sleep(pause)


async def migrations(client: httpx.AsyncClient, until: float) -> int:
    """Migrate, roll back, and so on; how often."""
    count = 0
    while time.monotonic() < until:
        for path in ("/rollback?targetVersion=0001", "/migrate-with-backup"):
            (await client.post(PREFIX + path)).raise_for_status()
            count += 1
    return count


async def measure(url: str, key: str, arguments: argparse.Namespace) -> None:
    """All at once, then the figures."""
    headers, limits = {"Authorization": f"Bearer {key}"}, httpx.Limits(max_connections=arguments.clients + 1)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=300, limits=limits) as client:
        first = (await client.post(f"{PREFIX}/migrate-with-backup")).raise_for_status().json()
        paths = ["/jobs", "/backup/list", f"/backup/{first['backupId']}"]
        until, seen = time.monotonic() + arguments.seconds, []
        readers = [reader(client, paths, until, arguments.pause, seen) for _ in range(arguments.clients)]
        count, *_ = await asyncio.gather(migrations(client, until), *readers)
    times = sorted(seconds for _, seconds in seen)
    shown = {p: round(1000 * times[int(len(times) * p / 100)]) for p in (50, 95, 99)}
    print(
        f"{len(seen)} calls, {len(seen) / arguments.seconds:.0f} a second; {count} migrations and rollbacks"
    )
    print("answers:", dict(Counter(status for status, _ in seen)))
    print("milliseconds:", ", ".join(f"p{p} {value}" for p, value in shown.items()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.5)
    parser.add_argument("--revisions", type=int, default=100)
    arguments = parser.parse_args()
    environ = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(("CI_", "GITHUB_"))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, arguments.revisions)
        create = [*COMMAND, "serve", "key", "create", "bench", "--role", "admin"]
        key = subprocess.run(create, cwd=folder, env=environ, capture_output=True, text=True, check=True)
        service = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0"], cwd=folder, env=environ, stdout=subprocess.PIPE, text=True
        )
        try:
            url = service.stdout.readline().split()[2]
            asyncio.run(measure(url, key.stdout.strip(), arguments))
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    main()
