"""`deployed`: the release that runs now is loaded from its own files, and held against the migrated copy."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest
from alembic_project import INI, AlembicProject

from ci_migrate.model import ReleaseFit, Report

AUTHOR = (
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@x",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "tag.gpgsign=false",
)

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
from shop.models import Base

engine = create_engine(os.environ.get("DATABASE_URL") or context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import declarative_base

Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)
    email = sa.Column(sa.Text)
"""

LATER = MODELS.replace("name = sa.Column", "full_name = sa.Column")
RENAME = "alter table users rename column name to full_name"
RENAME_BACK = "alter table users rename column full_name to name"


class Shop:
    """A service in a git repository; its release v1.0 names `users.name`."""

    def __init__(self, project: AlembicProject) -> None:
        self.project = project
        self.folder = project.folder
        project.write("alembic.ini", INI.replace("[alembic]\n", "[alembic]\nprepend_sys_path = .\n"))
        project.write("migrations/env.py", ENV)
        project.write("shop/__init__.py", "")
        project.write("shop/models.py", MODELS)
        project.write(".gitignore", "app.db\n.ci-migrate\n__pycache__\n")
        project.environ["XDG_CACHE_HOME"] = str(self.folder.parent / "cache")
        self.deployed("v1.0")
        self.git("init", "-q", "-b", "main")
        self.release("v1.0")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *AUTHOR, *arguments], cwd=self.folder, check=True, capture_output=True)

    def release(self, tag: str) -> None:
        self.git("add", "-A")
        date = f"2026-01-01T00:00:{len(self.tags()):02}Z"
        environ = {**os.environ, "GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
        subprocess.run(
            ["git", *AUTHOR, "commit", "-q", "--allow-empty", "-m", tag],
            cwd=self.folder,
            check=True,
            env=environ,
        )
        self.git("tag", tag)

    def tags(self) -> list[str]:
        done = subprocess.run(["git", "tag"], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.split()

    def deployed(self, release: str, more: str = "") -> None:
        self.project.settings(f'deployed = "{release}"\n{more}\n[targets.dev]\nurl = "sqlite:///app.db"\n')

    def rehearse(self, upgrade: str, downgrade: str = "pass", **flags: object) -> Report:
        self.project.revision("r2", "r1", upgrade, downgrade)
        return self.project.gate("dry-run", **flags)


@pytest.fixture
def shop(filled: AlembicProject) -> Shop:
    return Shop(filled)


def fit_of(report: Report) -> ReleaseFit:
    assert report.evidence is not None, report
    assert report.evidence.release is not None
    return report.evidence.release


def findings(report: Report) -> dict[str, str]:
    return {f.code: f.message for f in report.findings if f.code.startswith("CM7")}


def unknown(report: Report) -> tuple[str, str]:
    """What CM705 says, and what to do."""
    assert report.exit_code == 1
    (found,) = [f for f in report.findings if f.code.startswith("CM7")]
    assert found.code == "CM705"
    return found.message, found.fix


def test_its_models_are_those_of_its_own_files_and_not_of_the_checkout(shop: Shop) -> None:
    shop.project.write("shop/models.py", LATER)
    report = shop.rehearse(RENAME, RENAME_BACK)
    assert report.exit_code == 1
    assert findings(report) == {
        "CM701": "Release v1.0 runs until the deploy is through: column users.name is not there."
    }
    (found,) = [f for f in report.findings if f.code == "CM701"]
    assert (found.revision, found.file) == ("r2", "migrations/versions/r2.py")
    assert found.line
    assert fit_of(report).words == "nothing before this revision's own release can run with this"
    assert fit_of(report).floors == {"r2": ""}


def test_a_release_that_does_not_notice(shop: Shop) -> None:
    shop.project.write("shop/models.py", MODELS + "    age = sa.Column(sa.Integer)\n")
    report = shop.rehearse("alter table users add age integer", "alter table users drop column age")
    assert report.exit_code == 0, report
    assert findings(report) == {}
    assert fit_of(report).words == "v1.0 can run with this"


def test_terminal_report_and_junit_say_the_floor_in_one_line(shop: Shop) -> None:
    shop.project.revision(
        "r2", "r1", "alter table users add age integer", "alter table users drop column age"
    )
    done = shop.project.run("dry-run")
    assert "Rollback floor: v1.0 can run with this." in done.words, done.text
    assert done.stage("dry-run")["evidence"]["release"]["floors"] == {"r2": "v1.0"}
    junit = (shop.project.reports / "junit.xml").read_text()
    assert 'name="rollback-floor" value="v1.0 can run with this"' in junit
    assert "rollback floor: v1.0" in junit


def test_somebody_means_it(shop: Shop) -> None:
    report = shop.rehearse(RENAME, RENAME_BACK, allow=["CM701@r2=maintenance window"])
    assert report.exit_code == 0, report
    assert fit_of(report).floor == "", "an acknowledgement makes no release work"


def test_what_was_missing_before_is_no_finding(shop: Shop) -> None:
    shop.project.write("shop/models.py", MODELS + "    never_made = sa.Column(sa.Integer)\n")
    shop.release("v1.1")
    shop.deployed("v1.1")
    report = shop.rehearse("alter table users add age integer", "alter table users drop column age")
    assert findings(report) == {}
    assert fit_of(report).fitting == ("v1.1", "v1.0")


def test_the_repository_is_as_it_was_and_no_folder_is_left(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))

    def state() -> list[str]:
        everything = [*(shop.folder / ".git").rglob("*"), *place.iterdir()]
        return sorted(f"{path} {path.stat().st_mtime_ns if path.is_file() else ''}" for path in everything)

    before = state()
    shop.rehearse(RENAME, RENAME_BACK)
    assert state() == before


def test_a_killed_run_leaves_a_folder_that_the_next_one_removes(shop: Shop) -> None:
    """SIGKILL while env.py of the old release runs."""
    mark = shop.folder.parent / "here"
    slow = f"import pathlib, time\npathlib.Path({str(mark)!r}).write_text(__file__)\ntime.sleep(60)\n"
    shop.project.write("shop/models.py", slow)
    shop.release("v1.1")
    shop.project.write("shop/models.py", LATER)
    shop.deployed("v1.1")
    shop.project.revision("r2", "r1", RENAME, RENAME_BACK)
    child = shop.project.start("dry-run")
    while not (mark.exists() and mark.read_text()):
        assert child.poll() is None, child.communicate()
    child.kill()
    child.wait()
    folder = next(p for p in Path(mark.read_text()).parents if p.name.startswith("ci-migrate-"))
    assert folder.is_dir()
    os.utime(folder, (0, 0))
    shop.deployed("v1.0")
    shop.project.run("dry-run")
    assert not folder.exists()


# --------------------------------------------------------------------------- where the checkout is on sys.path


def test_an_editable_install_of_the_checkout_does_not_stand_in_for_the_release(shop: Shop) -> None:
    """As setuptools and hatch make them: a `.pth` with the folder; and a finder that knows it by heart."""
    python = make_environment(shop.folder.parent / "env")
    site = next((shop.folder.parent / "env").glob("lib/python*/site-packages"))
    (site / "shop.pth").write_text(f"{shop.folder}\n")
    (site / "__editable___shop_finder.py").write_text(FINDER.format(place=shop.folder / "shop"))
    (site / "shop_finder.pth").write_text(
        "import __editable___shop_finder; __editable___shop_finder.install()\n"
    )
    shop.project.write("shop/models.py", LATER)
    shop.deployed("v1.0", f'python = "{python}"')
    assert "CM701" in findings(shop.rehearse(RENAME, RENAME_BACK))


FINDER = """
import sys
from importlib.machinery import PathFinder
from importlib.util import spec_from_file_location

MAPPING = {{"shop": "{place}"}}


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        place = MAPPING.get(name)
        return place and spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])


def install():
    sys.meta_path.insert(0, Finder)
"""


def test_what_comes_from_the_checkout_all_the_same_is_refused(shop: Shop) -> None:
    shop.project.write(
        "shop/__init__.py", f"import sys\nsys.path.insert(0, {str(shop.folder)!r})\nimport more\n"
    )
    shop.project.write("more.py", "")
    shop.git("add", "-A")
    shop.git("rm", "-q", "--cached", "more.py")
    subprocess.run(["git", *AUTHOR, "commit", "-q", "-m", "v1.1"], cwd=shop.folder, check=True)
    shop.git("tag", "v1.1")
    shop.deployed("v1.1")
    message, _ = unknown(shop.rehearse(RENAME, RENAME_BACK))
    assert "the module more was imported from" in message
    assert "which is not that release's" in message


def make_environment(folder: Path) -> Path:
    """An environment that has what this one has: Alembic and SQLAlchemy."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "own.pth").write_text(f"{own}\n")
    return folder / "bin" / "python"


# --------------------------------------------------------------------------- installed releases


def test_a_wheel_and_an_environment(shop: Shop) -> None:
    wheel = shop.folder / "dist" / "shop-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("shop/__init__.py", "")
        archive.writestr("shop/models.py", MODELS)
    make_environment(shop.folder / "old")
    site = next((shop.folder / "old").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    shop.project.write("shop/models.py", LATER)
    shop.project.revision("r2", "r1", RENAME, RENAME_BACK)
    for name in ("dist/shop-1.0-py3-none-any.whl", "old", "old/bin/python"):
        shop.deployed(name)
        message, fix = unknown(shop.project.gate("dry-run"))
        assert message.endswith(f"{name} is installed, and has no env.py to ask for its models.")
        assert 'deployed-models = "shop.models:Base.metadata"' in fix
        shop.deployed(name, 'deployed-models = "shop.models:Base"')
        assert "column users.name is not there" in findings(shop.project.gate("dry-run"))["CM701"], name
    (site / "own.pth").unlink()
    message, fix = unknown(shop.project.gate("dry-run"))
    assert "there is no Alembic in the interpreter" in message
    assert fix.endswith("old/bin/python -m pip install alembic")


def test_a_folder_with_the_project_as_it_was(shop: Shop) -> None:
    old = shop.folder / "previous"
    for name in ("alembic.ini", "migrations/env.py", "shop/__init__.py", "shop/models.py"):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text((shop.folder / name).read_text())
    shop.project.write("shop/models.py", LATER)
    shop.deployed("./previous")
    assert "CM701" in findings(shop.rehearse(RENAME, RENAME_BACK))
    shop.deployed("previous")
    assert "git knows no such commit" in unknown(shop.project.gate("dry-run"))[0]


def test_a_sparse_checkout_has_all_of_the_release(shop: Shop) -> None:
    shop.git("sparse-checkout", "set", "migrations")
    assert not (shop.folder / "shop").exists()
    shop.project.write("shop/models.py", LATER)
    shop.project.write("shop/__init__.py", "")
    assert "CM701" in findings(shop.rehearse(RENAME, RENAME_BACK))


def test_models_by_their_name_instead_of_env_py(shop: Shop) -> None:
    shop.deployed("v1.0", 'deployed-models = "shop.models:Base.metadata"')
    shop.project.write("shop/models.py", LATER)
    assert "CM701" in findings(shop.rehearse(RENAME, RENAME_BACK))


# --------------------------------------------------------------------------- what can't be loaded


def test_a_release_that_needs_what_is_not_installed(shop: Shop) -> None:
    shop.project.write("shop/models.py", "import nowhere_to_be_found\n" + MODELS)
    shop.release("v1.1")
    shop.project.write("shop/models.py", MODELS)
    shop.deployed("v1.1")
    message, fix = unknown(shop.rehearse(RENAME, RENAME_BACK))
    assert "v1.1 can't be loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in message
    assert f"What that release needs is not in {sys.executable}" in fix
    assert tempfile.gettempdir() not in message.replace(sys.executable, "")


def test_a_release_without_models(shop: Shop) -> None:
    shop.project.write("migrations/env.py", ENV.replace("Base.metadata", "None"))
    shop.release("v1.1")
    shop.deployed("v1.1")
    message, fix = unknown(shop.rehearse(RENAME, RENAME_BACK))
    assert message.endswith(
        "v1.1 gives Alembic no models: its env.py has no target_metadata, or one without tables."
    )
    assert 'deployed-models = "shop.models:Base.metadata"' in fix


@pytest.mark.parametrize("name", ["v9.9", "--help", "origin/nothing", "v1.0:shop"])
def test_a_ref_that_git_does_not_know(shop: Shop, name: str) -> None:
    shop.deployed(name)
    message, fix = unknown(shop.rehearse(RENAME, RENAME_BACK))
    assert f"deployed = {name!r}: git knows no such commit here." in message
    assert "git fetch --depth=1 origin tag" in fix


def test_no_repository(shop: Shop) -> None:
    subprocess.run(["rm", "-rf", ".git"], cwd=shop.folder, check=True)
    message, _ = unknown(shop.rehearse(RENAME, RENAME_BACK))
    assert "here is no git repository" in message


def test_nobody_asked(shop: Shop) -> None:
    shop.project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    report = shop.rehearse(RENAME, RENAME_BACK)
    assert report.evidence is not None
    assert report.evidence.release is None
    assert findings(report) == {}


# --------------------------------------------------------------------------- the rollback floor


def with_history(shop: Shop) -> None:
    """v0.9 knows users.nick, which was dropped long ago; v1.1 and v1.2 have the same models as v1.0."""
    shop.git("switch", "-q", "--orphan", "past")
    shop.git("checkout", "-q", "v1.0", "--", ".")
    shop.project.write("shop/models.py", MODELS + "    nick = sa.Column(sa.Text)\n")
    shop.git("tag", "-d", "v1.0")
    shop.release("v0.9")
    shop.project.write("shop/models.py", MODELS)
    for tag in ("v1.0", "v1.1", "v1.2"):
        shop.project.write("notes.txt", tag)
        shop.release(tag)
    shop.deployed("v1.2")


def test_the_floor_is_the_oldest_release_that_still_works(shop: Shop) -> None:
    with_history(shop)
    report = shop.rehearse("alter table users add age integer", "alter table users drop column age")
    fit = fit_of(report)
    assert fit.fitting == ("v1.2", "v1.1", "v1.0")
    assert (fit.floor, fit.words) == ("v1.0", "v1.0 can run with this, and all from there to v1.2")
    shop.deployed("v1.2", 'releases = ["v1.1"]')
    assert fit_of(shop.project.gate("dry-run")).floor == "v1.1"
    shop.deployed("v1.2", "releases = []")
    assert fit_of(shop.project.gate("dry-run")).floor == "v1.2"


def test_the_floor_after_each_revision(shop: Shop) -> None:
    """v1.0 names email; v1.1 does not any more, and runs."""
    shop.project.write("shop/models.py", MODELS.replace("    email = sa.Column(sa.Text)\n", ""))
    shop.release("v1.1")
    shop.deployed("v1.1")
    shop.project.revision(
        "r2", "r1", "alter table users add age integer", "alter table users drop column age"
    )
    shop.project.revision(
        "r3", "r2", "alter table users drop column email", "alter table users add email text"
    )
    shop.project.revision("r4", "r3", RENAME, RENAME_BACK)
    report = shop.project.gate("dry-run", "r4")
    fit = fit_of(report)
    assert fit.floors == {"r2": "v1.0", "r3": "v1.1", "r4": ""}
    assert fit.floor == ""
    assert [f.revision for f in report.findings if f.code == "CM701"] == ["r4"]


def test_older_releases_are_read_once_by_their_tree(shop: Shop) -> None:
    with_history(shop)
    shop.rehearse("alter table users add age integer", "alter table users drop column age")
    kept = list((shop.folder.parent / "cache" / "ci-migrate" / "releases").glob("*.json"))
    assert len(kept) == 3, "v1.1, v1.0 and v0.9; never the deployed one"
    for file in kept:  # as if they had no tables at all
        entries = json.loads(file.read_text())
        file.write_text(json.dumps([{**entry, "tables": []} for entry in entries]))
    assert fit_of(shop.project.gate("dry-run")).floor == "v0.9", "the kept ones were taken"
    for file in kept:
        file.write_text("{")
    assert fit_of(shop.project.gate("dry-run")).floor == "v1.0", "a damaged one is read anew"


def test_a_release_that_can_t_be_loaded_ends_the_way_back(shop: Shop) -> None:
    with_history(shop)
    shop.project.write("shop/models.py", "raise RuntimeError('not in this life')\n")
    shop.release("v1.3")
    shop.project.write("shop/models.py", MODELS)
    shop.release("v1.4")
    shop.deployed("v1.4")
    fit = fit_of(shop.rehearse("alter table users add age integer", "alter table users drop column age"))
    assert fit.floor == "v1.4"
    assert fit.ended.startswith(
        "v1.3 was not looked at: v1.3 can't be loaded: RuntimeError: not in this life"
    )


# --------------------------------------------------------------------------- several databases

SEVERAL = """
from alembic import context
from sqlalchemy import create_engine
from shop.models import Base, Stats

for url, models in (("sqlite:///app.db", Base.metadata), ("sqlite:///stats.db", Stats.metadata)):
    with create_engine(url).connect() as connection:
        context.configure(connection=connection, target_metadata=models)
        with context.begin_transaction():
            context.run_migrations()
"""

STATS = """

Stats = declarative_base()


class Visit(Stats):
    __tablename__ = "visits"
    id = sa.Column(sa.Integer, primary_key=True)
    page = sa.Column(sa.Text)
"""


def test_the_models_of_each_of_several_databases(shop: Shop) -> None:
    with sqlite3.connect(shop.folder / "stats.db") as stats:
        stats.execute("create table visits (id integer primary key, page text)")
        stats.execute("create table alembic_version (version_num varchar(32) primary key)")
        stats.execute("insert into alembic_version values ('r1')")
    shop.project.write("shop/models.py", MODELS + STATS)
    shop.project.write("migrations/env.py", SEVERAL)
    shop.release("v1.1")
    shop.deployed("v1.1", "")
    settings = (shop.folder / "ci-migrate.toml").read_text()
    shop.project.settings(f'{settings}databases = {{stats = "sqlite:///stats.db"}}\n')
    report = shop.rehearse(
        """
        if sa.inspect(op.get_bind()).has_table("visits"):
            op.drop_column("visits", "page")
        """,
        'op.execute("select 1")',
    )
    assert findings(report) == {
        "CM701": "Release v1.1 runs until the deploy is through: column visits.page is not there."
    }
