"""Backups in a bucket that speaks S3: written in a local folder, uploaded at the end, the manifest last.

A bucket has no locks. Who writes a backup puts a mark, `.ci-migrate/writing/<id>`, create-only, and renews it every
minute; a mark that was not renewed for ten minutes (by the server's clock) is that of a dead process, whose backup may
be swept. A writer publishes only while the mark is its own. Who deletes a backup first puts a mark,
`.ci-migrate/deleted/<id>`: from then on it is not listed, and a sweep ends what a killed process began.
"""

import re
import secrets
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ci_migrate.backups.s3_errors import code_of, translate_errors
from ci_migrate.backups.storage import (
    MANIFEST,
    MakeManifest,
    manifest_text,
    refuse_long_manifest,
    sealed,
    written_at,
)
from ci_migrate.errors import BackupError, SettingsError
from ci_migrate.model import Backup
from ci_migrate.settings.secrets import register_secret
from ci_migrate.tempdirs import private_folder

_PIECE = 8 << 20
_AT_ONCE = 4
_WRITING = ".ci-migrate/writing/"
_DELETED = ".ci-migrate/deleted/"
_CLAIMS = ".ci-migrate/claims/"
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9!_.*'()=+-]+)*)/?")


@dataclass
class _Writer:
    """Who writes a backup: the local folder, its mark, and the thread that renews the mark."""

    folder: Path
    mark: str
    token: bytes
    ended: threading.Event = field(default_factory=threading.Event)
    beat: threading.Thread | None = None

    def stop(self) -> None:
        self.ended.set()
        if self.beat is not None:
            self.beat.join()


