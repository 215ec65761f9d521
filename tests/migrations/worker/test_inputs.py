"""What a child executes and reads, and what it refuses to."""

import hashlib
import importlib.util
import json
import os
import py_compile
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from child_support import plain_request, start_workers

from ci_migrate.migrations import events
from ci_migrate.migrations.requests import ExpectedInputs


@pytest.fixture
def project(alembic_project):
    alembic_project.url = __import__("sqlalchemy").make_url(f"sqlite:///{alembic_project.database}")
    return alembic_project


def revision(project, upgrade, head="", name="r1"):
    """A revision whose upgrade is this Python; `head` stands above it."""
    file = project.folder / "migrations" / "versions" / f"{name}.py"
    body = textwrap.indent(textwrap.dedent(upgrade).strip(), "    ")
    file.write_text(f"from alembic import op\n{head}\nrevision = {name!r}\ndown_revision = None\n\n"
                    f"def upgrade():\n{body}\n\ndef downgrade():\n    pass\n")  # fmt: skip
    return file


def run_child(project, expected=None, environ=None, **more):
    """What it saw, and how it ended."""
    request = plain_request(project, **more)
    inputs = msgspec.structs.replace(expected or ExpectedInputs(), project=str(project.folder))
    request = msgspec.structs.replace(
        request, setup=msgspec.structs.replace(request.setup, inputs=inputs, environ=environ or {})
    )
    with start_workers(project) as workers:
        ended = workers.run(request, lambda _event: None)
    assert isinstance(ended.inputs, events.InputsSeen)
    return ended


def closed(ended):
    """What it saw, and nothing else."""
    return ExpectedInputs(files=ended.inputs.files, distributions=ended.inputs.distributions, closed=True)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def values(project):
    with sqlite3.connect(project.database) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name = 't'")]
        found = [row[0] for row in connection.execute("SELECT v FROM t")] if names else None
    connection.close()
    return found


def forge(source: Path, text: str) -> None:
    """A `.pyc` beside a source that is none of its, with the flag that nobody may compare them."""
    other = source.with_name("other_source.py")
    other.write_text(text)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(
        str(other), cfile=importlib.util.cache_from_source(str(source)), invalidation_mode=mode
    )
    other.unlink()


CREATE = 'op.execute("CREATE TABLE t (v)")\n'


def test_F20_an_unchecked_pyc_beside_a_revision_is_not_what_runs(project):
    file = revision(project, CREATE + 'op.execute("INSERT INTO t VALUES (1)")')
    forge(file, file.read_text().replace("(1)", "(666)"))
    ended = run_child(project)
    assert ended.ok, ended.words
    assert values(project) == [1]
    assert ended.inputs.files["migrations/versions/r1.py"] == sha256(file)
    assert ended.inputs.files["migrations/env.py"] == sha256(project.folder / "migrations" / "env.py")
    assert ended.inputs.files["alembic.ini"] == sha256(project.folder / "alembic.ini")


def test_F20_an_unchecked_pyc_beside_a_helper(project):
    project.write("lib/helper.py", "VALUE = 1\n")
    forge(project.folder / "lib" / "helper.py", "VALUE = 666\n")
    revision(project, CREATE + 'op.execute(f"INSERT INTO t VALUES ({helper.VALUE})")',
             f"import sys\nsys.path.insert(0, {str(project.folder / 'lib')!r})\nimport helper")  # fmt: skip
    ended = run_child(project)
    assert ended.ok, ended.words
    assert values(project) == [1]
    assert "lib/helper.py" in ended.inputs.files


def test_F20_a_helper_and_a_data_file_that_were_edited_stop_it(project):
    helper = project.write("lib/helper.py", "VALUE = 1\n")
    data = project.write("data.json", "[1]")
    revision(project, CREATE + f"""
        import json, sys
        sys.path.insert(0, {str(project.folder / 'lib')!r})
        import helper
        for value in json.load(open({str(data)!r})):
            op.execute(f"INSERT INTO t VALUES ({{value + helper.VALUE}})")
        """.replace("\n        ", "\n"))  # fmt: skip
    first = run_child(project)
    assert first.ok, first.words
    assert {"lib/helper.py", "data.json"} <= first.inputs.files.keys()
    for file in (helper, data):
        project.database.unlink()
        kept = file.read_text()
        file.write_text(kept.replace("1", "2"))
        ended = run_child(project, closed(first))
        name = file.relative_to(project.folder).as_posix()
        assert (ended.failed.kind, ended.failed.message) == (
            "input",
            f"the file {name} was changed since the plan was made",
        )
        assert values(project) is None
        file.write_text(kept)
    assert run_child(project, closed(first)).ok


