"""`ci-migrate backup create|list|show|verify|copy|restore|delete|prune`."""

from typing import Any

import click
import msgspec

from ci_migrate.backups.copy import copy as copy_backup
from ci_migrate.commands.confirm import Lost, confirm_restore
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options, target_option, token_of
from ci_migrate.commands.progress import say_aside, watching
from ci_migrate.errors import UsageError
from ci_migrate.model import Backup, BackupStatus
from ci_migrate.operations.backups import (
    Restoring,
    complete,
    create_backup,
    delete_backup,
    listed,
    prune_backups,
    restore_backup,
    verify_by_restore,
    verify_files,
)
from ci_migrate.operations.backups import (
    drop_old as drop_replaced,
)
from ci_migrate.reports.story import size
from ci_migrate.session import GateRequest, open_catalog, open_session
from ci_migrate.settings.settings import Settings


@click.group("backup")
def command() -> None:
    """Backups of the target: folders whose manifest was written last."""


@command.command("create")
@click.option(
    "--table", "tables", multiple=True, metavar="NAME", help="The rows of this table alone; several times."
)
@settings_options
@click.pass_obj
def create(environment: Environment, /, tables: tuple[str, ...], **options: Any) -> int:
    """Back the target up, with a manifest: whole, or with --table the rows of some tables."""
    settings = settings_of(environment, options)
    environment.listen()
    with open_session(
        settings,
        GateRequest("backup create", tell=say_aside, watch=watching(environment)),
        environment.interrupt,
    ) as (run, _):
        backup = create_backup(run, "backup create", tables)
    click.echo(f"{backup.backup_id}  {size(backup.backup_size)}  {backup.description}  {backup.backup_path}")
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="The manifests as JSON.")
@settings_options
@click.pass_obj
def list_(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """The backups of the target, oldest first; half-written ones are FAILED."""
    backups, proven, unknown = listed(settings_of(environment, options), environment.interrupt)
    if unknown:
        click.echo(f"Which are proven is not known: {unknown}", err=True)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(backups)).decode())
        return 0
    for b in backups:
        shown = "proven" if b.backup_id in proven else ""
        click.echo(
            f"{b.backup_id:<44} {b.backup_time:%Y-%m-%d %H:%M} UTC  {size(b.backup_size):>9}  {b.status.value:<8}"
            f"{shown:<7} {b.description}".rstrip()
        )
    if not backups:
        click.echo("No backups.")
    return 0


@command.command("show")
@click.argument("backup_id")
@settings_options
@click.pass_obj
def show(environment: Environment, /, backup_id: str, **options: Any) -> int:
    """The manifest of a backup, as JSON."""
    backup = open_catalog(settings_of(environment, options)).get(backup_id)
    click.echo(msgspec.json.format(msgspec.json.encode(backup)).decode())
    return 0


@command.command("verify")
@click.argument("backup_id")
@click.option("--restore", "by_restore", is_flag=True, help="Prove it by restoring it into a scratch copy.")
@settings_options
@click.pass_obj
def verify(environment: Environment, /, backup_id: str, by_restore: bool, **options: Any) -> int:
    """Compare every file with its checksum; with --restore also what comes out of it."""
    settings = settings_of(environment, options)
    environment.listen()
    if by_restore:
        with open_session(
            settings, GateRequest("backup verify", watch=watching(environment)), environment.interrupt
        ) as (
            run,
            _,
        ):
            click.echo(verify_by_restore(run, run.catalog.get(backup_id)))
    else:
        catalog = open_catalog(settings)
        click.echo(verify_files(catalog, catalog.get(backup_id), watching(environment)))
    return 0


@command.command("copy")
@click.argument("backup_id")
@click.argument("url")
@settings_options
@click.pass_obj
def copy(environment: Environment, /, backup_id: str, url: str, **options: Any) -> int:
    """Copy a complete backup to another folder or s3://bucket/prefix, verified on both sides."""
    settings = settings_of(environment, options)
    catalog = open_catalog(settings)
    copied = copy_backup(complete(catalog.get(backup_id)), catalog, open_catalog(settings, url))
    click.echo(f"{copied.backup_id}  {size(copied.backup_size)}  verified in {copied.backup_path}")
    return 0


