"""`ci-migrate serve key create|list|revoke`: a key is shown once, and kept nowhere."""

import re

from alembic_project import ended


def test_made_listed_and_revoked(migrated):
    made = migrated.call("serve", "key", "create", "ana", "--role", "operator", "--days", "30")
    key = ended(made, 0).strip()
    assert re.fullmatch(r"cim_[0-9a-f]{12}_[\w-]{43}", key)
    assert key not in made.err
    assert "it is not shown again" in made.err
    key_id = key.split("_")[1]
    listed = ended(migrated.call("serve", "key", "list"), 0)
    assert re.match(rf"{key_id}  operator  dev  ana  .*UTC$", listed.strip())
    again = migrated.call("serve", "key", "create", "ana", "--role", "viewer")
    ended(again, 2, "There is a key named ana already", f"ci-migrate serve key revoke {key_id}")
    ended(migrated.call("serve", "key", "revoke", key_id), 0, f"Revoked: {key_id}")
    assert "revoked" in ended(migrated.call("serve", "key", "list"), 0)
    ended(migrated.call("serve", "key", "revoke", "0" * 12), 2, "There is no key", "serve key list")
    forever = migrated.call("serve", "key", "create", "ana", "--role", "admin", "--never-expires")
    assert ended(forever, 0).strip() != key, "the name is free again"
    everything = migrated.everything()
    assert key.encode() not in everything
    assert key.rpartition("_")[2].encode() not in everything
    kinds = ended(migrated.call("audit", "show"), 0)
    assert kinds.count('"kind":"key created"') == 2
    assert kinds.count('"kind":"key revoked"') == 1


def test_no_keys_without_a_ledger(alembic_project):
    assert ended(alembic_project.call("serve", "key", "list"), 0) == "No keys.\n"
    assert not alembic_project.database.exists()
