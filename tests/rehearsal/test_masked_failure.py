"""A migration that fails on the target after a masked rehearsal: nobody is blamed for rows that the mask changed."""

import pytest
from alembic_project import AlembicProject, ended

FAILS = (
    'op.execute("UPDATE users SET name = upper(name)")\n'
    "if os.environ['CI_MIGRATE_STAGE'] == 'migrate': raise RuntimeError('half way')"
)


@pytest.mark.parametrize("masked", [False, True])
def test_what_was_rolled_back_is_compared_with_the_backup(
    alembic_project: AlembicProject, masked: bool
) -> None:
    project = alembic_project
    (project.folder / "migrations" / "versions" / "r2.py").unlink()
    project.revision("r1", None, "create table users (id integer primary key, name text)", "drop table users")
    ended(project.call("run"), 0)
    project.sql("insert into users values (1, 'ana'), (2, 'bo')")
    project.write("mask.sql", "update users set name = 'x' || id")
    mask = 'mask = "mask.sql"\n' if masked else ""
    project.settings(f'allow = ["CM603=meant", "CM206=meant"]\n[targets.dev]\n{mask}')
    project.revision("r2", "r1", FAILS, "pass", extra="import os")
    said = ended(project.call("run"), 6)
    assert "somebody else" not in said
    assert "rows of 1 table" in " ".join(said.split())
    assert project.sql("select name from users order by id") == [("ana",), ("bo",)]
