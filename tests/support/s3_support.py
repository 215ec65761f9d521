"""A server that speaks S3, on loopback, and the environment that leads to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

SECRET = "canary-SECRET/key+of=S3"


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of a server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def environment(endpoint: str) -> dict[str, str]:
    """What boto3 reads."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "canary-key-id",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead boto3 of this process there."""
    for name, value in environment(endpoint).items():
        monkeypatch.setenv(name, value)


def client():
    """A client by the environment."""
    return boto3.session.Session().client("s3")


def new_bucket() -> str:
    """A fresh bucket."""
    name = f"backups-{uuid4().hex[:12]}"
    client().create_bucket(Bucket=name)
    return name


def keys(bucket: str) -> list[str]:
    """All objects in a bucket."""
    return [entry["Key"] for entry in client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def uploads(bucket: str) -> list[str]:
    """All uploads in parts that have not ended."""
    return [u["Key"] for u in client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def age(bucket: str, key: str, seconds: float = 3600) -> None:
    """Make an object look old. The server runs in this process."""
    found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    assert found is not None
    found.last_modified = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds)
