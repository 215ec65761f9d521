"""What must hold for any manifest beside a backup, and for any body or query that is sent to the service."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.fetch import check_listing
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.storage import manifest_text
from ci_migrate.errors import BackupError, LockedError
from ci_migrate.ledger.keys import KeyRecord, Role
from ci_migrate.model import Backup, BackupFile, BackupStatus, Identity, RowCount
from ci_migrate.reports.clean import clean_value
from ci_migrate.server.app import create_app
from ci_migrate.server.hosts import Hosts
from ci_migrate.server.routes import PREFIX
from ci_migrate.server.service import Service
from ci_migrate.server.work import backup_body
from ci_migrate.testing.memory import MemoryStorage

NAME = "backup_r1_20261122_120000"
BACKUP = Backup(
    backup_id=NAME,
    backup_path="/backups",
    backup_time=datetime(2026, 11, 22, 12, tzinfo=UTC),
    backup_size=4096,
    database_size=8192,
    status=BackupStatus.SUCCESS,
    description="2 tables",
    target="shop",
    dialect="postgresql",
    identity=Identity(dialect="postgresql", place="db/app", facts={"system_identifier": "1", "oid": "2"}),
    revision="r1",
    heads=(("r1",),),
    migration_version="r2",
    tables=("public.users", "public.orders"),
    row_counts={"public.users": RowCount(rows=3)},
    files=(BackupFile(path="dump/toc.dat", size=4096, sha256="0" * 64),),
    sequence=7,
    catalog_sequence=9,
)
MANIFESTS = (manifest_text(BACKUP), msgspec.json.encode(BACKUP))


class OneManifest(MemoryStorage):
    """A storage with one backup, whose manifest says whatever it is told to say."""

    data = b""

    def ids(self) -> list[str]:
        return [NAME]

    def manifest(self, backup_id: str) -> bytes | None:
        return self.data


def read_manifest(data: bytes) -> bool:
    """Look at a manifest as every command does. Returns whether it is one; raises what no reader may raise."""
    storage = OneManifest()
    storage.data = data
    catalog = Catalog(storage)
    (backup,) = catalog.list()
    json.dumps(clean_value(backup_body(backup, restored=False)))
    manifest_text(backup)
    Owner("shop", frozenset(("k",))).may_own(backup)
    catalog.list_prunable(1, Owner("shop"))
    if backup.status is not BackupStatus.SUCCESS:
        return False
    try:
        check_listing(storage, backup)
    except BackupError as error:
        assert error.what
    return True


# --------------------------------------------------------------------------- HTTP

CONFIRMED = {"confirmationToken": "0" * 36, "confirmedBy": "ana", "reason": "ticket 4711"}
BODIES: dict[str, tuple[bytes, ...]] = {
    "/migrate-with-confirmation": (
        json.dumps(CONFIRMED).encode(),
        json.dumps({**CONFIRMED, "createBackup": False}).encode(),
    ),
    "/stamp?revision=r1": (json.dumps(CONFIRMED).encode(), b'{"reason":"why"}'),
    "/rollback?targetVersion=r1": (json.dumps(CONFIRMED).encode(), b"{}", b"null", b""),
}
"""Good bodies, by where they are sent."""

QUERIES: dict[str, tuple[bytes, ...]] = {
    "/generate-token": (
        b"targetVersion=r1",
        b"stamp=r1&reason=why",
        b"backupId=b_1&tables=users&tables=orders&planDigest=" + b"0" * 64,
        b"deleteBackup=b_1&deleteBackup=b_2",
        b"dropOld=true",
        b"repair=run_1&forward=true",
        b"protection=unprotect",
    ),
    "/backup/create": (b"migrationVersion=r2&tables=users&tables=a%2Eb",),
    "/backup/prune": (b"keep=3&dryRun=true", b""),
}
"""Good queries, by where they are sent."""

STARTED = "This is as far as a call may come."
REFUSED = frozenset((400, 413))


class Idle(Service):
    """A service that takes calls by a good key, and does nothing."""

    def __init__(self) -> None:  # no targets, no threads
        self.hosts = Hosts()
        self.key = KeyRecord(
            key_id="k", name="ana", role=Role.ADMIN, target="shop", created=BACKUP.backup_time, created_by="x"
        )

    def target(self, name: str | None) -> Any:
        return self

    name = "shop"

    def ledger(self) -> None:
        return None

    def caller(self, target: Any, key: str) -> KeyRecord:
        return self.key

    def ask(self, work: Any) -> Any:
        raise LockedError(STARTED)

    def start(self, target: Any, work: Any, address: str) -> Any:
        assert isinstance(work.reason, str)
        raise LockedError(STARTED)


class Calls:
    """Calls of the application, without a network between."""

    def __init__(self) -> None:
        self._app = create_app(Idle())
        self._loop = asyncio.new_event_loop()

    def send_body(self, place: str, body: bytes) -> bool:
        """POST a body. Returns whether the call came through; raises where it was answered in no known way."""
        path, _, query = place.partition("?")
        return self._loop.run_until_complete(self._send(path, query.encode(), body))

    def send_query(self, path: str, query: bytes) -> bool:
        """POST with a query; as `send_body`."""
        return self._loop.run_until_complete(self._send(path, query, b""))

    async def _send(self, path: str, query: bytes, body: bytes) -> bool:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        key = b"Bearer cim_0123456789ab_" + b"A" * 43
        headers = [(b"host", b"localhost"), (b"authorization", key), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": PREFIX + path, "raw_path": (PREFIX + path).encode(), "query_string": query, "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        await self._app(scope, receive, send)
        answer = json.loads(b"".join(message.get("body", b"") for message in sent))
        status = sent[0]["status"]
        assert answer["status"] == status
        if status == 423 and answer["message"].startswith(STARTED):
            return True
        assert status in REFUSED, answer
        assert answer["message"]
        return False
