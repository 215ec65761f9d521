"""Where the databases of a fleet are listed."""

import sqlite3
import sys
import types

import pytest
from alembic_project import ended, new_project

from ci_migrate.errors import CiMigrateError
from ci_migrate.fleet.members import find_member, read_members, refuse_unknown_canary, take_shard
from ci_migrate.markers import hookimpl
from ci_migrate.plugins import manager as plugins
from ci_migrate.settings.settings import Secret, load

PASSWORD = "kX7-horse-battery"


@pytest.fixture
def project(tmp_path):
    return new_project(tmp_path / "project")


def fleet(project, text, env=None):
    project.settings(f"[targets.tenants]\n{text}\n")
    return load(project.folder, project.environment(env), {"target": "tenants"})


def listed(project, content):
    project.write("tenants.txt", content)
    return fleet(project, 'fleet-file = "tenants.txt"')


def test_a_file_has_a_url_a_line_or_a_name_and_a_url(project):
    settings = listed(
        project,
        f"""\
        # tenants
        acme postgresql://app:{PASSWORD}@db1.example.com/acme

        sqlite:///data/b c.db
        postgres://app@db2.example.com:6543/globex
        """,
    )
    found = read_members(settings)
    assert [(m.name, m.place, m.server) for m in found] == [
        ("acme", "db1.example.com:5432/acme", "db1.example.com:5432"),
        ("data/b_c.db", str(project.folder / "data/b c.db"), ""),
        ("db2.example.com:6543/globex", "db2.example.com:6543/globex", "db2.example.com:6543"),
    ]
    assert found[0].parsed.password == PASSWORD
    assert PASSWORD not in repr(found)
    assert found[2].parsed.drivername == "postgresql"


def test_a_query_gives_urls_or_names_with_urls(project):
    catalog = sqlite3.connect(project.folder / "catalog.db")
    catalog.execute("create table tenants (name text, url text)")
    catalog.execute(
        "insert into tenants values ('acme', 'sqlite:///acme.db'), ('globex', 'sqlite:///globex.db')"
    )
    catalog.commit()
    catalog.close()
    text = 'fleet-query-url = "env:CATALOG_URL"\nfleet-query = "SELECT {} FROM tenants ORDER BY name"'
    env = {"CATALOG_URL": f"sqlite:///{project.folder}/catalog.db"}
    assert [m.name for m in read_members(fleet(project, text.format("name, url"), env))] == ["acme", "globex"]
    assert [m.name for m in read_members(fleet(project, text.format("url"), env))] == ["acme.db", "globex.db"]
    with pytest.raises(CiMigrateError, match=r"fleet-query failed on .*no such column: nope"):
        read_members(fleet(project, text.format("nope"), env))
    marked = text.format("name, 'sqlite:///' || name || '.db' AS \\\"a :b%%c\\\"").replace("%%", "%")
    found = read_members(fleet(project, marked, env))
    assert [m.place.rpartition("/")[2] for m in found] == ["acme.db", "globex.db"]
    with pytest.raises(CiMigrateError, match="gives no rows at all"):
        read_members(fleet(project, 'fleet-query-url = "env:CATALOG_URL"\nfleet-query = "BEGIN"', env))
    with pytest.raises(CiMigrateError, match="no fleet-query-url"):
        read_members(fleet(project, 'fleet-query = "SELECT 1"'))
    drops = 'fleet-query-url = "env:CATALOG_URL"\nfleet-query = "DELETE FROM tenants RETURNING url"'
    with pytest.raises(CiMigrateError, match="readonly"):
        read_members(fleet(project, drops, env))


def test_a_command_is_a_list_of_arguments_and_sees_none_of_our_variables(project):
    project.write(
        "tenants.py",
        """\
        import os, sys
        assert "CI_MIGRATE_TOKEN" not in os.environ
        print(sys.argv[1], "sqlite:///acme.db")
        """,
    )
    settings = fleet(
        project, f'fleet-command = ["{sys.executable}", "tenants.py", "a;b"]', {"CI_MIGRATE_TOKEN": "x"}
    )
    with pytest.raises(CiMigrateError, match="can't be the name of a database"):
        read_members(settings)
    settings = fleet(project, f'fleet-command = ["{sys.executable}", "tenants.py", "acme"]')
    assert [m.name for m in read_members(settings)] == ["acme"]
    with pytest.raises(CiMigrateError, match="failed with exit code 1"):
        read_members(fleet(project, f'fleet-command = ["{sys.executable}", "-c", "raise SystemExit(1)"]'))


