#!/usr/bin/env python3
"""Snapshots of an Amazon RDS instance, for `provider = "command"`: a clone is an instance of its own, and costs as one.

    rds.py create INSTANCE ID          rds.py clone INSTANCE ID
    rds.py delete INSTANCE ID          rds.py drop INSTANCE ID

Needs boto3, which finds credentials and region, and the rights to describe, make and delete snapshots and instances.
The clone is made in the instance's own network, of its class, reached by who reaches the instance. What this script
makes has the tag ci-migrate; where a run was killed, the next clone of that backup takes the old one away.
"""

import hashlib
import os
import re
import sys
from contextlib import suppress
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

TAG = "ci-migrate"
PATIENCE = {"Delay": int(os.environ.get("RDS_DELAY", "30")), "MaxAttempts": 480}
"""Seconds between two questions, and how many: four hours. A large snapshot takes its time."""


def snapshot_of(name: str) -> str:
    """A name of ours as RDS takes it: letters, digits and single hyphens."""
    return "ci-migrate-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def clone_of(snapshot: str) -> str:
    """The name of a snapshot's clone, which may have 63 characters."""
    return "ci-migrate-" + hashlib.sha256(snapshot.encode()).hexdigest()[:20]


def wait(rds, state: str, **of: str) -> None:
    rds.get_waiter(state).wait(WaiterConfig=PATIENCE, **of)


def instance(rds, name: str):
    """None where there is none."""
    try:
        return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except rds.exceptions.DBInstanceNotFoundFault:
        return None


def create(rds, source: str, name: str) -> None:
    snapshot = snapshot_of(name)
    tags = [{"Key": TAG, "Value": source}]
    rds.create_db_snapshot(DBInstanceIdentifier=source, DBSnapshotIdentifier=snapshot, Tags=tags)
    try:
        wait(rds, "db_snapshot_available", DBSnapshotIdentifier=snapshot)
    except BaseException:
        delete(rds, source, snapshot)
        raise
    print(snapshot)


def drop(rds, source: str, snapshot: str) -> None:
    """Delete the clone, and no instance that this script did not make of that source."""
    found = instance(rds, clone_of(snapshot))
    if found is None or found["DBInstanceStatus"] == "deleting":
        return
    if {"Key": TAG, "Value": source} not in found.get("TagList", []):
        sys.exit(f"{found['DBInstanceIdentifier']} has no tag {TAG} = {source}: it is not ours to delete.")
    rds.delete_db_instance(
        DBInstanceIdentifier=found["DBInstanceIdentifier"],
        SkipFinalSnapshot=True,
        DeleteAutomatedBackups=True,
    )


def clone(rds, source: str, snapshot: str) -> None:
    name, like = clone_of(snapshot), instance(rds, source)
    if like is None:
        sys.exit(f"There is no instance {source}.")
    drop(rds, source, snapshot)  # of a run that was killed
    wait(rds, "db_instance_deleted", DBInstanceIdentifier=name)
    network = (
        {"DBSubnetGroupName": like["DBSubnetGroup"]["DBSubnetGroupName"]} if like.get("DBSubnetGroup") else {}
    )
    rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier=name,
        DBSnapshotIdentifier=snapshot,
        DBInstanceClass=like["DBInstanceClass"],
        VpcSecurityGroupIds=[group["VpcSecurityGroupId"] for group in like["VpcSecurityGroups"]],
        DBParameterGroupName=like["DBParameterGroups"][0]["DBParameterGroupName"],
        MultiAZ=False,
        PubliclyAccessible=like.get("PubliclyAccessible", False),
        DeletionProtection=False,
        CopyTagsToSnapshot=False,
        Tags=[{"Key": TAG, "Value": source}],
        **network,
    )
    try:
        wait(rds, "db_instance_available", DBInstanceIdentifier=name)
        made = instance(rds, name)["Endpoint"]
    except BaseException:  # by hand nobody calls drop
        drop(rds, source, snapshot)
        raise
    url = urlsplit(os.environ["CI_MIGRATE_PROVIDER_URL"])
    login = url.netloc.rpartition("@")[0]
    place = f"{login}@{made['Address']}:{made['Port']}"
    print(url._replace(netloc=place).geturl())


def delete(rds, _source: str, snapshot: str) -> None:
    with suppress(rds.exceptions.DBSnapshotNotFoundFault):  # a deletion that was killed is done again
        rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot)


if __name__ == "__main__":
    verbs = {"create": create, "clone": clone, "drop": drop, "delete": delete}
    try:
        verbs[sys.argv[1]](boto3.client("rds"), *sys.argv[2:])
    except (BotoCoreError, ClientError) as error:
        sys.exit(str(error))
