"""Whether a server is a replica of another one, by what both of them say; a replica must follow, or it is refused."""

import time
from collections.abc import Mapping
from typing import Any

from ci_migrate.databases.mysql.catalog import read_flavour
from ci_migrate.databases.mysql.sessions import Access, number_of
from ci_migrate.errors import DatabaseError, RefusedError

CATCH_UP = 10.0
"""Seconds in which a replica must have applied what its source had when it was asked."""

MAY_NOT_ASK, NO_SUCH_STATEMENT = 1227, 1064

Channel = Mapping[str, Any]
"""One source of a server, as SHOW REPLICA STATUS tells, by MySQL's names of today."""

APPLIED = "gtid_slave_pos"
"""What MariaDB's channels have besides."""

_TODAY = {
    "Master_Host": "Source_Host",
    "Master_Port": "Source_Port",
    "Master_UUID": "Source_UUID",
    "Master_Server_Id": "Source_Server_Id",
    "Relay_Master_Log_File": "Relay_Source_Log_File",
    "Exec_Master_Log_Pos": "Exec_Source_Log_Pos",
    "Slave_IO_Running": "Replica_IO_Running",
    "Slave_SQL_Running": "Replica_SQL_Running",
    "Seconds_Behind_Master": "Seconds_Behind_Source",
}
_FILTERS = (
    "Do_DB",
    "Ignore_DB",
    "Do_Table",
    "Ignore_Table",
    "Wild_Do_Table",
    "Wild_Ignore_Table",
    "Rewrite_DB",
)


def follows(replica: Access, primary: Access, uid: str) -> bool:
    """Whether a server replicates another one; False where it takes its changes from nobody, or from somebody else.

    Args:
        replica: the server that is asked.
        primary: the one that may be its source.
        uid: the primary's own, as MySQL's replicas know it.

    Raises:
        RefusedError: it is one, and does not follow or has not all of it; or this account may not ask.
    """
    had = _position(primary)  # before: what the source had then, a replica has after a moment
    deadline = time.monotonic() + CATCH_UP
    while True:
        channels = _channels(replica)
        _refuse_lost(replica, channels)
        channel = next((c for c in channels if _is_source(c, primary, uid)), None)
        if channel is None:
            # what it applies, and what it says that it has applied, may be of two moments
            if not any(_may_be_source(c, primary) for c in channels) or time.monotonic() > deadline:
                return False
        else:
            _refuse_stopped(replica, channel)
            _refuse_filtered(replica, channel)
            if _has_applied(replica, channel, had):
                return True
            if time.monotonic() > deadline:
                behind = channel["Seconds_Behind_Source"]
                raise RefusedError(
                    f"{replica.place} is a replica of {primary.place}, and is behind by "
                    f"{'more than' if not behind else ''} {behind or int(CATCH_UP)} seconds: "
                    "backup and dry run would be of older data.".replace("  ", " "),
                    hint="Wait until it has caught up: SHOW REPLICA STATUS. Or take read-url out.",
                )
        time.sleep(0.2)


def _channels(replica: Access) -> list[Channel]:
    """All sources of a server. Raises RefusedError, with the GRANT, where this account may not ask."""
    with replica.session(read_only=True) as cursor:
        mariadb = read_flavour(cursor).mariadb
    try:
        if mariadb:
            # what was applied, without what somebody wrote on the replica itself
            (position,) = _named(replica, f"SELECT @@GLOBAL.{APPLIED} AS {APPLIED}")
            return [{**channel, **position} for channel in _named(replica, "SHOW ALL SLAVES STATUS")]
        try:
            return _named(replica, "SHOW REPLICA STATUS")
        except DatabaseError as error:  # MySQL before 8.0.22
            if number_of(error.__cause__) != NO_SUCH_STATEMENT:
                raise
            return _named(replica, "SHOW SLAVE STATUS")
    except DatabaseError as error:
        if number_of(error.__cause__) != MAY_NOT_ASK:
            raise
        right = "SLAVE MONITOR" if mariadb else "REPLICATION CLIENT"
        raise RefusedError(
            f"read-url leads to another server ({replica.place}) than url, and {replica.user} may not ask whether "
            "it is a replica of that one.",
            hint=f"GRANT {right} ON *.* TO '{replica.user}'",
        ) from error


