"""What children see of the environment, stage by stage."""

import pytest
from sqlalchemy import make_url

from ci_migrate.databases.composite.names import MAIN
from ci_migrate.migrations.environment import (
    ChildEnvironment,
    known_reader,
    known_targets,
    with_driver_of,
)
from ci_migrate.settings.settings import load

WRITER, READER, COPY = "writer-s3cret/1", "reader-s3cret", "copy-s3cret"


def url(user: str, password: str, database: str = "shop", driver: str = "postgresql") -> str:
    from urllib.parse import quote

    return f"{driver}://{user}:{quote(password, safe='')}@db.example.com/{database}"


def environment(
    folder, environ: dict[str, str], settings: str = "", *, reads: bool = True
) -> ChildEnvironment:
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (folder / "ci-migrate.toml").write_text(
        f'[targets.dev]\nurl = "env:WRITE"\nstate = "env:LEDGER"\n{settings}\n'
        + ('read-url = "env:READ"\n' if reads else "")
    )
    environ = {
        "WRITE": url("w", WRITER),
        "READ": url("r", READER),
        "LEDGER": url("l", "ledger-s3cret", "led"),
        **environ,
    }
    loaded = load(folder, environ, {})
    return ChildEnvironment(
        loaded, {MAIN: make_url(environ["WRITE"])}, make_url(environ["READ"]) if reads else None
    )


CHECK = {MAIN: make_url(url("r", READER))}
DRY_RUN = {MAIN: make_url(url("c", COPY, "scratch"))}


def test_F62_in_a_dry_run_what_clients_read_leads_to_the_copy(tmp_path):
    given = {
        "PGHOST": "db.example.com", "PGDATABASE": "shop", "PGUSER": "w", "PGPASSWORD": WRITER, "PGSSLMODE": "require",
        "APP_DSN": url("app", "of-the-app", driver="postgresql+asyncpg"), "OTHER": url("app", "x", "another"),
    }  # fmt: skip
    found = environment(tmp_path, given).for_stage(DRY_RUN)
    assert (found["PGDATABASE"], found["PGUSER"], found["PGPASSWORD"]) == ("scratch", "c", COPY)
    assert found["APP_DSN"] == url("c", COPY, "scratch", driver="postgresql+asyncpg")
    assert "OTHER" not in found  # it is told before, as it is
    assert environment(tmp_path, given).for_all()["OTHER"] == given["OTHER"]
    for stage in (None, CHECK):
        seen = environment(tmp_path, given).for_all() | environment(tmp_path, given).for_stage(stage)
        assert (seen["PGDATABASE"], seen["APP_DSN"]) == ("shop", given["APP_DSN"])


def test_F62_what_leads_to_another_database_stays(tmp_path):
    given = {"PGHOST": "elsewhere.example.com", "PGDATABASE": "shop", "PGUSER": "x"}
    assert "PGDATABASE" not in environment(tmp_path, given).for_stage(DRY_RUN)
    assert "PGUSER" not in environment(tmp_path, {**given, "PGHOST": "", "PGDATABASE": "other"}).for_stage(
        DRY_RUN
    )


def test_F28_the_first_environment_opens_nothing(tmp_path):
    """What /proc/PID/environ shows of every child."""
    found = environment(
        tmp_path,
        {
            "APP_SETTINGS": "production.py",
            "SECRET_KEY": "of-the-application",
            "DJANGO_DB": url("w", WRITER, driver="postgresql+asyncpg"),
            "DB_PASSWORD": WRITER,
            "DSN": f"host=db.example.com user=w password={WRITER}",
            "LEDGER_PASSWORD": "ledger-s3cret",
            "CI_MIGRATE_TOKEN": "tok-4711-4711",
            "COPY_OF_THE_TOKEN": "x tok-4711-4711",
            "CI_MIGRATE_TRUST": "anna ssh-ed25519 AAAA",
            "GITHUB_TOKEN": "ghs_1",
            "SSH_AUTH_SOCK": "/run/agent",
            "AWS_SECRET_ACCESS_KEY": "of-the-application-2",
        },
    ).for_all()
    assert found == {
        "APP_SETTINGS": "production.py",
        "SECRET_KEY": "of-the-application",
        "AWS_SECRET_ACCESS_KEY": "of-the-application-2",
    }


