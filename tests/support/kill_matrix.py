"""kill -9 at every statement and every commit: the history, the points, and what becomes of each.

A way (an engine and a mode) is prepared once: a run up to where the migration of the target would begin, then rows
that another client writes. Each point begins from a copy of that. The tests judge, the benchmark writes a table.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kill_support import BLOCK_BACK, OTHER_CLIENT, R1, R1_BACK, R2, R2_BACK, Shop, new_shop
from mysql_server import client
from sqlalchemy import URL

FORKING = Path(__file__).with_name("forked_gate.py")
STOPPED = 99

ENV = '''\
"""FAULT_IN_CHILD `<who>:<before or after>:<statement or commit>:<number>`: a SIGKILL where the engine does its part."""
import os, signal, time
from alembic import context
from sqlalchemy import create_engine, pool

who, moment, what, number = os.environ.get("FAULT_IN_CHILD", "nobody:never:nothing:0").split(":")
armed = os.environ.get("CI_MIGRATE_STAGE", "migrate") == "migrate"
seen = {"statement": 0, "commit": 0}
last = ""


def strike(when, kind):
    if not armed or (when, kind, seen[kind]) != (moment, what, int(number)):
        return
    open(os.environ["FAULT_STRUCK"], "w").close()
    if who in ("parent", "both"):
        os.kill(int(os.environ["FAULT_GATE"]), signal.SIGKILL)
    if who in ("child", "both"):
        os.kill(os.getpid(), signal.SIGKILL)


def note(kind, text):
    seen[kind] += 1
    if armed and "FAULT_POINTS" in os.environ:
        with open(os.environ["FAULT_POINTS"], "a") as file:
            file.write(kind + " " + " ".join(text.split()) + "\\n")


url = os.environ["DATABASE_URL"]
pipes = {"init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"}
engine = create_engine(url, poolclass=pool.NullPool, connect_args=pipes if url.startswith("mysql") else {})
do_execute, do_commit = engine.dialect.do_execute, engine.dialect.do_commit


def killing_execute(cursor, statement, parameters, context=None):
    global last
    if statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW")):
        return do_execute(cursor, statement, parameters, context)
    last = statement
    note("statement", statement)
    strike("before", "statement")
    do_execute(cursor, statement, parameters, context)
    strike("after", "statement")


def killing_commit(connection):
    note("commit", last)
    strike("before", "commit")
    do_commit(connection)
    strike("after", "commit")


engine.dialect.do_execute, engine.dialect.do_commit = killing_execute, killing_commit
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=%s)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
'''

POINTS = 'op.execute("UPDATE customers SET points = points + 1")\n'
POINTS_BACK = 'op.execute("UPDATE customers SET points = points - 1")\n'
BLOCK = """
with op.get_context().autocommit_block():
    op.execute("UPDATE customers SET points = points + 1")
    op.execute("CREATE INDEX %s ix_early ON customers (points)")
op.execute("UPDATE invoices SET total = total + 1")
"""
R3 = """
with op.batch_alter_table("customers") as batch:
    batch.alter_column("email", existing_type=sa.String(80), nullable=False)
    batch.drop_column("fax")
op.execute("UPDATE invoices SET total = total * 2")
op.create_index("ix_invoices", "invoices", ["customer_id"])
for row in op.get_bind().execute(sa.text("SELECT id FROM invoices ORDER BY id")).fetchall():
    op.execute(f"UPDATE invoices SET total = total + {row[0]} WHERE id = {row[0]}")
"""
R3_BACK = """
for row in op.get_bind().execute(sa.text("SELECT id FROM invoices ORDER BY id")).fetchall():
    op.execute(f"UPDATE invoices SET total = total - {row[0]} WHERE id = {row[0]}")
op.drop_index("ix_invoices", "invoices")
op.execute("UPDATE invoices SET total = total / 2")
with op.batch_alter_table("customers") as batch:
    batch.alter_column("email", existing_type=sa.String(80), nullable=True)
    batch.add_column(sa.Column("fax", sa.String(20)))
