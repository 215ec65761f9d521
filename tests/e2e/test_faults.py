"""Whatever strikes at whatever statement of a migration: a state that is proved, and from it to the same end."""

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from faults_support import CUT, LOSE, arm, as_told, cutting_proxy, faulty_shop, more_room, small_disk
from kill_support import Shop
from sqlalchemy import URL, create_engine, make_url

STATEMENTS = {"sqlite": 16, "postgresql": 13, "mariadb": 14}
"""Of an undisturbed migration."""

LOCKS = {
    "postgresql": "LOCK TABLE ballast IN ACCESS EXCLUSIVE MODE",
    "mariadb": "UPDATE ballast SET content = 'two' WHERE id = 1",
}
SLEEPS = {"postgresql": "SELECT pg_sleep(60)", "mariadb": "SELECT SLEEP(60)"}
ENDS = {
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
    "mariadb": "EXECUTE IMMEDIATE CONCAT('KILL ', CONNECTION_ID())",
}
FILLS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
    "INSERT INTO ballast SELECT i, printf('%01000d', i) FROM n",
    "postgresql": "INSERT INTO ballast SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n",
    "mariadb": "INSERT INTO ballast SELECT seq, REPEAT('x', 1000) FROM seq_1_to_60000",
}


@dataclass
class Scene:
    """Where a fault is to strike; what is opened goes to the stack. A fault fills in the rest."""

    stack: ExitStack
    engine: str
    url: URL | None
    folder: Path
    settings: str = ""
    fault: dict[str, str] = field(default_factory=dict)  # for `arm`
    mend: Callable[[], None] = lambda: None  # what somebody does before the next command

    def shop(self) -> Shop:
        return faulty_shop(self.folder, self.url, self.settings)


def exception(scene: Scene) -> Shop:
    """In the revision."""
    scene.fault = {"raise_": "1"}
    return scene.shop()


def _broken(scene: Scene, mark: str) -> Shop:
    assert scene.url is not None
    scene.fault = {"mark": f" /* {mark} */"}
    plain = {"sslmode": "disable", "gssencmode": "disable"} if scene.engine == "postgresql" else {}
    port = scene.stack.enter_context(cutting_proxy(scene.url.port or 0))
    scene.url = scene.url.set(port=port).update_query_dict(plain)
    return scene.shop()


def cut(scene: Scene) -> Shop:
    """The connection breaks before the statement arrives."""
    return _broken(scene, CUT)


def lost(scene: Scene) -> Shop:
    """The connection breaks when the server has done it, before anybody hears of it."""
    return _broken(scene, LOSE)


def lock(scene: Scene) -> Shop:
    """Another session holds one for longer than `lock-timeout`."""
    shop = scene.shop()
    scene.fault = {"sql": LOCKS[scene.engine]}
    connection = scene.stack.enter_context(closing(create_engine(shop.url).connect()))
    connection.exec_driver_sql("SELECT * FROM ballast WHERE id = 1 FOR UPDATE")
    scene.mend = connection.close
    return shop


def slow(scene: Scene) -> Shop:
    """`statement-timeout` ends the statement."""
    scene.settings = "statement-timeout = 5"
    scene.fault = {"sql": SLEEPS[scene.engine]}
    return scene.shop()


def end(scene: Scene) -> Shop:
    """The server ends the session: by an administrator, a shutdown, a limit of idle time."""
    scene.fault = {"sql": ENDS[scene.engine]}
    return scene.shop()


def full(scene: Scene) -> Shop:
    """The database's disk is full."""
    scene.fault = {"sql": FILLS[scene.engine]}
    disk = Path(scene.stack.enter_context(_folder(scene)))
    scene.stack.enter_context(small_disk(disk, "40m"))
    if scene.url is None:
        scene.url = make_url(f"sqlite:///{disk}/app.db")
    elif scene.engine == "postgresql":
        scene.stack.enter_context(_tablespace(scene.url, disk))
    else:
        (disk / "db.opt").write_text("default-character-set=utf8mb4\n")
    scene.mend = lambda: more_room(disk, "400m")
    return scene.shop()


