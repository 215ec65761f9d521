"""An event trigger that refuses DDL by whoever is not a run of ci-migrate that holds the run lock.

It is meant for accidents: somebody, or something, that types `alembic downgrade base` against production. Whoever may
drop the trigger, or claim the name of a run that is at work, gets past it.

Sources: the events and what their functions tell are PostgreSQL's chapter "Event Triggers". They fire for temporary
objects too, which applications make all day, so what was done is looked at when it is done; only CONCURRENTLY, which
has committed by then, is refused at its start. REINDEX changes no definition, and fires since version 17 only.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import GUARD_SCHEMA
from ci_migrate.databases.postgresql.lock import LOCK_NAME, OURS, lock_key
from ci_migrate.databases.postgresql.sessions import Access

if TYPE_CHECKING:
    import psycopg

_FUNCTION = """
CREATE FUNCTION {schema}.refuse() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
  done text;
  name text := coalesce(current_setting('application_name', true), '');
BEGIN
  IF TG_EVENT = 'ddl_command_start' THEN
    IF current_query() !~* '\\mconcurrently\\M' THEN RETURN; END IF;
    done := TG_TAG || ' CONCURRENTLY';
  ELSIF TG_EVENT = 'sql_drop' THEN
    SELECT string_agg(TG_TAG || ' ' || d.object_identity, ', ' ORDER BY d.object_identity) INTO done
    FROM pg_event_trigger_dropped_objects() d WHERE d.original AND NOT d.is_temporary;
  ELSE
    SELECT string_agg(c.command_tag || ' ' || coalesce(c.object_identity, ''), ', ') INTO done
    FROM pg_event_trigger_ddl_commands() c
    WHERE coalesce(c.schema_name, '') !~ '^pg_temp' AND c.command_tag NOT IN ('REFRESH MATERIALIZED VIEW', 'REINDEX');
  END IF;
  IF done IS NULL OR session_user = ANY ({roles}) THEN RETURN; END IF;
  IF starts_with(name, {ours}) AND EXISTS (
    SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.classid::bigint = ({key}::bigint >> 32) & 4294967295 AND l.objid::bigint = {key}::bigint & 4294967295
      AND a.application_name = {lock} || substr(name, length({ours}) + 1)
  ) THEN RETURN; END IF;
  RAISE EXCEPTION 'ci-migrate guards this database: % is refused outside of a run', left(done, 200)
    USING ERRCODE = 'insufficient_privilege',
          HINT = 'Use `ci-migrate run`. The owner of the database can lift the guard: ci-migrate protect --no-guard';
END $guard$
"""

_TRIGGERS = {
    "start": "ON ddl_command_start WHEN TAG IN ('CREATE INDEX', 'DROP INDEX', 'ALTER TABLE')",
    "end": "ON ddl_command_end",
    "drop": "ON sql_drop",
}


def guard_statements(database: str, roles: Sequence[str] = ()) -> list[str]:
    """The statements that put the guard up, for an empty place.

    Args:
        database: its name, by which runs lock it.
        roles: whose DDL stays allowed (a program that makes partitions, say).
    """
    fits = {
        "schema": GUARD_SCHEMA,
        "roles": f"ARRAY[{', '.join(map(_literal, roles))}]::text[]",
        "ours": _literal(OURS),
        "lock": _literal(LOCK_NAME),
        "key": f"({lock_key(database)})",
    }
    return [
        f"CREATE SCHEMA {GUARD_SCHEMA}",
        f"COMMENT ON SCHEMA {GUARD_SCHEMA} IS {_literal(json.dumps({'roles': list(roles)}))}",
        _FUNCTION.format(**fits).strip(),
        *(
            f"CREATE EVENT TRIGGER {GUARD_SCHEMA}_{name} {when} EXECUTE FUNCTION {GUARD_SCHEMA}.refuse()"
            for name, when in _TRIGGERS.items()
        ),
    ]


LIFT = (
    *(f"DROP EVENT TRIGGER IF EXISTS {GUARD_SCHEMA}_{name}" for name in _TRIGGERS),
    f"DROP SCHEMA IF EXISTS {GUARD_SCHEMA} CASCADE",
)
"""The statements that take the guard away; the triggers first, or they would refuse the rest."""


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def put_guard(access: Access, database: str, roles: Sequence[str] = ()) -> None:
    """Put the guard up, or anew, in one transaction.

    Args:
        access: the database that is to be guarded.
        database: the name by which runs lock it: another one while a restored copy is not in its place yet.
        roles: whose DDL stays allowed.

    Raises:
        DatabaseError: this role may not make event triggers.
    """
    with access.session() as connection, connection.transaction():
        for statement in (*LIFT, *guard_statements(database, roles)):
            connection.execute(statement.encode(connection.info.encoding))


def lift_guard(access: Access) -> None:
    """Take the guard away. Raises DatabaseError where this role may not."""
    with access.session() as connection, connection.transaction():
        for statement in LIFT:
            connection.execute(statement)


def guarded_for(connection: "psycopg.Connection[Any]") -> tuple[str, ...] | None:
    """The roles whose DDL a guard allows, None where there is none (or where somebody switched it off)."""
    row = connection.execute(
        "SELECT obj_description(n.oid, 'pg_namespace') FROM pg_event_trigger e JOIN pg_namespace n"
        f" ON n.nspname = '{GUARD_SCHEMA}' WHERE e.evtname = '{GUARD_SCHEMA}_end' AND e.evtenabled <> 'D'"
    ).fetchone()
    return None if row is None else tuple(json.loads(row[0] or "{}").get("roles", ()))