def test_a_program_in_the_checkout_names_no_production_databases(project):
    project.write("tenants.sh", "#!/bin/sh\necho sqlite:///acme.db\n").chmod(0o755)
    (project.folder / ".git").mkdir()
    settings = fleet(project, 'fleet-command = ["./tenants.sh"]\ntags = ["production"]')
    with pytest.raises(CiMigrateError, match=r"fleet-command .* names .*tenants.sh, in the working tree"):
        read_members(settings)


def test_installed_plugins_are_asked(project, monkeypatch):
    def hook(settings):
        assert settings.target == "tenants"
        return ["sqlite:///a.db", ("b", "sqlite:///bb.db")]

    plugin = types.SimpleNamespace(ci_migrate_fleet=hookimpl(hook))
    create = plugins.create_manager

    def installed(*arguments, **options):
        manager = create(*arguments, **options)
        manager.register(plugin, name="tenancy")
        return manager

    monkeypatch.setattr(plugins, "create_manager", installed)
    assert [m.name for m in read_members(fleet(project, "fleet-plugin = true"))] == ["a.db", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "lists no database"),
        (f"acme app:{PASSWORD}@db1/acme", r"tenants.txt:1 is not a URL, or a name and a URL"),
        ("env:DATABASE_URL", "tenants.txt:1 is not a URL"),
        (f"a postgresql://app:{PASSWORD}@db1:port/acme", "The URL of tenants.txt:1 can't be parsed"),
        ("a sqlite:///a.db\na sqlite:///b.db", "lists a twice"),
        ("a sqlite:///a.db\nb sqlite:///./a.db", "lists a and b, which are the same database"),
        ("a;b sqlite:///a.db", "can't be the name of a database"),
    ],
)
def test_what_makes_no_sense_is_refused_without_the_url(project, content, words):
    with pytest.raises(CiMigrateError, match=words) as raised:
        read_members(listed(project, content))
    assert PASSWORD not in " ".join(raised.value.lines)


def test_a_file_that_is_missing_is_said(project):
    with pytest.raises(CiMigrateError, match=r"fleet-file: .*nowhere.txt can't be read: No such file"):
        read_members(fleet(project, 'fleet-file = "nowhere.txt"'))


def test_one_is_found_by_its_name_or_the_nearest_is_told(project):
    settings = listed(project, "acme sqlite:///a.db\nglobex sqlite:///b.db")
    assert find_member(settings, "globex").place.endswith("/b.db")
    with pytest.raises(CiMigrateError, match="has no database 'globix'") as raised:
        find_member(settings, "globix")
    assert "--target tenants/globex" in raised.value.hint


def test_a_canary_that_the_fleet_does_not_list_is_refused(project):
    settings = listed(project, "acme sqlite:///a.db\nglobex sqlite:///b.db")
    refuse_unknown_canary(settings, read_members(settings))
    settings = fleet(project, 'fleet-file = "tenants.txt"\nfleet-canary = "globix"')
    with pytest.raises(
        CiMigrateError, match=r"fleet-canary \(.*\) is 'globix', which .* tenants does not list"
    ) as raised:
        refuse_unknown_canary(settings, read_members(settings))
    assert "globex" in raised.value.hint
    for command in ("status", "run", "retry"):
        ended(project.call("fleet", command), 2, "fleet-canary")


def test_shards_divide_all_of_them_the_same_way_on_each_machine(project):
    members = read_members(listed(project, "".join(f"t{n} sqlite:///t{n}.db\n" for n in range(200))))
    shards = [take_shard(members, (number, 4)) for number in range(1, 5)]
    assert sorted(m.name for shard in shards for m in shard) == sorted(m.name for m in members)
    assert all(30 <= len(shard) <= 70 for shard in shards)
    # written down once: another release must not move a tenant to another shard
    assert [m.name for m in shards[0]][:5] == ["t0", "t2", "t15", "t17", "t18"]
    assert take_shard(members, None) == members


# --------------------------------------------------------------------------- settings


