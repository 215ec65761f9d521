"""`scratch = "embedded"` by the wheel's programs, and what else rehearses: `squash`."""

import psycopg
import pytest
from physical_shop import Shop, made_in
from squash_project import write_history

from ci_migrate.databases.postgresql.tools import find_tool


def test_the_wheel_will_do_where_no_server_is_installed(wheel, alembic_project, start_postgresql_of):
    major = find_tool("postgres", at_least=1, like=0, folder=str(wheel)).major
    found = find_tool("postgres", at_least=major, like=major, folder=None)
    if found.path.parent != wheel:
        pytest.skip(f"a server of PostgreSQL {major} is installed: {found.path}")
    with start_postgresql_of(wheel) as server:
        shop = Shop(alembic_project, made_in(server))
        shop.project.settings('[targets.dev]\nurl = "env:SHOP"\nscratch = "embedded"\n')
        shop.project.revision(
            "r2",
            "r1",
            "open('seen.txt', 'a').write(os.environ['CI_MIGRATE_STAGE'] + ' '"
            " + op.get_bind().exec_driver_sql('show cluster_name').scalar() + '\\n')",
            "pass",
            extra="import os",
        )
        done = shop.run("run", code=0)
        assert done.stage("dry-run")["evidence"]["proven"] is True
        seen = (shop.project.folder / "seen.txt").read_text().splitlines()
        assert set(seen) == {"dry-run ci-migrate", "migrate "}


@pytest.mark.parametrize("scratch", ["embedded", "server"])
def test_squash_needs_no_room_on_the_targets_server(
    alembic_project, postgresql_server, postgresql_url, scratch
):
    """The role may make no databases there."""
    admin = postgresql_server.admin_url.render_as_string(hide_password=False)
    project = alembic_project
    for path in (project.folder / "migrations" / "versions").glob("*.py"):
        path.unlink()
    write_history(project, "postgresql")
    project.settings(f'[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "{scratch}"\n')
    url = postgresql_url.set(drivername="postgresql+psycopg", username="squash_app", password="x")
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE squash_app LOGIN PASSWORD 'x'")
        connection.execute(f"ALTER DATABASE {postgresql_url.database} OWNER TO squash_app")
        try:
            done = project.run("squash", "--to", "r6")
            if scratch == "server":
                assert (done.code, "CREATEDB" in done.text) == (8, True), done.text
            else:
                assert done.code == 0, done.text
                assert "2 later revisions ran on top of both, and led to the same" in done.out
        finally:
            connection.execute(f"ALTER DATABASE {postgresql_url.database} OWNER TO postgres")
            connection.execute(f"DROP DATABASE {postgresql_url.database} WITH (FORCE)")
            connection.execute("DROP ROLE squash_app")
