"""Options that several commands share, and how they become Settings."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.settings.files import read_settings_file
from ci_migrate.settings.fleet import split
from ci_migrate.settings.secrets import register_secret
from ci_migrate.settings.settings import Secret, Settings, load
from ci_migrate.tempdirs import OWN

Function = TypeVar("Function", bound=Callable[..., Any])

REPORTS = f"{OWN}/reports"
"""Where the reports of the last run are, from the project's folder."""

REPORT_OPTIONS = ("report_dir", "junit_xml", "reports", "as_json", "stages_to")
"""What `report_options` adds, which are no settings."""

TOKEN_LIMIT = 64 * 1024
SHORTEST_TOKEN = 36


def target_option(function: Function) -> Function:
    """--target NAME."""
    return click.option(
        "--target", metavar="NAME", help="Which target of the settings.", shell_complete=_target_names
    )(function)


def _target_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the completion of the shell; settings that can't be read have none."""
    directory = context.find_root().params.get("directory") or Path()
    try:
        found = read_settings_file(Path(directory).resolve())
    except CiMigrateError:
        return []
    return [name for name in (found.targets if found else ()) if name.startswith(incomplete)]


def settings_options(function: Function) -> Function:
    """Flags that stand above settings files and variables."""
    for option in (
        click.option("--allow", multiple=True, metavar="CODE@REV=REASON", help="Acknowledge a finding."),
        click.option(
            "-x", "x", multiple=True, metavar="KEY=VALUE", help="Argument for env.py, as `alembic -x`."
        ),
        click.option("--backup-dir", metavar="DIR", help="Where backups are kept."),
        click.option(
            "-n",
            "--name",
            "alembic_name",
            metavar="SECTION",
            help="Section of the ini file, as `alembic -n`.",
        ),
        click.option(
            "-c", "--alembic-config", "--config", "alembic_config", metavar="FILE", help="Alembic's ini file."
        ),
        target_option,
    ):
        function = option(function)
    return function


def deployed_option(function: Function) -> Function:
    """--deployed RELEASE."""
    return click.option(
        "--deployed",
        metavar="RELEASE",
        help="The release that runs now, by a git ref, a wheel or an environment: does it work with the migrated "
        "database?",
    )(function)


def destination_options(function: Function) -> Function:
    """Where an upgrade leads: --to REVISION, or REVISION alone as Alembic has it. The command gets `destination`."""

    @functools.wraps(function)
    def command(*arguments: Any, destination: str | None, revision: str | None, **options: Any) -> Any:
        refuse_tokens([word for word in (destination, revision) if word is not None])
        if destination is not None and revision is not None:
            raise UsageError(f"The destination is given twice: {revision}, and --to {destination}.")
        # not `or`: one that is empty is refused, not passed over
        wanted = revision if destination is None else destination
        return function(*arguments, destination=wanted, **options)

    for parameter in (
        click.option("--to", "destination", metavar="REVISION", help="Destination, as `alembic upgrade`."),
        click.argument("revision", required=False),
    ):
        command = parameter(command)
    return cast("Function", command)


def actor_options(function: Function) -> Function:
    """Who runs it and why, for ledger and audit trail: the command gets `by` and `reason`."""
    for option in (
        click.option(
            "--by",
            metavar="NAME",
            help="Who runs it; by default the CI's actor, else the user of this machine.",
        ),
        click.option("--reason", metavar="TEXT", help="Why; stands in history and in the audit trail."),
    ):
        function = option(function)
    return function


def report_options(function: Function) -> Function:
    """Where reports go."""
    for option in (
        click.option(
            "--stages-to", type=int, hidden=True, help="A descriptor: which stages have ended, as JSON."
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Print the report as JSON; all else goes to stderr."
        ),
        click.option(
            "--report", "reports", multiple=True, metavar="FORMAT=PATH", help="One more report file."
        ),
        click.option("--junit-xml", metavar="PATH", help="Where junit.xml goes."),
        click.option(
            "--report-dir",
            metavar="DIR",
            help=f"Folder of the reports of this run. Default: {REPORTS}.",
        ),
    ):
        function = option(function)
    return function


def given_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those flags that were given, as `load` takes them."""
    return {k: (list(v) if isinstance(v, tuple) else v) for k, v in flags.items() if v not in (None, ())}


def settings_of(environment: Environment, flags: dict[str, Any]) -> Settings:
    """The settings, with those flags that were given on top. A target `FLEET/NAME` is looked up in its fleet."""
    given = given_flags(flags)
    named = str(given.get("target") or environment.environ.get("CI_MIGRATE_TARGET") or "").strip()
    if "/" not in named:
        return load(environment.directory, environment.environ, given)
    from ci_migrate.fleet.members import find_member

    fleet = load(environment.directory, environment.environ, {**given, "target": split(named)[0]})
    member = find_member(fleet, split(named)[1])
    return load(environment.directory, environment.environ, {**given, "target": named}, member.url)


def refuse_tokens(words: Sequence[str]) -> None:
    """Raise UsageError where an argument is a token itself: others here can read those."""
    if not any(len(word) >= SHORTEST_TOKEN for word in words):
        return
    from ci_migrate.approval.tokens import kind_of

    for word in words:
        token = word.rpartition("=")[2]
        if kind_of(token) or kind_of(word):
            raise UsageError(
                "An argument is an approval token itself: others on this machine can read it there.",
                hint="Give it by --token-file PATH, by standard input (--token-file -) or as CI_MIGRATE_TOKEN; "
                "what was read may be taken back: ci-migrate token list, token revoke.",
            )


def token_of(environment: Environment, token_file: str | None) -> Secret | None:
    """The approval token: from a file, standard input (`-`), or CI_MIGRATE_TOKEN.

    An empty variable is none: a CI sets it so where its secret is missing.

    Raises:
        UsageError: the file can't be read, or is far too long for a token.
    """
    if token_file is None:
        text = environment.environ.get("CI_MIGRATE_TOKEN")
        return _registered(text) if text else None
    stdin = token_file == "-"  # noqa: S105 - standard input, not a secret
    refuse_tokens([token_file])
    try:
        with click.open_file(
            "-" if stdin else str(environment.directory / token_file), "r", encoding="utf-8"
        ) as file:
            # not the whole file: /dev/zero has no end
            text = file.read(TOKEN_LIMIT + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"The token file {token_file} can't be read: {why}.",
            hint="It holds what `ci-migrate token generate --quiet` printed.",
        ) from error
    if len(text) > TOKEN_LIMIT:
        raise UsageError(f"{token_file} is too long to be a token.")
    return _registered(text)


def _registered(token: str) -> Secret:
    register_secret(token.strip())
    return Secret(token)
