"""Readers and writers of a table while it migrates: the longest wait of a request with plain Alembic, and with ours.

python benchmarks/traffic.py [--engine postgresql|mariadb|mysql] [--hold 5] [--rows 50000] [--write]

Ten usual migrations, each on a fresh table with two readers and two writers. Another transaction has read the table and
stays open for `--hold` seconds from the moment in which the migration begins. `--write` writes the page
docs/evidence/traffic.md. Servers are throw-away ones of its own, without fsync; the others are told by the page.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "tests/support")]

PAGE = ROOT / "docs" / "evidence" / "traffic.md"
PAUSE = 0.005
"""Seconds between two requests of one client."""

COLUMNS = (
    "customer_id integer NOT NULL DEFAULT 1, note varchar(40), amount integer, filled integer, unused integer"
)
TABLE = (
    "CREATE TABLE customers (id integer PRIMARY KEY)",
    "INSERT INTO customers VALUES (1)",
    f"CREATE TABLE orders (id {{serial}} PRIMARY KEY, {COLUMNS}, old integer)",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('r0')",
)

CONCURRENTLY = {
    "postgresql": "with op.get_context().autocommit_block():\n"
    '    op.create_index("ix_orders", "orders", ["amount"], postgresql_concurrently=True)',
    "mysql": 'op.execute("ALTER TABLE orders ADD INDEX ix_orders (amount), ALGORITHM=INPLACE, LOCK=NONE")',
}
MIGRATIONS: dict[str, str] = {
    "add column": 'op.add_column("orders", sa.Column("added", sa.Integer))',
    "add NOT NULL with default": 'op.add_column("orders", sa.Column("added", sa.Integer, server_default="0",'
    " nullable=False))",
    "drop column": 'op.drop_column("orders", "unused")',
    "create index": 'op.create_index("ix_orders", "orders", ["amount"])',
    "create index concurrently": "",
    "add foreign key": 'op.create_foreign_key("fk_orders", "orders", "customers", ["customer_id"], ["id"])',
    "add check": 'op.create_check_constraint("ck_orders", "orders", "amount >= 0")',
    "alter type": 'op.alter_column("orders", "filled", type_=sa.BigInteger, existing_type=sa.Integer)',
    "rename column": 'op.alter_column("orders", "old", new_column_name="new", existing_type=sa.Integer)',
    "set NOT NULL": 'op.alter_column("orders", "filled", nullable=False, existing_type=sa.Integer)',
}

HAND_OVER = """
import os, pathlib, time
if os.environ.get("CI_MIGRATE_STAGE", "migrate") == "migrate":
    pathlib.Path({begun!r}).touch()
    while not os.path.exists({held!r}):
        time.sleep(0.01)