"""
MEANT = 'allow = ["CM202=nobody has a fax any more", "CM602=the way back brings no numbers"]'
FAX = ("ALTER TABLE customers ADD COLUMN fax VARCHAR(20)", "UPDATE customers SET fax = 'fax of ' || id")


@dataclass(frozen=True)
class Way:
    """An engine, one transaction or one per revision, and whether r2 has a block that commits by itself."""

    name: str
    engine: str
    per_migration: bool = False
    block: bool = False
    quick: bool = False


WAYS = (
    Way("sqlite", "sqlite", quick=True),
    Way("sqlite, block", "sqlite", block=True),
    Way("postgresql", "postgresql", quick=True),
    Way("postgresql, block", "postgresql", block=True),
    Way("postgresql, per migration", "postgresql", per_migration=True),
    Way("postgresql, per migration, block", "postgresql", per_migration=True, block=True, quick=True),
    Way("mariadb", "mariadb", quick=True),
    Way("mariadb, block", "mariadb", block=True),
    Way("mysql", "mysql", quick=True),
    Way("mysql, block", "mysql", block=True),
)


class Forking:
    """The process that forks gates; see forked_gate.py."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(FORKING)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        self.cpu = 0.0  # seconds, of all commands so far

    def run(self, argv: list[str], shop: Shop, env: dict[str, str]) -> tuple[int, str]:
        """The exit code and what was printed."""
        out = shop.folder / "out"
        command = {"argv": argv, "cwd": str(shop.folder), "env": shop.environment(env), "out": str(out)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.cpu = answer["cpu"]
        return answer["code"], out.read_text(errors="replace")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Copies:
    """Keeps the state of folder, target and ledger, and brings it back as often as wanted."""

    shop: Shop
    url: URL
    engine: str
    kept: Path = field(init=False)

    def __post_init__(self) -> None:
        self.kept = self.shop.folder.with_name(self.shop.folder.name + "-kept")

    @property
    def databases(self) -> list[str]:
        return [str(self.url.database), f"{self.url.database}_ci_migrate"]

    def keep(self) -> None:
        if self.url.get_backend_name() == "postgresql":
            for name in self.databases:
                self._postgresql(f"CREATE DATABASE {name}_kept TEMPLATE {name}")
        if self.url.get_backend_name() == "mysql":
            dump = client(self.engine, self.url, "dump", "--databases", *self.databases)
            (self.shop.folder / "dump.sql").write_bytes(dump)
        shutil.copytree(self.shop.folder, self.kept)

    def bring_back(self) -> None:
        shutil.rmtree(self.shop.folder)
        shutil.copytree(self.kept, self.shop.folder)
        if self.url.get_backend_name() == "postgresql":
            for name in self.databases:
                self._postgresql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                self._postgresql(f"CREATE DATABASE {name} TEMPLATE {name}_kept")
        if self.url.get_backend_name() == "mysql":
            drops = "".join(f"DROP DATABASE IF EXISTS {name};" for name in self.databases)
            client(self.engine, self.url, "", data=drops.encode() + (self.kept / "dump.sql").read_bytes())

    def drop(self) -> None:
        if self.url.get_backend_name() == "postgresql":
            for name in self.databases:
                self._postgresql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                self._postgresql(f"DROP DATABASE IF EXISTS {name}_kept WITH (FORCE)")
        if self.url.get_backend_name() == "mysql":
            drops = "".join(f"DROP DATABASE IF EXISTS {name};" for name in self.databases)
            client(self.engine, self.url, "", data=drops.encode())

    def _postgresql(self, statement: str) -> None:
        """Tries again: a session of a process that was killed goes a moment after it."""
        import psycopg

        admin = self.url.set(drivername="postgresql", database="postgres")
        deadline = time.monotonic() + 20
        with psycopg.connect(admin.render_as_string(hide_password=False), autocommit=True) as connection:
            while True:
                try:
                    connection.execute(statement)
                except psycopg.errors.ObjectInUse:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return


@dataclass(frozen=True)
class Point:
    """Where a kill strikes.

    `inside` the child, where the engine does its part (`<moment>:<kind>:<number>`); else at an event that the parent
    hears of, before or after the journal has taken it in (`<moment>:<number>`).
    """

    who: str
    where: str
    text: str
    inside: bool

    @property
    def fault(self) -> str:
        return f"{self.who}:{self.where}"


@dataclass(frozen=True)
class Outcome:
    """What became of a point: what was found, what was typed, whether the end is that of an undisturbed run."""

    point: Point
    found: str
    typed: tuple[str, ...]
    recovered: bool
    dirty: bool  # exit 7 on the way: what `status` named did not bring it to the end
    output: str = field(repr=False, default="")


class Prepared:
    """A way, ready to be killed in."""

    def __init__(self, way: Way, folder: Path, url: URL | None, forking: Forking) -> None:
        self.way, self.forking = way, forking
        self.lead_to_the_end: set[str] = set()
        self.events: list[str] = []
        folder.mkdir(parents=True)
        self.shop = shop = _shop(way, folder, url)
        for statement in FAX:
            shop.query(
                statement
                if way.engine not in ("mariadb", "mysql")
                else statement.replace("'fax of ' || id", "CONCAT('fax of ', id)")
            )
        self.copies = Copies(shop, url or URL.create("sqlite"), way.engine)
        if way.engine == "sqlite":
            shutil.copyfile(shop.database, folder / "plain.db")
        code, text = self._run("@stop")
        assert code == STOPPED, text
        exec(OTHER_CLIENT.format(url=shop.url), {})
        self.copies.keep()
        self.points, self.undisturbed = self._undisturbed("@go-on")
        self.plain_points, plain = self._undisturbed("@alembic", "upgrade", "head")
        assert self.undisturbed == plain

    def _run(self, *argv: str, **env: str) -> tuple[int, str]:
        variables = {"FAULT_STRUCK": str(self.shop.folder / "struck"), "TMPDIR": str(self.shop.folder), **env}
        return self.forking.run(list(argv), self.shop, variables)

    def _undisturbed(self, *argv: str) -> tuple[list[str], dict[str, Any]]:
        """What the child does, one line each, and the end."""
        self.copies.bring_back()
        file, events = self.shop.folder / "points", self.shop.folder / "events"
        code, text = self._run(*argv, FAULT_POINTS=str(file), FAULT_EVENTS=str(events))
        assert code == 0, text
        if events.exists():
            self.events = events.read_text().splitlines()
        lines = re.sub(r"/\* ci-migrate/\S+ \*/ ", "", file.read_text()).splitlines()
        return lines, self.shop.everything_in_it()

    def inside(self, who: str) -> list[Point]:
        """Before and after each statement and commit of the child."""
        return _inside(self.points, who)

    @cached_property
    def all_points(self) -> list[Point]:
        """All of them: what the engine does, then what the parent hears of."""
        found = [p for who in ("child", "parent", "both") for p in self.inside(who)]
        for who, moment in (("child", "after"), ("parent", "after"), ("both", "before"), ("both", "after")):
            found += [Point(who, f"{moment}:{n}", text, False) for n, text in enumerate(self.events, start=1)]
        return found

    def kill(self, point: Point, *, always_again: bool = True) -> Outcome:
        """Kill, then type only what `status` names, to the end.

        With `always_again` false a last `run` is left out where the target is in a state, to the last row, from which
        one has already led to the end.
        """
        self.copies.bring_back()
        fault = {("FAULT_IN_CHILD" if point.inside else "FAULT"): point.fault}
        code, output = self._run("@go-on", **fault)
        assert (self.shop.folder / "struck").exists(), f"there is no such point: {point}\n{output}"
        typed, dirty = [], code == 7
        while True:
            code, text = self._run("status")
            output += text
            command = re.search(r"^next\s+(?:#[^\n]*\n\s+)?ci-migrate ([^(\n]*)", text, re.MULTILINE)
            if not command or len(typed) > 3:
                break
            words = [w for w in command[1].split() if w not in ("--target", "dev")]
            typed.append(" ".join(words))
            if words[:2] == ["backup", "restore"]:  # it loses what others wrote: a person decides
                dirty = True
                break
            before = repr(self.shop.everything_in_it()) if words == ["run"] else ""
            if before in self.lead_to_the_end and not always_again:
                return Outcome(point, _found(output), tuple(typed), recovered=True, dirty=False)
            code, text = self._run(*words)
            output += text
            if code:
                break
            if before and self.shop.everything_in_it() == self.undisturbed:
                self.lead_to_the_end.add(before)
        recovered = "nothing to do" in text and self.shop.everything_in_it() == self.undisturbed
        return Outcome(
            point, _found(output), tuple(typed), recovered, not recovered and (dirty or code == 7), output
        )

    def kill_plain(self, point: Point) -> str:
        """The same for plain Alembic, run again after it: recovered, error, or wrong."""
        self.copies.bring_back()
        self._run("@alembic", "upgrade", "head", FAULT_IN_CHILD=point.fault)
        assert (self.shop.folder / "struck").exists(), f"there is no such point: {point}"
        code, _ = self._run("@alembic", "upgrade", "head")
        if code:
            return "error"
        return "recovered" if self.shop.everything_in_it() == self.undisturbed else "wrong"

    def plain(self) -> list[Point]:
        """The points of plain Alembic, which has no parent."""
        return _inside(self.plain_points, "child")


def _found(output: str) -> str:
    told = re.search(r"^FOUND ([\w ]+):|UNFINISHED +\S+: ([\w ]+):", output, re.MULTILINE)
    return (told[1] or told[2]) if told else "it had ended"


def _inside(lines: list[str], who: str) -> list[Point]:
    found, numbers = [], {"statement": 0, "commit": 0}
    for line in lines:
        kind = line.split(" ", 1)[0]
        numbers[kind] += 1
        found += [
            Point(who, f"{moment}:{kind}:{numbers[kind]}", line, True) for moment in ("before", "after")
        ]
    return found


def _shop(way: Way, folder: Path, url: URL | None) -> Shop:
    shop = new_shop(folder, url, settings=MEANT)
    shop.write("migrations/env.py", ENV % way.per_migration)
    shop.revision("r1", "r0", R1, R1_BACK)
    concurrently = "CONCURRENTLY" if way.engine == "postgresql" else ""
    shop.revision(
        "r2",
        "r1",
        R2 + (BLOCK % concurrently if way.block else POINTS),
        (BLOCK_BACK if way.block else POINTS_BACK) + R2_BACK,
    )
    shop.revision("r3", "r2", R3, R3_BACK)
    return shop
