"""`check --since`: by git alone."""

import subprocess

import pytest

from ci_migrate.operations import check_since

AUTHOR = ("-c", "user.name=ana", "-c", "user.email=ana@example.com")


@pytest.fixture
def shop(alembic_project):
    """A project in a folder of a repository; its database can't be reached, and env.py must not be run."""
    alembic_project.settings('[targets.dev]\nurl = "postgresql://nobody@127.0.0.1:1/shop"\n')
    (alembic_project.folder / "migrations" / "env.py").write_text("raise RuntimeError('env.py was run')")
    alembic_project.revision("r1", None, "CREATE TABLE users (id INTEGER)", "DROP TABLE users")
    alembic_project.revision("r2", "r1", "CREATE TABLE items (id INTEGER)", "DROP TABLE items")
    git(alembic_project, "init", "-q", "-b", "main", str(alembic_project.folder.parent))
    commit(alembic_project)
    git(alembic_project, "switch", "-q", "-c", "feature")
    return alembic_project


def git(shop, *arguments: str) -> None:
    subprocess.run(["git", *AUTHOR, *arguments], cwd=shop.folder, check=True, capture_output=True)


def commit(shop) -> None:
    git(shop, "add", ".")
    git(shop, "commit", "-q", "-m", "more")


def test_what_a_branch_adds(shop) -> None:
    nothing = shop.call("check", "--since", "main")
    assert nothing.code == 0, nothing.text
    assert "0 revisions are new since main" in nothing.out
    shop.revision("r3", "r2", "CREATE TABLE notes (id INTEGER)", "DROP TABLE notes")
    commit(shop)
    shop.revision("r4", "r3", "CREATE TABLE tags (id INTEGER)")  # not committed yet
    done = shop.call("check", "--since", "main")
    assert done.code == 0, done.text
    assert "2 revisions are new since main" in done.out
    assert "r2 -> r4" in done.out
    assert done.out.rstrip().endswith("No database was reached.")
    assert [r["id"] for r in done.report["results"][0]["plan"]["revisions"]] == ["r3", "r4"]
    assert done.codes() == {"CM401"}
    assert not list(shop.folder.glob("app.db.ci-migrate"))


def test_no_program_is_asked_for_the_url(shop) -> None:
    """A pull request gets no secrets, and no database is reached: the scripts' own words tell the engine."""
    (shop.folder / "secret").write_text("#!/bin/sh\ntouch asked\necho sqlite:///app.db\n")
    (shop.folder / "secret").chmod(0o700)
    shop.settings('[targets.dev]\nurl = "command:./secret"\n')
    shop.revision("r3", "r2", "CREATE TABLE notes (id INTEGER)", "DROP TABLE notes")
    done = shop.call("check", "--since", "main")
    assert done.code == 0, done.text
    assert not (shop.folder / "asked").exists()


def test_what_main_went_on_with_is_not_ours(shop) -> None:
    shop.revision("r3", "r2", "CREATE TABLE notes (id INTEGER)", "DROP TABLE notes")
    commit(shop)
    git(shop, "switch", "-q", "main")
    shop.revision("m3", "r2", "CREATE TABLE theirs (id INTEGER)", "DROP TABLE theirs")
    commit(shop)
    git(shop, "switch", "-q", "feature")
    assert "1 revision is new" in shop.call("check", "--since", "main").out
    git(shop, "merge", "-q", "--no-edit", "main")
    two = shop.call("check", "--since", "main")
    assert two.code == 1
    assert "CM101" in two.out
    assert "alembic merge heads" in " ".join(two.out.split())


def test_history_is_not_rewritten(shop) -> None:
    versions = shop.folder / "migrations" / "versions"
    (versions / "r1.py").rename(versions / "r1_users.py")
    moved = shop.call("check", "--since", "main")
    assert moved.code == 0, moved.text
    assert "0 revisions" in moved.out
    shop.revision("r2", "r1", "CREATE TABLE things (id INTEGER)", "DROP TABLE things")
    edited = shop.call("check", "--since", "main")
    assert edited.code == 1
    assert "CM102" in edited.out
    assert "migrations/versions/r2.py does something else than in main" in " ".join(edited.out.split())
    assert shop.call("check", "--since", "main", "--allow", "CM102@r2=a comment").code == 0


def test_what_git_does_not_know(shop, tmp_path) -> None:
    unknown = shop.call("check", "--since", "origin/main")
    assert unknown.code == 2
    assert "git fetch origin main" in unknown.out
    option = shop.call("check", "--since", "--help-all")
    assert option.code == 2
    both = shop.call("check", "--since", "main", "--to", "r2")
    assert both.code == 2
    subprocess.run(["rm", "-rf", str(shop.folder.parent / ".git")], check=True)
    outside = shop.call("check", "--since", "main")
    assert outside.code == 2
    assert "needs a git repository" in outside.out