@contextmanager
def _folder(scene: Scene) -> Iterator[Path]:
    """Where the small disk is put: on MariaDB over the folder of the database itself."""
    if scene.engine == "mariadb":
        assert scene.url is not None
        ((data,),) = _as_admin(scene.url, "SELECT @@datadir")
        yield Path(data) / str(scene.url.database)
        return
    folder = Path(tempfile.mkdtemp(prefix="cim-disk-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _tablespace(url: URL, folder: Path) -> Iterator[None]:
    shutil.chown(folder, "nobody", "nogroup")
    name = f"small_{uuid4().hex[:8]}"
    _as_admin(url, f"CREATE TABLESPACE {name} LOCATION '{folder}'")
    _as_admin(url, f"ALTER DATABASE {url.database} SET TABLESPACE {name}")
    yield
    _as_admin(url, f"ALTER DATABASE {url.database} SET TABLESPACE pg_default")
    _as_admin(url, f"DROP TABLESPACE {name}")


def _as_admin(url: URL, statement: str) -> list:
    """Run a statement in autocommit, connected to another database of the server."""
    driver, database = {"postgresql": ("postgresql+psycopg", "postgres")}.get(
        url.get_backend_name(), ("mysql+pymysql", "mysql")
    )
    engine = create_engine(url.set(drivername=driver, database=database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.exec_driver_sql(statement)
        rows = result.all() if result.returns_rows else []
    engine.dispose()
    return list(rows)


FAULTS: dict[str, tuple[Callable[[Scene], Shop], str, tuple[str, ...]]] = {
    "exception": (exception, "injected", ("sqlite", "postgresql", "mariadb")),
    "cut": (cut, "(?i)lost connection|closed", ("postgresql", "mariadb")),
    "lost": (lost, "(?i)lost connection|closed", ("postgresql", "mariadb")),
    "lock": (lock, r"(?is)lock.*In the way: pid \d+", ("postgresql", "mariadb")),
    "slow": (slow, "(?i)statement timeout|max_statement_time", ("postgresql", "mariadb")),
    "end": (end, "(?i)terminating|lost connection|killed", ("postgresql", "mariadb")),
    "full": (full, "(?i)full|no space", ("sqlite", "postgresql", "mariadb")),
}
"""What strikes, what the report says of it, and on which engines it can strike at any statement."""

QUICK = ("exception-mariadb-10", "cut-postgresql-5", "lost-mariadb-2", "lock-mariadb-11", "full-sqlite-8")


def points() -> list:
    """Every fault at every statement; a few belong to the quick tests."""
    found = [
        f"{fault}-{engine}-{number}"
        for fault, (_, _, engines) in FAULTS.items()
        for engine in engines
        for number in range(1, STATEMENTS[engine] + 1)
    ]
    assert set(QUICK) <= set(found)
    return [pytest.param(point, marks=() if point in QUICK else pytest.mark.long) for point in found]


URLS = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}


@pytest.fixture(scope="module")
def undisturbed(request) -> Iterator[Callable[[str], dict]]:
    """What is in the database after a run without a fault, by engine."""
    found: dict[str, dict] = {}

    def of(engine: str, stack: ExitStack) -> dict:
        if engine not in found:
            url = None
            if engine != "sqlite":
                server = request.getfixturevalue(f"{engine}_server")
                url = server.url(f"undisturbed_{uuid4().hex[:8]}")
                _as_admin(url, f"CREATE DATABASE {url.database}")
                stack.callback(_as_admin, url, f"DROP DATABASE {url.database}")
            shop = faulty_shop(Path(stack.enter_context(tempfile.TemporaryDirectory())), url)
            shop.environ["FAULT_COUNTS"] = str(shop.folder / "counts")
            done = shop.here("migrate")
            assert done.code == 0, done.text
            assert (engine, int((shop.folder / "counts").read_text())) == (engine, STATEMENTS[engine])
            found[engine] = shop.everything_in_it()
        return found[engine]

    with ExitStack() as stack:
        yield lambda engine: of(engine, stack)


@pytest.mark.parametrize("point", points())
def test_M2_M13_L9_a_fault_at_each_statement(point, request, tmp_path, undisturbed, record_property) -> None:
    """The run stops in a proved state or says where it stopped; what `status` names leads to the undisturbed end."""
    fault, engine, number = point.split("-")
    strike, words, _ = FAULTS[fault]
    with ExitStack() as stack:
        url = request.getfixturevalue(URLS[engine]) if engine in URLS else None
        scene = Scene(stack, engine, url, tmp_path)
        shop = strike(scene)
        before = shop.everything_in_it()
        arm(shop, int(number), **scene.fault)
        done = shop.here("run")
        assert shop.struck, done.text
        assert "Traceback" not in done.text
        assert done.stage("migrate")["outcome"] in ("failed", "error"), done.text
        assert re.search(words, done.stage("migrate")["message"]), done.stage("migrate")["message"]
        state = done.report["results"][-1]["state"]
        if state == "as before":
            assert done.code == 6, done.text
            assert shop.everything_in_it() == before
        elif engine != "mariadb":  # SQLite commits each revision: the good ones are kept
            assert (done.code, state) == (7, "partly migrated"), done.text
            assert shop.heads_now() in (["r1"], ["r2"])
        else:
            assert done.code == 7, done.text
            assert re.search(r"was committed", done.text), done.text
        scene.mend()
        typed = as_told(shop)
        record_property("fault", (fault, engine, state, ", ".join(typed)))
        assert shop.everything_in_it() == undisturbed(engine)


@pytest.mark.long
def test_M13_a_backend_that_the_kernel_kills(start_postgresql, tmp_path) -> None:
    """The server starts anew then, and all sessions are gone: the lock's and the ledger's too."""
    with start_postgresql() as server:
        url = server.url(f"killed_{uuid4().hex[:8]}")
        _as_admin(url, f"CREATE DATABASE {url.database}")
        shop = faulty_shop(tmp_path, url)
        before = shop.everything_in_it()
        arm(shop, 5, sql="COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'")
        done = shop.here("run")
        assert shop.struck, done.text
        assert done.code in (6, 7), done.text
        assert "Traceback" not in done.text
        deadline = time.monotonic() + 30
        while shop.here("status").code == 8:  # until it has recovered
            assert time.monotonic() < deadline
        if done.code == 7:
            assert shop.here("repair").code == 0
        assert shop.everything_in_it() == before
        assert shop.here("run").code == 0
        assert shop.heads_now() == ["r3"]
