"""`ci-migrate init`: what it writes is read by the gate, and goes green on a runner."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from alembic_project import AlembicProject, new_project
from ci_runners import BIN, GitHubRunner, bare, run_gitlab_job

from ci_migrate.operations import init
from ci_migrate.operations.init import Adoption, Platform, _default_branch, _platform, proposals

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
    alembic_project.write("requirements.txt", "alembic\n")
    return alembic_project


def everything(folder: Path) -> dict[str, str]:
    return {
        str(f): f.read_text()
        for f in folder.rglob("*")
        if f.is_file() and ".git/" not in str(f) and f.suffix in (".toml", ".yml", "")
    }


def test_the_ends_of_lines_of_a_file_stay_as_they_are(shop) -> None:
    before = b'[project]\r\nname = "shop"\r\nversion = "1"\r\n'
    (shop.folder / "pyproject.toml").write_bytes(before)
    (shop.folder / ".gitignore").write_bytes(b"*.pyc\r\n")
    done = shop.call("init", env={"APP_DB": f"sqlite:///{shop.database}"})
    assert done.code == 0, done.text
    for name, start in (("pyproject.toml", before), (".gitignore", b"*.pyc\r\n")):
        now = (shop.folder / name).read_bytes()
        assert now.startswith(start)
        assert len(now) > len(start)
        assert now.count(b"\n") == now.count(b"\r\n")


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
    assert ignored == ["*.ci-migrate*"]
    assert tool["default-target"] == "dev"
    assert shop.call("settings", "--target", "production").code == 0
    again = shop.call("init")
    assert again.code == 0
    assert "written" not in again.out
    assert everything(shop.folder) == written
    assert shop.call("plan").code == 0, "there is a target to begin with"
    shop.environ["APP_DB"] = f"sqlite:///{shop.database}"
    assert shop.call("init", "--diff").out == "", "nothing has changed since"
    job = shop.folder / ".github" / "workflows" / "ci-migrate.yml"
    job.write_text(job.read_text().replace("cancel-in-progress: false", "cancel-in-progress: true"))
    differs = shop.call("init", "--diff").out
    assert (
        "-    concurrency: {group: ci-migrate, cancel-in-progress: true}\n+    concurrency: {group" in differs
    )
    assert "true" in job.read_text(), "--diff changes nothing"


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
    workflow = yaml.safe_load((tmp_path / ".github" / "workflows" / "ci-migrate-project.yml").read_text())
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
    assert not re.search(r"\.ci-migrate|backups", untracked)
    elsewhere = AlembicProject(tmp_path / "elsewhere", {})
    elsewhere.folder.mkdir()
    assert "- `No Alembic project here`: " in page
    assert "No Alembic project here" in elsewhere.call("plan").text


def test_the_job_on_the_page_is_the_one_that_is_written(tmp_path) -> None:
    (tmp_path / "requirements.txt").touch()
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
    block = page.split("```yaml\n# .github/workflows/ci-migrate.yml, the end\n")[1].split("```")[0]
    found = init.ci_text(Adoption(folder=tmp_path, root=tmp_path, platform=Platform.GITHUB))
    assert found.endswith(block)


def test_gitlab_goes_green(shop) -> None:
    git(shop.folder)
    assert shop.call("init", "--platform", "gitlab").code == 0
    main = yaml.safe_load((shop.folder / ".gitlab-ci.yml").read_text())
    job = yaml.safe_load((shop.folder / main["include"][0]["local"]).read_text())
    job = job[".ci-migrate"] | job["ci-migrate"]
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


SCHEMAS = {
    "github": "vendor.github-workflows",
    "gitlab": "vendor.gitlab-ci",
    "bitbucket": "vendor.bitbucket-pipelines",
    "azure": "vendor.azure-pipelines",
}


@pytest.mark.parametrize("platform", ["github", "gitlab", "bitbucket", "azure", "jenkins"])
def test_F81_each_service_of_a_monorepo_has_jobs_of_its_own(tmp_path, platform) -> None:
    """For pull requests and for the deployment, of its own name; by the schema of the platform, where there is one."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "https://github.com/shop/shop.git")
    written = {}
    for name in ("billing", "services/shop"):
        folder = root / name
        folder.mkdir(parents=True)
        project = new_project(folder)
        (folder / "requirements.txt").write_text("alembic\n")
        done = project.call("init", "--platform", platform)
        assert done.code == 0, done.text
        written[name] = done.out
        again = project.call("init", "--platform", platform)
        assert "written" not in again.out, "once is enough"
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name != "HEAD" and "ci-migrate" in p.name)
    jobs = [p for p in files if p.suffix == ".yml"]
    if platform in ("github", "gitlab"):
        assert [p.stem for p in jobs] == ["ci-migrate-billing", "ci-migrate-services-shop"]
        assert "services/shop" in jobs[1].read_text()
        assert "billing" not in jobs[1].read_text()
    else:  # one file holds all pipelines: what the second one adds is printed
        jobs = [
            root
            / {"bitbucket": "bitbucket-pipelines.yml", "azure": "azure-pipelines.yml"}.get(
                platform, "Jenkinsfile"
            )
        ]
        assert "it is there already" in written["services/shop"]
        shown = new_shown(root / "services/shop", platform)
        assert "ci-migrate-services-shop" in shown
    if platform == "gitlab":
        included = yaml.safe_load((root / ".gitlab-ci.yml").read_text())["include"]
        assert [one["local"] for one in included] == [p.relative_to(root).as_posix() for p in jobs]
    for job in jobs:
        text = job.read_text()
        assert "check --since" in text
        assert "run --target production" in text
        assert "CI_MIGRATE_BACKUP_DIR" in text
        for install in re.findall(r"pip install .*ci-migrate\[.*", text):
            assert re.search(r"\] @ (git\+https://|https://|\$\{CI_MIGRATE:\?)", install), install
        if platform in SCHEMAS:
            check = [BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[platform], job]
            if platform == "azure":  # its schema is written in another dialect of regular expressions
                check += ["--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"]
            found = subprocess.run(check, capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stdout + found.stderr
    if platform == "github":
        uses = [line.split("uses: ")[1] for line in jobs[0].read_text().splitlines() if "uses: " in line]
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", one) for one in uses), uses


def new_shown(folder: Path, platform: str) -> str:
    return AlembicProject(folder, {}).call("init", "--diff", "--platform", platform).out


def test_F81_the_job_for_pull_requests(shop, tmp_path) -> None:
    """It annotates what a branch adds, and reaches no database."""
    git(tmp_path, "https://github.com/shop/shop.git")
    assert shop.call("init").code == 0
    commit = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m"]
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    subprocess.run([*commit, "base"], check=True)
    subprocess.run(["git", "-C", tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD"], check=True)
    shop.revision("r2b", "r1", "drop table users")
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    subprocess.run([*commit, "two heads"], check=True)
    (workflow,) = (tmp_path / ".github" / "workflows").glob("*.yml")
    job = yaml.safe_load(workflow.read_text())["jobs"]["check"]
    assert job["if"] == "github.event_name == 'pull_request'"
    assert "secrets." not in str(job)
    runner = GitHubRunner(tmp_path / job["defaults"]["run"]["working-directory"], tmp_path / "runner")
    runner.environ["GITHUB_BASE_REF"] = "main"
    done = runner.steps([s for s in job["steps"] if "pip install" not in s.get("run", "")], {})
    assert done.code == 1, done.log
    assert "2 heads" in done.log
    assert not (shop.folder / "app.db").exists()


def test_F81_a_project_whose_installation_is_not_known_says_so(shop) -> None:
    git(shop.folder, "https://github.com/shop/shop.git")
    (shop.folder / "requirements.txt").unlink()
    done = shop.call("init")
    assert done.code == 0
    assert "add a requirements.txt, remove .github/workflows/ci-migrate.yml, and run init again" in done.words
    (workflow,) = (shop.folder / ".github" / "workflows").glob("*.yml")
    step = yaml.safe_load(workflow.read_text())["jobs"]["migrate"]["steps"][2]["run"]
    ended = subprocess.run(step, shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "add a requirements.txt" in ended.stdout
    assert "add a requirements.txt" not in shop.call("init").words, "what is there may have been mended"
    workflow.unlink()
    (shop.folder / "requirements.txt").write_text("alembic\n")
    again = shop.call("init")
    assert "add a requirements.txt" not in again.words
    assert "-r requirements.txt" in workflow.read_text()


def test_F81_a_place_for_backups_that_doctor_calls_good(shop) -> None:
    git(shop.folder, "https://github.com/shop/shop.git")
    assert shop.call("init").code == 0
    there = {"DATABASE_URL": "sqlite:///live.db", "CI": "true", "CI_MIGRATE_BACKUP_DIR": "s3://bucket/shop"}
    done = shop.call("doctor", "--target", "production", "--json", env=there)
    found = {one["name"]: one for one in json.loads(done.out)}
    assert found["backups"]["health"] == "good", found["backups"]


@pytest.mark.parametrize(
    ("origin", "installed"),
    [
        (None, "ci-migrate[approval]==0.1.0"),
        (
            {
                "url": "https://me:secret@git.example/o/ci-migrate",
                "vcs_info": {"vcs": "git", "commit_id": "c" * 40},
            },
            f"ci-migrate[approval] @ git+https://git.example/o/ci-migrate@{'c' * 40}",
        ),
        (
            {"url": "https://x.example/ci.whl", "archive_info": {"hashes": {"sha256": "a" * 64}}},
            f"ci-migrate[approval] @ https://x.example/ci.whl#sha256={'a' * 64}",
        ),
        ({"url": "https://x.example/ci.whl", "archive_info": {}}, ""),
        ({"url": "file:///home/me/ci-migrate", "dir_info": {"editable": True}}, ""),
    ],
)
def test_F81_what_the_job_installs_is_what_runs_here(monkeypatch, origin, installed) -> None:
    class Installed:
        version = "0.1.0"

        def read_text(self, _name):
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(init.metadata, "distribution", lambda _name: Installed())
    assert init.find_source("approval") == installed


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
    steps = [s for s in job["steps"] if "ci-migrate[" not in s.get("run", "")]
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


POETRY = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["alembic"]

[[tool.poetry.source]]
name = "simple"      # its pages are all that a mirror has
url = "https://pypi.org/simple/"
priority = "primary"
"""


@pytest.mark.long
@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_a_new_user_of_poetry(tmp_path, platform) -> None:
    """The packages lie where only Poetry finds them; the job installs by the Poetry that wrote the lock."""
    folder, tool = tmp_path / "shop", tmp_path / "poetry"
    (folder / "src" / "shop").mkdir(parents=True)
    git(folder, f"https://{platform}.com/shop/shop.git")
    (folder / "src" / "shop" / "__init__.py").write_text("metadata = None\n")
    (folder / "pyproject.toml").write_text(POETRY)
    subprocess.run([sys.executable, "-m", "venv", tool], check=True)
    subprocess.run([tool / "bin" / "pip", "install", "-q", "poetry"], check=True)
    environ = {
        "PATH": f"{tool / 'bin'}:{BIN}:{os.environ['PATH']}",
        "POETRY_CACHE_DIR": str(tmp_path / "cache"),
        "POETRY_VIRTUALENVS_IN_PROJECT": "false",
    }

    def poetry(*arguments: str) -> str:
        done = subprocess.run(
            [tool / "bin" / "poetry", *arguments], cwd=folder, env=bare(environ), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    poetry("install", "--no-interaction")
    poetry("run", "alembic", "init", "migrations")
    ini, env = folder / "alembic.ini", folder / "migrations" / "env.py"
    ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", "sqlite:///app.db"))
    env.write_text(f"import shop\n{env.read_text()}")
    poetry("run", "alembic", "revision", "-m", "first")
    project = AlembicProject(folder, {})
    assert "put `poetry run` before the command" in project.call("plan").words
    assert "1 revision to run" in poetry("run", "ci-migrate", "plan")

    assert "put `poetry run` before the command" in project.call("init").words
    assert (folder / ".gitignore").read_text() == "*.ci-migrate*\n"
    version = poetry("--version").split()[-1].rstrip(")")
    environ |= {"DATABASE_URL": f"sqlite:///{folder}/live.db"}
    if platform == "github":
        job = yaml.safe_load((folder / ".github" / "workflows" / "ci-migrate.yml").read_text())["jobs"][
            "migrate"
        ]
        steps = [step for step in job["steps"] if "ci-migrate[" not in step.get("run", "")]
        installs = [step["run"] for step in steps if "poetry" in step.get("run", "")]
        runner = GitHubRunner(folder, tmp_path / "runner", environ)
        done = runner.steps(steps, {"secrets.DATABASE_URL": environ["DATABASE_URL"]})
    else:
        job = yaml.safe_load((folder / ".gitlab" / "ci-migrate.yml").read_text())
        job = job[".ci-migrate"] | job["ci-migrate"]
        job["before_script"] = [line for line in job["before_script"] if "ci-migrate[" not in line]
        installs = job["before_script"]
        done = run_gitlab_job(job, folder, environ)
    assert installs[0].startswith(f"pip install -q poetry=={version} && ")
    assert "--no-root" not in installs[0]
    assert done.code == 4, done.log
    assert (folder / ".venv" / "bin" / "alembic").exists()


# ------------------------------------------------------------------ what is found, without a command


@pytest.mark.parametrize(
    ("files", "remote", "platform"),
    [
        ([], "", Platform.NONE),
        ([".gitlab-ci.yml"], "git@github.com:shop/shop.git", Platform.GITLAB),
        ([".github/dependabot.yml"], "https://gitlab.com/shop/shop.git", Platform.GITHUB),
        ([], "git@github.com:shop/shop.git", Platform.GITHUB),
        (["bitbucket-pipelines.yml"], "git@bitbucket.org:shop/shop.git", Platform.BITBUCKET),
        (["azure-pipelines.yml"], "", Platform.AZURE),
        (["Jenkinsfile"], "", Platform.JENKINS),
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
        ("", "ci-migrate[postgresql,postgresql-tools,s3,approval]", True),
        ("sqlite", "ci-migrate[postgresql,postgresql-tools,s3,approval]", True),
        ("postgresql", "ci-migrate[postgresql,postgresql-tools,s3,approval]", False),
        ("mariadb", "ci-migrate[mysql,s3,approval]", False),
    ],
)
def test_what_the_engine_changes(tmp_path, backend, package, ledgers) -> None:
    found = Adoption(folder=tmp_path, root=tmp_path, platform=Platform.GITHUB, backend=backend)
    files = {file.path.name: file.text for file in proposals(found)}
    assert package in files["ci-migrate.yml"]
    assert ("*.ci-migrate*" in (files[".gitignore"] or "")) is ledgers
    assert tomllib.loads(files["ci-migrate.toml"])["targets"]["production"]["url"] == "env:DATABASE_URL"


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("", ["*.ci-migrate*"]),
        ("*.pyc", ["*.ci-migrate*"]),
        ("# *.ci-migrate*\n", ["*.ci-migrate*"]),
        ("*.db\n*.ci-migrate*\n", []),
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
    (pipeline,) = [file for file in proposals(found) if file.path.name == ".gitlab-ci.yml"]
    assert pipeline.text is None
    assert yaml.safe_load(next(f.text for f in proposals(found) if f.path.name == "ci-migrate.yml"))[
        "ci-migrate"
    ]
