"""`ci-migrate backfill run|dry-run|status`, and `verify` where one is required."""

import json
import signal
import time

import pytest
import sqlalchemy as sa
from alembic_project import INI, ended, new_project
from backfill_project import ENV
from backfill_shop import ENGINES, Shop, url_of

from ci_migrate.cli import run
from ci_migrate.operations import backfills

COUNT = """
[[backfills]]
name = "count"
table = "t"
statement = "UPDATE t SET n = n + 1 WHERE {batch}"
batch-size = 20
max-batch-size = 20
rest = 0
seconds-per-batch = 60
"""


class Registered:
    """A project whose table is there and filled, and whose settings register a backfill that counts in it."""

    def __init__(self, folder, url, *, rows=1000, settings="", target=""):
        self.shop = Shop(url)
        self.project = new_project(folder, env=ENV, ini=INI, revisions=False)
        self.project.environ["SHOP"] = url.render_as_string(hide_password=False)
        self.project.settings(
            f'{COUNT}{settings}\n[targets.dev]\nurl = "env:SHOP"\nscratch = "server"\n{target}'
        )
        columns = 'sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, nullable=False)'
        self.project.revision("r1", None, f'op.create_table("t", {columns})', 'op.drop_table("t")')
        assert self.project.call("run").code == 0
        self.shop.run("INSERT INTO t VALUES (:id, 0)", rows=[{"id": n * 2} for n in range(1, rows + 1)])

    def call(self, *words, **more):
        return self.project.call("backfill", *words, **more)

    @property
    def batches(self):
        try:
            return self.shop.run("SELECT batch_count FROM ci_migrate_backfills WHERE name = 'count'")[0][0]
        except (sa.exc.DBAPIError, IndexError):
            return 0

    def stop(self, number, after):
        """Start one, and send it a signal once it has made so many batches; how it ended."""
        child = self.project.start("backfill", "run", "count")
        while self.batches < after and child.poll() is None:
            time.sleep(0.02)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err


@pytest.fixture(params=ENGINES)
def registered(request, tmp_path):
    """On each engine."""
    url = url_of(request, tmp_path, request.param)
    return lambda **options: Registered(tmp_path, url, **options)


