"""Measuring several databases that are migrated as one."""

from collections.abc import Mapping, Sequence

import msgspec

from ci_migrate.databases.composite.names import MAIN, name_of
from ci_migrate.databases.measuring import Meter, Ran, Taken


def _place(database: str, table: str) -> str:
    """The table; the whole database where none is named."""
    return name_of(database, table) if table or not database else f"@{database}"


class Meters:
    """See `measuring.Meter`; each transaction is of one database."""

    def __init__(self, meters: Mapping[str, Meter]) -> None:
        self._meters = meters
        probes = {(meter.probe, meter.commit_probe) for meter in meters.values()}
        # one child, one probe
        self.probe, self.commit_probe = probes.pop() if len(probes) == 1 else ("", "")

    def taken(
        self, ran: Sequence[Ran], *, committed: bool, changed: Sequence[Sequence[str]] | None = None
    ) -> Sequence[Taken]:
        name = ran[0].database if ran else MAIN
        meter = self._meters.get(name)
        if meter is None:
            return [Taken()] * len(ran)
        return [
            Taken(
                tuple(msgspec.structs.replace(lock, table=_place(name, lock.table)) for lock in one.locks),
                tuple(name_of(name, table) for table in one.rewrites),
            )
            for one in meter.taken(ran, committed=committed, changed=changed)
        ]

    def log_bytes(self) -> int | None:
        """Of the main one's server."""
        main = self._meters.get(MAIN)
        return main.log_bytes() if main is not None else None
