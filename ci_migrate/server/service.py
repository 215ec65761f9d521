"""What the endpoints stand on: targets with their ledgers, one piece of work at a time on each, jobs that survive."""

import logging
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.owner import Owner
from ci_migrate.errors import CiMigrateError, ExitCode, LedgerError, LockedError
from ci_migrate.ledger import jobs, keys
from ci_migrate.ledger.jobs import Job, JobStatus
from ci_migrate.ledger.keys import KeyRecord
from ci_migrate.ledger.ledger import Ledger, ledger_url, open_ledger
from ci_migrate.model import Backup
from ci_migrate.server.audit_writer import Auditor
from ci_migrate.server.children import Children, answer_error
from ci_migrate.server.hosts import Hosts
from ci_migrate.server.limits import FAILURES, Failures
from ci_migrate.server.wording import PREFIX
from ci_migrate.server.work import Answer, Work, status_of
from ci_migrate.session import open_catalog, target_url
from ci_migrate.settings.settings import Settings

LOOK_AGAIN = 2.0
"""Seconds between two looks at a target on which an orphan still works."""

GOING = 10.0
"""Seconds that a process may take to end after it wrote how its job ended."""

AT_ONCE = 8
"""Pieces of work that are no jobs (tokens): how many processes there may be for them at once."""

log = logging.getLogger("ci_migrate.server")


@dataclass
class Target:
    """A target of the settings. `busy` is held while a piece of work changes it."""

    settings: Settings
    busy: threading.Lock = field(default_factory=threading.Lock)
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _url: URL | None = field(default=None, repr=False)
    _ledger: Ledger | None = None
    _catalog: Catalog | None = None

    @property
    def name(self) -> str:
        """Its name in the settings."""
        return self.settings.target

    def ledger(self) -> Ledger | None:
        """Its ledger, open; None where there is none yet. Raises CiMigrateError where it can't be reached."""
        with self._opening:
            if self._ledger is None:
                self._ledger = open_ledger(self._ledger_url(), create=False)
            return self._ledger

    def book(self) -> Ledger:
        """Its ledger, which is there: whoever calls has a key. Raises CiMigrateError where it can't be reached."""
        ledger = self.ledger()
        if ledger is None:
            raise LedgerError(f"Target {self.name} has no ledger.")
        return ledger

    def backups(self) -> dict[str, Backup]:
        """The backups of this target by their ids, the oldest first. Raises CiMigrateError where they can't be read."""
        with self._opening:
            if self._catalog is None:  # plugins are looked for, which takes longer than all the rest
                self._catalog = open_catalog(self.settings)
            catalog = self._catalog
        ledger = self.ledger()
        owner = Owner(self.name, ledger.known_keys(None) if ledger is not None else None)
        return {b.backup_id: b for b in catalog.list() if owner.may_own(b)}

    def ledger_text(self) -> str:
        """The ledger's URL with its password: for a child's standard input, nothing else."""
        with self._opening:
            return self._ledger_url().render_as_string(hide_password=False)

    def close(self) -> None:
        """Close the ledger. The next call opens it anew, by a URL that is looked up anew: passwords change."""
        with self._opening:
            if self._ledger is not None:
                self._ledger.close()
            self._ledger = self._url = None

    def _ledger_url(self) -> URL:
        if self._url is None:
            self._url = ledger_url(target_url(self.settings), self.settings.resolve_state())
        return self._url


