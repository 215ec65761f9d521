"""Whom approvals are trusted from: CI_MIGRATE_TRUST, and who is asking."""

import os
from pathlib import Path

import pytest

from ci_migrate.approval.trust import trust_lines
from ci_migrate.errors import NotApprovedError

LINE = "ana@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8ZVjQXn2GEPTpTUeVKy0gQEHxEGSBBUHpHHDKTCbyn"


@pytest.fixture
def project(tmp_path) -> Path:
    """A repository; the project is a folder in it."""
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "service").mkdir()
    return tmp_path / "repository" / "service"


@pytest.fixture
def outside(tmp_path) -> Path:
    (tmp_path / "trust").mkdir(mode=0o755)
    file = tmp_path / "trust" / "approvers"
    file.write_text(f"# who may approve\n\n{LINE}\n")
    file.chmod(0o644)
    return file


def lines(value: object, project: Path, **environ: str) -> tuple[str, ...]:
    return trust_lines({"CI_MIGRATE_TRUST": str(value), **environ}, project)


def refused(value: object, project: Path, words: str, **environ: str) -> None:
    with pytest.raises(NotApprovedError, match=words):
        lines(value, project, **environ)


def test_lines_in_the_variable_or_in_a_file(project, outside):
    assert lines("", project) == ()
    assert lines(f"\n{LINE}\n# more\n{LINE} \n", project) == (LINE, LINE)
    assert lines(outside, project) == (LINE,)


def test_T10_a_file_in_the_working_tree(project, outside):
    for folder in (project, project.parent):  # the repository is more than the project
        file = folder / "approvers"
        file.write_text(LINE)
        refused(file, project, "working tree")
        refused(f"{outside.parent}/../repository/{file.relative_to(project.parent)}", project, "working tree")
    refused("approvers", project, "neither lines of approvers nor an absolute path")
    refused(outside, project, "working tree", GITHUB_WORKSPACE=str(outside.parent))


def test_T10_a_link(project, outside, tmp_path):
    into = outside.parent / "link"
    into.symlink_to(project / "approvers")
    (project / "approvers").write_text(LINE)
    refused(into, project, "working tree")
    # a link that lies in the tree may be pointed elsewhere by whoever writes the tree
    through = project / "way"
    through.symlink_to(outside.parent)
    refused(through / "approvers", project, "working tree")
    chain = tmp_path / "chain"
    chain.symlink_to(through)
    refused(chain / "approvers", project, "working tree")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop, project, "links")


def test_T10_a_file_or_folder_that_others_may_write(project, outside):
    for mode in (0o664, 0o646):
        outside.chmod(mode)
        refused(outside, project, "writable by other users")
    outside.chmod(0o600)
    outside.parent.chmod(0o777)
    refused(outside, project, "trust is writable by other users")
    outside.parent.chmod(0o1777)  # in /tmp nobody can replace what is another's
    assert lines(outside, project) == (LINE,)


def test_T10_another_users_file(project, outside):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(outside, 12345, 12345)
    refused(outside, project, "another user")


def test_links_as_kubernetes_makes_them_are_fine(project, tmp_path):
    mount = tmp_path / "secret"
    (mount / "..2026_01_31").mkdir(parents=True)
    (mount / "..2026_01_31" / "approvers").write_text(LINE)
    (mount / "..data").symlink_to("..2026_01_31")
    (mount / "approvers").symlink_to("..data/approvers")
    mount.chmod(0o1777)
    assert lines(mount / "approvers", project) == (LINE,)


def test_a_file_that_cannot_be_read(project, outside):
    refused(outside.parent / "gone", project, "No such file")
    outside.write_bytes(b"\xff\xfe")
    refused(outside, project, "no text")


@pytest.mark.parametrize("text", ["", "\n", "# nobody yet\n"])
def test_F27_a_file_that_names_nobody_is_not_the_same_as_none(project, outside, text):
    outside.write_text(text)
    refused(outside, project, "names no approver")


def test_F27_lines_that_name_nobody_in_the_variable(project):
    refused("# ana is on holiday", project, "names no approver")
    assert lines("", project) == ()


def test_F27_a_file_that_is_cut_loses_nobody_in_silence(project, outside):
    outside.write_text(f"{LINE}\n" * 3000)
    refused(outside, project, "longer than")