def test_a_history_longer_than_one_call(shop) -> None:
    for number in range(3, 130):
        shop.revision(f"r{number}", f"r{number - 1}", "UPDATE users SET id = id", "UPDATE users SET id = id")
    commit(shop)
    git(shop, "branch", "-f", "main")
    shop.revision("r130", "r129", "UPDATE users SET id = id", "UPDATE users SET id = id")
    assert "1 revision is new since main" in shop.call("check", "--since", "main").out


def test_F90_a_long_history_is_seen_whole(shop) -> None:
    """What git prints of 1,500 files is more than 64 KiB."""
    versions = shop.folder / "migrations" / "versions"
    for n in range(1500):
        (versions / f"2026_01_01_{n:04}_a_revision_whose_name_says_what_it_does.py").write_text(f"# {n}")
    commit(shop)
    root = shop.folder.parent
    folder = versions.relative_to(root).as_posix()
    then = check_since._tree(root, "HEAD", [folder])
    assert len(then) == 1502
    assert check_since._hashes(root, list(then)) == then


@pytest.mark.parametrize("way", ["renamed", "moved"])
def test_a_script_that_is_renamed_and_edited_is_not_a_new_one(shop, way) -> None:
    """Neither its name nor its text is that of before, and yet databases ran it under this id."""
    versions = shop.folder / "migrations" / "versions"
    shop.revision("r2", "r1", "CREATE TABLE things (id INTEGER)", "DROP TABLE things")
    place = versions / ("r2_things.py" if way == "renamed" else "2026/r2.py")
    place.parent.mkdir(exist_ok=True)
    (versions / "r2.py").rename(place)
    if way == "moved":
        ini = shop.folder / "alembic.ini"
        ini.write_text(ini.read_text().replace("[alembic]", "[alembic]\nrecursive_version_locations = true"))
    done = shop.call("check", "--since", "main")
    assert done.code == 1, done.text
    assert done.codes() == {"CM102"}
    assert f"{place.relative_to(shop.folder).as_posix()} does something else than in main" in done.words


def test_a_script_that_is_gone(shop) -> None:
    """The databases that ran it are at a revision that nobody knows."""
    (shop.folder / "migrations" / "versions" / "r2.py").unlink()
    done = shop.call("check", "--since", "main")
    assert done.code == 1, done.text
    assert "Revision r2 of main is gone (project/migrations/versions/r2.py)" in done.words
    assert "0 revisions" not in done.out
    assert shop.call("check", "--since", "main", "--allow", "CM102@r2=never released").code == 0


def test_one_that_a_branch_added_and_took_away_again_was_never_there(shop) -> None:
    shop.revision("r3", "r2", "CREATE TABLE notes (id INTEGER)", "DROP TABLE notes")
    commit(shop)
    (shop.folder / "migrations" / "versions" / "r3.py").unlink()
    commit(shop)
    done = shop.call("check", "--since", "main")
    assert done.code == 0, done.text
    assert "0 revisions are new" in done.out


def test_a_module_that_scripts_import_is_no_revision(shop) -> None:
    helper = shop.folder / "migrations" / "versions" / "helper.py"
    helper.write_text("def revision():\n    return 'revision = 3'\n")
    commit(shop)
    git(shop, "branch", "-f", "main")
    helper.unlink()
    assert shop.call("check", "--since", "main").code == 0


@pytest.mark.parametrize("name", ["r3 größe", "r3'quoted\"", "r3\ttab", "-r3"])
def test_files_with_odd_names(shop, name) -> None:
    path = shop.revision("r3", "r2", "CREATE TABLE notes (id INTEGER)", "DROP TABLE notes")
    path.rename(path.with_name(f"{name}.py"))
    commit(shop)
    assert "1 revision is new since main" in shop.call("check", "--since", "main").out
    git(shop, "branch", "-f", "main")
    path.with_name(f"{name}.py").write_text(path.with_name(f"{name}.py").read_text() + "more = 1\n")
    edited = shop.call("check", "--since", "main")
    assert (edited.code, edited.codes()) == (1, {"CM102"}), edited.text


@pytest.mark.parametrize("ref", ["HEAD", "main", "HEAD~0", "@"])
def test_names_of_a_commit(shop, ref) -> None:
    assert f"0 revisions are new since {ref}" in shop.call("check", "--since", ref).out


@pytest.mark.parametrize("ref", ["", " ", "nowhere", "--output=x", "main:", "$(touch x)"])
def test_names_of_none(shop, ref) -> None:
    done = shop.call("check", f"--since={ref}")
    assert done.code == 2, done.text
    assert "git knows no commit that it and this branch have in common." in done.words
    assert not (shop.folder / "x").exists()


def test_a_history_without_a_common_commit(shop) -> None:
    """As a clone with `fetch-depth: 1` has it."""
    git(shop, "switch", "-q", "--orphan", "alone")
    git(shop, "commit", "-q", "--allow-empty", "-m", "alone")
    git(shop, "checkout", "-q", "main", "--", ".")
    done = shop.call("check", "--since", "main")
    assert done.code == 2, done.text
    assert "fetch-depth: 0" in done.words
