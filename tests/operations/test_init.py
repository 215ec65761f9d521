"""`ci-migrate init`: what it writes is read by the gate, and goes green on a runner."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from alembic_project import AlembicProject
from ci_runners import BIN, GitHubRunner, run_gitlab_job

from ci_migrate.operations.init import Adoption, Platform, _default_branch, _install, _platform, proposals

FLASK = {
    "app.py": """
        from flask import Flask
        from flask_migrate import Migrate
        from flask_sqlalchemy import SQLAlchemy

        app = Flask(__name__)
        app.config["SQLALCHEMY_DATABASE_URI"] = __import__("os").environ.get("DATABASE_URL", "sqlite:////{folder}/app.db")
        db = SQLAlchemy(app)
        Migrate(app, db)

        class User(db.Model):
            id = db.Column(db.Integer, primary_key=True)
    """
}


def git(folder: Path, remote: str = "") -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    if remote:
        subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", remote], check=True)


@pytest.fixture
def shop(alembic_project):
    (alembic_project.folder / "ci-migrate.toml").unlink()
    alembic_project.revision("r1", None, "CREATE TABLE users (id INTEGER PRIMARY KEY)", "DROP TABLE users")
    return alembic_project


def everything(folder: Path) -> dict[str, str]:
    return {
        str(f): f.read_text()
        for f in folder.rglob("*")
        if f.is_file() and ".git/" not in str(f) and f.suffix in (".toml", ".yml", "")
    }


def test_settings_and_job_are_written_once(shop) -> None:
    git(shop.folder, "git@github.com:shop/shop.git")
    (shop.folder / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"')
    before = everything(shop.folder)
    printed = shop.call("init", "--print")
    assert printed.code == 0, printed.text
    assert everything(shop.folder) == before
    assert "# --- pyproject.toml" in printed.out
    first = shop.call("init", env={"APP_DB": f"sqlite:///{shop.database}"})
    assert first.code == 0, first.text
    written = everything(shop.folder)
    tool = tomllib.loads((shop.folder / "pyproject.toml").read_text())["tool"]["ci-migrate"]
    assert set(tool["targets"]) == {"dev", "production"}
    ignored = (shop.folder / ".gitignore").read_text().splitlines()
    assert ignored == ["ci-migrate-reports/", "backups/", "*.ci-migrate*"]
    assert shop.call("settings", "--target", "production").code == 0
    again = shop.call("init")
    assert again.code == 0
    assert "written" not in again.out
    assert everything(shop.folder) == written
    assert shop.call("plan", "--target", "dev").code == 0


def test_the_variable_that_holds_the_url_is_found(shop) -> None:
    shop.environ["DATABASE_URL"] = "sqlite:///other.db"
    assert 'url = "env:DATABASE_URL"' in shop.call("init", "--print").out


def test_an_env_py_that_says_nothing_is_no_reason_to_stop(shop) -> None:
    (shop.folder / "migrations" / "env.py").write_text("raise RuntimeError('not here')")
    done = shop.call("init", "--platform", "none")
    assert done.code == 0, done.text
    assert "not here" in done.err
    assert (shop.folder / "ci-migrate.toml").exists()


def test_no_alembic_no_files(tmp_path) -> None:
    done = AlembicProject(tmp_path, {}).call("init")
    assert done.code == 2
    assert "No Alembic project here" in done.err
    assert not list(tmp_path.iterdir())


def test_github_goes_green(shop, tmp_path) -> None:
    """The project lies in a folder of the repository; the job stops for an approval, and then goes on."""
    git(tmp_path, "https://github.com/shop/shop.git")
    done = shop.call("init")
    assert done.code == 0, done.text
    workflow = yaml.safe_load((tmp_path / ".github" / "workflows" / "ci-migrate.yml").read_text())
    job = workflow["jobs"]["migrate"]
    folder = tmp_path / job["defaults"]["run"]["working-directory"]
    assert folder == shop.folder
    uploads = next(s["with"]["path"] for s in job["steps"] if "upload" in s.get("uses", ""))
    runner = GitHubRunner(folder, tmp_path / "runner")
    steps = [s for s in job["steps"] if "pip install" not in s.get("run", "")]
    given = {"secrets.DATABASE_URL": "sqlite:///live.db"}
    assert runner.steps(steps, given).code == 4
    assert (tmp_path / uploads / "approval-request.json").exists()
    made = shop.call(
        *("token", "generate", "--target", "production", "--reason", "seen", "--quiet"),
        env={"DATABASE_URL": "sqlite:///live.db"},
    )
    green = runner.steps(steps, given | {"inputs.token": made.out.strip()})
    assert green.code == 0, green.log


def test_the_commands_from_nothing_to_green(shop, tmp_path) -> None:
    """Those of the page, in its order, each with the exit code that it tells; so are the words that it explains."""
    git(tmp_path, "https://github.com/shop/shop.git")
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text().split("## From nothing to green")[1]
    page = page.split("\n## ")[0]
    block = page.split("```sh\n")[1].split("```")[0]
    said, environ = "", {}
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            environ = {"DATABASE_URL": "sqlite:///live.db"}
            continue
        done = shop.call(*words[1:], env=environ)
        asked = re.search(r"# exit (\d)", line)
        assert done.code == (int(asked[1]) if asked else 0), (line, done.text)
        said = done.out
    assert environ
    token = environ | {"CI_MIGRATE_TOKEN": said.split()[-1]}
    assert shop.call("run", "--target", "production", env=token).code == 0
    untracked = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert (shop.folder / "live.db.ci-migrate").exists()
    assert "live.db" in untracked
    assert not re.search(r"\.ci-migrate|ci-migrate-reports|backups", untracked)
    elsewhere = AlembicProject(tmp_path / "elsewhere", {})
    elsewhere.folder.mkdir()
    told = [shop.call("plan"), elsewhere.call("plan")]
    for done, words in zip(
        told, ("There are several targets and none was named", "No Alembic project here"), strict=True
    ):
        assert f"- `{words}`: " in page
        assert words in done.text


def test_gitlab_goes_green(shop) -> None:
    git(shop.folder)
    assert shop.call("init", "--platform", "gitlab").code == 0
    main = yaml.safe_load((shop.folder / ".gitlab-ci.yml").read_text())
    job = yaml.safe_load((shop.folder / main["include"][0]["local"]).read_text())["ci-migrate"]
    job["before_script"] = [line for line in job["before_script"] if "pip install" not in line]
    environ = {"DATABASE_URL": "sqlite:///live.db"}
    assert run_gitlab_job(job, shop.folder, environ).code == 4
    made = shop.call(
        "token", "generate", "--target", "production", "--reason", "seen", "--quiet", env=environ
    )
    done = run_gitlab_job(job, shop.folder, environ | {"CI_MIGRATE_TOKEN": made.out.strip()})
    assert done.code == 0, done.log
    for report in job["artifacts"]["reports"].values():
        assert (shop.folder / report).exists()
    (shop.folder / ".gitlab-ci.yml").write_text("stages: [deploy]\n")  # somebody's own
    assert "add to it" in shop.call("init").out


@pytest.mark.long
@pytest.mark.parametrize("kind", ["alembic", "flask"])
def test_a_new_user(tmp_path, kind) -> None:
    """A project as its generator makes it, and the whole job as `init` wrote it, installations included."""
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "https://github.com/shop/shop.git")
    if kind == "alembic":
        (folder / "requirements.txt").write_text("alembic\n")
        subprocess.run(
            [BIN / "python", "-m", "alembic", "init", "migrations"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        ini = folder / "alembic.ini"
        ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", "sqlite:///app.db"))
        make = [BIN / "python", "-m", "alembic", "revision", "-m", "first"]
    else:
        (folder / "requirements.txt").write_text("Flask-Migrate\nFlask-SQLAlchemy\n")
        for name, text in FLASK.items():
            (folder / name).write_text(
                __import__("textwrap").dedent(text).replace("{folder}", str(folder)[1:])
            )
        subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True)
        pip = [".venv/bin/pip", "install", "-q", "-r", "requirements.txt"]
        subprocess.run(pip, cwd=folder, check=True, capture_output=True)
        subprocess.run([".venv/bin/flask", "db", "init"], cwd=folder, check=True, capture_output=True)
        make = [".venv/bin/flask", "db", "migrate", "-m", "first"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    project = AlembicProject(folder, {})
    done = project.run("init")
    assert done.code == 0, done.text
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    job = yaml.safe_load((folder / ".github" / "workflows" / "ci-migrate.yml").read_text())["jobs"]["migrate"]
    steps = [s for s in job["steps"] if "pip install -q 'ci-migrate" not in s.get("run", "")]
    runner = GitHubRunner(folder, tmp_path / "runner")
    given = {"secrets.DATABASE_URL": f"sqlite:///{folder}/live.db"}
    stopped = runner.steps(steps, given)
    assert stopped.code == 4, stopped.log
    made = project.run(
        *("token", "generate", "--target", "production", "--reason", "seen", "--quiet"),
        env={"DATABASE_URL": given["secrets.DATABASE_URL"]},
    )
    green = runner.steps(steps[2:], given | {"inputs.token": made.out.strip()})
    assert green.code == 0, green.log


# ------------------------------------------------------------------ what is found, without a command


@pytest.mark.parametrize(
    ("files", "remote", "platform"),
    [
        ([], "", Platform.NONE),
        ([".gitlab-ci.yml"], "git@github.com:shop/shop.git", Platform.GITLAB),
        ([".github/dependabot.yml"], "https://gitlab.com/shop/shop.git", Platform.GITHUB),
        ([], "git@github.com:shop/shop.git", Platform.GITHUB),
        ([], "https://gitlab.example.com/shop/shop.git", Platform.GITLAB),
        ([], "ssh://git.example.com/shop.git", Platform.NONE),
    ],
)
def test_the_platform(tmp_path, files, remote, platform) -> None:
    git(tmp_path, remote)
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert _platform(tmp_path) is platform


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ([], "pip install -q alembic"),
        (["setup.py"], "pip install -q ."),
        (["pyproject.toml"], "pip install -q ."),
        (["pyproject.toml", "requirements.txt"], "-r requirements.txt"),
        (["pyproject.toml", "poetry.lock"], "poetry install"),
        (["pyproject.toml", "uv.lock", "requirements.txt"], "uv sync --frozen"),
    ],
)
def test_how_the_project_is_installed(tmp_path, files, command) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert command in _install(tmp_path)


@pytest.mark.parametrize(
    ("head", "branch"),
    [
        (None, "main"),
        ("ref: refs/remotes/origin/master\n", "master"),
        ("ref: refs/remotes/origin/release/1.0\n", "release/1.0"),
    ],
)
def test_the_branch_that_deploys(tmp_path, head, branch) -> None:
    if head is not None:
        place = tmp_path / ".git" / "refs" / "remotes" / "origin"
        place.mkdir(parents=True)
        (place / "HEAD").write_text(head)
    assert _default_branch(tmp_path) == branch


@pytest.mark.parametrize(
    ("backend", "package", "ledgers"),
    [
        ("", "ci-migrate[postgresql,approval]", True),
        ("sqlite", "ci-migrate[postgresql,approval]", True),
        ("postgresql", "ci-migrate[postgresql,approval]", False),
        ("mariadb", "ci-migrate[mysql,approval]", False),
    ],
)
def test_what_the_engine_changes(tmp_path, backend, package, ledgers) -> None:
    found = Adoption(folder=tmp_path, root=tmp_path, platform=Platform.GITHUB, backend=backend)
    files = {file.path.name: file.text for file in proposals(found)}
    assert package in files["ci-migrate.yml"]
    assert ("*.ci-migrate*" in files[".gitignore"]) is ledgers
    assert tomllib.loads(files["ci-migrate.toml"])["targets"]["production"]["url"] == "env:DATABASE_URL"


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("", ["ci-migrate-reports/", "backups/", "*.ci-migrate*"]),
        ("*.pyc", ["ci-migrate-reports/", "backups/", "*.ci-migrate*"]),
        ("/backups\nci-migrate-reports\n", ["*.ci-migrate*"]),
        ("# backups/\n", ["ci-migrate-reports/", "backups/", "*.ci-migrate*"]),
        ("ci-migrate-reports/\nbackups/\n*.ci-migrate*\n", []),
    ],
)
def test_only_what_is_missing_is_added_to_gitignore(tmp_path, before, added) -> None:
    if before:
        (tmp_path / ".gitignore").write_text(before)
    found = Adoption(folder=tmp_path, root=tmp_path, platform=Platform.NONE)
    (proposed,) = [file for file in proposals(found) if file.path.name == ".gitignore"]
    if not added:
        assert proposed.text is None
        return
    lines = proposed.text.splitlines()
    assert lines == [*before.splitlines(), *added], "what is there stays, each on a line of its own"


def test_a_pipeline_that_has_ours_is_left(tmp_path) -> None:
    (tmp_path / ".gitlab-ci.yml").write_text("include:\n  - local: .gitlab/ci-migrate.yml\n")
    found = Adoption(folder=tmp_path, root=tmp_path, platform=Platform.GITLAB)
    assert ".gitlab-ci.yml" not in {file.path.name for file in proposals(found)}
    assert yaml.safe_load(next(f.text for f in proposals(found) if f.path.name == "ci-migrate.yml"))[
        "ci-migrate"
    ]