class Service:
    """Targets, children, jobs. Made once; its methods are called from many threads."""

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Settings],
        failures: int = FAILURES,
        hosts: Iterable[str] = (),
    ) -> None:
        self.targets = {name: Target(settings) for name, settings in targets.items()}
        self.children = Children(directory)
        self.auditor = Auditor()
        self.failures = Failures(failures)
        self.hosts = Hosts(hosts)
        self._jobs = ThreadPoolExecutor(max_workers=max(1, len(targets)), thread_name_prefix="job")
        self._few = threading.BoundedSemaphore(AT_ONCE)
        self._stopping = threading.Event()

    # ----------------------------------------------------------------- who calls

    def target(self, name: str | None) -> Target | None:
        """The target of this name, or the only one where none is named; None where there is no such."""
        if name is None and len(self.targets) == 1:
            return next(iter(self.targets.values()))
        return self.targets.get(name or "")

    def target_of(self, key: str) -> tuple[Target, KeyRecord] | None:
        """The target that this key is for, and whose it is: a key is good for one alone.

        A ledger that does not answer is left out, unless none of them does.

        Raises:
            CiMigrateError: none of them answers.
        """
        troubles = []
        for target in self.targets.values():
            try:
                found = self.caller(target, key)
            except CiMigrateError as error:
                troubles.append(error)
                continue
            if found is not None:
                return target, found
        if troubles and len(troubles) == len(self.targets):
            raise troubles[0]
        return None

    def caller(self, target: Target, key: str) -> KeyRecord | None:
        """Whose key this is on this target. Raises CiMigrateError where nobody can tell."""
        ledger = target.ledger()
        if ledger is None:
            return None
        try:
            return keys.find(ledger, key, target.name)
        except LedgerError:
            target.close()
            raise

    # ----------------------------------------------------------------- work

    def ask(self, work: Work) -> Answer:
        """Have something done that is no job: it changes nothing but tokens."""
        with self._few:
            try:
                answer = self.children.perform(work)
            except CiMigrateError as error:
                return answer_error(error)
        words = "The process that did it died; the database was not touched."
        return answer or Answer(exit_code=int(ExitCode.COULD_NOT_TELL), body={"message": words})

    def start(self, target: Target, work: Work, address: str) -> tuple[Job, "Future[Answer]"]:
        """Start a job.

        Returns:
            The job, and its answer to be.

        Raises:
            LockedError: another one works on this target.
            LedgerError: it can't be written down.
        """
        if self._stopping.is_set():
            raise LockedError("The service is stopping.", hint="Try again later.")
        if not target.busy.acquire(blocking=False):
            # a process that has written how its job ended takes a moment to go: whoever read that may call at once
            going = not jobs.running(target.book(), target.name)
            if not (going and target.busy.acquire(timeout=GOING)):
                raise LockedError("Another job works on this target.", hint="Try again later.")
        try:
            job = jobs.begin(
                target.book(), target=target.name, action=work.action, actor=work.actor, address=address
            )
            told = {"job_id": job.job_id, "ledger": target.ledger_text()}
            future = self._jobs.submit(self._work_guarded, target, _with(work, told))
        except BaseException:
            target.busy.release()
            raise
        return job, future

    def _work_guarded(self, target: Target, work: Work) -> Answer:
        try:
            return self._work(target, work)
        except Exception as error:
            log.exception("%r", work)
            return answer_error(error)
        finally:
            target.busy.release()

    def _work(self, target: Target, work: Work) -> Answer:
        answer = self.children.perform(work)
        status = JobStatus.INTERRUPTED if answer is None else status_of(answer)
        if answer is None:
            answer = self._settle(target)
        self._end(target, work.job_id, status, answer)
        return answer

    def _end(self, target: Target, job_id: str, status: JobStatus, answer: Answer) -> None:
        """Write how a job ended, if its process has not."""
        ledger = target.ledger()
        if ledger is not None:
            jobs.end(ledger, job_id, status, answer.exit_code, answer.body)

    # ----------------------------------------------------------------- what died

    def _settle(self, target: Target) -> Answer:
        """Have it told, and mended, what a process that died left."""
        try:
            answer = self.children.perform(
                Work(action="settle", target=target.name, actor="ci-migrate serve")
            )
        except CiMigrateError as error:
            return answer_error(error)
        words = f"The process died, and so did its repair. POST {PREFIX}/repair"
        return answer or Answer(exit_code=int(ExitCode.FAILED_DIRTY), body={"message": words})

    def recover(self) -> None:
        """Find the jobs that an earlier service left, and settle them in the background: their targets are busy."""
        for target in self.targets.values():
            try:
                ledger = target.ledger()
                left = jobs.running(ledger, target.name) if ledger is not None else ()
            except CiMigrateError as error:
                log.warning(
                    "Target %s: jobs of an earlier service were not looked for: %s", target.name, error
                )
                continue
            if left:
                target.busy.acquire()  # before the first call is answered: nobody works beside an orphan
                self._jobs.submit(self._recover, target, left)

    def _recover(self, target: Target, left: tuple[Job, ...]) -> None:
        try:
            ledger = target.ledger()
            while ledger is not None and jobs.running(ledger, target.name) and not self._stopping.is_set():
                answer = self._settle(target)
                if (
                    answer.exit_code == ExitCode.LOCKED
                ):  # the orphan still works; it writes itself how it ended
                    self._stopping.wait(LOOK_AGAIN)
                    continue
                for job in left:
                    self._end(target, job.job_id, JobStatus.INTERRUPTED, answer)
                    log.warning("%s was interrupted: %s", job.job_id, answer.body["message"])
        except Exception:
            log.exception("Target %s: what an earlier service left could not be settled", target.name)
        finally:
            target.busy.release()

    # ----------------------------------------------------------------- the end

    def stop(self) -> None:
        """Tell what works to stop at a statement boundary; new work is refused. Returns at once."""
        self._stopping.set()
        self.children.stop()

    def close(self) -> None:
        """Wait for what works, then close everything."""
        self.stop()
        self._jobs.shutdown(wait=True)  # first: until then jobs and calls are written into the ledgers
        self.auditor.close()
        for target in self.targets.values():
            target.close()


def _with(work: Work, fields: dict[str, str]) -> Work:
    from msgspec import structs

    return structs.replace(work, **fields)
