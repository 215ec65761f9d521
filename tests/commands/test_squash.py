"""`ci-migrate squash`: what it shows and writes, and what it refuses. On SQLite; tests/operations has all engines."""

import json
import shutil
import signal
import subprocess
import time

import pytest
from alembic_project import AlembicProject, ended, new_project
from squash_project import write_history

from ci_migrate.errors import RefusedError
from ci_migrate.operations import squash_files
from ci_migrate.operations.squash_files import Change, finish_change, write_change


def git(project, *arguments) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=project.folder, check=True, capture_output=True)


@pytest.fixture
def shop(tmp_path) -> AlembicProject:
    """The history, in git."""
    project = new_project(tmp_path / "project", revisions=False)
    write_history(project, "sqlite")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    project.write(".gitignore", "*.db*\n__pycache__/\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "history")
    return project


def scripts(project) -> dict[str, str]:
    folder = project.folder / "migrations" / "versions"
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}


def test_it_shows_and_changes_nothing(shop) -> None:
    before = scripts(shop)
    out = ended(shop.run("squash", "--to", "r6"), 0, "Proved on SQLite", "6 revisions (base -> r6)")
    assert "would be written  migrations/versions/r6.py" in out
    assert "would be removed  migrations/versions/r5.py" in out
    assert "r7.py" not in out
    found = json.loads(shop.call("squash", "--to", "r6", "--json").out)
    assert (found["revision"], found["later"], found["written"]) == ("r6", 2, False)
    compile(found["text"], "r6.py", "exec")
    assert "Baseline: 6 revisions from r1 to r6 in one." in found["text"]
    assert found["gone"] == [f"migrations/versions/r{n}.py" for n in range(1, 6)]
    assert scripts(shop) == before
    assert not shop.database.exists()


def test_the_gate_takes_a_baseline_for_what_it_is(shop) -> None:
    """A ledger that knows r6 by its old text, a branch that removes scripts, and a database that is at one of them."""
    assert shop.gate("run", "r6").exit_code == 0
    git(shop, "switch", "-qc", "squashed")
    ended(shop.call("squash", "--to", "r6", "--write"), 0, "written migrations/versions/r6.py")
    assert list(scripts(shop)) == ["r6.py", "r7.py", "r8.py"]
    checked = shop.call("check")
    ended(checked, 0, "2 revisions to run: r6 -> r8")
    (finding,) = [f for s in checked.report["results"] for f in s["findings"] if f["code"] == "CM102"]
    assert finding["acknowledged"] == "its file says that it is a baseline, in the place of 6 revisions"
    ended(shop.call("check", "--since", "main"), 0)
    assert shop.gate("run").exit_code == 0
    assert shop.heads == ["r8"]
    shop.put_version_rows("r3")
    ended(shop.call("status"), 1, "is at revision r3, which was squashed into r6")
    ended(shop.call("check"), 1, "is at revision r3, which was squashed into r6", "(git has them)")
    edited = scripts(shop)["r7.py"].replace("'x'", "'y'")
    shop.write("migrations/versions/r7.py", edited)
    ended(shop.call("check", "--since", "main"), 1, "r7.py does something else than in main")


def test_a_fresh_database_goes_through_the_gate(shop) -> None:
    assert shop.call("squash", "--to", "r6", "--write").code == 0
    done = shop.call("run")
    ended(done, 0)
    assert shop.heads == ["r8"]
    assert shop.sql("select id, name from users order by id") == [(1, "ana"), (2, "bo")]


def test_a_branch_in_the_middle(shop) -> None:
    shop.revision("side", "r3", "create table side (id integer)")
    shop.revision("other", "r8", "create table other (id integer)", extra='depends_on = "r2"')
    ended(
        shop.call("squash", "--to", "r6"),
        1,
        "Revisions that stay build on revisions that would go:",
        "side on r3",
        "other on r2",
    )


def test_a_merge_and_labels_inside(shop) -> None:
    shop.revision("side", "r3", "create table side (id integer)", extra='branch_labels = [LABEL := "aside"]')
    shop.revision("both", ("r8", "side"), "pass")
    shop.revision("next", "both", "create table next (id integer)", extra='branch_labels = "ahead"')
    git(shop, "add", "-A")
    git(shop, "commit", "-qm", "more")
    ended(shop.call("squash", "--to", "both", "--write"), 0, "10 revisions (base -> both)")
    assert list(scripts(shop)) == ["both.py", "next.py"]
    assert "branch_labels = ('aside',)" in scripts(shop)["both.py"]
    ended(shop.call("run", "aside@head"), 0)
    assert shop.heads == ["next"]


def test_what_makes_no_sense(shop) -> None:
    ended(shop.call("squash", "--to", "r1"), 1, "nothing to squash: from base to r1 it is one revision")
    ended(shop.call("squash", "--to", "nowhere"), 1, "nowhere")
    ended(shop.call("squash"), 2)
    ended(shop.call("squash", "--to", "r6", "--print", "--write"), 2, "leave --write and --json out")
    shop.write(
        "migrations/versions/r7.py",
        scripts(shop)["r7.py"] + "\nif not revision:\n    from r2 import upgrade\n",
    )
    ended(shop.call("squash", "--to", "r6"), 1, "r7.py imports a script that would go")


def test_too_many_rows(shop) -> None:
    rows = ", ".join(f"({n})" for n in range(1001))
    shop.revision("r9", "r8", f"create table many (n integer); insert into many values {rows}")
    ended(
        shop.call("squash", "--to", "r9"),
        1,
        "put 1,005 rows into tables",
        "at most 1,000: many (1,001), users (2)",
    )


