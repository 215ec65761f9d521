"""The script for Amazon RDS, on moto's server: its calls, waits, names, tags and what stays; instances there hold no data."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

pytest.importorskip("moto.rds", reason="there is no moto (the extra dev)")
import boto3
import s3_support
from moto.core import DEFAULT_ACCOUNT_ID
from moto.rds.models import rds_backends

SCRIPT = Path(__file__).parents[2] / "examples" / "physical-backups" / "rds.py"
ID = "backup_3f2a_20260131_235959"
SNAPSHOT = "ci-migrate-backup-3f2a-20260131-235959"
URL = "postgresql+psycopg://shop:p%40ss@live.example:5432/k%C3%A4se?sslmode=require"
TAGS = [{"Key": "ci-migrate", "Value": "live"}]


class Cloud:
    def __init__(self, endpoint: str) -> None:
        self.environ = {**s3_support.environment(endpoint), "RDS_DELAY": "1"}
        self.rds = boto3.session.Session(
            aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        ).client("rds", endpoint_url=endpoint)
        self.rds.create_db_instance(DBInstanceIdentifier="live", DBInstanceClass="db.m7g.large", Engine="postgres",
                                    AllocatedStorage=20, MasterUsername="shop", MasterUserPassword="p@ss-word")  # fmt: skip

    def run(self, *words: str, code: int = 0) -> str:
        """The last line that the script prints, on one of its streams."""
        done = subprocess.run([sys.executable, str(SCRIPT), *words], env={**self.environ, "CI_MIGRATE_PROVIDER_URL": URL}, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == code, done.stderr
        lines = (done.stdout if code == 0 else done.stderr).splitlines()
        return lines[-1] if lines else ""

    def instances(self) -> dict:
        return {i["DBInstanceIdentifier"]: i for i in self.rds.describe_db_instances()["DBInstances"]}

    def snapshots(self) -> dict:
        return {
            s["DBSnapshotIdentifier"]: s
            for s in self.rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        }


@pytest.fixture(scope="module")
def endpoint():
    with s3_support.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def cloud(endpoint):
    rds_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].reset()
    return Cloud(endpoint)


def test_the_whole_circle(cloud):
    assert cloud.run("create", "live", ID) == SNAPSHOT
    (made,) = cloud.snapshots().values()
    assert (made["DBSnapshotIdentifier"], made["TagList"]) == (SNAPSHOT, TAGS)
    url = make_url(cloud.run("clone", "live", SNAPSHOT))
    (clone,) = [i for name, i in cloud.instances().items() if name != "live"]
    assert url == make_url(URL).set(host=clone["Endpoint"]["Address"], port=clone["Endpoint"]["Port"])
    assert (clone["DBInstanceClass"], clone["TagList"]) == ("db.m7g.large", TAGS)
    assert clone["DeletionProtection"] is False
    cloud.run("drop", "live", SNAPSHOT)
    assert list(cloud.instances()) == ["live"]
    cloud.run("drop", "live", SNAPSHOT)
    cloud.run("delete", "live", SNAPSHOT)
    assert cloud.snapshots() == {}
    cloud.run("delete", "live", SNAPSHOT)
    assert list(cloud.instances()) == ["live"]


def test_a_clone_that_a_killed_run_left_is_replaced(cloud):
    cloud.run("create", "live", ID)
    first = cloud.run("clone", "live", SNAPSHOT)
    (name,) = cloud.instances().keys() - {"live"}
    cloud.rds.add_tags_to_resource(
        ResourceName=cloud.instances()[name]["DBInstanceArn"], Tags=[{"Key": "a", "Value": "killed"}]
    )
    assert cloud.run("clone", "live", SNAPSHOT) == first
    assert cloud.instances()[name]["TagList"] == TAGS, "it is a new one"
    assert len(cloud.instances()) == 2


def test_an_instance_of_somebody_else_is_not_deleted(cloud):
    cloud.run("create", "live", ID)
    cloud.run("clone", "live", SNAPSHOT)
    (name,) = cloud.instances().keys() - {"live"}
    cloud.rds.remove_tags_from_resource(
        ResourceName=cloud.instances()[name]["DBInstanceArn"], TagKeys=["ci-migrate"]
    )
    for verb in ("drop", "clone"):
        assert "not ours to delete" in cloud.run(verb, "live", SNAPSHOT, code=1)
    assert name in cloud.instances()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "nowhere", ID), "nowhere not found"),
        (("clone", "nowhere", SNAPSHOT), "no instance nowhere"),
        (("clone", "live", "ci-migrate-gone"), "gone not found"),
    ],
)
def test_what_is_not_there_is_said_and_leaves_nothing(cloud, words, said):
    assert said in cloud.run(*words, code=1)
    assert list(cloud.instances()) == ["live"]
    assert cloud.snapshots() == {}


@pytest.mark.parametrize("verb", ["create", "clone"])
@pytest.mark.parametrize("ends", ["available", "failed"])
def test_it_waits_and_takes_away_what_fails(cloud, verb, ends, monkeypatch):
    """For a minute nothing is ready; then it is, or never will be."""
    backend = rds_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
    if verb == "clone":
        cloud.run("create", "live", ID)
    method = {"create": "create_db_snapshot", "clone": "restore_db_instance_from_db_snapshot"}[verb]
    original, made = getattr(backend, method), []

    def slow(*arguments, **named):
        made.append(original(*arguments, **named))
        made[0].status = "creating"
        return made[0]

    monkeypatch.setattr(backend, method, slow)

    def later() -> None:
        while not made:
            time.sleep(0.05)
        time.sleep(2)
        made[0].status = ends

    threading.Thread(target=later, daemon=True).start()
    begun = time.monotonic()
    said = cloud.run(
        verb, "live", {"create": ID, "clone": SNAPSHOT}[verb], code=0 if ends == "available" else 1
    )
    assert time.monotonic() - begun > 2
    if ends == "failed":
        assert "Waiter encountered a terminal failure state" in said
        assert list(cloud.instances()) == ["live"]
        assert set(cloud.snapshots()) == ({SNAPSHOT} if verb == "clone" else set())


def test_by_the_gate(cloud, alembic_project):
    """Without a clone: there is no server behind the URL of one."""
    verbs = {verb: [sys.executable, str(SCRIPT), verb, "live", "{id}"] for verb in ("create", "delete")}
    alembic_project.settings(
        "\n".join(
            [
                '[targets.dev]\nurl = "sqlite:///app.db"\nprovider = "command"',
                *(f"provider-{verb} = {json.dumps(argv)}" for verb, argv in verbs.items()),
            ]
        )
    )
    done = alembic_project.run("backup", "create", env=cloud.environ)
    assert done.code == 0, done.text
    (backup,) = json.loads(alembic_project.run("backup", "list", "--json").out)
    assert list(cloud.snapshots()) == [backup["providerId"]]
    done = alembic_project.run("backup", "delete", backup["backupId"], "--yes", env=cloud.environ)
    assert done.code == 0, done.text
    assert cloud.snapshots() == {}