def test_F28_the_keys_of_the_storage_that_holds_the_backups_are_ours(tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "wJalr/K7MDENG", "AWS_REGION": "eu-1"}
    found = environment(tmp_path, keys, 'backup-dir = "s3://bucket/x"')
    assert {n: v for n, v in found.for_all().items() if n.startswith("AWS")} == {"AWS_REGION": "eu-1"}
    assert found.for_tools()["AWS_SECRET_ACCESS_KEY"] == "wJalr/K7MDENG"


@pytest.mark.parametrize("name", ["SAME", "WRITE"])
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_F28_a_url_leads_where_its_stage_goes(tmp_path, name, driver):
    given = url("w", WRITER, driver=driver)
    found = environment(tmp_path, {name: given})
    assert found.for_stage(CHECK)[name] == url("r", READER, driver=driver)
    assert found.for_stage(DRY_RUN)[name] == url("c", COPY, "scratch", driver=driver)
    assert found.for_stage()[name] == given


def test_F28_a_password_alone_becomes_the_other_one(tmp_path):
    found = environment(tmp_path, {"DB_PASSWORD": WRITER, "DSN": f"host=db password={WRITER} user=w"})
    assert found.for_stage(CHECK)["DB_PASSWORD"] == READER
    assert found.for_stage(DRY_RUN)["DSN"] == f"host=db password={COPY} user=w"
    assert found.for_stage()["DB_PASSWORD"] == WRITER


def test_F28_the_reader_leads_to_the_copy_in_a_dry_run_and_stays_what_it_is_otherwise(tmp_path):
    found = environment(tmp_path, {})
    assert found.for_stage(DRY_RUN)["READ"] == url("c", COPY, "scratch")
    assert found.for_stage()["READ"] == found.for_stage(CHECK)["READ"] == url("r", READER)


def test_F28_without_a_reader_check_meets_what_there_is(tmp_path):
    found = environment(tmp_path, {"PGPASSWORD": "pg"}, reads=False)
    assert found.for_all()["PGPASSWORD"] == "pg"
    assert found.for_stage()["WRITE"] == url("w", WRITER)


def test_F28_a_password_in_a_variable_of_the_driver_opens_the_target_alone(tmp_path):
    found = environment(
        tmp_path, {"WRITE": "postgresql://w@db.example.com/shop", "PGPASSWORD": "writer-4711"}
    )
    assert "PGPASSWORD" not in found.for_all()
    assert found.for_stage(CHECK)["PGPASSWORD"] == READER
    assert found.for_stage()["PGPASSWORD"] == "writer-4711"


def test_a_ledger_with_the_targets_login_hides_nothing_of_the_target(tmp_path):
    found = environment(
        tmp_path, {"LEDGER": url("w", WRITER, "led"), "OTHER": url("w", WRITER, "led")}, reads=False
    )
    assert "LEDGER" not in {**found.for_all(), **found.for_stage()}
    assert found.for_stage()["WRITE"] == url("w", WRITER)


def test_another_database_of_the_same_login_is_no_target(tmp_path):
    """Its variable has the target's password, and gets that of the stage; it goes on naming its own database."""
    found = environment(tmp_path, {"REPORTS": url("w", WRITER, "reports")})
    assert found.for_stage(CHECK)["REPORTS"] == url("w", READER, "reports")
    assert found.for_stage()["REPORTS"] == url("w", WRITER, "reports")


def test_a_relative_sqlite_file_is_the_target_too(tmp_path):
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (tmp_path / "ci-migrate.toml").write_text('[targets.dev]\nurl = "sqlite:///app.db"\n')
    settings = load(tmp_path, {"DATABASE_URL": "sqlite:///app.db", "OTHER": "sqlite:///other.db"}, {})
    found = ChildEnvironment(settings, {MAIN: make_url(settings.resolve_url())})
    assert found.for_all() == {"OTHER": "sqlite:///other.db"}
    assert found.for_stage({MAIN: make_url("sqlite:////copy.db")}) == {"DATABASE_URL": "sqlite:////copy.db"}


# --------------------------------------------------------------------------- what opens a door


@pytest.mark.parametrize(
    "value",
    [
        f" {url('w', WRITER)} ",
        url("w", WRITER, driver="postgresql+asyncpg") + "?sslmode=require",
        WRITER,
        "writer-s3cret%2F1",
        f"--password={WRITER} --verbose",
        '{"dsn": "host=db password=writer-s3cret/1"}',
    ],
)
def test_F28_whatever_holds_the_targets_login_is_kept_from_all_but_its_stage(tmp_path, value):
    found = environment(tmp_path, {"HIDDEN": value})
    assert "HIDDEN" not in found.for_all()
    assert WRITER not in str(found.for_stage(CHECK))
    assert found.for_stage()["HIDDEN"] == value


