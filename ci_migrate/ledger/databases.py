"""Which database a run belongs to: the keys that each database had, and the id that stays the same."""

from typing import Any

from sqlalchemy import Connection, insert, select

from ci_migrate.ledger.tables import clock, databases, identity
from ci_migrate.model import Identity


def find_id(connection: Connection, found: Identity | None) -> str:
    """The id of a database; of the one that the ledger belongs to where `found` is None or is not known.

    By its key, else by its name: a restore by a rename may have been killed before its new key was written down. A
    database that nobody knows is the ledger's own, moved or failed over: who writes is refused until somebody says so,
    and who reads must see what was left unfinished.
    """
    if found is not None:
        by_key = select(databases.c.database_id).where(databases.c.identity_key == found.key)
        known = connection.execute(by_key).scalar_one_or_none()
        if known is not None:
            return str(known)
        # the newest: a name may have been another database's before
        by_name = (
            select(databases.c.database_id)
            .where(databases.c.name_key == found.name_key)
            .order_by(databases.c.sequence.desc())
            .limit(1)
        )
        known = connection.execute(by_name).scalar_one_or_none()
        if known is not None:
            return str(known)
    return str(connection.execute(select(identity.c.uuid)).scalar_one())


def note_key(connection: Connection, found: Identity, database_id: str) -> None:
    """Write down that this is a key of the database, unless it is known already: then it stays whose it is."""
    known = select(databases.c.sequence).where(databases.c.identity_key == found.key)
    if connection.execute(known).first() is None:
        row: dict[str, Any] = {
            "identity_key": found.key,
            "name_key": found.name_key,
            "database_id": database_id,
            "since": clock(connection),
        }
        connection.execute(insert(databases).values(row))


def known_keys(connection: Connection, found: Identity | None) -> frozenset[str]:
    """All keys that a database had; of the one that the ledger belongs to where `found` is None.

    Only its own key where that one is not known: what would be found by a name alone could be another database's.
    """
    own = set()
    if found is not None:
        by_key = select(databases.c.database_id).where(databases.c.identity_key == found.key)
        database_id, own = connection.execute(by_key).scalar_one_or_none(), {found.key}
    else:
        database_id = find_id(connection, None)
    keys = select(databases.c.identity_key).where(databases.c.database_id == database_id)
    return frozenset(own.union(connection.execute(keys).scalars()))
