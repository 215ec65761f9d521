"""`ci-migrate init`: what a project that adopts the gate needs, as files to write. Nothing is written here."""

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ci_migrate.errors import CiMigrateError, SettingsError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.operations.project_install import project_install, python_version
from ci_migrate.reports.links import without_links
from ci_migrate.session import target_url
from ci_migrate.settings.files import folders_upwards, is_file, read_settings_file
from ci_migrate.settings.settings import Settings
from ci_migrate.tempdirs import OWN

LEDGERS = "*.ci-migrate*"  # beside a SQLite file; one that comes back by a checkout revives used tokens
REPORTS = f"{OWN}/reports"
DRIVERS = {"mysql": "mysql", "mariadb": "mysql"}


class Platform(StrEnum):
    """Whose CI file is written."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    AZURE = "azure"
    JENKINS = "jenkins"
    NONE = "none"


PLACES = {
    Platform.GITHUB: ".github/workflows/{}.yml",
    Platform.GITLAB: ".gitlab/{}.yml",
    Platform.BITBUCKET: "bitbucket-pipelines.yml",
    Platform.AZURE: "azure-pipelines.yml",
    Platform.JENKINS: "Jenkinsfile",
}
"""Where the file lies, from the repository's root; `{}` is the job's name, of which a repository may have several."""

BEGIN, END = "<!-- ci-migrate: begin -->", "<!-- ci-migrate: end -->"
"""Around the section of AGENTS.md that is ours: `init --agents` writes between them, and nowhere else."""

PACKAGED_SKILL = Path(__file__).parents[1] / "agents_skill.md"
SKILL_IN_A_CHECKOUT = Path(__file__).parents[2] / "docs" / "agents" / "SKILL.md"

TEMPLATES = {Platform.JENKINS: "jenkins.groovy"}
"""Those that are not named by their platform, with .yml behind it."""


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
    def name(self) -> str:
        """What the jobs are called: by the project's folder, where the repository has others."""
        return (
            "ci-migrate"
            if self.inside == "."
            else f"ci-migrate-{re.sub(r'[^a-z0-9]+', '-', self.inside.lower())}"
        )

    @property
    def extras(self) -> str:
        """What is installed with it. Where SQLite is developed on, production is most often PostgreSQL."""
        driver = DRIVERS.get(self.backend, "postgresql,postgresql-tools")  # pg_dump without apt
        return f"{driver},s3,approval"


@dataclass(frozen=True)
class Proposed:
    """A file as it is to be. `text` is None where it stays as it is, `words` say what it is for, or why it stays.

    `today` is what `init` would write into a file that is there already, to compare it with.
    """

    path: Path
    text: str | None
    words: str
    today: str | None = None


def look(settings: Settings, platform: Platform | None, interrupt: Interrupt | None = None) -> Adoption:
    """What there is: Alembic, the engine, the repository and its platform. env.py's connection is refused."""
    folder = settings.project_dir
    root = next((f for f in folders_upwards(folder) if (f / ".git").exists()), folder)
    found = Adoption(folder=folder, root=root, platform=platform or _platform(root))
    try:
        url = target_url(settings, interrupt)
    except CiMigrateError as error:
        return replace(found, trouble=" ".join(filter(None, (error.what, error.hint))))
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
    for platform in (Platform.BITBUCKET, Platform.AZURE, Platform.JENKINS):
        if is_file(root / PLACES[platform]):
            return platform
    if (root / ".github").is_dir():
        return Platform.GITHUB
    config = root / ".git" / "config"
    text = config.read_text(errors="replace") if is_file(config) else ""
    remotes = [line for line in text.splitlines() if line.strip().startswith("url")]
    for platform in (Platform.GITHUB, Platform.GITLAB):
        if any(platform.value in line for line in remotes):
            return platform
    return Platform.NONE


