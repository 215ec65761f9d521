"""A generated database like those of applications: a shop's tables, filled by the server itself.

Integers, amounts, moments, short and long text, JSON; the same rows each time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = " ".join(README.read_text().replace("'", " ").replace("%", " ").split())[:4000]
"""Pieces of it make up all text. They repeat inside the window of every codec, as words do; whole values do not."""

LENGTHS = (3, 12, 7, 5, 9, 8, 6, 11)
PERIODS = (3967, 3947, 3943, 3931, 3929, 3923, 3919, 3917)  # primes: together they repeat after 10^28 rows


def text(pieces: int, shift: int = 0) -> str:
    """SQL: some pieces of TEXT, other ones for each n."""
    chosen = [(i + shift) % 8 for i in range(pieces)]
    return " || ".join(
        f"substr('{TEXT}', CAST(1 + n * {7919 + 2 * i} % {PERIODS[c]} AS integer), {LENGTHS[c]})"
        for i, c in enumerate(chosen)
    )


def mixed(below: int, factor: int = 2654435761) -> str:
    """SQL: an integer that looks like a random one."""
    return f"(n * {factor} % 4294967291 % {below})"


def status(*names: str) -> str:
    """SQL: one of these, the first ones more often."""
    value = mixed(2 ** len(names), 40503)
    cases = " ".join(f"WHEN {value} >= {2 ** len(names) >> i} THEN '{n}'" for i, n in enumerate(names, 1))
    return f"(CASE {cases} ELSE '{names[-1]}' END)"


def document(dialect: "Dialect", **values: str) -> str:
    """SQL: a JSON object. Quotes that TEXT may have would end a string."""
    pairs = [
        f"'\"{key}\": \"' || replace(replace({v}, '\"', ' '), '\\', ' ') || '\"'" for key, v in values.items()
    ]
    joined = "'{' || " + " || ', ' || ".join(pairs) + " || '}'"
    return f"CAST({joined} AS jsonb)" if dialect.json_type == "jsonb" else joined


@dataclass(frozen=True)
class Dialect:
    """How an engine writes what differs. `series` has first and last, `moment` seconds since 2020."""

    series: str
    moment: str
    moment_type: str
    json_type: str


DIALECTS = {
    "postgresql": Dialect(
        "generate_series({first}::bigint, {last}::bigint) AS s(n)",
        "timestamp '2020-01-01' + ({seconds}) * interval '1 second'",
        "timestamp",
        "jsonb",
    ),
    "mariadb": Dialect(
        "(SELECT CAST(seq AS SIGNED) AS n FROM seq_{first}_to_{last}) s",
        "TIMESTAMP('2020-01-01') + INTERVAL ({seconds}) SECOND",
        "datetime",
        "json",
    ),
    "sqlite": Dialect(
        "(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s)",
        "datetime(1577836800 + {seconds}, 'unixepoch')",
        "text",
        "text",
    ),
}


@dataclass(frozen=True)
class Table:
    """A table: how many rows it has for each customer, its columns (type and value), a column with an index."""

    name: str
    share: int
    columns: dict[str, tuple[str, str]]
    index: str


def tables(dialect: Dialect) -> list[Table]:
    """A shop's: integers, amounts, moments, short and long text, JSON."""
    key = ("bigint PRIMARY KEY", "n")
    moment = (dialect.moment_type, dialect.moment.format(seconds=f"n * 11 + {mixed(3600, 7919)}"))
    amount = ("decimal(10, 2)", f"{mixed(99991)} / 100.0")
    return [
        Table("customers", 1, {
            "id": key, "email": ("varchar(80)", f"'user' || n || '@' || {mixed(400, 31)} || '.example.org'"),
            "name": ("varchar(80)", text(2)), "city": ("varchar(40)", text(1, 1)), "created_at": moment,
            "credit": amount,
            "settings": (
                dialect.json_type,
                document(dialect, language=status("en", "de"), theme=status("light", "dark"), signature=text(3, 2)),
            ),
        }, "email"),
        Table("orders", 4, {
            "id": key, "customer_id": ("integer", mixed(100000)), "placed_at": moment,
            "state": ("varchar(20)", status("delivered", "paid", "sent", "returned", "open")),
            "total": amount, "note": ("text", text(5, 1)),
        }, "customer_id"),
        Table("order_lines", 12, {
            "id": key, "order_id": ("integer", "(n / 3)"), "product_id": ("integer", mixed(20000)),
            "quantity": ("integer", mixed(12, 7919)), "price": amount,
        }, "order_id"),
        Table("events", 4, {
            "id": key, "reference": ("bigint", mixed(4294967291)), "at": moment,
            "payload": (
                dialect.json_type,
                document(
                    dialect, kind=status("click", "view", "search"), page=text(3), query=text(4, 3),
                    agent=status("Firefox on Linux", "Chrome on Windows", "Safari on iOS"),
                ),
            ),
        }, "at"),
        Table("messages", 2, {
            "id": key, "author": ("integer", mixed(50000)), "at": moment, "body": ("text", text(24)),
        }, "author"),
    ]  # fmt: skip


def generate(dialect: Dialect, execute: Callable[[str], object], size: Callable[[], int], wanted: int) -> int:
    """Fill an empty database up to this size in bytes. Returns the rows."""
    for table in tables(dialect):
        columns = ", ".join(f"{name} {kind}" for name, (kind, _) in table.columns.items())
        execute(f"CREATE TABLE {table.name} ({columns})")
        execute(f"CREATE INDEX ix_{table.name} ON {table.name} ({table.index})")
    first, rows = 0, 0
    batch = max(500, wanted // (20 * 3500))  # about 3.5 kB come with each customer
    while size() < wanted:
        for table in tables(dialect):
            series = dialect.series.format(first=first * table.share + 1, last=(first + batch) * table.share)
            values = ", ".join(value for _, value in table.columns.values())
            execute(f"INSERT INTO {table.name} SELECT {values} FROM {series}")
            rows += batch * table.share
        first += batch
    return rows