def test_a_refusal_that_the_project_swallows_stops_it_all_the_same(project):
    data = project.write("data.txt", "1")
    revision(
        project,
        f"""
        try:
            value = open({str(data)!r}).read()
        except Exception:
            value = 666
        op.execute("CREATE TABLE t AS SELECT %s v" % value)
        """,
    )
    first = run_child(project)
    project.database.unlink()
    data.write_text("2")
    ended = run_child(project, closed(first))
    assert ended.failed.kind == "input"
    assert values(project) is None


def test_what_is_new_is_refused_where_the_set_is_closed_and_told_where_it_is_not(project):
    new = project.write("pkg/part/module.py", "VALUE = 1\n")  # a namespace package: no __init__.py
    revision(
        project,
        CREATE
        + """
        import os, sys
        if os.environ.get("STAGE"):
            sys.path.insert(0, os.getcwd())
            import pkg.part.module
        """.replace("\n        ", "\n"),
    )
    first = run_child(project)
    assert first.ok
    project.database.unlink()
    ended = run_child(project, closed(first), {"STAGE": "1"})
    assert (
        ended.failed.message == "the file pkg/part/module.py is new: neither the plan nor its dry run read it"
    )
    assert ended.failed.file.endswith("r1.py")
    project.database.unlink(missing_ok=True)
    known = msgspec.structs.replace(closed(first), closed=False)
    ended = run_child(project, known, {"STAGE": "1"})
    assert ended.ok
    assert ended.inputs.files["pkg/part/module.py"] == sha256(new)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_that_leads_elsewhere_now(project, what):
    for name in ("a", "b"):
        project.write(f"{name}/data.txt", name)
    link = project.folder / "link"
    link.symlink_to("a/data.txt" if what == "file" else "a")
    path = link if what == "file" else link / "data.txt"
    revision(project, CREATE + f"open({str(path)!r}).read()")
    first = run_child(project)
    project.database.unlink()
    link.unlink()
    link.symlink_to("b/data.txt" if what == "file" else "b")
    name = path.relative_to(project.folder).as_posix()
    assert run_child(project, closed(first)).failed.message.startswith(f"the file {name} was changed")


def test_the_ini_file_counts(project):
    revision(project, CREATE)
    first = run_child(project)
    project.database.unlink()
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text() + "# changed\n")
    assert "alembic.ini was changed" in run_child(project, closed(first)).failed.message


def test_an_editable_application_counts_and_what_is_installed_goes_by_its_version(project, tmp_path):
    project.write("site/shop-1.0.dist-info/METADATA", "")
    application = project.write("elsewhere/shop/__init__.py", "VALUE = 1\n")
    env = project.folder / "migrations" / "env.py"
    folders = [str(project.folder / name) for name in ("elsewhere", "site")]
    ini = project.folder / "alembic.ini"
    ini.write_text(
        ini.read_text().replace("[alembic]", f"[alembic]\nprepend_sys_path = {os.pathsep.join(folders)}")
    )
    env.write_text("import shop\n" + env.read_text())
    revision(project, CREATE)
    first = run_child(project)
    assert first.ok, first.words
    assert first.inputs.files["elsewhere/shop/__init__.py"] == sha256(application)
    assert first.inputs.distributions["shop"] == "1.0"
    assert first.inputs.distributions["python"] == sys.version.split()[0]
    assert {"alembic", "sqlalchemy"} <= first.inputs.distributions.keys()
    assert not any("site-packages" in name or "/lib/python" in name for name in first.inputs.files)
    project.database.unlink()
    (project.folder / "site" / "shop-1.0.dist-info").rename(project.folder / "site" / "shop-1.1.dist-info")
    ended = run_child(project, closed(first))
    assert ended.failed.message == "the distribution shop is 1.1 and was 1.0 when the plan was made"


def test_a_project_without_sources(project):
    file = revision(project, CREATE)
    env = project.folder / "migrations" / "env.py"
    for source in (file, env):
        py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
        source.unlink()
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("[alembic]", "[alembic]\nsourceless = true"))
    first = run_child(project)
    assert first.ok, first.words
    assert first.inputs.files["migrations/versions/r1.pyc"] == sha256(file.with_suffix(".pyc"))
    assert first.inputs.files["migrations/env.pyc"] == sha256(env.with_suffix(".pyc"))
    project.database.unlink()
    compiled = file.with_suffix(".pyc")
    file.write_text("revision='r1'\ndown_revision=None\ndef upgrade():\n    raise SystemExit(9)\n")
    py_compile.compile(str(file), cfile=str(compiled))
    file.unlink()
    assert "r1.pyc was changed" in run_child(project, closed(first)).failed.message