def test_a_fleet_is_listed_in_one_place_and_shares_no_url_or_ledger(project):
    for text, words in (
        ('fleet-file = "a"\nfleet-plugin = true', "has fleet-file and fleet-plugin"),
        ('fleet-file = "a"\nurl = "sqlite:///a.db"', "has fleet-file and url"),
        ('fleet-file = "a"\nstate = "sqlite:///s.db"', "has fleet-file and state"),
    ):
        with pytest.raises(CiMigrateError, match=words):
            fleet(project, text)
    with pytest.raises(CiMigrateError, match=r"dry-run \(.*\) is off: then not even the canary is rehearsed"):
        fleet(project, 'fleet-file = "a"\nfleet-dry-run = "canary"\ndry-run = "off"')
    with pytest.raises(CiMigrateError, match="has fleet-file and url"):
        fleet(project, 'fleet-file = "a"', {"CI_MIGRATE_URL": "sqlite:///a.db"})


def test_a_fleet_named_production_is_production_in_each_of_its_databases(project):
    project.settings('[targets.production]\nfleet-file = "tenants.txt"\n')
    project.write("tenants.txt", "acme sqlite:///a.db\n")
    url = read_members(load(project.folder, {}, {"target": "production"}))[0].url
    one = load(project.folder, {}, {"target": "production/acme"}, url)
    assert one.production_reason == "the target is named production"
    assert one.needs_approval("migrate")


def test_what_a_database_is_called_in_the_list_makes_it_no_production(project):
    listed(project, "production sqlite:///a.db")
    url = Secret("sqlite:///a.db")
    named = load(project.folder, project.environment(), {"target": "tenants/production"}, url)
    assert named.production_reason == ""


def test_without_its_url_a_database_of_a_fleet_is_refused_not_asked_of_env_py(project):
    listed(project, "acme sqlite:///a.db")
    with pytest.raises(CiMigrateError, match="its URL was not looked up"):
        load(project.folder, {}, {"target": "tenants/acme"})
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    with pytest.raises(CiMigrateError, match="Target dev is no fleet, so there is no dev/acme"):
        load(project.folder, {}, {"target": "dev/acme"})


def test_each_has_its_own_place_for_backups_and_its_name_in_x(project):
    project.write("tenants.txt", "a/b sqlite:///1.db\na_b sqlite:///2.db\n")
    settings = fleet(project, 'fleet-file = "tenants.txt"\nx = ["tenant={name}"]')
    first, second = (
        load(project.folder, {}, {"target": f"tenants/{m.name}"}, m.url) for m in read_members(settings)
    )
    assert first.x == ("tenant=a/b",)
    assert first.backup_dir != second.backup_dir
    assert first.backup_dir.startswith(str(project.folder / ".ci-migrate/backups/tenants_a_b-"))


def test_commands_take_one_database_of_a_fleet_and_refuse_the_whole(project):
    listed(project, "acme sqlite:///a.db\nglobex sqlite:///b.db")
    ended(project.call("run", "--target", "tenants/acme"), 0, "The database is migrated: now at r2.")
    assert (project.folder / "a.db").exists()
    assert not (project.folder / "b.db").exists()
    assert not project.database.exists()
    words = ("Target tenants is a fleet of many databases", "--target tenants/NAME")
    ended(project.call("run", "--target", "tenants"), 2, *words)
    ended(project.call("status", "--target", "tenants"), 2, *words)
    ended(project.call("status", "--target", "tenants/nobody"), 2, "has no database 'nobody'")
    assert not project.database.exists()


def test_env_py_finds_the_url_in_the_variable_that_is_named(project):
    """Also where the fleet's catalog is what that variable named before."""
    project.write(
        "migrations/env.py",
        (project.folder / "migrations/env.py").read_text().replace("DATABASE_URL", "TENANT_URL"),
    )
    project.write("alembic.ini", (project.folder / "alembic.ini").read_text().replace("app.db", "other.db"))
    project.settings('[targets.tenants]\nfleet-file = "tenants.txt"\nfleet-variable = "TENANT_URL"\n')
    project.write("tenants.txt", "acme sqlite:///a.db\n")
    done = project.call(
        "run", "--target", "tenants/acme", env={"TENANT_URL": f"sqlite:///{project.folder}/catalog.db"}
    )
    ended(done, 0, "The database is migrated: now at r2.")
    assert (project.folder / "a.db").exists()
    assert not (project.folder / "catalog.db").exists()
