"""What people type by habit of Alembic is answered with what to type here."""

import pytest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("upgrade head", "ci-migrate run head"),
        ("upgrade", "ci-migrate run REVISION"),
        ("upgrade -x tenant=a head", "ci-migrate run head"),
        ("downgrade -1", "ci-migrate rollback --to -1"),
        ("downgrade base", "ci-migrate rollback --to base"),
        ("current", "ci-migrate status"),
        ("heads", "ci-migrate status"),
    ],
)
def test_F84_commands_of_alembic(alembic_project, typed, meant):
    done = alembic_project.call(*typed.split())
    assert done.code == 2
    assert f"ci-migrate has no `{typed.split()[0]}`: {meant}\n" in done.err
    assert done.out == ""
    assert not alembic_project.database.exists()


def test_F84_what_the_answer_says_works(migrated):
    assert migrated.call("rollback", "--to", "-1", "--yes").code == 0
    assert migrated.heads == ["r1"]
    assert migrated.call("run", "head").code == 0
    assert migrated.heads == ["r2"]


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_F84_version(alembic_project, flag):
    done = alembic_project.call(flag)
    assert done.code == 0
    assert done.out.startswith("ci-migrate, version ")


def test_a_mistyped_command_names_the_nearest(alembic_project):
    done = alembic_project.call("statsu")
    assert done.code == 2
    assert "Did you mean status?" in done.err
