"""Which database this is. History and backups go by what the connected server says, never by the target's name."""

from contextlib import suppress

from ci_migrate.backups.owner import Owner
from ci_migrate.databases.base import Database, KnowsReplicas
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.ledger.ledger import Ledger
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


def refuse_other_reader(database: Database, reader: Database, ledger: Ledger | None) -> None:
    """Raise RefusedError where `read-url` leads to another database than `url`.

    What is backed up and rehearsed there would say nothing of the target, and would be restored over it.
    """
    main, other = members_of(database)[MAIN], members_of(reader)[MAIN]
    target, read = main.identity(), other.identity()
    known = ledger.known_keys(database.identity()) if ledger is not None else frozenset[str]()
    if reader.identity().key in known:
        return  # somebody said that it is: protect --accept-identity
    if not (other.replicates(main) if isinstance(other, KnowsReplicas) else read.key == target.key):
        raise RefusedError(
            f"read-url leads to another database ({read.place}) than url ({target.place}), or to a replica that can't "
            "be told from one. Backup and dry run would be of that one, and the migration of this one.",
            hint="Correct read-url. If it is a replica of the target: ci-migrate protect --accept-identity",
        )


def _identity(run: Run) -> Identity | None:
    """What the server says; None where it does not answer: some commands are for that very case."""
    try:
        return run.database.identity()
    except CiMigrateError:
        return None
