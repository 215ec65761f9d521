"""What a dump of MySQL or MariaDB is made of.

`about.json`, `objects.json.zst` (the statements that make everything but rows), `rows-N.sql.zst` (loaded side by side);
and `tables.sql.zst` and `programs.sql.zst`, the same statements for people.
"""

from pathlib import Path

import msgspec

from ci_migrate.databases.compression import Allowance, DecompressionError, chunks, compressing
from ci_migrate.databases.mysql.objects import Stored, as_script
from ci_migrate.errors import BackupError
from ci_migrate.model import Frozen, canonical_json, decode_foreign

ABOUT = "about.json"
OBJECTS = "objects.json.zst"

OBJECTS_LIMIT = 256 * 1024 * 1024
"""Bytes of statements, which are held in memory: 20,000 tables have 30 MB of them."""

SIDE_BY_SIDE = 2
"""Files of rows, and sessions that load them at once."""

FORMAT = 2
"""Of the files of rows: `inserts` writes and reads them. In format 1 they were a dump program's."""


class About(Frozen, frozen=True, kw_only=True):
    """What stands beside a dump: where it comes from, and what must be in it."""

    flavour: str
    version: tuple[int, int]
    database: str
    charset: str
    collation: str
    rows: tuple[str, ...]
    objects: int
    format: int = 1
    lower_case_table_names: int | None = None  # of the server; earlier versions of ours did not ask


class Objects(Frozen, frozen=True, kw_only=True):
    """The statements that make the database's objects."""

    tables: tuple[Stored, ...]
    programs: tuple[Stored, ...]


# --------------------------------------------------------------------------- dump


def write_payload(into: Path, about: About, stored: Objects) -> None:
    """Write all but the rows. Raises OSError."""
    with compressing(into / OBJECTS) as file:
        file.write(canonical_json(stored))
    for name, some in (("tables", stored.tables), ("programs", stored.programs)):
        with compressing(into / f"{name}.sql.zst") as file:
            for text in as_script(some):
                file.write(text)
    (into / ABOUT).write_bytes(canonical_json(about))


def read_payload(payload: Path) -> tuple[About, Objects]:
    """What a payload is of. Raises BackupError if that is missing or damaged."""
    try:
        about = decode_foreign((payload / ABOUT).read_bytes(), About)
        stored = decode_foreign(b"".join(chunks(payload / OBJECTS, Allowance(OBJECTS_LIMIT))), Objects)
    except (OSError, msgspec.MsgspecError, *DecompressionError) as error:
        raise BackupError(
            f"{ABOUT} or {OBJECTS} of the dump in {payload.name} is missing or damaged."
        ) from error
    return about, stored
