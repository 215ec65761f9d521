"""CM207, CM208, CM209 and CM305: what PostgreSQL and SQLite themselves say, and what was so before is not told."""

import ast
from pathlib import Path

import pytest
from alembic_project import new_project
from ledger_support import a_plan, some_evidence
from sqlalchemy import URL, create_engine, exc, make_url

from ci_migrate.checks import weak_spots
from ci_migrate.checks.base import Facts
from ci_migrate.databases.composite.database import CompositeDatabase
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.databases.weak_spots import WeakSpot, WeakSpotKind, new_weak_spots
from ci_migrate.model import RowCount

VERSION = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('r1')",
)
POSTGRESQL = (
    'CREATE TABLE "Odd one" ("Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "A word" text)',
    'INSERT INTO "Odd one" ("A word") VALUES (\'a\')',
    "CREATE TABLE never (id integer)",
    "CREATE TABLE parts (id integer, at date, CONSTRAINT parts_pkey PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
    "CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE TABLE secret (id integer PRIMARY KEY)",
    "CREATE TABLE open (id integer PRIMARY KEY)",
    "CREATE TABLE barred (id integer PRIMARY KEY)",
    "CREATE TABLE vacant (id integer PRIMARY KEY)",
    "CREATE TABLE hidden (id integer PRIMARY KEY)",
    "CREATE TABLE moved (id integer PRIMARY KEY)",
    "CREATE TABLE again (id integer)",
    "CREATE SCHEMA archive",
    "INSERT INTO hidden VALUES (1)",
    "INSERT INTO moved VALUES (1)",
    "GRANT SELECT ON hidden, moved TO PUBLIC",
    "GRANT SELECT ON secret, open, barred, vacant TO PUBLIC",
    "ALTER TABLE barred ENABLE ROW LEVEL SECURITY",
    "INSERT INTO secret VALUES (1), (2)",
    "INSERT INTO barred VALUES (1)",
    "CREATE TABLE children (id int PRIMARY KEY, a int REFERENCES secret, b int REFERENCES secret, c int REFERENCES open)",
    "CREATE INDEX ON children (b, a)",
    "CREATE INDEX ON children (id, c)",
    "INSERT INTO children VALUES (1, 1, 1)",
    "CREATE PUBLICATION feed FOR ALL TABLES",
    *VERSION,
)
UPGRADE = (
    'ALTER TABLE "Odd one" DROP CONSTRAINT "Odd one_pkey"',
    "ALTER TABLE parts DROP CONSTRAINT parts_pkey",
    "ALTER TABLE never RENAME TO still",
    "CREATE TABLE log (word text)",
    "ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE vacant ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE hidden RENAME TO renamed",
    "ALTER TABLE renamed RENAME TO kept",
    "ALTER TABLE moved SET SCHEMA archive",
    "ALTER TABLE archive.moved ENABLE ROW LEVEL SECURITY",
    "DROP TABLE again",
    "CREATE TABLE again (id integer)",
    "ALTER TABLE open ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY all_of_it ON open USING (true)",
    "ALTER TABLE barred RENAME TO closed",
    "ALTER TABLE children ADD CONSTRAINT short CHECK (id < 10) NOT VALID",
    'ALTER TABLE "Odd one" ADD CONSTRAINT "Not. ""short""" CHECK ("Id" < 10) NOT VALID',
    "ALTER TABLE children ADD CONSTRAINT checked CHECK (id < 10) NOT VALID",
    "ALTER TABLE children VALIDATE CONSTRAINT checked",
)


