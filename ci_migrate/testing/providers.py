"""What the commands of every backup provider must keep. Subclass `ProviderConformance`, give it a provider, run pytest.

Each test makes a database of its own on your server and a small project that migrates it, and runs `ci-migrate` on that
as people do. The server must be there for tests alone.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from ci_migrate.model import BackupStatus
from ci_migrate.process import own_environment, run_command
from ci_migrate.session import open_catalog
from ci_migrate.settings.settings import load
from ci_migrate.testing.projects import make_project

ODD = "Käse; \"1%41' $HOME `x`"
"""What may stand in a database's name on every server."""

ODD_FOLDER = 'it\'s "ü" $x '
"""What may stand in the path of the folder for temporary files."""

TARGET = "shop.eu-1_x"
HOLDER = Path(__file__).with_name("held_command.py")
PATIENCE = 600
"""Seconds that a command gets."""

ROWS = 200

ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(os.environ["SHOP_URL"], poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""

TABLES = """\
op.create_table(
    "Order lines",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("words", sa.Unicode(200)),
    sa.Column("bytes", sa.LargeBinary),
    sa.Column("at", sa.DateTime),
)
op.create_table("empty", sa.Column("id", sa.Integer, primary_key=True))
"""

LINES = sa.table(
    "Order lines",
    sa.column("id", sa.Integer),
    sa.column("words", sa.Unicode),
    sa.column("bytes", sa.LargeBinary),
    sa.column("at", sa.DateTime),
)

COLUMN = 'op.add_column("Order lines", sa.Column("more", sa.Integer))'


@dataclass(frozen=True)
class ProviderUnderTest:
    """A provider as its author gives it to the suite."""

    url: sa.URL
    """A database on a server for tests, for an account that may make others there. SQLite: a file in a folder."""

    commands: Mapping[str, Sequence[str]]
    """`create`, `clone`, `drop`, `restore`, `delete`: the settings provider-create, provider-clone, ..."""

    kept: Callable[[], Collection[str]]
    """What the provider holds now, by any names: whole backups, and clones that were not dropped."""

    damage: Callable[[str], None] | None = None
    """Damages the rows in the backup of this id behind the provider's back; None where nobody can.

    ci-migrate holds the schema of a clone against the manifest, not its rows: to find this is up to `clone`.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that the commands need beside those that the tests run with."""


class Shop:
    """A project whose target has rows of every kind, at the first of two revisions; its backups are the provider's."""

    def __init__(self, provider: ProviderUnderTest, url: sa.URL, folder: Path, temporary: Path) -> None:
        self.provider, self.url, self.folder = provider, url, folder
        self._notes = folder / "notes.json"
        make_project(folder, {"tables": TABLES})
        (folder / "migrations" / "env.py").write_text(ENV, encoding="utf-8")
        self._environ = {
            **{n: v for n, v in own_environment().items() if not n.startswith("CI_MIGRATE_")},
            **provider.environ,
            "SHOP_URL": url.render_as_string(hide_password=False),
            "TMPDIR": str(temporary),
        }
        self._write([f"[targets.{json.dumps(TARGET)}]", 'url = "env:SHOP_URL"'])
        self.ok("run")
        self.fill()
        revision = folder / "migrations" / "versions" / "r1.py"
        later = revision.read_text(encoding="utf-8").partition("def upgrade")[0]
        later = later.replace('"r1"', '"r2"').replace("down_revision = None", "down_revision = 'r1'")
        later += (
            f"def upgrade():\n    {COLUMN}\n\n\ndef downgrade():\n    op.drop_column('Order lines', 'more')\n"
        )
        (folder / "migrations" / "versions" / "r2.py").write_text(later, encoding="utf-8")
        self.settings()

    def _write(self, lines: Sequence[str]) -> None:
        (self.folder / "ci-migrate.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def settings(self, kill_create_after: float = 0, who: str = "command") -> None:
        """Have backups made by the provider; its `create` is killed after some seconds, "both": with ci-migrate."""
        lines = [f"[targets.{json.dumps(TARGET)}]", 'url = "env:SHOP_URL"', 'provider = "command"']
        for verb, argv in self.provider.commands.items():
            seconds = kill_create_after if verb == "create" else 0
            held = [sys.executable, str(HOLDER), str(self._notes), str(seconds), who, *argv]
            # a literal string of JSON is one of TOML
            lines.append(f"provider-{verb} = {json.dumps(held, ensure_ascii=False)}")
        self._write(lines)

    def run(self, *words: str) -> tuple[int | None, str]:
        """Run ci-migrate; returns its exit code and what it printed."""
        argv = [sys.executable, "-m", "ci_migrate", *words]
        self._notes.unlink(missing_ok=True)
        return run_command(argv, env=self._environ, cwd=self.folder, timeout=PATIENCE)

    def ok(self, *words: str) -> str:
        """Run ci-migrate; the test fails unless it passes."""
        code, printed = self.run(*words)
        assert code == 0, f"ci-migrate {' '.join(words)}: exit code {code}\n{printed}"
        return printed

    def notes(self) -> dict[str, Any]:
        """What was seen of the last command of the provider's."""
        with suppress(FileNotFoundError):
            told: dict[str, Any] = json.loads(self._notes.read_text(encoding="utf-8"))
            return told
        return {"seconds": 0.0, "killed": False, "shown": False}

    def backups(self) -> dict[str, str]:
        """Those of the provider that count: our id and the provider's."""
        found = open_catalog(load(self.folder, self._environ, {})).list()
        return {
            b.backup_id: b.provider_id for b in found if b.provider_id and b.status is BackupStatus.SUCCESS
        }

    def backup(self) -> tuple[str, str]:
        """Make a backup; returns our id and the provider's."""
        before = self.backups()
        self.ok("backup", "create")
        assert not self.notes()["shown"], "provider-create puts the password of the URL into an argument"
        ((name, provider_id),) = self.backups().items() - before.items()
        return name, provider_id

    def prove(self, name: str) -> None:
        """Compare a backup with its manifest, by a clone of it where it is to be had."""
        self.ok("backup", "verify", name, *(["--restore"] if self.clones else []))
        assert not self.notes()["shown"], "provider-clone puts the password of the URL into an argument"

    @property
    def clones(self) -> bool:
        """Whether the provider makes clones."""
        return "clone" in self.provider.commands

    def need(self, verb: str) -> None:
        """Skip the test where the provider has no such command."""
        if verb not in self.provider.commands:
            pytest.skip(f"the provider has no command for {verb}")

    def by_hand(self, verb: str, provider_id: str, folder: Path | None = None, clone: str = "") -> str:
        """Run a command of the provider's as ci-migrate does; returns what it printed."""
        given = {"{id}": provider_id, "{target}": TARGET, "{folder}": str(folder or "")}
        argv = list(self.provider.commands[verb])
        for name, value in given.items():
            argv = [argument.replace(name, value) for argument in argv]
        environ = dict(self._environ)
        if verb != "delete":  # which may run where nobody knows the target
            environ["CI_MIGRATE_PROVIDER_URL"] = self._environ["SHOP_URL"]
        if clone:
            environ["CI_MIGRATE_PROVIDER_CLONE_URL"] = clone
        code, printed = run_command(argv, env=environ, cwd=self.folder, timeout=PATIENCE)
        assert code == 0, f"provider-{verb} for {provider_id}: exit code {code}\n{printed}"
        return printed

    # ---------------------------------------------------------------- rows

    def _begin(self, *statements: Any) -> list[Any]:
        engine = sa.create_engine(self.url)
        try:
            with engine.begin() as connection:
                return [connection.execute(*statement) for statement in statements]
        finally:
            engine.dispose()

    def fill(self) -> None:
        """Rows with everything that is easily lost on the way."""
        words = [None, "", "ü 'x' \"y\" \\ % \n\t", "\U0001f980", "x" * 200]
        rows = [
            {
                "id": number,
                "words": words[number % len(words)],
                "bytes": bytes(range(256)) if number % 3 else None,
                "at": datetime(2026, 1, 31, 23, 59, number % 60, tzinfo=UTC).replace(tzinfo=None),
            }
            for number in range(1, ROWS + 1)  # to MySQL 0 is no number
        ]
        self._begin((sa.insert(LINES), rows))

    def spoil(self) -> None:
        """Change rows, lose rows, and add a table."""
        later = sa.Table("later", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
        self._begin(
            (sa.delete(LINES).where(LINES.c.id > ROWS // 2),),
            (sa.update(LINES).where(LINES.c.id < 10).values(words="spoilt"),),
            (sa.schema.CreateTable(later),),
        )

    def contents(self) -> dict[str, Any]:
        """All rows of all tables, and their columns."""
        engine = sa.create_engine(self.url)
        try:
            with engine.connect() as connection:
                tables = sa.MetaData()
                tables.reflect(connection)
                return {
                    name: (
                        [column.name for column in table.columns],
                        sorted(map(repr, map(tuple, connection.execute(sa.select(table))))),
                    )
                    for name, table in tables.tables.items()
                }
        finally:
            engine.dispose()


class ProviderConformance:
    """Tests of the commands of one provider. Override `provider`. Each test makes its own database on the server."""

    @pytest.fixture
    def provider(self) -> ProviderUnderTest:
        """The provider under test."""
        raise NotImplementedError

    @pytest.fixture
    def make_shop(self, provider: ProviderUnderTest, tmp_path: Path) -> Iterator[Callable[[str], Shop]]:
        """Makes a project whose target's name has these words."""
        made: list[sa.URL] = []
        # not `tmp_path`: sockets of servers have short paths
        with tempfile.TemporaryDirectory(prefix=ODD_FOLDER, ignore_cleanup_errors=True) as temporary:
            Path(temporary).chmod(0o755)

            def make(words: str = "") -> Shop:
                made.append(_new_database(provider.url, f"{uuid4().hex[:8]}{words}"))
                folder = tmp_path / f"project {len(made)}"
                folder.mkdir()
                return Shop(provider, made[-1], folder, Path(temporary))

            yield make
            for url in made:
                _drop_databases(provider.url, url)

    @pytest.fixture
    def shop(self, make_shop: Callable[[], Shop]) -> Shop:
        """A project with a plain name."""
        return make_shop()

    @pytest.mark.parametrize("words", ["", ODD], ids=["plain", "odd"])
    def test_the_whole_circle(self, make_shop: Callable[[str], Shop], words: str) -> None:
        """A backup is made, proved, restored over other rows and deleted, also in a database with an odd name."""
        shop = make_shop(words)
        held = set(shop.provider.kept())
        before = shop.contents()
        name, provider_id = shop.backup()
        first = set(shop.provider.kept())
        assert first != held, "`kept` does not tell of the backup"
        shop.prove(name)
        shop.spoil()
        assert shop.contents() != before
        shop.prove(name)  # of the backup's moment, not of now
        assert set(shop.provider.kept()) == first, "a clone was left behind"
        if shop.clones or "restore" in shop.provider.commands:
            printed = shop.ok("backup", "restore", name, "--yes", "--no-safety-backup")
            assert shop.contents() == before, printed
            assert set(shop.provider.kept()) == first
        shop.prove(name)  # the restore took nothing away
        shop.need("delete")
        shop.ok("backup", "delete", name, "--yes")
        assert shop.backups() == {}
        assert set(shop.provider.kept()) == held, f"delete left something of {provider_id}"

    def test_a_run_rehearses_on_a_clone(self, shop: Shop) -> None:
        """What a migration does to a clone changes neither the backup nor the target."""
        shop.need("clone")
        printed = shop.ok("run")
        ((name, provider_id),) = shop.backups().items()
        assert f"{provider_id}) was restored into a scratch copy" in " ".join(printed.split())
        assert "more" in shop.contents()["Order lines"][0]
        shop.prove(name)
        shop.ok("backup", "restore", name, "--yes", "--no-safety-backup")
        assert "more" not in shop.contents()["Order lines"][0], "the backup is of before the migration"

    @pytest.mark.parametrize("who", ["command", "both"])
    def test_a_create_that_is_killed(self, shop: Shop, who: str) -> None:
        """Nothing counts as a backup afterwards, for ci-migrate or for the provider, and the next one is whole."""
        held = set(shop.provider.kept())
        shop.need("delete")
        name, _ = shop.backup()
        seconds = shop.notes()["seconds"]
        shop.ok("backup", "delete", name, "--yes")
        struck = 0
        for part in (0.3, 0.6):
            shop.settings(kill_create_after=seconds * part, who=who)
            code, printed = shop.run("backup", "create")
            if not shop.notes()["killed"]:  # it was quicker this time
                shop.settings()
                for left in shop.backups():
                    shop.ok("backup", "delete", left, "--yes")
                continue
            struck += 1
            assert code != 0, printed
            shop.settings()
            assert shop.backups() == {}, "half a backup counts as one"
            assert set(shop.provider.kept()) == held, "half a backup lies where whole ones do"
        before = shop.contents()
        name, _ = shop.backup()
        shop.prove(name)
        assert shop.contents() == before
        if not struck:
            pytest.skip("the command was quicker than each kill")

    def test_a_damaged_backup_is_refused(self, shop: Shop) -> None:
        """Neither proved nor restored, and the target keeps its rows."""
        shop.need("clone")
        if shop.provider.damage is None:
            pytest.skip("the suite was not told how to damage a backup")
        name, provider_id = shop.backup()
        shop.provider.damage(provider_id)
        shop.spoil()
        before = shop.contents()
        for words in (("backup", "verify", name, "--restore"), ("backup", "restore", name, "--yes")):
            code, printed = shop.run(*words, *(["--no-safety-backup"] if "restore" in words else []))
            assert code != 0, f"{' '.join(words)} of a damaged backup passes:\n{printed}"
        assert shop.contents() == before

    def test_a_deletion_is_done_again(self, shop: Shop) -> None:
        """One that was killed before it was noted is: the second time finds nothing and passes; others stay."""
        shop.need("delete")
        name, provider_id = shop.backup()
        other, other_id = shop.backup()
        assert provider_id != other_id, "two backups have one id"
        kept = set(shop.provider.kept())
        shop.by_hand("delete", provider_id)
        if shop.clones:
            code, printed = shop.run("backup", "verify", name, "--restore")
            assert code != 0, f"a backup that is gone is proved:\n{printed}"
        shop.by_hand("delete", provider_id)
        shop.ok("backup", "delete", name, "--yes")
        assert shop.backups() == {other: other_id}
        shop.prove(other)
        assert set(shop.provider.kept()) < kept

    def test_a_clone_that_a_killed_run_left(self, shop: Shop, tmp_path: Path) -> None:
        """The next clone of the same backup is made although nobody dropped it, and nothing stays behind it."""
        shop.need("clone")
        name, provider_id = shop.backup()
        kept = set(shop.provider.kept())
        folder = tmp_path / "clone"
        folder.mkdir(mode=0o700)
        shop.by_hand("clone", provider_id, folder)
        shop.prove(name)
        assert set(shop.provider.kept()) == kept, "the clone of the killed run is still there"

    def test_a_clone_that_was_not_told_of(self, shop: Shop, tmp_path: Path) -> None:
        """`drop` knows it by the backup's id alone, and passes where there is none: `clone` may have been ended."""
        shop.need("clone")
        shop.need("drop")
        name, provider_id = shop.backup()
        kept = set(shop.provider.kept())
        shop.by_hand("drop", provider_id)
        folder = tmp_path / "clone"
        folder.mkdir(mode=0o700)
        shop.by_hand("clone", provider_id, folder)
        shop.by_hand("drop", provider_id)
        assert set(shop.provider.kept()) == kept, "the clone is still there"
        shop.prove(name)


# --------------------------------------------------------------------------- databases


def _execute(url: sa.URL, *statements: str) -> list[Any]:
    """In a session of its own, each statement for itself; returns the first values of the last one's rows."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            plain = connection.execution_options(no_parameters=True)  # a percent sign is a percent sign
            done = [plain.exec_driver_sql(statement) for statement in statements]
            return [row[0] for row in done[-1]] if done[-1].returns_rows else []
    finally:
        engine.dispose()


def _quoted(url: sa.URL, name: str) -> str:
    quoted: str = url.get_dialect()().identifier_preparer.quote_identifier(name)
    # some drivers' preparers double percent signs for their parameters, of which there are none here
    return quoted.replace("%%", "%")


def _new_database(server: sa.URL, name: str) -> sa.URL:
    """A new empty database on the server of this one."""
    if server.get_backend_name() == "sqlite":
        return server.set(database=str(Path(server.database or "").parent / f"{name}.db"))
    more = " CHARACTER SET utf8mb4" if server.get_backend_name() in ("mysql", "mariadb") else ""
    _execute(server, f"CREATE DATABASE {_quoted(server, name)}{more}")
    return server.set(database=name)


def _drop_databases(server: sa.URL, url: sa.URL) -> None:
    """Drop a database, its ledger's, and what restores kept of it."""
    backend, begin = server.get_backend_name(), (url.database or "")[:8]
    if backend == "sqlite":
        return
    postgresql = backend == "postgresql"
    query = (
        "SELECT datname FROM pg_database"
        if postgresql
        else "SELECT schema_name FROM information_schema.schemata"
    )
    names = [name for name in _execute(server, query) if name.startswith(begin)]
    force = " WITH (FORCE)" if postgresql else ""
    for name in names:
        _execute(server, f"DROP DATABASE IF EXISTS {_quoted(server, name)}{force}")
