"""Keys of those who call over HTTP, on each engine."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from ledger_support import ledger, on_sqlite, tamper, url

from ci_migrate.errors import UsageError
from ci_migrate.ledger import keys
from ci_migrate.ledger.keys import Role

__all__ = ["ledger", "tamper", "url"]


def test_a_key_is_good_for_its_target_until_it_expires_or_is_revoked(ledger, tamper):
    key, record = keys.create(ledger, name="ana", role=Role.APPROVER, target="dev", by="root", days=90)
    other, _ = keys.create(ledger, name="ana", role=Role.VIEWER, target="production", by="root", days=None)
    assert keys.find(ledger, key, "dev") == record
    assert (record.expires - record.created).days == 90
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    for bad in (wrong, "", "cim_", key + "x", other, f"cim_{record.key_id}_", "\ud800", "ü" * 60):
        assert keys.find(ledger, bad, "dev") is None
    assert keys.find(ledger, key, "production") is None
    with pytest.raises(UsageError, match="already"):
        keys.create(ledger, name="ana", role=Role.VIEWER, target="dev", by="root", days=1)
    tamper(
        "UPDATE ci_migrate_keys SET expires = '2026-01-01T00:00:00.000000+00:00' WHERE expires IS NOT NULL"
    )
    assert keys.find(ledger, key, "dev") is None
    assert keys.find(ledger, other, "production").expires is None
    assert keys.revoke(ledger, keys.find(ledger, other, "production").key_id, by="ben").revoked is not None
    assert keys.find(ledger, other, "production") is None
    assert [k.name for k in keys.list_keys(ledger)] == ["ana", "ana"]
    kinds = [r.kind for r in ledger.audit_records()]
    assert kinds == ["key created", "key created", "key revoked"]
    kept = str(tamper("SELECT * FROM ci_migrate_keys")) + str(ledger.audit_records())
    assert key.rpartition("_")[2] not in kept
    assert other.rpartition("_")[2] not in kept


def test_roles_cover_those_before_them():
    covered = [[role.covers(needed) for needed in Role] for role in Role]
    assert covered == [[i >= j for j in range(4)] for i in range(4)]


@pytest.mark.parametrize(
    ("name", "days"), [("", 1), ("a b", 1), ("a\n", 1), ("x" * 65, 1), ("a", 0), ("a", 9999)]
)
def test_names_and_days_that_make_no_sense(name, days, tmp_path):
    with pytest.raises(UsageError):
        keys.create(None, name=name, role=Role.VIEWER, target="dev", by="root", days=days)


def make(ledger, name="ana", days=90):
    return keys.create(ledger, name=name, role=Role.VIEWER, target="dev", by="root", days=days)


def test_F106_keys_are_listed_as_they_were_made_whatever_the_clock_said(ledger, monkeypatch):
    now = ledger.clock()
    for name, jump in (("first", 5), ("second", -2), ("third", 0)):
        monkeypatch.setattr(keys, "clock", lambda _connection, jump=jump: now + timedelta(days=jump))
        make(ledger, name)
    assert [key.name for key in keys.list_keys(ledger)] == ["first", "second", "third"]


def test_of_two_who_make_a_key_of_one_name_at_once_one_is_told(ledger):
    def one_of_them(_):
        try:
            return make(ledger)[1].key_id
        except UsageError as error:
            return error.what

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(one_of_them, range(4)))
    (record,) = keys.list_keys(ledger)
    assert sorted(made) == sorted(
        [record.key_id, *[f"There is a key named ana already ({record.key_id})."] * 3]
    )
    assert [r.kind for r in ledger.audit_records()] == ["key created"], "and nothing is told of the others"


def test_a_name_is_free_again_when_its_key_has_expired_or_was_revoked(ledger, tamper):
    _, first = make(ledger)
    tamper("UPDATE ci_migrate_keys SET expires = created")
    _, second = make(ledger)
    revoked = keys.revoke(ledger, second.key_id, by="ben")
    assert keys.revoke(ledger, second.key_id, by="eve") == revoked, (
        "once is enough, and the first time counts"
    )
    third, _ = make(ledger)
    assert keys.find(ledger, third, "dev") is not None
    assert [k.revoked is not None for k in keys.list_keys(ledger)] == [False, True, False]
    assert first.key_id == keys.list_keys(ledger)[0].key_id
    told = [r.facts["by"] for r in ledger.audit_records() if r.kind == "key revoked"]
    assert told == ["ben"]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("key_id", ["", "nowhere", "x" * 500, "\ud800", "' OR 1=1 --"])
def test_a_key_that_is_not_there_can_not_be_revoked(ledger, key_id):
    make(ledger)
    with pytest.raises(UsageError, match="There is no key") as caught:
        keys.revoke(ledger, key_id, by="root")
    assert len(caught.value.what) < 120
    assert caught.value.hint == "ci-migrate serve key list"
    assert keys.list_keys(ledger)[0].revoked is None


@on_sqlite
def test_a_key_is_known_by_its_form_before_anybody_looks_it_up(ledger):
    for _ in range(20):
        key, record = make(ledger, name=f"n{_}")
        assert keys.may_be_key(key)
        assert key.startswith(f"cim_{record.key_id}_")
        for altered in (
            key[:-1],
            key + "a",
            key.upper(),
            f" {key}",
            f"{key}\n",
            key.replace("cim_", "cim-"),
            "",
        ):
            assert not keys.may_be_key(altered), altered
    assert not keys.may_be_key(f"cim_{'a' * 12}_{'ü' * 43}")
    assert not keys.may_be_key(f"cim_{'٣' * 12}_{'a' * 43}"), "a digit of another script"


@on_sqlite
def test_a_key_is_good_up_to_the_moment_of_its_expiry(ledger, monkeypatch):
    key, record = make(ledger, days=1)
    moment = timedelta(microseconds=1)
    for at, good in (
        (record.expires - moment, True),
        (record.expires, False),
        (record.expires + moment, False),
    ):
        monkeypatch.setattr(keys, "clock", lambda _connection, at=at: at)
        assert (keys.find(ledger, key, "dev") is not None) is good, at


@on_sqlite
@pytest.mark.parametrize("days", [1, keys.MAX_DAYS, None])
def test_days_count_by_the_ledgers_clock(ledger, days):
    _, record = make(ledger, days=days)
    assert record.expires == (None if days is None else record.created + timedelta(days=days))
    assert abs(record.created - ledger.clock()) < timedelta(seconds=30)
    assert keys.list_keys(ledger) == (record,), "as it was made"


@on_sqlite
@pytest.mark.parametrize("name", ["a", "ana.b@example.com", "größe", "x" * 64, "ci+bot-1_2"])
def test_names_that_are_fine(ledger, name):
    assert make(ledger, name=name)[1].name == name


@on_sqlite
def test_a_name_that_is_taken_leaves_no_record_of_the_second(ledger):
    _, first = make(ledger)
    with pytest.raises(UsageError) as caught:
        make(ledger)
    assert caught.value.hint == f"ci-migrate serve key revoke {first.key_id}"
    assert [r.kind for r in ledger.audit_records()] == ["key created"]
    assert keys.list_keys(ledger) == (first,)


@on_sqlite
def test_of_two_keys_each_opens_its_own_role(ledger):
    """The id is looked up, and the whole key compared: the id of one with the secret of another is none."""
    viewer, one = keys.create(ledger, name="a", role=Role.VIEWER, target="dev", by="root", days=1)
    admin, other = keys.create(ledger, name="b", role=Role.ADMIN, target="dev", by="root", days=1)
    assert keys.find(ledger, viewer, "dev").role is Role.VIEWER
    assert keys.find(ledger, admin, "dev").role is Role.ADMIN
    crossed = f"cim_{other.key_id}_{viewer.rpartition(f'{one.key_id}_')[2]}"
    assert keys.may_be_key(crossed)
    assert keys.find(ledger, crossed, "dev") is None
