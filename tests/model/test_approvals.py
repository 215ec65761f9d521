"""What an approval can be given for: each binds all that an approver read, and is read again as it was kept."""

import msgspec
import pytest

from ci_migrate.model import (
    Approvable,
    Direction,
    Identity,
    Plan,
    ProtectionChange,
    Purpose,
    Removal,
    Restoration,
    RunRepair,
    canonical_json,
    decode_approvable,
)

IDENTITY = Identity(dialect="sqlite", place="/srv/app.db", facts={"file": "/srv/app.db"})
TARGET = {"target": "live", "identity": IDENTITY}
RESTORATION = Restoration(
    **TARGET, backup_id="backup_r1", manifest_sha256="0" * 64, place="/b", heads=("r2",)
)
REMOVAL = Removal(**TARGET, what="backups", names=("b1", "b2"), place="/b", manifests=("0", "1"))
REPAIR = RunRepair(**TARGET, run_id="run-1", forward=False, plan_digest="0" * 64)
CHANGE = ProtectionChange(**TARGET, destination="frozen")
PLAN = Plan(
    **TARGET, direction=Direction.UPGRADE, destination="head", contexts=(), revisions=(), env_sha256="e",
    script_heads=("r1",),
)  # fmt: skip
ALL = (RESTORATION, REMOVAL, REPAIR, CHANGE, PLAN)
NAMES = [type(one).__name__ for one in ALL]


def decoded(text: bytes) -> Approvable:
    found: Approvable = msgspec.json.decode(text, type=Approvable, dec_hook=decode_approvable)
    return found


@pytest.mark.parametrize("one", ALL, ids=NAMES)
def test_each_is_read_as_it_was_kept(one):
    assert isinstance(one, Approvable)
    again = decoded(canonical_json(one))
    assert again == one
    assert type(again) is type(one)
    assert again.digest == one.digest


def test_purposes_are_of_a_closed_set():
    assert {one.purpose for one in ALL} == {"restore", "removal", "repair", "protection", "upgrade"}
    assert {direction.value for direction in Direction} < {purpose.value for purpose in Purpose}


OTHER = {
    "target": "dev",
    "identity": Identity(dialect="sqlite", place="/x", facts={"file": "/x"}),
    "destination": "unprotected",
    "backup_id": "backup_r0",
    "manifest_sha256": "1" * 64,
    "place": "/c",
    "heads": ("r3",),
    "tables": ("users",),
    "what": "replaced databases",
    "names": ("b1",),
    "manifests": ("0", "2"),
    "run_id": "run-2",
    "forward": True,
    "plan_digest": "1" * 64,
    "accepts": ("table t added",),
    "does": ("drops column a",),
}
CONSTANT = {"direction", "contexts", "revisions", "env_sha256", "script_heads"}
"""Fields that hold one value only."""


@pytest.mark.parametrize("one", ALL[:-1], ids=NAMES[:-1])
def test_an_approval_binds_each_field(one):
    fields = set(type(one).__struct_fields__) - CONSTANT
    digests = {msgspec.structs.replace(one, **{name: OTHER[name]}).digest for name in fields}
    assert len(digests | {one.digest}) == len(fields) + 1


def test_names_are_not_the_same_in_another_order():
    """Each manifest stands at the place of its backup."""
    swapped = msgspec.structs.replace(REMOVAL, names=("b2", "b1"))
    assert swapped.digest != REMOVAL.digest


@pytest.mark.parametrize(
    ("one", "destination", "heads"),
    [
        (RESTORATION, "backup_r1 in /b", ("r2",)),
        (
            msgspec.structs.replace(RESTORATION, tables=("users", "orders")),
            "rows of users, orders from backup_r1 in /b",
            ("r2",),
        ),
        (REMOVAL, "backups: b1, b2 in /b", ()),
        (
            Removal(**TARGET, what="replaced databases", names=("shop_old",)),
            "replaced databases: shop_old",
            (),
        ),
        (REPAIR, "run-1 back", ()),
        (msgspec.structs.replace(REPAIR, forward=True), "run-1 forward", ()),
        (
            msgspec.structs.replace(REPAIR, accepts=("table a added", "index i removed")),
            "run-1 accepts table a added; index i removed",
            (),
        ),
        (CHANGE, "frozen", ()),
    ],
)
def test_where_it_leads_and_from_where(one, destination, heads):
    assert (one.destination, one.from_heads) == (destination, heads)


# ------------------------------------------------------------------ what somebody else, or version 0.1.0, wrote


def test_0_1_0_approved_a_restore_as_a_plan_that_names_the_backup():
    text = canonical_json(msgspec.structs.replace(PLAN, direction=Direction.RESTORE, destination="backup_r1"))
    found = decoded(text)
    assert isinstance(found, Plan)
    assert (found.purpose, found.destination) == (Purpose.RESTORE, "backup_r1")


def test_a_change_of_the_protection_has_the_digest_that_0_1_0_gave_it():
    assert canonical_json(CHANGE) == (
        b'{"target":"live","identity":{"dialect":"sqlite","place":"/srv/app.db","facts":{"file":"/srv/app.db"}},'
        b'"direction":"protection","destination":"frozen","contexts":[],"revisions":[],"envSha256":"",'
        b'"scriptHeads":[]}'
    )


def test_a_change_of_the_protection_migrates_nothing():
    """Else one could be approved as the other: both look alike in JSON."""
    text = canonical_json(CHANGE).replace(b'"revisions":[]', b'"revisions":["r1"]')
    with pytest.raises(msgspec.ValidationError, match="revisions"):
        decoded(text)


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b"[]",
        b'"restore"',
        b"{}",
        b'{"direction": "restore", "manifestSha256": 3}',
        b'{"direction": "nothing"}',
        b'{"direction": ["restore"]}',
        b'{"direction": {"repair": 1}}',
        b'{"direction": null}',
        canonical_json(REMOVAL).replace(b'"backups"', b'"all of them"'),
        canonical_json(REPAIR).replace(b'"forward":false', b'"forward":"no"'),
        canonical_json(RESTORATION).replace(b'"direction":"restore"', b'"direction":"upgrade"'),
    ],
    ids=range(12),
)
def test_what_is_none_of_them_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        decoded(text)


def test_the_hook_decodes_nothing_else():
    with pytest.raises(NotImplementedError, match="complex"):
        msgspec.json.decode(b"1", type=complex, dec_hook=decode_approvable)
