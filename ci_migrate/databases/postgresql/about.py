"""What stands beside an archive of pg_dump, so that a restore knows what to expect of it."""

from pathlib import Path

import msgspec

from ci_migrate.errors import BackupError
from ci_migrate.model import Frozen, canonical_json, decode_foreign

ABOUT = "about.json"
"""The file beside the archive."""


class Member(Frozen, frozen=True, kw_only=True):
    """An object that depends on a privileged one, or that one itself.

    `key` is its name in the schema; `kind` and `identity` are what PostgreSQL calls it, as in the keys of comments.
    """

    key: str
    kind: str
    identity: str


class Privileged(Frozen, frozen=True, kw_only=True):
    """An object that only a superuser may make, on most servers.

    `entry` is its number in the catalog, by which the archive's list names it; `probe` the statements that tell
    whether a role may make such a one, () where none may that is no superuser.
    """

    entry: str
    probe: tuple[str, ...] = ()
    members: tuple[Member, ...]


class BrokenCheck(Frozen, frozen=True, kw_only=True):
    """A CHECK that rows break.

    `tables` are those where it can be dropped and added, and `constraint` is its name, as SQL names them; `keys` are
    what the schema calls it and all that inherit it.
    """

    tables: tuple[str, ...]
    constraint: str
    keys: tuple[str, ...]


class About(Frozen, frozen=True, kw_only=True):
    """What stands beside the archive: who must be able to read it, the roles that it names, what needs rights."""

    dumped_by: int
    owners: tuple[str, ...]
    grantees: tuple[str, ...]
    partial: bool = False  # the rows of some tables alone
    unpacked: int = 0  # bytes of the archive before it was packed; 0 where any pg_restore reads it as it is
    absent: tuple[str, ...] = ()  # statements that take away what each new database has and this one has not
    privileged: tuple[Privileged, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()  # with their versions
    grantors: bool = False  # rights were given on by others than the owner: only a superuser can say so again
    # row policies, by oid, with the roles that they name
    policies: tuple[tuple[int, tuple[str, ...]], ...] = ()
    not_filled: tuple[str, ...] = ()  # the keys of materialized views that hold nothing
    tablespaces: tuple[str, ...] = ()
    broken: tuple[BrokenCheck, ...] = ()  # to be added behind the rows
    search_path: str = (
        ""  # where functions that a restore calls look for what they name; "" where none needs it
    )

    def write(self, payload: Path) -> None:
        """Keep it in the payload."""
        (payload / ABOUT).write_bytes(canonical_json(self))

    @classmethod
    def read(cls, payload: Path) -> "About":
        """Raises BackupError if it is missing or damaged."""
        try:
            return decode_foreign((payload / ABOUT).read_bytes(), cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise BackupError(f"{ABOUT} of the dump in {payload.name} is missing or damaged.") from error