"""
"""At the start of the revision: it goes on once the other transaction is open."""


@dataclass
class Client:
    """Sends one kind of request again and again, and keeps how long each one took."""

    url: URL
    sql: str
    seen: list[tuple[float, float]] = field(default_factory=list)  # when it ended, how long it took
    failed: list[str] = field(default_factory=list)
    sent: float | None = None  # when the request under way was sent

    def run(self, stop: threading.Event) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        number = 0
        with engine.connect() as connection:
            while not stop.is_set():
                number = number % 1000 + 1
                self.sent = time.monotonic()
                try:
                    connection.execute(text(self.sql), {"id": number} if ":id" in self.sql else {}).close()
                except DBAPIError as error:
                    self.failed.append(str(error).splitlines()[0])
                now = time.monotonic()
                self.seen.append((now, now - self.sent))
                self.sent = None
                time.sleep(PAUSE)
        engine.dispose()


class Load:
    """Two readers and two writers of `orders`, from the start of a block to its end."""

    def __init__(self, url: URL) -> None:
        read, write = (
            "SELECT amount FROM orders WHERE id = :id",
            "UPDATE orders SET amount = amount + 1 WHERE id = :id",
        )
        count = "SELECT count(*) FROM orders WHERE id < :id"
        add = "INSERT INTO orders (note, amount, filled) VALUES ('new', 1, 1)"
        self.clients = [Client(url, sql) for sql in (read, count, write, add)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=c.run, args=[self._stop], daemon=True) for c in self.clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def longest(self, since: float) -> float:
        """Seconds of the longest request that ended since then."""
        return max(
            (took for client in self.clients for ended, took in client.seen if ended >= since), default=0.0
        )

    def answered(self) -> list[int]:
        """How many requests of each client were answered."""
        return [len(client.seen) for client in self.clients]

    @property
    def failed(self) -> list[str]:
        """The errors of requests."""
        return [words for client in self.clients for words in client.failed]


@contextmanager
def reading(url: URL, until: Callable[[], object]) -> Iterator[threading.Thread]:
    """Another transaction has read the table, with a snapshot as of a long query, and is open until `until` returns."""
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    open_ = threading.Event()

    def hold() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT count(*) FROM orders")).scalar()
            open_.set()
            until()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert open_.wait(60)
    try:
        yield thread
    finally:
        thread.join(120)
        engine.dispose()


def fill(url: URL, rows: int) -> None:
    """The tables, at revision r0."""
    postgresql = url.get_backend_name() == "postgresql"
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in TABLE:
            serial = "serial" if postgresql else "integer AUTO_INCREMENT"
            connection.exec_driver_sql(statement.replace("{serial}", serial))
        for start in range(0, rows, 5000):
            values = ", ".join(f"('note {n}', {n}, {n})" for n in range(start, min(rows, start + 5000)))
            connection.exec_driver_sql(f"INSERT INTO orders (note, amount, filled) VALUES {values}")
    engine.dispose()


def project(folder: Path, url: URL, body: str) -> Any:
    """One revision, which waits until `held` is there."""
    from alembic_project import new_project

    made = new_project(folder, revisions=False)
    made.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    made.settings(f'{settings()}\n[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "server"\n')
    made.revision("r0", None, "pass")
    wait = HAND_OVER.format(begun=str(folder / "begun"), held=str(folder / "held"))
    made.revision("r1", "r0", wait + body)
    return made


ALEMBIC = [sys.executable, "-m", "alembic", "upgrade", "head"]
OURS = [sys.executable, "-m", "ci_migrate", "run"]


@dataclass(frozen=True)
class Outcome:
    """`wait`: seconds of the longest request. `held`: how long the dry run held a lock that keeps others out."""

    wait: float
    seconds: float
    held: float | None = None
    tries: int = 1
    failed: int = 0


def measure(url: URL, body: str, command: list[str], hold: float, rows: int) -> Outcome:
    """One migration beside traffic."""
    fill(url, rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        made = project(folder, url, body)
        with Load(url) as load:
            process = subprocess.Popen(
                command, cwd=folder, env=made.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )  # fmt: skip
            while not (folder / "begun").exists():
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.01)
            since = time.monotonic()
            with reading(url, lambda: time.sleep(hold)):
                (folder / "held").touch()
                out = process.communicate(timeout=300)[0]
                seconds = time.monotonic() - since
            time.sleep(0.5)
        assert process.returncode == 0, out
        report = folder / ".ci-migrate/reports/report.json"
        held = longest_held(json.loads(report.read_text())) if report.exists() else None
        return Outcome(load.longest(since), seconds, held, 1 + out.count("again in"), len(load.failed))


def longest_held(report: dict[str, Any]) -> float:
    """Seconds for which the dry run held a lock that keeps others from the table."""
    evidence = next(s["evidence"] for s in report["report"]["results"] if s.get("evidence"))
    locks = [lock for s in evidence["statements"] for lock in s["locks"] if lock["blocks"]]
    return max((lock["seconds"] or 0 for lock in locks), default=0.0)


@contextmanager
def server(engine: str) -> Iterator[Callable[[], URL]]:
    """Makes fresh databases on a server of its own."""
    from conftest import installed_mariadb, postgresql_binaries, run_mariadb, run_postgresql
    from mysql_server import free_port, installed_mysql, mysql_programs, run_mysql

    with ExitStack() as stack:
        if engine == "postgresql":
            binaries = postgresql_binaries()
            assert binaries is not None
            made = stack.enter_context(run_postgresql(binaries))
            driver = "postgresql+psycopg"
        elif engine == "mariadb":
            made = stack.enter_context(run_mariadb(stack.enter_context(installed_mariadb())))
            driver = "mysql+pymysql"
        else:
            programs = mysql_programs()
            assert programs is not None, "no MySQL server is installed"
            template = stack.enter_context(installed_mysql(programs))
            made = stack.enter_context(run_mysql(programs, template, free_port()))
            driver = "mysql+pymysql"

        def fresh() -> URL:
            name = f"traffic_{time.monotonic_ns()}"
            admin = create_engine(made.admin_url.set(drivername=driver), isolation_level="AUTOCOMMIT")
            with admin.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
            admin.dispose()
            return made.url(name).set(drivername=driver)

        yield fresh


def settings() -> str:
    """What the checks say of these migrations is not what is measured."""
    from ci_migrate.checks import BUILT_IN

    return "checks = {" + ", ".join(f'{check.code} = "info"' for check in BUILT_IN) + "}"


HEADS = (
    "migration",
    "longest wait: Alembic",
    "ours",
    "lock held",
    "tries",
    "took: Alembic",
    "ours",
    "failed requests",
)

INTRO = """# Traffic beside a migration

