"""What `check --watch` looks at; the command itself: tests/commands/test_check_watch.py."""

from ci_migrate.operations.watch import changed, state_of


def test_scripts_and_settings_are_looked_at_and_what_is_installed_is_not(alembic_project):
    folder = alembic_project.folder
    for name in (
        ".venv/x.py",
        "node_modules/y.py",
        "migrations/__pycache__/z.py",
        "notes.txt",
        "app/models.py",
    ):
        alembic_project.write(name, "")
    names = {path.relative_to(folder).as_posix() for path in state_of(folder)}
    assert names == {
        "alembic.ini", "app/models.py", "ci-migrate.toml",
        "migrations/env.py", "migrations/versions/r1.py", "migrations/versions/r2.py",
    }  # fmt: skip


def test_what_changed(alembic_project):
    before = state_of(alembic_project.folder)
    alembic_project.write("migrations/versions/r2.py", "# other")
    alembic_project.write("migrations/versions/r3.py", "")
    (alembic_project.folder / "migrations/versions/r1.py").unlink()
    found = changed(before, state_of(alembic_project.folder))
    assert [path.name for path in found] == ["r1.py", "r2.py", "r3.py"]
    assert changed(before, before) == []


def test_a_link_that_leads_back_is_not_followed(alembic_project):
    (alembic_project.folder / "migrations" / "again").symlink_to(alembic_project.folder)
    assert len(state_of(alembic_project.folder)) == 5
