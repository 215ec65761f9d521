"""A shop whose only pending revision commits rows half-way and then fails: on MariaDB before DDL, elsewhere in a block."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kill_support import Shop, new_shop, only_for_real

ROWS = """
op.execute("UPDATE customers SET points = points + 1")
op.execute("INSERT INTO log SELECT id, points FROM customers WHERE id <= 3")
"""
INDEX = 'op.create_index("ix_log", "log", ["points"])'
EARLY = 'op.create_index("ix_early", "customers", ["points"])'
FAILS = only_for_real('raise ValueError("boom")')
MARIADB_FAILS = only_for_real('op.execute("ALTER TABLE log ADD CONSTRAINT c CHECK (nosuch > 1)")')

MakeShop = Callable[..., Shop]


def shop_maker(request: Any, folder: Path, engine: str) -> MakeShop:
    """Makes the shop on sqlite, postgresql or mariadb.

    The maker takes further settings of the target, `early`: what is committed after the rows, so that more than
    rows is left, and `fails`: False for a revision in which nothing fails, and `before`: a revision that comes
    before it, then all are one transaction on PostgreSQL.
    """
    mariadb = engine == "mariadb"
    fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}.get(engine)

    def make(settings: str = "", *, early: str = "", fails: bool = True, before: str = "") -> Shop:
        url = request.getfixturevalue(fixture) if fixture else None
        settings = f'auto-rollback = false\nrestore = "auto"\n{settings}'
        shop = new_shop(folder, url, mode="default" if before else "per-migration", settings=settings)
        for revision in ("r2", "r3"):
            (shop.folder / "migrations" / "versions" / f"{revision}.py").unlink()
        shop.query("CREATE TABLE log (id INTEGER NOT NULL, points INTEGER)")
        shop.query("CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, total INTEGER)")
        shop.query("INSERT INTO log VALUES (100, 1)")
        shop.query("INSERT INTO orders VALUES (1, 5)")
        rows = ROWS + early
        if not mariadb:
            inside = "".join(f"    {line}\n" for line in rows.strip().splitlines())
            rows = f"with op.get_context().autocommit_block():\n{inside}"
        broken = (MARIADB_FAILS if mariadb else FAILS) if fails else ""
        if before:
            shop.revision("r1", "r0", before)
        shop.revision(*(("r2", "r1") if before else ("r1", "r0")), f"{rows}\n{broken}\n{INDEX}")
        return shop

    return make
