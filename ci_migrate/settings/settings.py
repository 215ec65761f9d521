"""Settings: `[tool.ci-migrate]` in pyproject.toml or ci-migrate.toml, then the environment, then flags.

The keys stand in `keys`, one literal table. Here they become one frozen value for the chosen target.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ci_migrate.errors import CiMigrateError, SettingsError
from ci_migrate.model import LockPolicy
from ci_migrate.settings import fleet
from ci_migrate.settings.backfills import RegisteredBackfill
from ci_migrate.settings.files import (
    AlembicFiles,
    Given,
    Layer,
    alembic_files,
    find_python,
    is_file,
    quote,
    read_environment,
    read_flags,
    read_settings_file,
)
from ci_migrate.settings.keys import BY_NAME, INHERITING_STAGES, KEYS
from ci_migrate.settings.kinds import EMBEDDED, Assertion, Price, Secret
from ci_migrate.settings.secrets import register_environment, register_secret, register_url
from ci_migrate.settings.targets import choose_target
from ci_migrate.settings.urls import resolve, resolve_key, variable_of

__all__ = ["Assertion", "RegisteredBackfill", "Secret", "Settings", "load"]

PRODUCTION = frozenset({"prod", "production"})
OLD_PLACE = "default of 0.1.0"
"""The source of `backup-dir` where backups still lie in `./backups`, where version 0.1.0 kept them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All values for one target, and where each came from.

    Durations are seconds, None means no limit. Paths are absolute. `directory` is where the command was
    given, `project_dir` where the settings (or Alembic's files) were found. `sources` is by the key's name.
    """

    target: str
    directory: Path
    project_dir: Path
    sources: Mapping[str, str]
    stage_tags: Mapping[str, tuple[str, ...]]
    environ: Mapping[str, str] = field(repr=False, compare=False)
    bases: Mapping[str, Path] = field(repr=False)
    """What relative paths in the value of a key start from."""

    default_target: str | None
    alembic_config: Path | None
    alembic_toml: Path | None
    alembic_name: str
    python: Path
    x: tuple[str, ...] = field(repr=False)
    configure: str | None
    allow_connections: tuple[str, ...]
    to: str
    plugins: tuple[str, ...]
    url: Secret | None
    read_url: Secret | None
    databases: Mapping[str, Secret]
    tags: tuple[str, ...]
    backup_dir: str = field(repr=False)
    allow_ephemeral_backups: bool
    auto_backup: bool
    keep_backups: int
    reuse_backup: float
    backup_recipients: tuple[str, ...]
    backup_identity: Secret | None
    provider: str
    provider_create: tuple[str, ...]
    provider_restore: tuple[str, ...]
    provider_delete: tuple[str, ...]
    provider_clone: tuple[str, ...]
    provider_drop: tuple[str, ...]
    provider_price: Price | None
    client_tools: Path | None
    jobs: int | None
    compare_budget: float | None
    scratch: str | None = field(repr=False)
    """`server`, `embedded`, a URL setting (see `resolve_scratch_url`), or None where somebody has to choose."""
    dry_run: str
    mask: Path | None
    show_values: bool
    measure: bool
    lock_budget: float
    rehearse_twice: bool
    require_confirmation: bool
    token_validity_minutes: int
    max_evidence_age: float
    auto_rollback: bool
    on_failure: str
    restore: str
    require_downgrade: bool
    checks: Mapping[str, str]
    allow: tuple[str, ...]
    assertions: tuple[Assertion, ...]
    assertion_timeout: float
    backfills: tuple[RegisteredBackfill, ...]
    previous_release: tuple[str, ...]
    previous_release_variable: str
    previous_release_timeout: float
    deployed: str | None
    deployed_models: str | None
    releases: tuple[str, ...]
    squawk: Path | None
    lock_timeout: float | None
    lock_timeout_concurrently: float
    lock_tries: int
    in_the_way: str
    in_the_way_age: float
    in_the_way_wait: float
    run_lock_timeout: float
    statement_timeout: float | None
    stall_timeout: float
    hook_timeout: float
    max_duration: float | None
    state: Secret | None
    fleet_file: Path | None
    fleet_query: str | None
    fleet_query_url: Secret | None
    fleet_command: tuple[str, ...]
    fleet_plugin: bool
    fleet_version_table: str
    fleet_canary: str | None
    fleet_wave: int
    fleet_processes: int | None
    fleet_executor: str
    fleet_executor_address: str | None
    fleet_per_server: int
    fleet_max_fail_percentage: int
    fleet_max_failures_in_a_row: int
    fleet_dry_run: str
    fleet_state: Secret | None
    fleet_variable: str
    stands_for: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Not a setting: how connections to the databases are recognised that the target stands in for (`Wall.match`)."""

    masked: bool = False
    """Not a setting: the target is a copy whose values are masked already."""

    @property
    def fleet_key(self) -> str:
        """The key that says where the databases of this fleet are listed; "" where the target is one database."""
        return next(iter(fleet.keys_of(self)), "")

    @property
    def member(self) -> str:
        """The name of the database within its fleet: NAME of the target `tenants/NAME`; "" outside of one."""
        return fleet.split(self.target)[1]

    @property
    def lock_policy(self) -> LockPolicy:
        """How long statements on the target wait for locks."""
        # longer than PostgreSQL's deadlock_timeout (1 s), after which it ends an autovacuum that is in the way
        return LockPolicy(
            queued=self.lock_timeout or 2.0,
            concurrent=self.lock_timeout_concurrently,
            tries=self.lock_tries,
        )

    @property
    def harmless_wait(self) -> float:
        """Seconds that a session waits for a lock where that hinders nobody else: one that reads, or SQLite's."""
        return self.lock_timeout or 5.0

    @property
    def production_reason(self) -> str:
        """What makes the target a production one, in words; empty where nothing does."""
        name, _ = fleet.split(self.target)
        if name.lower() in PRODUCTION:
            return f"the target is named {name}"
        for tag in self.tags:
            if tag.lower() in PRODUCTION:
                return f"tag {tag}"
        return _production_job(self.environ)

    @property
    def production(self) -> bool:
        """Whether the target is tagged production: by a tag, by its name, or because the CI's job says so."""
        return bool(self.production_reason)

    def needs_approval(self, stage: str) -> bool:
        """Whether a stage (or the commands `restore`, `rollback`) needs an approval token.

        migrate, repair, restore and rollback inherit the target's tags; a stage's own tags are added to them.
        """
        inherited = stage in INHERITING_STAGES and self.production
        return self.require_confirmation and (self.is_tagged(stage) or inherited)

    def is_tagged(self, stage: str) -> bool:
        """Whether a stage has a production tag of its own."""
        return any(tag.lower() in PRODUCTION for tag in self.stage_tags.get(stage, ()))

    @property
    def url_variable(self) -> str | None:
        """NAME where the target's URL is `env:NAME`: in a dry run the child gets another value."""
        return variable_of(self.url)

    @property
    def url_of_program(self) -> bool:
        """Whether the target's URL is `command:...`: what asks for it runs a program."""
        return self.url is not None and self.url.reveal().startswith("command:")

    @property
    def read_url_variable(self) -> str | None:
        """NAME where the read URL is `env:NAME`."""
        return variable_of(self.read_url)

    @property
    def database_variables(self) -> dict[str, str]:
        """By name, NAME where the URL of another database is `env:NAME`."""
        found = {name: variable_of(value) for name, value in self.databases.items()}
        return {name: variable for name, variable in found.items() if variable}

    def resolve_url(self) -> str:
        """The target's URL, with its password. Where `url` is None, env.py has to be asked instead.

        Raises:
            SettingsError: it is not set, its variable or file is missing, or it can't be parsed.
            ToolError: its command failed.
        """
        if self.url is None:
            raise SettingsError(
                f"Target {self.target} has no url.",
                hint='Set url in its table, for example url = "env:DATABASE_URL".',
            )
        return self._resolve("url", self.url)

    def resolve_read_url(self) -> str:
        """The URL for check, backup and dry run: `read-url`, else `url`. Raises as `resolve_url`."""
        return self.resolve_url() if self.read_url is None else self._resolve("read-url", self.read_url)

    def resolve_backup_identity(self) -> str | None:
        """The private key that encrypted backups are read with, as text; None where none is set.

        Raises:
            SettingsError: its variable or file is missing, or others may read the file.
        """
        if self.backup_identity is None:
            return None
        source, base = self.sources["backup-identity"], self.bases["backup-identity"]
        return resolve_key(
            self.backup_identity, key="backup-identity", source=source, base=base, environ=self.environ
        )

    def resolve_databases(self) -> dict[str, str]:
        """The URLs of the other databases, by name. Raises as `resolve_url`."""
        return {name: self._resolve("databases", value, f".{name}") for name, value in self.databases.items()}

    def resolve_fleet_query_url(self) -> str:
        """The URL of the database that lists a fleet. Raises as `resolve_url`."""
        if self.fleet_query_url is None:
            raise SettingsError(
                f"Target {self.target} has a fleet-query and no fleet-query-url.",
                hint='Set it in the same table, for example fleet-query-url = "env:CATALOG_URL".',
            )
        return self._resolve("fleet-query-url", self.fleet_query_url)

    def resolve_fleet_state(self) -> str | None:
        """Where fleet runs are recorded; None: in the project. Raises as `resolve_url`."""
        return None if self.fleet_state is None else self._resolve("fleet-state", self.fleet_state)

    def resolve_state(self) -> str | None:
        """Where the ledger lives; None: beside the target. Raises as `resolve_url`."""
        return None if self.state is None else self._resolve("state", self.state)

    def resolve_scratch_url(self) -> str | None:
        """The server of the scratch copies; None: the target's own, or one of ours. Not for databases that are files.

        Raises:
            SettingsError: a production target, and nobody has chosen; or as `resolve_url`.
        """
        if self.scratch is None:
            raise SettingsError(
                f"Nobody has said where scratch copies of production target {self.target} may live. "
                "They cost a server time, disk and memory, so there is no default.",
                hint='Set scratch = "server" (uses the target\'s server), "embedded" (one that we run here), or '
                "a URL of another server.",
            )
        return None if self.scratch in ("server", EMBEDDED) else self._resolve("scratch", self.scratch)

    def _resolve(self, key: str, value: Secret | str, part: str = "") -> str:
        source, base = self.sources[key], self.bases[key]
        return resolve(value, key=key + part, source=source, base=base, environ=self.environ)


def _production_job(environ: Mapping[str, str]) -> str:
    """Which variable says that this CI job works on production; empty where none does."""
    for name in ("CI_MIGRATE_ENVIRONMENT", "CI_ENVIRONMENT_TIER", "CI_ENVIRONMENT_NAME"):
        value = environ.get(name, "").strip()
        # GitLab groups environments by what stands before the slash: production/eu
        if value.lower().partition("/")[0] in PRODUCTION:
            return f"{name}={value}"
    return ""


def load(
    directory: Path, environ: Mapping[str, str], flags: Mapping[str, object], url: Secret | None = None
) -> Settings:
    """Read the settings for one target.

    Args:
        directory: where the command was given; settings are looked for there and above.
        environ: the process's environment.
        flags: by key (`backup-dir` or `backup_dir`), and `target`; None where the flag was not given.
        url: of the database, where the target is one of a fleet (`tenants/NAME`).

    Raises:
        SettingsError: whatever is wrong with them; it names file, key and the nearest valid key.
    """
    register_environment(environ)
    directory = _existing(directory)
    files = read_settings_file(directory)
    target, target_source = choose_target(files, environ, flags)
    layers: list[Layer] = []
    if files is not None:
        layers += [files.project, files.targets.get(fleet.split(target)[0], {})]
    layers += [read_environment(environ, directory), read_flags(flags, directory)]
    given = _merge(layers)
    if url is not None:
        environ = fleet.give_url(given, environ, target, url, directory)
    if "alembic-config" not in given and environ.get("ALEMBIC_CONFIG"):
        path = directory / environ["ALEMBIC_CONFIG"]
        given["alembic-config"] = Given(path, "ALEMBIC_CONFIG", directory)
    alembic = alembic_files(given.get("alembic-config"), directory, files.folder if files else None)
    project_dir = files.folder if files else alembic.folder
    python, python_source = find_python(given.get("python"), project_dir, environ)
    _add_defaults(given, project_dir)
    if url is not None:
        fleet.give_own(given, target)
    stages = files.stages.get(fleet.split(target)[0], {}) if files else {}
    values = {BY_NAME[name].attribute: one.value for name, one in given.items()}
    values |= {"alembic_config": alembic.ini, "alembic_toml": alembic.toml, "python": python}
    settings = Settings(
        **values,
        target=target,
        directory=directory,
        project_dir=project_dir,
        sources=_sources(given, alembic, python_source, target_source, stages),
        stage_tags={stage: one.value for stage, one in stages.items()},
        environ=environ,
        bases={name: one.base for name, one in given.items()},
    )
    _register(settings)
    return _check(settings)


def _register(settings: Settings) -> None:
    """Tell the registry of secrets what the settings hold or lead to, as far as no program has to be asked for it.

    A child may print the ledger's password before the ledger is opened.
    """
    for key, value in (
        ("url", settings.url),
        ("read-url", settings.read_url),
        ("scratch", Secret(settings.scratch or "")),
        ("state", settings.state),
        ("fleet-query-url", settings.fleet_query_url),
        ("fleet-state", settings.fleet_state),
        ("backup-dir", Secret(settings.backup_dir)),
        *(("databases", value) for value in settings.databases.values()),
    ):
        form, _, rest = value.reveal().partition(":") if value is not None else ("", "", "")
        if form == "env":
            found = settings.environ.get(rest, "")
            register_url(found)
            if "://" not in found:  # somebody put the password alone there
                register_secret(found)
        elif form == "file":
            with suppress(OSError, ValueError, RuntimeError):
                file = settings.bases[key] / Path(rest.strip()).expanduser()
                # a pipe would wait for its writer, and be empty when the URL is asked for
                if is_file(file):
                    register_url(file.read_text(encoding="utf-8"))
        elif value is not None:
            register_url(value.reveal())
    if settings.backup_identity is not None:
        with suppress(CiMigrateError):
            settings.resolve_backup_identity()


def _existing(directory: Path) -> Path:
    try:
        directory = directory.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(f"There is no folder {directory}.", hint="Correct -C DIR.") from error
    if not directory.is_dir():
        raise SettingsError(f"{directory} is not a folder.", hint="Correct -C DIR.")
    try:
        str(directory).encode()
    except UnicodeEncodeError as error:
        # plans, reports and the ledger are UTF-8, and the database's file is named in all of them
        raise SettingsError(
            f"The name of folder {quote(directory)} is not UTF-8.", hint="Rename it."
        ) from error
    return directory


def _merge(layers: list[Layer]) -> Layer:
    """The layers one above the other; keys that collect keep what is below."""
    merged: Layer = {}
    for layer in layers:
        for name, one in layer.items():
            below = merged.get(name)
            if below is not None and BY_NAME[name].collects:
                value = (
                    {**below.value, **one.value} if isinstance(one.value, dict) else below.value + one.value
                )
                merged[name] = Given(value, f"{below.source} + {one.source}", one.base)
            else:
                merged[name] = one
    return merged


def _add_defaults(given: Layer, project_dir: Path) -> None:
    for key in KEYS:
        if key.name not in given:
            value = None if key.default is None else key.kind.convert(key.default, project_dir)
            given[key.name] = Given(value, "default", project_dir)
    old = project_dir / "backups"
    # whoever upgrades must find the backup that an unfinished run is repaired or restored by
    if given["backup-dir"].source == "default" and any(old.glob("backup_*/manifest.json")):
        given["backup-dir"] = Given(str(old), OLD_PLACE, project_dir)


def _sources(
    given: Layer, alembic: AlembicFiles, python: str, target: str, stages: Mapping[str, Given]
) -> dict[str, str]:
    sources = {name: one.source for name, one in given.items()}
    sources |= {"target": target, "alembic-config": alembic.source, "python": python}
    sources |= {f"stages.{stage}.tags": one.source for stage, one in stages.items()}
    if given["url"].value is None:
        sources["url"] = "env.py"
    return sources


def _check(settings: Settings) -> Settings:
    """Refuse what does not go together; take the default of `scratch` away where it must be chosen."""
    fleet.check(settings)
    where = f"dry-run ({settings.sources['dry-run']})"
    if settings.dry_run == "off" and settings.production:
        raise SettingsError(
            f'{where} is "off", and target {settings.target} is production ({settings.production_reason}).',
            hint='Set dry-run = "backup".',
        )
    if settings.provider == "command" and not settings.provider_create:
        raise SettingsError(
            f'provider ({settings.sources["provider"]}) is "command", and there is no provider-create.',
            hint='Set provider-create = ["PROGRAM", "ARGUMENT", ...].',
        )
    if settings.production and settings.sources["scratch"] == "default":
        from dataclasses import replace

        return replace(settings, scratch=None)
    return settings