def proposals(adoption: Adoption, *, agents: bool = False) -> list[Proposed]:
    """All files, in the order in which they are shown; with `agents` the section of AGENTS.md, too.

    Raises:
        SettingsError: pyproject.toml can't be added to.
    """
    found = [_settings_file(adoption), _propose_gitignore(adoption)]
    if adoption.platform is not Platform.NONE:
        found.append(_ci_file(adoption))
    if adoption.platform is Platform.GITLAB:
        found.append(_gitlab_pipeline(adoption, found[-1].path))
    if agents:
        found.append(_propose_agents(adoption))
    return found


def skill() -> str:
    """What an agent has to know to write revisions, without a skill's head and without links to other pages."""
    file = PACKAGED_SKILL if PACKAGED_SKILL.is_file() else SKILL_IN_A_CHECKOUT
    return without_links(file.read_text(encoding="utf-8").split("---\n", 2)[-1].strip())


def _propose_agents(adoption: Adoption) -> Proposed:
    """The section of AGENTS.md, between its markers; what else is in the file stays as it is."""
    file = adoption.folder / "AGENTS.md"
    before = file.read_bytes().decode(errors="surrogateescape") if is_file(file) else ""
    section = _as_in(before, f"{BEGIN}\n\n{skill()}\n\n{END}")
    if (before.count(BEGIN), before.count(END)) not in ((0, 0), (1, 1)) or before.find(END) < before.find(
        BEGIN
    ):
        return Proposed(file, None, f"its markers are not one {BEGIN} and one {END} behind it")
    if BEGIN in before:
        start, _, rest = before.partition(BEGIN)
        text = start + section + rest.partition(END)[2]
    else:
        gap = _as_in(before, "\n\n") if before.strip() else ""
        text = before.rstrip("\r\n") + gap + section + _as_in(before, "\n")
    if text == before:
        return Proposed(file, None, "its section is up to date")
    return Proposed(file, text, "what coding agents must know to write revisions")


def _gitlab_pipeline(adoption: Adoption, own: Path) -> Proposed:
    """`.gitlab-ci.yml`, which includes the job. One that is somebody's own stays as it is."""
    main = adoption.root / ".gitlab-ci.yml"
    line = f"  - local: {own.relative_to(adoption.root).as_posix()}\n"
    if not is_file(main):
        return Proposed(main, f"include:\n{line}", "the pipeline")
    text = main.read_text(errors="replace")
    if line.strip() in text or f"local: {own.relative_to(adoption.root).as_posix()}" in text:
        return Proposed(main, None, "it includes the job already")
    if re.fullmatch(r"include:\n(  - local: \.gitlab/ci-migrate[\w-]*\.yml\n)+", text):
        return Proposed(main, text + line, "the pipeline, with one more service")
    return Proposed(main, None, f"add to it:  include: [{{{line.strip().removeprefix('- ')}}}]")


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
    before = pyproject.read_bytes().decode()
    text = before.rstrip("\r\n") + _as_in(before, f"\n\n{text}")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{pyproject} can't be added to: {error}.") from error
    return Proposed(pyproject, text, "settings, with what can be set, at its end")


def _as_in(before: str, text: str) -> str:
    """With the ends of lines of the file that it is added to."""
    return text.replace("\n", "\r\n") if "\r\n" in before else text


def _propose_gitignore(adoption: Adoption) -> Proposed:
    file = adoption.folder / ".gitignore"
    # patterns are bytes for git: those of files whose names are no UTF-8 stay as they are
    before = file.read_bytes().decode(errors="surrogateescape") if is_file(file) else ""
    if adoption.backend not in ("sqlite", "") or LEDGERS in before.splitlines():
        return Proposed(file, None, f"{OWN}/, where backups and reports go, ignores itself")
    start = before if not before or before.endswith("\n") else before + _as_in(before, "\n")
    return Proposed(
        file, start + _as_in(before, f"{LEDGERS}\n"), "ledgers of SQLite files stay out of the repository"
    )