Written by `python benchmarks/traffic.py --write`, {date:%d %B %Y}. Ten usual migrations of a table with {rows:,} rows,
each with two readers and two writers of that table (four threads, a request every few milliseconds each). When the
revision begins, another transaction has read the table and stays open for {hold:g} s. Settings are the defaults:
[`lock-timeout`](../locks.md) is 2 s.

- **longest wait**: of any request, from the beginning of the revision to its end, with `alembic upgrade head` and with
  `ci-migrate run`.
- **lock held**: for how long the dry run held a lock that keeps others out, which is no part of waiting for it.
- **tries**: how often our statement was sent.
- **failed requests**: with Alembic / with ours.

With ours a request waits for `lock-timeout` and for what the statement takes under its lock. Against the sum of both,
{verdict}: beside traffic a statement takes longer than on the copy. Where a row says about 0 s
with both, the statement takes no lock that the reading transaction conflicts with.

A machine with 2 cores that was busy with other things: a few tenths of a second are its own. Servers without fsync.
"""


def version_of(url: URL) -> str:
    """As the server says it."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = str(connection.exec_driver_sql("SELECT version()").scalar())
    engine.dispose()
    return " ".join(found.removeprefix("PostgreSQL ").split()[:1])


@dataclass(frozen=True)
class Row:
    """One migration with both."""

    name: str
    plain: Outcome
    ours: Outcome

    @property
    def text(self) -> str:
        """As a row of the table."""
        plain, ours = self.plain, self.ours
        cells = (
            self.name, f"{plain.wait:.2f} s", f"{ours.wait:.2f} s", f"{ours.held or 0:.2f} s", str(ours.tries),
            f"{plain.seconds:.1f} s", f"{ours.seconds:.1f} s", f"{plain.failed} / {ours.failed}",
        )  # fmt: skip
        return f"| {' | '.join(cells)} |"

    @property
    def beyond(self) -> float:
        """Seconds that a request waited beyond the lock timeout and the time under the lock."""
        return self.ours.wait - (self.ours.held or 0) - LOCK_TIMEOUT


LOCK_TIMEOUT = 2.0


def rows_of(fresh: Callable[[], URL], engine: str, given: argparse.Namespace) -> Iterator[Row]:
    """A row of the table for each migration."""
    for name, body in MIGRATIONS.items():
        if given.only in name:
            code = body or CONCURRENTLY["postgresql" if engine == "postgresql" else "mysql"]
            plain = measure(fresh(), code, ALEMBIC, given.hold, given.rows)
            yield Row(name, plain, measure(fresh(), code, OURS, given.hold, given.rows))


def main() -> None:
    """Print the tables, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", action="append", choices=("postgresql", "mariadb", "mysql"))
    parser.add_argument("--hold", type=float, default=5.0)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    tables, all_rows = [], []
    for engine in given.engine or ("postgresql", "mariadb", "mysql"):
        with server(engine) as fresh:
            lines = [f"## {NAMES[engine]} {version_of(fresh())}", "", f"| {' | '.join(HEADS)} |"]
            lines.append(f"|{' --- |' * len(HEADS)}")
            print("\n" + "\n".join(lines), flush=True)
            for row in rows_of(fresh, engine, given):
                all_rows.append(row)
                lines.append(row.text)
                print(row.text, flush=True)
            tables.append("\n".join(lines))
    beyond = max(row.beyond for row in all_rows)
    verdict = f"the worst row is {beyond:.2f} s above" if beyond > 0 else "no row is above"
    print(f"\n{verdict}")
    if given.write:
        intro = INTRO.format(date=datetime.now(UTC), rows=given.rows, hold=given.hold, verdict=verdict)
        PAGE.write_text(intro + "".join(f"\n{table}\n" for table in tables))


NAMES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL"}


if __name__ == "__main__":
    main()
