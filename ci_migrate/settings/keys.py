"""Every key of the settings, in one literal table: what it holds, its default, where it may stand."""

from dataclasses import dataclass
from typing import Any, Literal

from ci_migrate.settings.kinds import (
    ALLOW,
    ARGUMENTS,
    ASSERTIONS,
    ATTRIBUTE,
    BACKFILLS,
    CHECKS,
    FLAG,
    FOLDER,
    FUNCTION,
    IDENTITY,
    NAMES,
    PAIRS,
    PATH,
    PLUGINS,
    PRICE,
    PROGRAM,
    RECIPIENTS,
    SCRATCH,
    TEXT,
    URL,
    URLS,
    VARIABLE,
    Kind,
    choice,
    seconds,
    whole,
)
from ci_migrate.timeouts import HOOK_TIMEOUT

Scope = Literal["project", "target", "stage"]
PROJECT: tuple[Scope, ...] = ("project",)
TARGET: tuple[Scope, ...] = ("target",)
BOTH: tuple[Scope, ...] = ("project", "target")


@dataclass(frozen=True)
class Key:
    """One key.

    `default` is as it would stand in a file; None: there is none. `collects`: what a target's table, a
    variable and a flag give is added to what stands below instead of replacing it. `secret`: its values may
    hold passwords.
    """

    name: str
    kind: Kind
    default: Any
    scopes: tuple[Scope, ...]
    meaning: str
    collects: bool = False
    secret: bool = False

    @property
    def attribute(self) -> str:
        """The name in Python."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "CI_MIGRATE_" + self.attribute.upper()


KEYS: tuple[Key, ...] = (
    Key("default-target", TEXT, None, PROJECT,
        "The target of commands that name none, where there are several."),
    Key("alembic-config", PATH, None, BOTH,
        "Alembic's ini file, or the pyproject.toml with `[tool.alembic]`. Not set: `ALEMBIC_CONFIG`, else "
        "what is found: `alembic.ini`, `[tool.alembic]`, Flask-Migrate's `migrations/alembic.ini`."),
    Key("alembic-name", TEXT, "alembic", BOTH, "Section of the ini file, as `alembic -n`."),
    Key("python", PROGRAM, None, PROJECT,
        "Interpreter that runs env.py. Not set: that of `VIRTUAL_ENV`, else the project's `.venv`, else the "
        "one that ci-migrate runs under."),
    Key("x", PAIRS, [], BOTH, "Arguments for env.py, as `alembic -x`."),
    Key("configure", FUNCTION, None, BOTH, "Called in the child process with Alembic's `Config`."),
    Key("allow-connections", NAMES, [], BOTH,
        "Other databases that env.py may connect to while it migrates, as `host:port/database` or a file."),
    Key("to", TEXT, "head", BOTH, "Destination: a revision, `head`, `heads`, `label@head`, `+1`."),
    Key("plugins", PLUGINS, [], PROJECT, "Plugins and files with checks of the project's own."),
    Key("url", URL, None, TARGET, "The target's URL. Not set: env.py is asked.", secret=True),
    Key("read-url", URL, None, TARGET,
        "URL without a right to write, for check, backup and dry run. Not set: `url`.", secret=True),
    Key("databases", URLS, {}, TARGET,
        'More databases that the same env.py migrates, of the same engine: `{stats = "env:STATS_URL"}`. Each is backed '
        "up, copied, locked and restored with the target's.", secret=True),
    Key("tags", NAMES, [], ("target", "stage"),
        "`prod` or `production` switch the approval on. A stage's tags are added to what it inherits: "
        "migrate, repair, restore and rollback inherit the target's."),
    Key("backup-dir", FOLDER, "./.ci-migrate/backups", BOTH, "Where backups are kept."),
    Key("allow-ephemeral-backups", FLAG, False, BOTH,
        "In a CI's job, backups may lie in the checkout, which is thrown away."),
    Key("auto-backup", FLAG, True, BOTH, "A backup before each migration."),
    Key("keep-backups", whole(1, 10_000), 3, BOTH,
        "`backup prune` keeps those of the last so many migrations."),
    Key("reuse-backup", seconds(zero=True), "0", BOTH,
        "A backup of the same schema and heads that is not older will do, also of an approved run: rows written since "
        "are not in it (docs/approval.md); 0: always a new one."),
    Key("backup-recipients", RECIPIENTS, [], BOTH,
        "Backups are encrypted for these public keys. None: they are not encrypted.", secret=True),
    Key("backup-identity", IDENTITY, None, BOTH,
        "The private key that encrypted backups are read with; its file has mode 0600.", secret=True),
    Key("provider", choice("built-in", "command"), "built-in", BOTH,
        "Who takes backups: we, or commands of yours (docs/backup-places.md)."),
    Key("provider-create", ARGUMENTS, [], BOTH,
        "Takes a backup; the last line that it prints is its id. For all of them: `{id}`, `{target}` and `{folder}` "
        "are filled in, and the target's URL is in `CI_MIGRATE_PROVIDER_URL`."),
    Key("provider-restore", ARGUMENTS, [], BOTH,
        "Restores the backup `{id}` over the target. Not set: from the clone."),
    Key("provider-delete", ARGUMENTS, [], BOTH, "Deletes the backup `{id}`."),
    Key("provider-clone", ARGUMENTS, [], BOTH,
        "Makes a database of its own from the backup `{id}` for the dry run; the last line that it prints is its URL, "
        "or a folder with a copy of the server's files (docs/physical-backups.md)."),
    Key("provider-drop", ARGUMENTS, [], BOTH,
        "Takes that away again; what `provider-clone` printed is in `CI_MIGRATE_PROVIDER_CLONE_URL`."),
    Key("provider-price", PRICE, None, BOTH,
        "What a clone costs an hour. Not set: no dry run says what it cost (docs/physical-backups.md)."),
    Key("client-tools", PATH, None, BOTH,
        'Folder with pg_dump and the like, and with the server for `scratch = "embedded"`. Not set: PATH, then the '
        "places where systems install them."),
    Key("jobs", whole(1, 64), None, BOTH,
        "How many tables of a database server are dumped and restored at a time. Not set: the number of cores, "
        "at most 4."),
    Key("compare-budget", seconds(zero=True), None, BOTH,
        "How long tables may be digested after a dump, to compare a restored copy with it; of what is left then "
        "a sample is compared. Not set: a third of the dump's time, at least 30 s."),
    Key("scratch", SCRATCH, "server", BOTH,
        "Where scratch copies live: the target's server, another by its URL, or \"embedded\": a server that ci-migrate "
        "starts on this machine for the run (docs/databases.md). No default on production, SQLite apart.", secret=True),
    Key("dry-run", choice("backup", "schema", "off"), "backup", BOTH,
        "What the scratch copy is made of: the backup, or the schema without any rows, which proves less "
        "(docs/dry-run.md). `off` (never on production): no dry run."),
    Key("mask", PATH, None, BOTH,
        "A file of SQL, or a folder with one for each of several databases, that replaces private values in each "
        "scratch copy of the dry run before any code of the repository meets it (docs/dry-run.md)."),
    Key("show-values", FLAG, False, BOTH,
        "Errors of a migration repeat what stood in a row, and the server's DETAIL (docs/dry-run.md)."),
    Key("measure", FLAG, True, BOTH,
        "The dry run measures what each statement locks and rewrites (docs/dry-run.md)."),
    Key("lock-budget", seconds(zero=False), "3s", BOTH,
        "How long a lock may be held that keeps others from a table with rows (CM301, CM302), or many rows from those "
        "who write to them (CM304)."),
    Key("rehearse-twice", FLAG, False, BOTH,
        "The dry run rehearses a second time on another copy: other statements are an error (CM603)."),
    Key("require-confirmation", FLAG, True, BOTH, "Production-tagged stages need an approval token."),
    Key("token-validity-minutes", whole(1, 7 * 24 * 60), 30, BOTH, "How long a token is valid."),
    Key("max-evidence-age", seconds(zero=True), "24h", BOTH,
        "How old a dry run may be whose evidence approvers are shown over HTTP, and an approved run uses again, where "
        "`reuse-backup` lets it (docs/approval.md)."),
    Key("auto-rollback", FLAG, True, BOTH, "Repair by itself when a migration fails."),
    Key("on-failure", choice("keep", "back"), "keep", BOTH,
        "Revisions that committed before the failing one: keep them, or go back by proven downgrades."),
    Key("restore", choice("never", "auto"), "never", BOTH,
        "Restore by itself after a failure, where nobody else wrote since the backup."),
    Key("require-downgrade", FLAG, False, BOTH, "A rollback path that fails or does not lead back is an error."),
    Key("checks", CHECKS, {}, BOTH, "Severity of a check by its code.", collects=True),
    Key("allow", ALLOW, [], BOTH,
        "Findings that are meant, each with its reason, for ever or `; until` a last day; they stay in the report.",
        collects=True),
    Key("assertions", ASSERTIONS, [], BOTH,
        "Queries and what they must give, before and after the migration (docs/checks.md).", collects=True),
    Key("assertion-timeout", seconds(zero=False), "1min", BOTH, "How long the query of an assertion may take."),
    Key("backfills", BACKFILLS, [], BOTH,
        "Batched backfills that `ci-migrate backfill run` knows by their names (docs/backfills.md).", collects=True),
    Key("previous-release", ARGUMENTS, [], BOTH,
        "Tests of the release that runs now: a command that is run against the migrated scratch copy."),
    Key("previous-release-variable", VARIABLE, "DATABASE_URL", BOTH,
        "The environment variable in which that command finds the scratch copy's URL."),
    Key("previous-release-timeout", seconds(zero=False), "10min", BOTH, "How long that command may take."),
    Key("deployed", TEXT, None, BOTH,
        "The release that runs now: a git ref such as `v1.4.2`, a folder, a wheel, or an environment. "
        "Its models are compared with the migrated copy (docs/rolling-deploys.md). Not set: they are not."),
    Key("deployed-models", ATTRIBUTE, None, BOTH,
        "Where that release has its models: a `MetaData`, or a class that has one. Not set: its env.py is asked, which "
        "a wheel and an environment lack."),
    Key("releases", NAMES, ["*"], BOTH,
        "Tags of older releases, as patterns of git: how far back one can still go after the migration is looked up "
        "among them, the newest first. An empty list: it is not."),
    Key("squawk", PROGRAM, None, BOTH,
        "The program `squawk`: PostgreSQL's statements of the dry run are shown to it. Not set: they are not."),
    Key("lock-timeout", seconds(zero=False), None, BOTH,
        "How long a statement of a migration waits for a lock while others queue behind it. Not set: 2 s; what hinders "
        "nobody (SQLite, backups) waits 5 s (docs/locks.md)."),
    Key("lock-timeout-concurrently", seconds(zero=False), "30min", BOTH,
        "How long a statement that lets others work meanwhile waits for a lock, as CREATE INDEX CONCURRENTLY does."),
    Key("lock-tries", whole(1, 1000), 10, BOTH,
        "How often what met a lock timeout and did nothing is tried, after pauses that grow."),
    Key("in-the-way", choice("wait", "refuse", "go-on"), "wait", BOTH,
        "What to do before a migration where an old or prepared transaction, or an autovacuum to prevent wraparound, "
        "holds a lock that it needs: wait for its end and then refuse, refuse at once, or go on."),
    Key("in-the-way-age", seconds(zero=True), "30s", BOTH,
        "How old a transaction is, and how late a replica, that is named before a migration."),
    Key("in-the-way-wait", seconds(zero=True), "1min", BOTH, 'How long `in-the-way = "wait"` waits.'),
    Key("run-lock-timeout", seconds(zero=True), 0, BOTH,
        "How long to wait for another run on the same target."),
    Key("statement-timeout", seconds(zero=False), None, BOTH, "Limit for one statement. Not set: none."),
    Key("stall-timeout", seconds(zero=False), "10min", BOTH,
        "A child process without an event and without activity on the server is ended after that."),
    Key("hook-timeout", seconds(zero=False), HOOK_TIMEOUT, BOTH,
        "How long a hook, a check, an approver or a reporter of a plugin may take; then it counts as failed."),
    Key("max-duration", seconds(zero=False), None, BOTH,
        "A migration stops at a statement boundary after that. Not set: no limit."),
    Key("state", URL, None, BOTH, "Where the ledger lives. Not set: beside the target.", secret=True),
    Key("fleet-file", PATH, None, TARGET,
        "The target is a fleet (docs/fleet.md): a file with a URL a line, or a name and a URL."),
    Key("fleet-query", TEXT, None, TARGET,
        "The target is a fleet: a query on `fleet-query-url` whose rows are URLs, or names and URLs."),
    Key("fleet-query-url", URL, None, TARGET, "The database that `fleet-query` is sent to; it is only read.",
        secret=True),
    Key("fleet-command", ARGUMENTS, [], TARGET,
        "The target is a fleet: a program that prints what `fleet-file` would hold."),
    Key("fleet-plugin", FLAG, False, TARGET, "The target is a fleet: installed plugins name its databases."),
    Key("fleet-variable", VARIABLE, "DATABASE_URL", TARGET,
        "The environment variable in which env.py finds the URL of the fleet's database that is migrated. Alembic's "
        "`sqlalchemy.url` is set, too, and `{name}` in `x` is its name."),
    Key("fleet-version-table", TEXT, "alembic_version", TARGET,
        "Alembic's version table in each database of a fleet, with a schema where it has one: `app.alembic_version`."),
    Key("fleet-canary", TEXT, None, TARGET,
        "The name of the database of a fleet that is migrated first. Not set: the first one that is behind."),
    Key("fleet-wave", whole(1, 10_000), 50, TARGET, "How many databases of a fleet make a wave."),
    Key("fleet-processes", whole(1, 256), None, TARGET,
        "How many databases of a fleet are migrated at a time. Not set: the number of cores, or an executor's."),
    Key("fleet-executor", TEXT, "processes", TARGET,
        "What does the work of a fleet run: processes on this machine, `dask`, or an executor of an installed plugin."),
    Key("fleet-executor-address", TEXT, None, TARGET,
        "Where the scheduler of `fleet-executor` is, such as `tls://scheduler:8786`."),
    Key("fleet-per-server", whole(1, 256), 4, TARGET,
        "How many of them at a time on one server. SQLite files have none."),
    Key("fleet-max-fail-percentage", whole(0, 100), 10, TARGET,
        "A fleet run stops when more than so many percent of a wave failed."),
    Key("fleet-max-failures-in-a-row", whole(1, 10_000), 5, TARGET,
        "A fleet run stops when so many databases failed one after the other."),
    Key("fleet-dry-run", choice("each", "canary"), "each", TARGET,
        "Each database of a fleet is rehearsed on a copy of its own, or only the canary: then those whose heads and "
        "schema are the canary's migrate without a dry run of their own. Refused on production."),
    Key("fleet-state", URL, None, TARGET,
        "Where fleet runs are recorded. Not set: `.ci-migrate/fleet.sqlite3` in the project.", secret=True),
)  # fmt: skip

BY_NAME: dict[str, Key] = {key.name: key for key in KEYS}

STAGES = ("check", "backup", "dry-run", "approve", "migrate", "verify", "repair", "restore", "rollback")
"""What `stages.NAME.tags` may name: the pipeline's stages, and two commands that need an approval."""

INHERITING_STAGES = ("migrate", "repair", "restore", "rollback")