@pytest.mark.parametrize(
    "value",
    ["", "writer", url("other", "another-s3cret"), "not a url ://", "x" * 10_000],
)
def test_what_opens_nothing_of_ours_is_the_applications_own(tmp_path, value):
    assert environment(tmp_path, {"OWN": value}).for_all()["OWN"] == value


@pytest.mark.parametrize("short", ["pw", "shop", "1234567"])
def test_a_short_password_hides_only_what_is_it(tmp_path, short):
    """`shop` as a password must not take each variable away in which the word stands."""
    found = environment(
        tmp_path, {"WRITE": url("w", short), "SAME": short, "WORD": f"the {short} window"}, reads=False
    )
    assert "SAME" not in found.for_all()
    assert found.for_all()["WORD"] == f"the {short} window"


def test_F28_what_is_never_handed_on_is_not_even_where_the_target_is_migrated(tmp_path):
    ours = {"CI_MIGRATE_TOKEN": "t" * 20, "LEDGER": url("l", "ledger-s3cret", "led"), "SSH_AUTH_SOCK": "/run/s",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x" * 20, "CI_JOB_TOKEN": "y" * 20}  # fmt: skip
    found = environment(tmp_path, ours)
    for seen in (found.for_all(), found.for_stage(), found.for_stage(DRY_RUN)):
        assert not ours.keys() & seen.keys()


def test_what_backs_up_sees_the_target_and_storages_and_nothing_of_ours(tmp_path):
    given = {
        "AWS_SECRET_ACCESS_KEY": "k" * 20,
        "CI_MIGRATE_TOKEN": "t" * 20,
        "GITHUB_TOKEN": "g" * 20,
        "PATH": "/bin",
    }
    seen = environment(tmp_path, given, 'backup-dir = "s3://bucket/x"').for_tools()
    assert seen.keys() & given.keys() == {"AWS_SECRET_ACCESS_KEY", "PATH"}
    assert seen["WRITE"] == url("w", WRITER)


@pytest.mark.parametrize(
    ("given", "to", "found"),
    [
        ("postgresql+asyncpg://x", "postgresql+psycopg://h/d", "postgresql+asyncpg://h/d"),
        (
            "mysql+aiomysql://x",
            "mariadb+pymysql://h/d",
            "mariadb+pymysql://h/d",
        ),  # another name: its drivers differ
        ("sqlite+aiosqlite:///x", "postgresql://h/d", "postgresql://h/d"),
        ("no url", "postgresql://h/d", "postgresql://h/d"),
        ("", "postgresql://u:p%40@h/d", "postgresql://u:p%40@h/d"),
    ],
)
def test_a_url_keeps_the_driver_that_the_project_needs(given, to, found):
    assert with_driver_of(make_url(to), given) == found


def test_targets_are_known_without_asking_a_program(tmp_path):
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")

    def known(text: str) -> dict[str, str]:
        (tmp_path / "ci-migrate.toml").write_text(f"[targets.dev]\n{text}\n")
        settings = load(tmp_path, {"URL": "postgresql://h/d"}, {})
        return {name: str(found) for name, found in known_targets(settings).items()}

    assert known('url = "env:URL"') == {MAIN: "postgresql://h/d"}
    assert known('url = "command: touch asked"') == {}
    assert known('url = "env:NOT_THERE"') == {}, "the command that needs it says so"
    assert known('url = "env:URL"\ndatabases = { reports = "postgresql://h/r" }') == {
        MAIN: "postgresql://h/d", "reports": "postgresql://h/r",
    }  # fmt: skip
    assert not (tmp_path / "asked").exists()


def test_a_reader_is_known_where_the_settings_say_it(tmp_path):
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")

    def known(text: str):
        (tmp_path / "ci-migrate.toml").write_text(f'[targets.dev]\nurl = "postgresql://h/d"\n{text}\n')
        return known_reader(load(tmp_path, {}, {}))

    assert known("") is None
    assert known('read-url = "command: touch asked"') is None
    assert known('read-url = "postgresql://replica/d"') == make_url("postgresql://replica/d")
    assert not (tmp_path / "asked").exists()