def test_the_version_table_is_compared_too(shop) -> None:
    shop.revision("r9", "r8", "alter table alembic_version add column note text")
    ended(shop.call("squash", "--to", "r9"), 1, "does not lead to what", "column alembic_version.note")


def test_a_revision_that_fails(shop) -> None:
    shop.revision("r9", "r8", "insert into nowhere values (1)")
    ended(shop.call("squash", "--to", "r9"), 1, "do not run on an empty database in r9", "no such table")
    ended(shop.call("squash", "--to", "r6"), 1, "Later revisions do not run on top of it in r9")


def test_later_revisions_that_do_not_do_the_same_twice_are_named(shop) -> None:
    shop.revision(
        "r9", "r8", "create table t (at text); insert into t values (strftime('%f', 'now') || random())"
    )
    ended(
        shop.call("squash", "--to", "r6"),
        0,
        "not compared: table t: later revisions do not do the same twice",
    )


def test_git_must_have_what_goes(shop) -> None:
    shop.write("migrations/versions/r2.py", scripts(shop)["r2.py"] + "\n# more\n")
    shop.revision("r9", "r8", "create table more (id integer)")
    before = scripts(shop)
    ended(
        shop.call("squash", "--to", "r9", "--write"),
        1,
        "git does not have all of them as they are: migrations/versions/r2.py, migrations/versions/r9.py",
    )
    shutil.rmtree(shop.folder / ".git")
    ended(shop.call("squash", "--to", "r9", "--write"), 1, "git could not be asked")
    assert scripts(shop) == before


def test_another_engine_refuses_the_baseline(shop) -> None:
    assert shop.call("squash", "--to", "r6", "--write").code == 0
    text = scripts(shop)["r6.py"].replace("('sqlite',)", "('oracle',)")
    shop.write("migrations/versions/r6.py", text)
    ended(shop.call("run"), 1, "this baseline is for SQLite alone, and this is another database")


@pytest.mark.parametrize("at", [1, 2, 4])
def test_killed_while_it_writes(shop, monkeypatch, at) -> None:
    """The next squash finishes it."""
    before = scripts(shop)
    change = Change(file="migrations/versions/r6.py", text="# new\n", gone=("migrations/versions/r1.py",))
    change = Change(
        file=change.file, text=change.text, gone=tuple(f"migrations/versions/r{n}.py" for n in (1, 2, 3))
    )
    calls = []
    unlink = type(shop.folder).unlink

    def killed(path, **keywords):
        calls.append(path)
        if len(calls) == at:
            raise SystemExit(9)
        unlink(path, **keywords)

    monkeypatch.setattr(type(shop.folder), "unlink", killed)
    with pytest.raises(SystemExit):
        write_change(shop.folder, change)
    monkeypatch.undo()
    assert (shop.folder / squash_files.NOTE).exists()
    said = []
    finish_change(shop.folder, said.append)
    assert said == ["finished what an earlier squash had begun: migrations/versions/r6.py"]
    assert scripts(shop) == {
        **{name: text for name, text in before.items() if name not in ("r1.py", "r2.py", "r3.py")},
        "r6.py": "# new\n",
    }
    assert not (shop.folder / squash_files.NOTE).exists()
    finish_change(shop.folder, said.append)
    assert len(said) == 1


def test_a_note_that_is_not_ours(shop) -> None:
    note = shop.write(squash_files.NOTE, '{"file": "../../x.py", "text": "", "gone": []}')
    with pytest.raises(RefusedError, match="names files outside of the project"):
        finish_change(shop.folder, print)
    note.write_text("{")
    ended(
        shop.call("squash", "--to", "r6"), 1, "of an earlier squash can't be read", f"rm {squash_files.NOTE}"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_while_it_proves(shop, number) -> None:
    """The project's files are as they were."""
    shop.revision(
        "r9",
        "r8",
        f"import time, pathlib\npathlib.Path({str(shop.folder / 'now')!r}).touch()\ntime.sleep(20)",
    )
    before = scripts(shop)
    done = shop.interrupted(
        "squash", "--to", "r9", "--write", when=(shop.folder / "now").exists, number=number
    )
    assert done.code in (143, -9), done.text
    assert scripts(shop) == before
    assert not (shop.folder / squash_files.NOTE).exists()
    time.sleep(0.1)


def test_a_baseline_is_squashed_again(shop) -> None:
    assert shop.call("squash", "--to", "r3", "--write").code == 0
    git(shop, "commit", "-qam", "first")
    ended(shop.call("squash", "--to", "r6", "--write"), 0, "4 revisions (base -> r6)")
    assert "'r1', 'r2', 'r3', 'r4', 'r5', 'r6'," in scripts(shop)["r6.py"]


def test_checkpoints_of_backfills_and_the_head_of_the_file(shop) -> None:
    """The checkpoint belongs to the run that was; what stands in the file's head belongs to the database."""
    shop.revision(
        "r9",
        "r8",
        """
        from ci_migrate.backfill import backfill
        op.execute("pragma user_version = 12")
        with op.get_context().autocommit_block():
            backfill(op.get_bind(), "notes", "UPDATE users SET note = 'x' WHERE {batch}", table="users")
        """,
        "from ci_migrate.backfill import forget_backfill\nforget_backfill(op.get_bind(), 'notes')",
    )
    printed = shop.call("squash", "--to", "r9", "--print")
    ended(printed, 0, "PRAGMA user_version = 12", "'x'")
    assert "ci_migrate_backfills" not in printed.out