def _ci_file(adoption: Adoption) -> Proposed:
    path = adoption.root / PLACES[adoption.platform].format(adoption.name)
    text = ci_text(adoption)
    if is_file(path):
        return Proposed(path, None, "it is there already", text)
    return Proposed(path, text, f"the jobs for {adoption.platform.value}")


def ci_text(adoption: Adoption) -> str:
    """The CI file of the adoption's platform."""
    name = TEMPLATES.get(adoption.platform, f"{adoption.platform.value}.yml")
    template = (files("ci_migrate.operations") / "ci_files" / name).read_text(encoding="utf-8")
    alone = adoption.inside == "."
    inside = "" if alone else f"{adoption.inside}/"
    source = find_source(adoption.extras)
    install = project_install(adoption.folder)
    changes = "" if alone else f"\n      changes: [{inside}**/*]"
    return Template(template).substitute(
        name=adoption.name,
        branch=_default_branch(adoption.root),
        variable=adoption.variable,
        inside=inside,
        reports=REPORTS,
        directory="" if alone else f"\n    defaults: {{run: {{working-directory: {adoption.inside}}}}}",
        paths="" if alone else f"\n    paths: [{inside}**]",
        cache=f", cache: pip, cache-dependency-path: {inside}{install.lock}" if install.lock else "",
        changes=changes,
        cd="" if alone else f"\n    - cd {shlex.quote(adoption.inside)}",
        bitbucket_cd="" if alone else f"\n          - cd {shlex.quote(adoption.inside)}",
        bitbucket_deep_cd="" if alone else f"\n            - cd {shlex.quote(adoption.inside)}",
        folder=adoption.inside,
        python=python_version(adoption.folder),
        install=install.command,
        gate=f"pip install -q {shlex.quote(source)}"
        if source
        else _INSTALL_BY_VARIABLE.format(adoption.extras),
        gate_environment="" if source else '\n        env: {CI_MIGRATE: "${{ vars.CI_MIGRATE }}"}',
    )


def find_source(extras: str) -> str:
    """What pip installs to get this very ci-migrate; "" where only this machine knows it.

    Its name alone is nothing to go by: whoever registers a name at an index that it is not published at decides what
    production's job runs. By the name it is installed only if it came from an index by it.
    """
    try:
        distribution = metadata.distribution("ci-migrate")
    except metadata.PackageNotFoundError:
        return ""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return f"ci-migrate[{extras}]=={distribution.version}"
    origin = json.loads(text)
    url, commit = str(origin.get("url", "")), origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return f"ci-migrate[{extras}] @ git+{_without_user(url)}@{commit}"
    hashes = origin.get("archive_info", {}).get("hashes") or {}
    if url.startswith("https://") and "sha256" in hashes:
        return f"ci-migrate[{extras}] @ {_without_user(url)}#sha256={hashes['sha256']}"
    return ""


def _without_user(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _default_branch(root: Path) -> str:
    """As the clone knows it."""
    head = root / ".git" / "refs" / "remotes" / "origin" / "HEAD"
    text = head.read_text() if is_file(head) else "ref: refs/remotes/origin/main"
    return text.strip().removeprefix("ref: refs/remotes/origin/")


_INSTALL_BY_VARIABLE = (
    'pip install -q "ci-migrate[{}] @ '
    '${{CI_MIGRATE:?set it to the URL and commit that ci-migrate is installed from}}"'
)


SETTINGS = """\
${header}# `ci-migrate settings` shows every key with its value and what set it
default-target = "dev"           # of commands that name none
# backup-dir = "s3://bucket/prefix"   # not set: .ci-migrate/backups. A CI's runner is thrown away, this is not
keep-backups = 3

[${targets}.dev]   # no url: env.py is asked; files and servers on this machine only

[${targets}.production]
url = "env:${variable}"
tags = ["production"]            # it needs an approval; `ci-migrate protect` says whose
scratch = "server"               # the rehearsal's copy lives on the target's own server; "embedded": on one run here
# read-url = "env:DATABASE_READ_URL"   # a role that can't write, for all that comes before the approval
"""
