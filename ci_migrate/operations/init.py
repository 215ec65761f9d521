"""`ci-migrate init`: what a project that adopts the gate needs, as files to write. Nothing is written here."""

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from string import Template

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ci_migrate.errors import CiMigrateError, SettingsError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.session import target_url
from ci_migrate.settings.files import folders_upwards, is_file, read_settings_file
from ci_migrate.settings.settings import Settings

REPORTS = "ci-migrate-reports"
BACKUPS = "backups"
LEDGERS = "*.ci-migrate*"  # beside a SQLite file; one that comes back by a checkout revives used tokens
DRIVERS = {"mysql": "mysql", "mariadb": "mysql"}


class Platform(StrEnum):
    """Whose CI file is written."""

    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


@dataclass(frozen=True)
class Adoption:
    """What was found of a project.

    `backend` is SQLAlchemy's name of the engine that env.py connects to, "" where it could not be asked, then `trouble`
    says why. `variable` is the environment variable that holds its URL. `root` is the repository's folder.
    """

    folder: Path
    root: Path
    platform: Platform
    backend: str = ""
    variable: str = "DATABASE_URL"
    trouble: str = ""

    @property
    def inside(self) -> str:
        """The project's folder from the repository's root; "." where they are the same."""
        return self.folder.relative_to(self.root).as_posix()

    @property
    def package(self) -> str:
        """What pip installs. Where SQLite is developed on, production is most often PostgreSQL."""
        return f"ci-migrate[{DRIVERS.get(self.backend, 'postgresql')},approval]"


@dataclass(frozen=True)
class Proposed:
    """A file as it is to be. `text` is None where it stays as it is, `words` say what it is for, or why it stays."""

    path: Path
    text: str | None
    words: str


def look(settings: Settings, platform: Platform | None, interrupt: Interrupt | None = None) -> Adoption:
    """What there is: Alembic, the engine, the repository and its platform. env.py's connection is refused."""
    folder = settings.project_dir
    root = next((f for f in folders_upwards(folder) if (f / ".git").exists()), folder)
    found = Adoption(folder=folder, root=root, platform=platform or _platform(root))
    try:
        url = target_url(settings, interrupt)
    except CiMigrateError as error:
        return replace(found, trouble=error.what)
    holds = next((n for n, text in sorted(settings.environ.items()) if _is(text, url)), found.variable)
    return replace(found, backend=url.get_backend_name(), variable=holds)


def _is(text: str, url: object) -> bool:
    try:
        return "://" in text and make_url(text) == url
    except (ArgumentError, ValueError):
        return False


def _platform(root: Path) -> Platform:
    """By what lies in the repository, else by where it is cloned from."""
    if is_file(root / ".gitlab-ci.yml"):
        return Platform.GITLAB
    if (root / ".github").is_dir():
        return Platform.GITHUB
    config = root / ".git" / "config"
    text = config.read_text(errors="replace") if is_file(config) else ""
    remotes = [line for line in text.splitlines() if line.strip().startswith("url")]
    for platform in (Platform.GITHUB, Platform.GITLAB):
        if any(platform.value in line for line in remotes):
            return platform
    return Platform.NONE


def proposals(adoption: Adoption) -> list[Proposed]:
    """All files, in the order in which they are shown.

    Raises:
        SettingsError: pyproject.toml can't be added to.
    """
    files = [_settings_file(adoption), _propose_gitignore(adoption)]
    if adoption.platform is Platform.GITHUB:
        files.append(_ci_file(adoption, adoption.root / ".github" / "workflows" / "ci-migrate.yml", GITHUB))
    if adoption.platform is Platform.GITLAB:
        main = adoption.root / ".gitlab-ci.yml"
        own = adoption.root / ".gitlab" / "ci-migrate.yml"
        fresh = not is_file(main)
        files.append(_ci_file(adoption, own, GITLAB))
        if fresh:
            files.append(Proposed(main, "include:\n  - local: .gitlab/ci-migrate.yml\n", "the pipeline"))
        elif own.relative_to(adoption.root).as_posix() not in main.read_text(errors="replace"):
            words = "add to it:  include: [{local: .gitlab/ci-migrate.yml}]"
            files.append(Proposed(main, None, words))
    return files


def _settings_file(adoption: Adoption) -> Proposed:
    there = read_settings_file(adoption.folder)
    if there is not None:
        return Proposed(there.folder / Path(there.label).name, None, "it has settings of ci-migrate already")
    pyproject = adoption.folder / "pyproject.toml"
    own = not is_file(pyproject)
    # in a file of their own the keys stand at the top
    text = Template(SETTINGS).substitute(
        variable=adoption.variable,
        header="" if own else "[tool.ci-migrate]\n",
        targets="targets" if own else "tool.ci-migrate.targets",
    )
    if own:
        return Proposed(adoption.folder / "ci-migrate.toml", text, "settings, with what can be set")
    before = pyproject.read_text()
    text = before.rstrip("\n") + "\n\n" + text
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{pyproject} can't be added to: {error}.") from error
    return Proposed(pyproject, text, "settings, with what can be set, at its end")