class S3Storage:
    """Backups below a prefix of a bucket. Endpoint, region and credentials are found as boto3 finds them.

    Args:
        url: `s3://bucket/prefix`.
        beat: seconds after which a writer renews its mark.
        stale: seconds after which a mark that was not renewed is that of a dead process.

    Raises:
        SettingsError: no such URL (it is not shown: it may hold a key), or boto3 is not installed.
    """

    remote = True

    def __init__(self, url: str, *, beat: float = 60.0, stale: float = 600.0) -> None:
        match = _URL.fullmatch(url)
        if match is None or any(part in (".", "..") for part in match[2].split("/")):
            raise SettingsError(
                "An s3:// URL for backups is not written s3://bucket/prefix, with no key or option in it.",
                hint="Those come from the environment: AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL, AWS_REGION.",
            )
        try:
            import boto3  # noqa: F401 - translate_errors now, not in the middle of a run
        except ImportError as error:
            raise SettingsError(
                "Backups in s3:// need boto3.", hint="pip install 'ci-migrate[s3]'"
            ) from error
        self._bucket, self._prefix = match[1], match[2].strip("/") + "/" if match[2] else ""
        self._beat, self._stale = beat, stale
        self._writers: dict[str, _Writer] = {}
        self.place = f"s3://{self._bucket}{match[2]}"
        self.room = tempfile.gettempdir()

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=10, read_timeout=60, max_pool_connections=2 * _AT_ONCE)
        with translate_errors(self.place):
            session = boto3.session.Session()
            found = session.get_credentials()  # of a profile, a role, a file: wherever they are
            if found is not None:  # None: an anonymous bucket; what it needs it says at the first request
                kept = found.get_frozen_credentials()
                for secret in (kept.secret_key, kept.token):
                    register_secret(secret or "")
            return session.client("s3", config=config)

    def _call(self, operation: str, **arguments: Any) -> Any:
        """One request, tried again by the library where an error passes. Raises BackupError."""
        client = self._client
        with translate_errors(self.place):
            return getattr(client, operation)(Bucket=self._bucket, **arguments)

    def _key(self, backup_id: str, name: str = "") -> str:
        return f"{self._prefix}{backup_id}/{name}"

    # ---------------------------------------------------------------- read

    def ids(self) -> list[str]:
        found = (
            p["Prefix"] for page in self._pages(self._prefix, "/") for p in page.get("CommonPrefixes", ())
        )
        names = {prefix.removeprefix(self._prefix).rstrip("/") for prefix in found}
        names |= self._marks(_WRITING).keys()
        return sorted(name for name in names - self._marks(_DELETED).keys() if written_at(name))

    def _pages(self, prefix: str, delimiter: str = "") -> Iterator[Any]:
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, Delimiter=delimiter, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _marks(self, kind: str) -> dict[str, float]:
        """The backups that carry a mark, and how many seconds ago it was put, by the server's clock."""
        ages = {}
        for page in self._pages(self._prefix + kind):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(self._prefix + kind)
                if written_at(name):
                    ages[name] = (now - entry["LastModified"]).total_seconds()
        return ages

    def _objects(self, backup_id: str) -> dict[str, int]:
        """The size of each object of a backup, by its name in it."""
        prefix = self._key(backup_id)
        entries = (entry for page in self._pages(prefix) for entry in page.get("Contents", ()))
        return {entry["Key"].removeprefix(prefix): entry["Size"] for entry in entries}

    def path(self, backup_id: str) -> str:
        return f"{self.place}/{backup_id}"

    def manifest(self, backup_id: str) -> bytes | None:
        return self._get(self._key(backup_id, MANIFEST))

    def _get(self, key: str) -> bytes | None:
        """A small object; None where there is none. Raises OSError where it is not small."""
        try:
            size = self._piece(key, 0)[1]
            refuse_long_manifest(size)
            return b"".join(self._stream(key))
        except FileNotFoundError:
            return None

    def sizes(self, backup_id: str) -> dict[str, int]:
        return {name: size for name, size in self._objects(backup_id).items() if name != MANIFEST}

    def folder(self, backup_id: str) -> Path | None:  # noqa: ARG002 - the protocol's
        return None

    def read(self, backup_id: str, name: str) -> Iterator[bytes]:
        return self._stream(self._key(backup_id, name))

    def _stream(self, key: str) -> Iterator[bytes]:
        """An object by requests of a few megabytes each, some of them on their way at a time."""
        first, size = self._piece(key, 0)
        yield first
        starts = iter(range(len(first), size, _PIECE))
        waiting: deque[Future[tuple[bytes, int]]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                while True:
                    while len(waiting) < _AT_ONCE and (start := next(starts, None)) is not None:
                        waiting.append(pool.submit(self._piece, key, start))
                    if not waiting:
                        return
                    yield waiting.popleft().result()[0]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _piece(self, key: str, start: int) -> tuple[bytes, int]:
        """A piece of an object, and the size of all of it. Raises FileNotFoundError, BackupError."""
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        client, span = self._client, f"bytes={start}-{start + _PIECE - 1}"
        for last in (False, False, True):  # a body that breaks off is not tried again by the library
            with translate_errors(self.place):
                try:
                    answer = client.get_object(Bucket=self._bucket, Key=key, Range=span)
                    data: bytes = answer["Body"].read()
                except (HTTPClientError, IncompleteReadError):
                    if last:
                        raise
                    continue
                except ClientError as error:
                    if code_of(error) == "InvalidRange":  # an empty object has no first byte
                        return b"", 0
                    if code_of(error) == "NoSuchKey":
                        raise FileNotFoundError(2, "No such object", f"s3://{self._bucket}/{key}") from error
                    raise
                return data, int(answer.get("ContentRange", f"/{len(data)}").rpartition("/")[2])
        raise AssertionError

    def busy(self, backup_id: str) -> bool:
        return self._marks(_WRITING).get(backup_id, self._stale) < self._stale

    def free(self) -> int | None:
        return shutil.disk_usage(self.room).free

    # ---------------------------------------------------------------- write

    @contextmanager
    def writing(self, backup_id: str) -> Iterator[Path]:
        with private_folder() as folder:
            mark = f"{self._prefix}{_WRITING}{backup_id}"
            writer = _Writer(folder, mark, secrets.token_hex(16).encode())
            self._take(backup_id, writer)
            writer.beat = threading.Thread(target=self._keep_alive, args=(writer,), daemon=True)
            writer.beat.start()
            self._writers[backup_id] = writer
            try:
                yield writer.folder
            except BaseException:
                writer.stop()
                with suppress(BackupError, OSError):  # what happened first is told; a sweep removes the rest
                    if self._get(mark) in (writer.token, None):
                        self._remove(backup_id)
                raise
            finally:
                writer.stop()
                del self._writers[backup_id]

    def _take(self, backup_id: str, writer: _Writer) -> None:
        """Put the mark of a writer. Raises FileExistsError if the id is taken."""
        created = self._create(writer.mark, writer.token)
        # Looked at after the mark stands: whoever published or deleted meanwhile has left a trace by now.
        if not created or self._objects(backup_id) or backup_id in self._marks(_DELETED):
            if created:
                self._call("delete_object", Key=writer.mark)
            raise FileExistsError(17, "taken", self.path(backup_id))

    def _create(self, key: str, data: bytes) -> bool:
        """Put an object where there is none; whether it is ours that stands there."""
        from botocore.exceptions import ClientError

        client = self._client
        with translate_errors(self.place):
            try:
                client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
        # Ours too if an answer was lost and the library's next try met our own object; and a server that does not
        # know of conditions has written one over the other: the last one stands.
        return self._get(key) == data

    def _keep_alive(self, writer: _Writer) -> None:
        while not writer.ended.wait(self._beat):
            with suppress(BackupError):  # the next one may come through
                if self._get(writer.mark) != writer.token:
                    return
                self._call("put_object", Key=writer.mark, Body=writer.token)

    def publish(self, backup_id: str, make_manifest: MakeManifest) -> Backup:
        writer = self._writers[backup_id]
        paths = sorted(p for p in writer.folder.rglob("*") if p.is_symlink() or not p.is_dir())
        files = tuple(sealed(path.relative_to(writer.folder).as_posix(), path) for path in paths)
        for file in files:
            self._upload(writer.folder / file.path, self._key(backup_id, file.path))
        if self._objects(backup_id) != {file.path: file.size for file in files}:
            raise BackupError(
                f"{backup_id} did not arrive in {self.place} as it was sent.", hint="Run again."
            )
        backup = make_manifest(files)
        writer.stop()
        if self._get(writer.mark) != writer.token:
            raise BackupError(
                f"{backup_id} was swept by another process: this one seemed dead for {self._stale:.0f} s.",
                hint="Run again.",
            )
        if not self._create(self._key(backup_id, MANIFEST), manifest_text(backup)):
            raise BackupError(f"{backup_id} in {self.place} has a manifest already.", hint="Run again.")
        with suppress(BackupError):  # it is published: a mark that stays is swept, the backup is not
            self._call("delete_object", Key=writer.mark)
        return backup

    def _upload(self, path: Path, key: str) -> None:
        """Send a file, in parts where it is large. Parts of an upload that fails are removed by the library."""
        from boto3.s3.transfer import TransferConfig

        client, config = self._client, TransferConfig(multipart_chunksize=_PIECE, max_concurrency=_AT_ONCE)
        with translate_errors(self.place):
            client.upload_file(str(path), self._bucket, key, Config=config)

    def claim(self, name: str, owner: bytes) -> bool:
        return self._create(f"{self._prefix}{_CLAIMS}{name}", owner)

    # ---------------------------------------------------------------- remove

    def delete(self, backup_id: str) -> None:
        mark = f"{self._prefix}{_DELETED}{backup_id}"
        self._call("put_object", Key=mark, Body=b"")
        self._remove(backup_id)
        self._call("delete_object", Key=mark)

    def _remove(self, backup_id: str) -> None:
        """Remove all objects of a backup, its manifest first and the writer's mark last, and parts of uploads."""
        self._call("delete_object", Key=self._key(backup_id, MANIFEST))
        self._abort(backup_id)
        keys = [self._key(backup_id, name) for name in self._objects(backup_id)]
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            answer = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            for wrong in answer.get("Errors", ()):
                raise BackupError(
                    f"{self.place}: {wrong.get('Key')} could not be removed ({wrong.get('Code')}).",
                    hint="Run again.",
                )
        self._call("delete_object", Key=f"{self._prefix}{_WRITING}{backup_id}")

    def _abort(self, backup_id: str) -> None:
        """End uploads in parts that a killed process left; a bucket's lifecycle rule may do that as well."""
        with suppress(
            BackupError
        ):  # the right to list them may be missing; nothing of it is ever shown as a backup
            answer = self._call("list_multipart_uploads", Prefix=self._key(backup_id))
            for upload in answer.get("Uploads", ()):
                self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])

    def sweep(self) -> list[str]:
        deleted, writing = self._marks(_DELETED), self._marks(_WRITING)
        swept = sorted(deleted)
        for backup_id in sorted(name for name, age in writing.items() if age >= self._stale):
            if self.manifest(backup_id) is not None:  # it was published; only the mark stayed
                self._call("delete_object", Key=f"{self._prefix}{_WRITING}{backup_id}")
            elif backup_id not in deleted:
                swept.append(backup_id)
        for backup_id in swept:
            self.delete(backup_id)
        return swept


def make_s3(url: str, _base: Path) -> S3Storage:
    """The storage for an `s3://` URL. Raises as S3Storage."""
    return S3Storage(url)
