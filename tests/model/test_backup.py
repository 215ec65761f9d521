"""The manifest of a backup is an outsider's word: what it may say, and what 0.1.0 and later versions say."""

import msgspec
import pytest

from ci_migrate.model import Backup, BackupStatus, canonical_json, decode_foreign

LEAST = {
    "backupId": "backup_r1",
    "backupPath": "backups/dev/backup_r1",
    "backupTime": "2026-11-22T19:16:33Z",
}


def manifest(**fields: object) -> Backup:
    return decode_foreign(msgspec.json.encode({**LEAST, **fields}), Backup)


def test_the_least_that_a_manifest_says():
    found = manifest()
    assert (found.status, found.format, found.partial) == (BackupStatus.SUCCESS, 1, False)
    assert (found.identity, found.fingerprint, found.encryption, found.provider_id) == (None,) * 4
    assert found.contents == found.samples == found.row_counts == {}


@pytest.mark.parametrize("name", LEAST)
def test_without_these_it_is_none(name):
    rest = {key: value for key, value in LEAST.items() if key != name}
    with pytest.raises(msgspec.DecodeError, match=name):
        decode_foreign(msgspec.json.encode(rest), Backup)


@pytest.mark.parametrize("count", ["backupSize", "databaseSize", "sequence", "catalogSequence"])
@pytest.mark.parametrize("value", [-1, 2**62 + 1, 10**40, 1.5, "1", True])
def test_counts_that_can_not_be(count, value):
    """The order of backups goes by one, a refusal for want of room by another."""
    with pytest.raises(msgspec.DecodeError):
        manifest(**{count: value})
    assert manifest(**{count: 2**62}) != manifest()


def test_a_size_of_a_file_that_can_not_be():
    with pytest.raises(msgspec.DecodeError, match=r"files\[0\]\.size"):
        manifest(files=[{"path": "a", "size": -1, "sha256": ""}])


@pytest.mark.parametrize("moment", ["2026-11-22T19:16:33", "2026-11-22", "yesterday", "", 1_780_000_000])
def test_a_time_without_a_zone_is_none(moment):
    """It can't be compared with those of other backups: which one is the newest would be a guess."""
    with pytest.raises(msgspec.DecodeError, match="backupTime"):
        manifest(backupTime=moment)


def test_times_of_other_zones_are_the_same_moment():
    assert manifest(backupTime="2026-11-22T21:16:33+02:00").backup_time == manifest().backup_time


@pytest.mark.parametrize("status", ["OK", "success", "", None])
def test_a_status_of_its_own_is_none(status):
    with pytest.raises(msgspec.DecodeError, match="status"):
        manifest(status=status)


def test_what_a_later_version_says_besides_is_passed_over():
    assert manifest(compression="lz4", format=2).format == 2


def test_a_manifest_is_the_same_after_it_was_written():
    whole = manifest(
        rowCounts={"users": {"rows": 3, "exact": False}},
        contents={"users": {"rows": 3, "digest": "d", "columns": {"name": {"values": 2, "digest": None}}}},
        samples={"big": {"key": "id", "starts": ["1", "99"], "rows": 10, "content": {"rows": 20}}},
        fingerprint={"objects": {"table users": "0" * 16}},
        identity={"dialect": "sqlite", "place": "/srv/app.db", "facts": {"file": "/srv/app.db"}},
        files=[{"path": "data/users", "size": 0, "sha256": "0" * 64}],
        heads=[["r1"], []],
        exceptions={"view v": "it is written otherwise"},
    )
    assert decode_foreign(canonical_json(whole), Backup) == whole


def test_two_manifests_share_no_table():
    first, second = manifest(), manifest()
    first.row_counts["users"] = None
    assert second.row_counts == {}