def _named(replica: Access, statement: str) -> list[Channel]:
    with replica.session(read_only=True) as cursor:
        cursor.execute(statement)
        names = [_TODAY.get(column[0], column[0]) for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _may_be_source(channel: Channel, primary: Access) -> bool:
    if channel.get("Source_UUID") is not None:
        return False
    with primary.session(read_only=True) as cursor:
        cursor.execute("SELECT @@GLOBAL.server_id")
        (server_id,) = cursor.fetchone() or (0,)
    return int(channel["Source_Server_Id"]) == int(server_id)


def _is_source(channel: Channel, primary: Access, uid: str) -> bool:
    """Whether this is the server that a replica reads from.

    MySQL's replicas know its UUID. MariaDB's know a number, which many servers share: there the place in the binary log
    up to which the replica has applied it must be a place in the log of this server, and must stand for the same
    transactions there (https://mariadb.com/kb/en/binlog_gtid_pos/: NULL for what is no such place).
    """
    known = channel.get("Source_UUID")
    if known is not None:
        return bool(known) and str(known) == uid
    if not _may_be_source(channel, primary):
        return False
    with primary.session(read_only=True) as cursor:
        place = (channel["Relay_Source_Log_File"], int(channel["Exec_Source_Log_Pos"]))
        cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", place)
        (there,) = cursor.fetchone() or (None,)
    applied = set(str(channel[APPLIED]).split(","))
    return bool(there) and set(str(there).split(",")) <= applied


def _position(primary: Access) -> str:
    """The transactions that a source has had; "" where it gives them no ids."""
    with primary.session(read_only=True) as cursor:
        name = "gtid_binlog_pos" if read_flavour(cursor).mariadb else "gtid_executed"
        cursor.execute(f"SELECT @@GLOBAL.{name}")
        return "".join(str((cursor.fetchone() or ("",))[0] or "").split())


def _has_applied(replica: Access, channel: Channel, had: str) -> bool:
    behind = channel["Seconds_Behind_Source"]
    if behind is None or int(behind) > CATCH_UP:
        return False
    if not had:
        return True
    if APPLIED in channel:
        applied = _numbers(str(channel[APPLIED]))
        return all(applied.get(domain, -1) >= number for domain, number in _numbers(had).items())
    with replica.session(read_only=True) as cursor:
        cursor.execute("SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed)", (had,))
        return bool((cursor.fetchone() or (0,))[0])


def _numbers(position: str) -> dict[str, int]:
    """The last transaction of each domain: `0-1-57,3-1-2`."""
    parts = (one.split("-") for one in position.split(",") if one)
    return {domain: int(number) for domain, _server, number in parts}


def _refuse_lost(replica: Access, channels: list[Channel]) -> None:
    """Raise RefusedError for a replica that has never reached its source: it does not know who that is."""
    for channel in channels:
        if not channel.get("Source_UUID") and not int(channel["Source_Server_Id"] or 0):
            raise RefusedError(
                f"{replica.place} is a replica that has not reached its source "
                f"({channel['Source_Host']}:{channel['Source_Port']}): {_trouble(channel)}.",
                hint="Let it replicate (START REPLICA), or take read-url out.",
            )


def _refuse_stopped(replica: Access, channel: Channel) -> None:
    running = {name: str(channel[f"Replica_{name}_Running"]) for name in ("IO", "SQL")}
    if set(running.values()) != {"Yes"}:
        raise RefusedError(
            f"{replica.place} is a replica that does not follow its source (IO: {running['IO']}, SQL: "
            f"{running['SQL']}): {_trouble(channel)}. Backup and dry run would be of older data.",
            hint="Let it replicate (START REPLICA), or take read-url out.",
        )


def _trouble(channel: Channel) -> str:
    errors = (str(channel[name] or "") for name in ("Last_IO_Error", "Last_SQL_Error"))
    return next((" ".join(error.split())[:300].rstrip(".") for error in errors if error), "it was stopped")


def _refuse_filtered(replica: Access, channel: Channel) -> None:
    """Raise RefusedError for a replica that is told to leave something out, which may be ours."""
    database = replica.database
    filters = {name: str(channel.get(f"Replicate_{name}") or "") for name in _FILTERS}
    if database in filters["Do_DB"].split(","):
        del filters["Do_DB"]
    if database not in filters["Ignore_DB"].split(","):
        del filters["Ignore_DB"]
    told = [f"Replicate_{name} = {value}" for name, value in filters.items() if value]
    if told:
        raise RefusedError(
            f"{replica.place} is a replica that leaves changes out ({'; '.join(told)[:300]}): what it holds is not "
            "what the target holds.",
            hint="Take read-url out, or give one that replicates all of it.",
        )
