"""Dask's scheduler and workers, as processes of their own: on this machine, or in network namespaces."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class DaskCluster:
    """A scheduler and its workers, in `folder` as on a machine that has the project there; one task each at a time."""

    def __init__(self, folder: Path, environ: Mapping[str, str], host: str = "127.0.0.1") -> None:
        self._folder, self._environ, self._host = folder, environ, host
        self._file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        quiet = ("--scheduler-file", str(self._file), "--no-dashboard")
        self._scheduler = self._start("scheduler", "--host", self._host, "--port", "0", *quiet)
        self.wait(self._written)
        self.address = str(json.loads(self._file.read_text())["address"])
        return self

    def _written(self) -> bool:
        """Whether the scheduler's file is there, and whole."""
        try:
            return "address" in json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self.workers, self._scheduler]:
            if process is not None and process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def add_worker(self, *, within: Sequence[str] = (), host: str | None = None) -> "subprocess.Popen[bytes]":
        """One more worker; `within` is what it is started by."""
        known = len(self.workers)
        log = self._log("worker", known)
        arguments = (
            "--no-nanny",
            "--nthreads",
            "1",
            "--no-dashboard",
            "--local-directory",
            str(self._folder),
        )
        self.workers.append(
            self._start("worker", self.address, "--host", host or self._host, *arguments, within=within)
        )
        self.wait(lambda: b"Registered to:" in log.read_bytes())
        return self.workers[-1]

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("dask-*.log")))

    def wait(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)

    def _log(self, role: str, number: int) -> Path:
        return self._folder / f"dask-{role}-{number}.log"

    def _start(self, role: str, *arguments: str, within: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        dask = str(Path(sys.executable).parent / "dask")
        with self._log(role, len(self.workers)).open("wb") as log:
            return subprocess.Popen(
                [*within, dask, role, *arguments],
                cwd=self._folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