@pytest.fixture
def small(tmp_path):
    """On SQLite, where the engine makes no difference."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    return lambda **options: Registered(tmp_path, url, **options)


def test_to_its_end_and_once_more(registered):
    made = registered()
    assert made.call("status").out == "count  has not run\n"
    done = made.call("run", "count")
    ended(done, 0, "OK. Backfill count has come to its end: 1,000 rows in 50 batches, 1,000 of them changed.")
    assert made.shop.counts() == {1: 1000}
    assert made.call("run", "count").code == 0
    assert made.shop.counts() == {1: 1000}, "it has ended: no row is met again"
    ended(made.call("status"), 0, "count ended", "after 1,000 rows")
    assert made.call("run", "count", "--again").code == 0
    assert made.shop.counts() == {2: 1000}
    trail = made.project.call("audit", "show").out
    assert trail.count("backfill begun") == trail.count("backfill ended") == 3


def test_stopped_and_killed_no_row_is_done_twice(registered):
    made = registered(rows=20_000)
    code, out, _err = made.stop(signal.SIGTERM, 5)
    assert code == 143
    assert "Stopped: backfill count is at" in out
    assert "ci-migrate backfill run count --target dev" in out
    stopped = made.batches
    assert 5 <= stopped < 1000
    assert made.shop.counts() == {0: 20_000 - stopped * 20, 1: stopped * 20}
    code, _out, _err = made.stop(signal.SIGKILL, stopped + 5)
    assert code == -9
    killed = made.batches
    assert stopped < killed < 1000
    ended(made.call("status"), 0, f"count is at {killed * 20:,} rows, the last batch at")
    for _ in range(50):
        done = made.call("run", "count")
        if done.code != 5:  # the server may not have noticed yet that the killed session is gone
            break
        time.sleep(0.2)
    ended(done, 0, "backfill count goes on after", "20,000 rows in 1,000 batches")
    assert made.shop.counts() == {1: 20_000}


def test_a_signal_before_its_first_batch_claims_no_rows(small, monkeypatch, capsys):
    made = small()
    begin = backfills.authorize
    monkeypatch.setattr(
        backfills, "authorize", lambda run, intent: (run.interrupt.set(15), begin(run, intent))[1]
    )
    monkeypatch.setenv("SHOP", made.project.environ["SHOP"])
    assert run(["-C", str(made.project.folder), "backfill", "run", "count"]) == 143
    assert "Stopped: backfill count made no batch in this run." in capsys.readouterr().out
    assert made.shop.counts() == {0: 1000}


def test_a_dry_run_meets_the_backup_alone(registered):
    made = registered()
    assert made.project.call("backup", "create").code == 0
    made.shop.run("DELETE FROM t WHERE id > 1800")
    done = made.call("dry-run", "count")
    ended(done, 0, "1,000 rows in 50 batches, 1,000 of them changed", "The target was not written.")
    assert made.shop.counts() == {0: 900}
    assert made.batches == 0


@pytest.mark.parametrize(
    ("mask", "code", "words"),
    [
        ("UPDATE t SET n = 7;", 0, "1,000 rows in 50 batches, 1,000 of them changed"),
        ("UPDATE nowhere SET n = 7;", 1, "mask.sql:1 fails"),
    ],
)
def test_a_dry_run_meets_masked_rows(registered, mask, code, words):
    masked = COUNT.replace('"count"', '"masked"').replace("WHERE", "WHERE n = 7 AND")
    made = registered(settings=masked)
    made.project.write("mask.sql", mask)
    made.project.environ["CI_MIGRATE_MASK"] = "mask.sql"
    assert made.project.call("backup", "create").code == 0
    ended(made.call("dry-run", "masked"), code, words)
    assert made.shop.counts() == {0: 1000}


def test_a_dry_run_without_a_backup(small):
    made = small(target='auto-backup = false\ndry-run = "off"\n')
    ended(
        made.call("dry-run", "count"), 1, "no backup of target dev", "ci-migrate backup create --target dev"
    )


def test_nobody_migrates_meanwhile(small):
    made = small(rows=20_000)
    child = made.project.start("backfill", "run", "count")
    while made.batches < 3:
        time.sleep(0.02)
    done = made.project.call("run")
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    ended(done, 5, "held by another run")


def test_on_production_it_needs_an_approval_of_this_statement(small):
    made = small(target="require-confirmation = true\nconfirm = true\n".replace("confirm = true\n", ""))
    made.project.settings(
        made.project.folder.joinpath("ci-migrate.toml").read_text() + 'tags = ["production"]\n'
    )
    refused = made.call("run", "count")
    ended(refused, 4, "ci-migrate token generate --target dev --backfill count")
    assert made.shop.counts() == {0: 1000}

    def token(*flags):
        done = made.project.call(
            "token", "generate", "--reason", "4711", "--quiet", "--backfill", "count", *flags
        )
        assert done.code == 0, done.text
        return {"CI_MIGRATE_TOKEN": done.out.strip()}

    for_all_again = token("--again")
    assert made.call("run", "count", env=for_all_again).code == 4, "it was for another thing"
    text = made.project.folder.joinpath("ci-migrate.toml").read_text()
    good = token()
    made.project.settings(text.replace("n = n + 1", "n = n + 2"))
    changed = made.call("run", "count", env=good)
    ended(changed, 4, "statement")
    assert made.shop.counts() == {0: 1000}
    made.project.settings(text)
    ended(made.call("run", "count", env=good), 0)
    assert made.shop.counts() == {1: 1000}
    assert made.call("run", "count", env=good).code == 4, "a token is good once"


def test_a_batch_that_fails_says_what_stays(small):
    made = small()
    made.shop.run(
        "CREATE TRIGGER bad BEFORE UPDATE ON t WHEN old.id = 400 BEGIN SELECT RAISE(ABORT, 'bad row'); END"
    )
    done = made.call("run", "count")
    ended(
        done,
        7,
        "***",
        "The batches before it stay: 180 rows.",
        "ci-migrate backfill run count --target dev",
    )
    assert made.shop.counts() == {0: 820, 1: 180}
    made.shop.run("DROP TRIGGER bad")
    ended(made.call("run", "count"), 0)
    assert made.shop.counts() == {1: 1000}
    made.shop.run("CREATE TRIGGER bad BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'bad row'); END")
    ended(made.call("run", "count", "--again"), 8, "No row was changed by this run.")


@pytest.fixture(params=[engine for engine in ENGINES if engine != "sqlite"])
def failing(request, tmp_path):
    """A backfill that fails of what is in a row."""
    number = "CAST(name AS integer)" if request.param == "postgresql" else "name"
    url = url_of(request, tmp_path, request.param)
    made = Registered(tmp_path, url, settings=COUNT.replace('"count"', '"fails"').replace("n + 1", number))
    made.shop.run("ALTER TABLE t ADD COLUMN name varchar(50)")
    made.shop.run("UPDATE t SET name = 'ana@example.com'")
    return made


@pytest.mark.parametrize("shown", [False, True])
def test_a_batch_that_fails_repeats_no_value_of_a_row(failing, shown):
    failing.project.environ["CI_MIGRATE_SHOW_VALUES"] = str(shown).lower()
    assert failing.project.call("backup", "create").code == 0
    for words in ("dry-run", "run"):
        done = failing.call(words, "fails")
        ended(done, 8, "ana@example.com" if shown else "***")
        assert ("ana@example.com" in done.text) == shown


def test_an_unfinished_run_comes_first(small):
    made = small(target="auto-rollback = false\n")
    half = (
        'op.add_column("t", sa.Column("m", sa.Integer))\n'
        "with op.get_context().autocommit_block():\n"
        '    op.execute("UPDATE t SET m = 1")\n'
        'if os.environ["CI_MIGRATE_STAGE"] == "migrate":\n'
        "    os.kill(os.getpid(), 9)"
    )
    made.project.revision("r2", "r1", half, extra="import os")
    assert made.project.call("run").code == 7
    ended(made.call("run", "count"), 7, "did not end", "ci-migrate repair --target dev")
    assert made.batches == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "other"), 2, "No backfill 'other' is registered for target dev; there are: count."),
        (("dry-run", "other"), 2, "No backfill 'other' is registered"),
        (("run", "count", "--target", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_is_not_there(small, words, code, told):
    assert told in (done := small().call(*words)).text, done.text
    assert done.code == code


def test_another_statement_under_the_same_name(small):
    made = small()
    assert made.call("run", "count").code == 0
    text = made.project.folder.joinpath("ci-migrate.toml").read_text()
    made.project.settings(text.replace("n = n + 1", "n = n + 2"))
    ended(made.call("run", "count"), 1, "was begun with another statement", "No row was changed by this run.")
    assert made.call("run", "count", "--again").code == 0
    assert made.shop.counts() == {3: 1000}


def test_verify_demands_what_is_required(small):
    made = small()
    text = made.project.folder.joinpath("ci-migrate.toml").read_text()
    assert made.project.call("verify").code == 0, "what is not required is not demanded"
    made.project.settings(text.replace("rest = 0", "rest = 0\nrequired = true"))
    ended(made.project.call("verify"), 1, "backfill count has not run")
    found = json.loads(made.project.call("verify", "--json").out)
    assert (found["exitCode"], found["unendedBackfills"]) == (1, ["backfill count has not run"])
    assert made.call("run", "count").code == 0
    assert made.project.call("verify").code == 0


def test_status_as_json(small):
    made = small()
    assert made.call("run", "count").code == 0
    found = json.loads(made.call("status", "--json").out)
    (one,) = found["backfills"]
    assert (one["name"], one["rows"], one["batches"], one["registered"]) == ("count", 1000, 50, True)
    assert not one["ended"].endswith("Z"), "nobody knows the time zone of the session that wrote it"


@pytest.mark.parametrize(
    "wrong",
    [
        'statement = "UPDATE t SET n = 1"',
        'statement = "UPDATE t SET n = 1 WHERE {batch}"\nbatch-size = 0',
        'statement = "UPDATE t SET n = 1 WHERE {batch}"\nbatchsize = 3',
        'statement = "UPDATE t SET n = 1 WHERE {batch}"\nrequired = "yes"',
    ],
)
def test_settings_that_make_no_sense(small, wrong):
    made = small()
    text = made.project.folder.joinpath("ci-migrate.toml").read_text()
    made.project.settings(f'[[backfills]]\nname = "b"\ntable = "t"\n{wrong}\n' + text.replace(COUNT, ""))
    ended(made.call("status"), 2, "backfills must be a list of tables with name, table and statement")
