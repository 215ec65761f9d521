"""Which database this is. History and backups go by what the connected server says, never by the target's name."""

from contextlib import suppress

from ci_migrate.backups.owner import Owner
from ci_migrate.errors import CiMigrateError
from ci_migrate.model import Identity
from ci_migrate.run.run import Run


def database_of(run: Run) -> str:
    """The ledger's id of the target, for its queries; of the database that it belongs to where the target is down."""
    return "" if run.ledger is None else run.ledger.database_id(_identity(run))


def owner_of(run: Run) -> Owner:
    """Whose backups are the target's.

    Raises:
        CiMigrateError: the target is down, and there is no ledger that would know it.
    """
    identity = run.database.identity() if run.ledger is None else _identity(run)
    keys = run.ledger.known_keys(identity) if run.ledger is not None else frozenset[str]()
    read_key = ""
    if run.reader is not run.database:
        with suppress(CiMigrateError):
            read_key = run.reader.identity().key
    return Owner(
        target=run.settings.target,
        keys=keys | {identity.key} if identity is not None else keys,
        name_key=identity.name_key if identity is not None else "",
        read_key=read_key,
    )


def _identity(run: Run) -> Identity | None:
    """What the server says; None where it does not answer: some commands are for that very case."""
    try:
        return run.database.identity()
    except CiMigrateError:
        return None