@command.command("restore")
@click.argument("backup_id", required=False)
@click.option("--drop-old", is_flag=True, help="Instead: drop what earlier restores kept of this target.")
@click.option(
    "--table", "tables", multiple=True, metavar="NAME", help="The rows of this table alone; several times."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-safety-backup", is_flag=True, help="Do not back up what is replaced.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@click.pass_obj
def restore(
    environment: Environment,
    /,
    backup_id: str | None,
    drop_old: bool,
    tables: tuple[str, ...],
    yes: bool,
    no_safety_backup: bool,
    token_file: str | None,
    **options: Any,
) -> int:
    """Put a backup in the place of the target: shows what that loses, asks, keeps what it replaces."""
    if (backup_id is None) != drop_old or (drop_old and tables):
        raise UsageError("Name either a backup or --drop-old.", hint="ci-migrate backup list")
    settings = settings_of(environment, options)
    environment.listen()
    if backup_id is None:
        return _drop_old(environment, settings, yes=yes)

    def sure(backup: Backup, lost: Lost) -> None:
        confirm_restore(environment, run, backup, lost, yes=yes, tables=tables)

    command = "backup restore --table" if tables else "backup restore"
    order = GateRequest(
        command, token=token_of(environment, token_file), tell=say_aside, watch=watching(environment)
    )
    with open_session(
        settings, order, environment.interrupt, ledger=settings.needs_approval("restore") or None
    ) as (run, _):
        words = restore_backup(
            run,
            run.catalog.get(backup_id),
            Restoring(sure, safety_backup=not no_safety_backup, tables=tables),
        )
    click.echo(words)
    return 0


def _drop_old(environment: Environment, settings: Settings, *, yes: bool) -> int:
    with open_session(settings, GateRequest("backup restore --drop-old"), environment.interrupt) as (run, _):
        names = drop_replaced(run, sure=yes)
    for name in names:
        click.echo(f"{'Dropped' if yes else 'Would drop (add --yes)'}: {name}")
    if not names:
        click.echo("No restore kept anything.")
    return 0


@command.command("delete")
@click.argument("backup_id")
@click.option("--yes", is_flag=True, help="Really delete it.")
@target_option
@click.pass_obj
def delete(environment: Environment, /, backup_id: str, yes: bool, **options: Any) -> int:
    """Delete a backup; without --yes only say what would be deleted."""
    with open_session(
        settings_of(environment, options), GateRequest("backup delete"), environment.interrupt
    ) as (run, _):
        backup = delete_backup(run, backup_id, sure=yes)
    click.echo(f"{'Deleted' if yes else 'Would delete (add --yes)'}: {backup_id}, {size(backup.backup_size)}")
    return 0


@command.command("prune")
@click.option("--keep", type=int, help="Of how many migrations backups are kept; default: keep-backups.")
@click.option("--yes", is_flag=True, help="Really delete them.")
@target_option
@click.pass_obj
def prune(environment: Environment, /, keep: int | None, yes: bool, **options: Any) -> int:
    """Delete backups older than the last migrations; without --yes only say which."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest("backup prune"), environment.interrupt) as (run, _):
        removed = prune_backups(run, settings.keep_backups if keep is None else keep, sure=yes)
        failed = [b for b in run.catalog.list() if b.status is BackupStatus.FAILED]
    for b in removed:
        click.echo(f"{'Deleted' if yes else 'Would delete'}: {b.backup_id}, {size(b.backup_size)}")
    if not removed:
        click.echo("Nothing to delete.")
    elif not yes:
        click.echo("Add --yes to delete them.")
    for b in failed:
        click.echo(f"FAILED, not touched: {b.backup_id} (ci-migrate backup delete {b.backup_id} --yes)")
    return 0
