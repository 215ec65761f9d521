"""A database in which everything lives that legally may, and all of it by the server's own words, to compare."""

import re
from pathlib import Path

from mysql_support import is_mariadb, statements, version_of

from ci_migrate.databases.mysql.sessions import Access

ZOO = Path(__file__).parents[1] / "zoo"


def fill(access: Access, *, without: str = "no such words") -> None:
    own = "mariadb.sql" if is_mariadb(access) else "mysql.sql"
    too_new = ("VECTOR",) if not is_mariadb(access) and version_of(access) < (9, 0) else ()
    script = "".join((ZOO / name).read_text(encoding="utf-8") for name in ("mysql_both.sql", own))
    with access.session() as cursor:
        cursor.execute(
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'"
        )
        cursor.execute("SET SESSION default_storage_engine = InnoDB")
        for statement in statements(script.replace("THISDB", access.database)):
            if without not in statement and not any(word in statement for word in too_new):
                cursor.execute(statement)


def read_all(access: Access) -> dict[str, object]:
    """Every object as SHOW CREATE has it, every table's checksum and rows; by the database's own name."""
    found: dict[str, object] = {}
    with access.session() as cursor:
        cursor.execute("SET SESSION sql_mode = '', time_zone = '+00:00'")
        lists = {
            "TABLE": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE"
            " NOT IN ('VIEW', 'SEQUENCE')",
            "SEQUENCE": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE"
            " = 'SEQUENCE'",
            "VIEW": "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()",
            "TRIGGER": "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
            "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
            **{
                kind: "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND"
                f" ROUTINE_TYPE = '{kind}'"
                for kind in ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")
            },
        }
        for kind, query in lists.items():
            cursor.execute(query)
            for (name,) in cursor.fetchall():
                quoted = "`" + name.replace("`", "``") + "`"
                cursor.execute(f"SHOW CREATE {kind} {quoted}")
                titles = [column[0] for column in cursor.description]
                row = dict(zip(titles, cursor.fetchone(), strict=True))
                row.pop("Created", None)
                if kind == "TRIGGER":  # MySQL keeps what parted it from the next statement
                    create = row["SQL Original Statement"]
                    row["SQL Original Statement"] = create.rstrip().removesuffix(";").rstrip()
                text = re.sub(r"`?test_[0-9a-f]{12}(_fresh)?`?\.", "", repr(sorted(row.items())))
                found[f"{kind} {name}"] = text
                if kind == "TABLE":
                    cursor.execute(f"CHECKSUM TABLE {quoted} EXTENDED")
                    found[f"checksum {name}"] = cursor.fetchone()[1]
                    cursor.execute(f"SELECT COUNT(*) FROM {quoted}")
                    found[f"rows {name}"] = cursor.fetchone()[0]
        if is_mariadb(access):
            cursor.execute(
                "SELECT id, x, row_start, row_end FROM versioned FOR SYSTEM_TIME ALL ORDER BY 1, 3"
            )
            found["history"] = cursor.fetchall()
    return found


def differing(ours: dict[str, object], theirs: dict[str, object]) -> dict[str, object]:
    return {
        key: (ours.get(key), theirs.get(key))
        for key in ours.keys() | theirs.keys()
        if ours.get(key) != theirs.get(key)
    }
