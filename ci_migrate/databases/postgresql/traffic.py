"""Others' work in a database of PostgreSQL: old and prepared transactions, autovacuum, replicas, who holds us up."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import RELATIONS
from ci_migrate.databases.postgresql.measure import MODES
from ci_migrate.databases.traffic import Hindrance, without_values

if TYPE_CHECKING:
    import psycopg

_MANUAL = {key: name for key, (name, _) in MODES.items()}

CONFLICTS = {
    "ACCESS SHARE": ("ACCESS EXCLUSIVE",),
    "ROW SHARE": ("EXCLUSIVE", "ACCESS EXCLUSIVE"),
    "ROW EXCLUSIVE": ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
    "SHARE UPDATE EXCLUSIVE": tuple(n for n in _MANUAL.values() if not n.startswith(("ACCESS SHARE", "ROW"))),
    "SHARE": ("ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
    "SHARE ROW EXCLUSIVE": tuple(name for name in _MANUAL.values() if name not in ("ACCESS SHARE", "ROW SHARE")),
    "EXCLUSIVE": tuple(name for name in _MANUAL.values() if name != "ACCESS SHARE"),
    "ACCESS EXCLUSIVE": tuple(_MANUAL.values()),
}  # fmt: skip
"""What each mode keeps waiting: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES"""

_HELD = f"""
WITH {RELATIONS}, held AS (
  SELECT l.pid, l.virtualtransaction AS by, rel.key, l.mode
  FROM pg_catalog.pg_locks l JOIN rel ON rel.oid = l.relation
  WHERE l.locktype = 'relation' AND l.granted AND rel.key = ANY(%(tables)s)
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
)"""

SESSION = """a.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''),
  coalesce(a.state, a.backend_type, 'state hidden'),
  extract(epoch FROM clock_timestamp() - a.xact_start)::float8, coalesce(a.query, '')"""

_OTHERS = "a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()"

OLD = f"""{_HELD}
SELECT {SESSION}, (SELECT array_agg(held.key || ' ' || held.mode) FROM held WHERE held.pid = a.pid),
  a.backend_type = 'autovacuum worker'
FROM pg_catalog.pg_stat_activity a
WHERE {_OTHERS} AND NOT starts_with(coalesce(a.application_name, ''), 'ci-migrate') AND (
  a.backend_type = 'client backend' AND clock_timestamp() - a.xact_start >= make_interval(secs => %(age)s)
  OR a.backend_type = 'autovacuum worker' AND a.query LIKE '%%(to prevent wraparound)%%'
    AND a.pid IN (SELECT pid FROM held))
ORDER BY a.xact_start, a.pid"""
"""An autovacuum of the usual kind gives way to who waits for longer than deadlock_timeout; that kind does not."""

PREPARED = f"""{_HELD}
SELECT p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8,
  (SELECT array_agg(held.key || ' ' || held.mode) FROM held WHERE held.by IN (
    SELECT x.virtualtransaction FROM pg_catalog.pg_locks x
    WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted))
FROM pg_catalog.pg_prepared_xacts p
WHERE p.database = pg_catalog.current_database() ORDER BY p.prepared"""

REPLICAS = """
SELECT coalesce(application_name, ''), coalesce(host(client_addr), 'a socket'), state,
  extract(epoch FROM replay_lag)::float8
FROM pg_catalog.pg_stat_replication
WHERE extract(epoch FROM replay_lag) >= %(age)s ORDER BY replay_lag DESC"""

WAITS = """
SELECT a.pid, coalesce(a.wait_event_type, ''), coalesce(p.phase, ''),
  p.lockers_done, p.lockers_total, p.current_locker_pid, p.blocks_done, p.blocks_total,
  pg_catalog.pg_blocking_pids(a.pid)
FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = a.pid
WHERE a.application_name = %(application)s AND a.datname = pg_catalog.current_database() AND a.state = 'active'
  AND (a.wait_event_type = 'Lock' OR p.pid IS NOT NULL)
ORDER BY a.pid"""

WHO = f"SELECT {SESSION} FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY(%(pids)s) ORDER BY a.xact_start, a.pid"


def hindrances(
    connection: "psycopg.Connection[Any]", wanted: Mapping[str, str], age: float
) -> list[Hindrance]:
    """See `traffic.WatchesTraffic`."""
    given = {"tables": list(wanted), "age": age}
    found = []
    for *session, held, vacuum in connection.execute(OLD, given):
        stops, words = _in_the_way(held, wanted)
        ends = "" if vacuum else f"SELECT pg_terminate_backend({session[0]});"
        found.append(Hindrance(describe(*session, holds=words), stops, ends))
    for gid, owner, seconds, held in connection.execute(PREPARED, given):
        stops, words = _in_the_way(held, wanted)
        if stops or seconds >= age:
            ends = "ROLLBACK PREPARED '{}';".format(gid.replace("'", "''"))
            name = f"prepared transaction {gid} of {owner}, open for {seconds:.0f} s"
            found.append(Hindrance(f"{name}{words}", stops, ends))
    for name, address, state, lag in connection.execute(REPLICAS, given):
        found.append(Hindrance(f"replica {name} at {address} ({state}) is {lag:.0f} s behind"))
    return sorted(found, key=lambda one: not one.stops)


def _in_the_way(held: list[str] | None, wanted: Mapping[str, str]) -> tuple[bool, str]:
    """Whether what somebody holds keeps us waiting, and what that is."""
    locks = sorted(tuple(lock.rsplit(" ", 1)) for lock in held or ())
    modes = [(table, _MANUAL.get(mode, mode)) for table, mode in locks]
    stops = any(wanted[table] in CONFLICTS.get(mode, ()) for table, mode in modes)
    shown = ", ".join(f"{mode} on {table}" for table, mode in modes[:5])
    return stops, f", holds {shown}" if shown else ""


def describe(
    pid: int, application: str, user: str, state: str, age: float | None, query: str, *, holds: str = ""
) -> str:
    """A session in words, its statement without values; `holds` is what it locks."""
    parts = [f"pid {pid}", application, f"user {user}" if user else "", state]
    if age is not None:
        parts.append(f"in a transaction for {age:.0f} s")
    statement = f": {without_values(query)}" if query else ""
    return ", ".join(part for part in parts if part) + holds + statement


def waits(connection: "psycopg.Connection[Any]", application: str) -> list[str]:
    """See `traffic.WatchesTraffic`."""
    found = []
    for pid, event, phase, done, total, locker, blocks, all_blocks, blocking in connection.execute(
        WAITS, {"application": application}
    ):
        words = phase or "waiting for a lock"
        if total:
            words += f", {done} of {total} transactions are over"
        elif all_blocks:
            words += f", {100 * blocks // all_blocks} %"
        pids = {*blocking, *([locker] if locker and event == "Lock" else [])}
        who = [describe(*row) for row in connection.execute(WHO, {"pids": sorted(pids)})] if pids else []
        found.append(f"pid {pid}: {words}" + (f"; held up by {'; '.join(who[:3])}" if who else ""))
    return found
