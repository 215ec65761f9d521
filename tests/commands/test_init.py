"""`ci-migrate init`: writes settings and a CI file; what is there stays."""


def test_files_are_written_once(alembic_project):
    (alembic_project.folder / "ci-migrate.toml").unlink()
    done = alembic_project.call("init", "--platform", "gitlab")
    assert done.code == 0, done.text
    written = [line.split()[1].rstrip(":") for line in done.out.splitlines() if line.startswith("written")]
    assert ".gitlab-ci.yml" in written
    assert all((alembic_project.folder / name).is_file() for name in written)
    assert "ci-migrate plan --target dev" in done.err
    again = alembic_project.call("init", "--platform", "gitlab")
    assert again.code == 0, again.text
    assert "written " not in again.out
    assert "left " in again.out


def test_print_writes_nothing(alembic_project):
    before = sorted(p for p in alembic_project.folder.rglob("*"))
    done = alembic_project.call("init", "--platform", "github", "--print")
    assert done.code == 0, done.text
    assert "# --- .github/workflows/" in done.out
    assert sorted(p for p in alembic_project.folder.rglob("*")) == before