def run_all(url: URL, statements: tuple[str, ...]) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_postgresql(postgresql_url: URL, tmp_path: Path) -> None:
    url = postgresql_url.set(drivername="postgresql+psycopg")
    run_all(url, POSTGRESQL)
    known = {(s.kind, s.table, s.words, s.columns) for s in PostgreSQL(postgresql_url).weak_spots()}
    kind = WeakSpotKind
    assert {one for one in known if one[0] != kind.REFUSES_WRITES} == {
        (kind.HIDES_ROWS, "public.barred", "PUBLIC", ()),
        (kind.NO_INDEX, "public.children", "public.open", ("c",)),
        (kind.NO_INDEX, "public.children", "public.secret", ("a",)),
    }
    assert {table for which, table, _, _ in known if which == kind.REFUSES_WRITES} == {
        "public.never",
        "public.again",
    }

    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision("r1", None, "pass")
    project.revision("r2", "r1", "\n".join(f"op.execute({sql!r})" for sql in UPGRADE))
    report = project.gate("dry-run")
    found = {
        (f.code, f.severity.value, f.message.removeprefix("Constraint ").removeprefix("Table ")[:16])
        for f in report.findings
        if f.code in ("CM207", "CM208", "CM209", "CM305")
    }
    assert found == {
        ("CM207", "error", 'public."Odd one"'),
        ("CM207", "error", "public.parts_202"),
        ("CM207", "warning", "public.log is pu"),
        ("CM208", "warning", "public.secret ha"),
        ("CM208", "warning", "public.kept has "),
        ("CM208", "warning", "archive.moved ha"),
        ("CM209", "info", "short of public."),
        ("CM209", "info", '"Not. ""short"""'),
    }
    (odd,) = (f for f in report.findings if f.code == "CM207" and "Odd" in f.message)
    assert 'cannot update table "Odd one" because it does not have a replica identity' in odd.message
    assert 'cannot delete from table "Odd one" because it does not have a replica identity' in odd.message
    (secret,) = (f for f in report.findings if f.code == "CM208" and "secret" in f.message)
    assert "its 2 rows are hidden from PUBLIC" in secret.message
    validate = [
        ast.literal_eval(f.fix.partition("op.execute(")[2].removesuffix(")"))
        for f in report.findings
        if f.code == "CM209"
    ]
    assert 'ALTER TABLE public."Odd one" VALIDATE CONSTRAINT "Not. ""short"""' in validate
    assert "ALTER TABLE public.children VALIDATE CONSTRAINT short" in validate

    # it is as they say
    run_all(url, UPGRADE)
    engine = create_engine(url)
    with engine.begin() as connection, pytest.raises(exc.DBAPIError, match="replica identity"):
        connection.exec_driver_sql('DELETE FROM "Odd one"')
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL ROLE pg_monitor")
        assert connection.exec_driver_sql("SELECT count(*) FROM secret").scalar() == 0
    with engine.begin() as connection:
        for statement in validate:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_postgresql_the_owner_sees_nothing_either(postgresql_url: URL) -> None:
    made = (
        "CREATE TABLE a (id integer PRIMARY KEY)",
        "CREATE TABLE b (id integer PRIMARY KEY)",
        "INSERT INTO a VALUES (1)",
        "ALTER TABLE a OWNER TO pg_monitor",
        "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE b ENABLE ROW LEVEL SECURITY",
    )
    url = postgresql_url.set(drivername="postgresql+psycopg")
    run_all(url, made)
    assert PostgreSQL(postgresql_url).weak_spots() == []
    run_all(url, ("ALTER TABLE a FORCE ROW LEVEL SECURITY", "ALTER TABLE b FORCE ROW LEVEL SECURITY"))
    (spot,) = PostgreSQL(postgresql_url).weak_spots()  # the owner of b is a superuser
    assert spot.kind is WeakSpotKind.HIDES_ROWS_FROM_OWNER
    assert (spot.table, spot.words) == ("public.a", "its owner pg_monitor")
    (found,) = weak_spots.HIDDEN.find(weak_spots.HIDDEN, facts(spot, rows=1))
    assert found.severity.value == "error"
    assert not list(weak_spots.HIDDEN.find(weak_spots.HIDDEN, facts(spot, rows=0)))


def facts(*spots: WeakSpot, rows: int) -> Facts:
    counts = {spot.table: RowCount(rows=rows) for spot in spots}
    evidence = some_evidence(row_counts_before=counts, row_counts_after=counts)
    return Facts(plan=a_plan(), evidence=evidence, weak_spots=spots)


def test_sqlite(tmp_path: Path) -> None:
    url = make_url(f"sqlite:///{tmp_path / 'app.db'}")
    made = (
        'CREATE TABLE "parent one" (id integer PRIMARY KEY)',
        'CREATE TABLE a (id integer PRIMARY KEY, x REFERENCES "parent one", y, z, FOREIGN KEY (y, z) REFERENCES a (id, x))',
        'CREATE TABLE b (id integer PRIMARY KEY REFERENCES "parent one", x integer REFERENCES a)',
        "CREATE UNIQUE INDEX ix ON b (x)",
        'CREATE TABLE c (x integer REFERENCES "parent one", n integer, PRIMARY KEY (x, n)) WITHOUT ROWID',
    )
    run_all(url, made)
    found = SQLite(url).weak_spots()
    assert {(s.kind, s.table, s.words, s.columns) for s in found} == {
        (WeakSpotKind.NO_INDEX, "a", "parent one", ("x",)),
        (WeakSpotKind.NO_INDEX, "a", "a", ("y", "z")),
    }
    run_all(url, ("DROP INDEX ix",))
    (new,) = new_weak_spots(found, SQLite(url).weak_spots())
    assert (new.table, new.columns) == ("b", ("x",))


@pytest.mark.parametrize(("rows", "many"), [(99_999, False), (100_000, True)])
def test_a_key_of_a_small_table_needs_no_index(rows: int, many: bool) -> None:
    spot = WeakSpot(WeakSpotKind.NO_INDEX, "1", "files", "projects", ("project_id",))
    found = list(weak_spots.UNINDEXED.find(weak_spots.UNINDEXED, facts(spot, rows=rows)))
    assert [f.severity.value for f in found] == ["warning"] * many
    for finding in found:
        assert "deletes one row of projects reads all 100,000 rows of files" in finding.message


def test_several_databases(tmp_path: Path) -> None:
    members = {name: SQLite(make_url(f"sqlite:///{tmp_path / f'{name}.db'}")) for name in ("", "stats")}
    for member in members.values():
        run_all(member.url, ("CREATE TABLE a (id integer PRIMARY KEY, x REFERENCES a)",))
    spots = CompositeDatabase(members).weak_spots()
    assert [(s.table, s.identity) for s in spots] == [("a", "a (x) a"), ("@stats.a", "@stats.a (x) a")]