def test_scripts_and_archives_that_are_executed_otherwise(project, tmp_path):
    script = project.write("seed.py", "VALUE = 1\n")
    archive = project.folder / "archive.zip"
    import zipfile

    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("zipped.py", "VALUE = 2\n")
    revision(
        project,
        CREATE
        + f"""
        import runpy, sys
        runpy.run_path({str(script)!r})
        exec(compile(open({str(script)!r}).read(), "seed", "exec"))
        sys.path.insert(0, {str(archive)!r})
        import zipped
        """.replace("\n        ", "\n"),
    )
    first = run_child(project)
    assert first.ok, first.words
    assert {"seed.py", "archive.zip"} <= first.inputs.files.keys()


def test_programs_and_the_files_that_they_are_given(project):
    program = project.write("bin/tool", "#!/bin/sh\ncat $1\n")
    program.chmod(0o755)
    project.write("seed.sql", "SELECT 1")
    revision(project, CREATE + 'import subprocess\nsubprocess.run(["bin/tool", "seed.sql"], check=True)')
    first = run_child(project)
    assert first.ok, first.words
    assert {"bin/tool", "seed.sql"} <= first.inputs.files.keys()
    project.database.unlink()
    program.write_text("#!/bin/sh\ntrue\n")
    assert "bin/tool was changed" in run_child(project, closed(first)).failed.message


def test_what_it_makes_itself_and_what_is_the_machines_is_no_input(project, tmp_path):
    revision(
        project,
        CREATE
        + f"""
        import pathlib, subprocess, tempfile
        open("/etc/hosts").read()
        open("/proc/self/status").read()
        open("/dev/null").read()
        folder = pathlib.Path(tempfile.mkdtemp(dir={str(tmp_path)!r}))
        subprocess.run(["sh", "-c", "echo 1 > out"], cwd=folder, check=True)
        (folder / "out").read_text()
        with tempfile.TemporaryFile() as file:
            file.write(b"1")
        made = pathlib.Path({str(project.folder)!r}, "cache.json")
        made.with_suffix(".tmp").write_text("1")
        made.with_suffix(".tmp").rename(made)
        made.read_text()
        with open("app.log", "a+") as log:
            log.write("x")
        """.replace("\n        ", "\n"),
    )
    first = run_child(project)
    assert first.ok, first.words
    scripts = {f"migrations/versions/{name}.py" for name in ("r1", "r2")}
    assert first.inputs.files.keys() == {"alembic.ini", "migrations/env.py", *scripts}
    assert first.inputs.made["cache.json"] == hashlib.sha256(b"1").hexdigest()
    project.database.unlink()
    assert run_child(project, closed(first)).ok


def test_a_file_that_is_changed_while_it_is_in_use(project):
    data = project.write("data.txt", "1")
    revision(
        project,
        CREATE
        + f"""
        import subprocess
        open({str(data)!r}).read()
        subprocess.run(["sh", "-c", "echo 22 > data.txt"], cwd={str(project.folder)!r}, check=True)
        open({str(data)!r}).read()
        """.replace("\n        ", "\n"),
    )
    assert run_child(project).failed.message == "the file data.txt was changed while it was in use"


def test_it_is_the_same_in_an_interpreter_that_really_starts(project):
    """The tests fork theirs from one that runs already; `sitecustomize` runs before anything of ours."""
    project.write("start/sitecustomize.py", "import early\n")
    project.write("start/early.py", "")
    revision(project, CREATE)
    request = plain_request(project)
    request = msgspec.structs.replace(
        request,
        setup=msgspec.structs.replace(request.setup, inputs=ExpectedInputs(project=str(project.folder))),
    )
    worker = Path(__file__).parents[3] / "ci_migrate" / "migrations" / "worker"
    code = f"import sys; sys.path[0] = {str(worker.parents[2])!r}; from ci_migrate.migrations.worker import main; main.take_request(None)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=msgspec.json.encode(request) + b"\n" + b"go\n" * 20,
        capture_output=True,
        check=False,
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "start")},
    )
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    files = next(event["files"] for event in seen if event["event"] == "inputs")
    assert {"start/sitecustomize.py", "start/early.py", "migrations/env.py"} <= files.keys()
