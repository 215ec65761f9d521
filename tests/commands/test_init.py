"""`ci-migrate init`: writes settings and a CI file; what is there stays."""

import pytest
import yaml
from alembic_project import ended, new_project

from ci_migrate.operations.init import BEGIN, END


def test_files_are_written_once(alembic_project):
    (alembic_project.folder / "ci-migrate.toml").unlink()
    done = alembic_project.call("init", "--platform", "gitlab")
    assert done.code == 0, done.text
    written = [line.split()[1].rstrip(":") for line in done.out.splitlines() if line.startswith("written")]
    assert ".gitlab-ci.yml" in written
    assert all((alembic_project.folder / name).is_file() for name in written)
    assert "\nci-migrate plan\n" in done.err
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


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_a_branch_and_a_folder_with_odd_names(tmp_path, platform):
    """`release/1.0` became `1.0`, and `cd my shop` two arguments."""
    git = tmp_path / ".git" / "refs" / "remotes" / "origin"
    git.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/remotes/origin/release/1.0\n")
    project = new_project(tmp_path / "my shop")
    ended(project.call("init", "--platform", platform), 0)
    if platform == "github":
        job = yaml.safe_load((tmp_path / ".github" / "workflows" / "ci-migrate-my-shop.yml").read_text())
        assert job[True]["push"]["branches"] == ["release/1.0"]
        assert job["jobs"]["migrate"]["defaults"]["run"]["working-directory"] == "my shop"
    else:
        job = yaml.safe_load((tmp_path / ".gitlab" / "ci-migrate-my-shop.yml").read_text())[
            ".ci-migrate-my-shop"
        ]
        assert job["before_script"][0] == "cd 'my shop'"


def test_a_gitignore_that_is_no_utf_8_is_added_to(tmp_path):
    project = new_project(tmp_path)
    (tmp_path / ".gitignore").write_bytes(b"caf\xe9.db")
    ended(project.call("init", "--platform", "none"), 0, "written .gitignore")
    lines = (tmp_path / ".gitignore").read_bytes().split(b"\n")
    assert lines[0] == b"caf\xe9.db"
    assert b"*.ci-migrate*" in lines


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    project = new_project(tmp_path)
    (tmp_path / ".github").write_text("a file")
    done = project.call("init", "--platform", "github")
    ended(done, 2, ".github", "Not a directory")
    assert "Traceback" not in done.text


def test_a_platform_that_is_none(alembic_project):
    ended(alembic_project.call("init", "--platform", "pigeons"), 2, "'pigeons' is not one of")


def test_settings_that_can_not_be_read_are_not_written_over(alembic_project):
    alembic_project.settings("[[[")
    ended(alembic_project.call("init", "--platform", "none"), 2, "is no valid TOML")
    assert (alembic_project.folder / "ci-migrate.toml").read_text() == "[[["


# --------------------------------------------------------------------------- AGENTS.md


def agents(project, *arguments: str):
    return project.call("init", "--platform", "none", "--agents", *arguments)


def test_agents_md_has_one_section_that_is_kept_up_to_date(alembic_project):
    file = alembic_project.folder / "AGENTS.md"
    ended(agents(alembic_project), 0, "written AGENTS.md")
    first = file.read_text()
    assert first.startswith(f"{BEGIN}\n\n# Write Alembic revisions")
    assert first.endswith(f"{END}\n")
    assert "description:" not in first, "what a skill's file has at its head"
    # once more: nothing changes
    ended(agents(alembic_project), 0, "left AGENTS.md: its section is up to date")
    assert file.read_text() == first
    # what somebody wrote around it stays, what somebody wrote into it does not
    file.write_text(
        "# Ours\n\nBe kind.\n\n" + first.replace("## The loop", "## Another loop") + "\nAnd this.\n"
    )
    ended(agents(alembic_project), 0, "written AGENTS.md")
    assert file.read_text() == "# Ours\n\nBe kind.\n\n" + first + "\nAnd this.\n"


def test_agents_md_of_somebody_is_added_to(alembic_project):
    file = alembic_project.folder / "AGENTS.md"
    file.write_bytes(b"# Ours\r\n\r\nBe kind.")
    ended(agents(alembic_project), 0, "written AGENTS.md")
    data = file.read_bytes()
    assert data.startswith(b"# Ours\r\n\r\nBe kind.\r\n\r\n" + BEGIN.encode())
    assert b"\n" not in data.replace(b"\r\n", b""), "its ends of lines"
    ended(agents(alembic_project), 0, "up to date")
    assert file.read_bytes() == data


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{END}{BEGIN}{END}"])
def test_markers_that_are_not_a_pair_are_left(alembic_project, text):
    file = alembic_project.folder / "AGENTS.md"
    file.write_text(text)
    ended(agents(alembic_project), 0, "left AGENTS.md: its markers are not one")
    assert file.read_text() == text


def test_agents_md_is_printed_and_compared(alembic_project):
    file = alembic_project.folder / "AGENTS.md"
    assert "# --- AGENTS.md\n" in ended(agents(alembic_project, "--print"), 0)
    assert "+## The loop" in ended(agents(alembic_project, "--diff"), 0)
    assert not file.exists()
    agents(alembic_project)
    assert "AGENTS.md" not in ended(agents(alembic_project, "--diff"), 0)
    ended(alembic_project.call("init", "--platform", "none"), 0)
    assert "AGENTS.md" not in alembic_project.call("init", "--platform", "none").out