def _propose_gitignore(adoption: Adoption) -> Proposed:
    file = adoption.folder / ".gitignore"
    # patterns are bytes for git: those of files whose names are no UTF-8 stay as they are
    before = file.read_text(encoding="utf-8", errors="surrogateescape") if is_file(file) else ""
    there = set(before.splitlines())
    missing = [
        f"{name}/" for name in (REPORTS, BACKUPS) if not {name, f"{name}/", f"/{name}", f"/{name}/"} & there
    ]
    if adoption.backend in ("sqlite", "") and LEDGERS not in there:
        missing.append(LEDGERS)
    if not missing:
        return Proposed(file, None, "what must not be in the repository is ignored already")
    start = before if not before or before.endswith("\n") else before + "\n"
    return Proposed(
        file, start + "\n".join(missing) + "\n", "reports, backups and ledgers stay out of the repository"
    )


def _ci_file(adoption: Adoption, path: Path, template: str) -> Proposed:
    if is_file(path):
        return Proposed(path, None, "it is there already")
    inside = "" if adoption.inside == "." else f"{adoption.inside}/"
    github = adoption.platform is Platform.GITHUB
    there = f"\n    defaults: {{run: {{working-directory: {adoption.inside}}}}}" if github else ""
    text = Template(template).substitute(
        directory=there if inside else "",
        cd=f"\n    - cd {shlex.quote(adoption.inside)}" if inside else "",
        inside=inside,
        install=_install(adoption.folder),
        package=adoption.package,
        variable=adoption.variable,
        branch=_default_branch(adoption.root),
        reports=REPORTS,
    )
    return Proposed(path, text, f"the job for {adoption.platform.value}")


def _default_branch(root: Path) -> str:
    """As the clone knows it."""
    head = root / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    text = head.read_text() if is_file(head) else "ref: refs/remotes/origin/main"
    return text.strip().removeprefix("ref: refs/remotes/origin/")


def _install(folder: Path) -> str:
    """The project into `.venv`, where ci-migrate looks for the interpreter of env.py."""
    by_file: Mapping[str, str] = {
        "uv.lock": "pip install -q uv && uv sync --frozen",
        "poetry.lock": "pip install -q poetry && POETRY_VIRTUALENVS_IN_PROJECT=true poetry install",
        "requirements.txt": "python -m venv .venv && .venv/bin/pip install -q -r requirements.txt",
        "pyproject.toml": "python -m venv .venv && .venv/bin/pip install -q .",
        "setup.py": "python -m venv .venv && .venv/bin/pip install -q .",
    }
    found = next((command for name, command in by_file.items() if is_file(folder / name)), None)
    return found or "python -m venv .venv && .venv/bin/pip install -q alembic   # and what env.py imports"


SETTINGS = """\
${header}# `ci-migrate settings` shows every key with its value and what set it
backup-dir = "./backups"         # a CI's runner is thrown away: "s3://bucket/prefix" stays
keep-backups = 3

[${targets}.dev]   # no url: env.py is asked; files and servers on this machine only

[${targets}.production]
url = "env:${variable}"
tags = ["production"]            # it needs an approval; `ci-migrate protect` says whose
scratch = "server"               # the rehearsal's copy lives on the target's own server; or the URL of another one
# read-url = "env:DATABASE_READ_URL"   # a role that can't write, for all that comes before the approval
"""

GITHUB = """\
# Backs up, rehearses the migration on the restored backup, and stops with exit 4 until somebody approves:
#   ci-migrate approve approval-request.json --key ~/.ssh/id_ed25519 --reason '...'      (from the artifact)
# or, where no approvers are registered, `ci-migrate token generate`. Then: Actions, Run workflow, paste the token.
name: ci-migrate
on:
  push: {branches: [$branch]}
  workflow_dispatch: {inputs: {token: {description: Approval token, required: false}}}
permissions: {contents: read}
concurrency: {group: ci-migrate, cancel-in-progress: false}
jobs:
  migrate:
    runs-on: ubuntu-latest
    # environment: production    # where your plan has it: the password for this branch only$directory
    steps:
      - uses: actions/checkout@v4
        with: {persist-credentials: false}
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: $install
      - run: pip install -q '$package'
      - run: exec ci-migrate run --target production
        env:
          $variable: $${{ secrets.$variable }}
          CI_MIGRATE_TOKEN: $${{ inputs.token }}
      - if: always()
        uses: actions/upload-artifact@v4
        with: {name: ci-migrate, path: $inside$reports/}
"""

GITLAB = """\
# Backs up, rehearses the migration on the restored backup, and stops with exit 4 until somebody approves:
#   ci-migrate approve approval-request.json --key ~/.ssh/id_ed25519 --reason '...'      (from the artifacts)
# or, where no approvers are registered, `ci-migrate token generate`. Then: New pipeline, variable CI_MIGRATE_TOKEN.
# $variable: a protected and masked variable of the project.
ci-migrate:
  image: python:3.12
  resource_group: ci-migrate
  interruptible: false
  rules:
    - if: $$CI_COMMIT_BRANCH == $$CI_DEFAULT_BRANCH
  before_script:$cd
    - $install
    - pip install -q '$package'
  script:
    - exec ci-migrate run --target production
  artifacts:
    when: always
    paths: [$inside$reports/]
    reports:
      junit: $inside$reports/junit.xml
"""
