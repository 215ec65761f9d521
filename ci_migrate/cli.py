"""The command line: the group, the signals, and the error boundary, where an error becomes text and an exit code."""

import difflib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ci_migrate import __version__
from ci_migrate.commands.environment import Environment
from ci_migrate.errors import EXIT_CODE_MEANING, CiMigrateError, ExitCode

COMMANDS: dict[str, tuple[tuple[str, str], ...]] = {
    "Every day": (
        ("run", "Check, back up, rehearse on the restored backup, migrate, verify."),
        ("plan", "What would run, on which database. Reads only."),
        ("check", "The plan and every static check. Reads only."),
        ("dry-run", "Back up and rehearse on the restored copy; the target is not written."),
        ("migrate", "As run, without the dry run. Refused on production."),
        ("status", "Where the target is, the last run, and what to do."),
        ("history", "The runs of this target."),
        ("verify", "Compare the target with what the last migration left."),
    ),
    "When it failed": (
        ("repair", "Say what state an unfinished run left, mend it, prove it."),
        ("rollback", "Go back to a revision by downgrade or by its backup; says what that loses."),
        ("stamp", "Mark a revision without running anything; the schema is proved untouched."),
        ("backup", "Create, list, show, verify, copy, restore, delete, prune backups."),
    ),
    "Approval": (
        ("approve", "Sign an approval request with an SSH key; reaches no database."),
        ("token", "Generate, validate, list, revoke, merge, show approval tokens."),
        ("protect", "The database knows that it is production, and who approves."),
        ("unprotect", "Take the protection away; needs an approval itself."),
    ),
    "Set-up": (
        ("init", "Write commented settings and the job for your CI."),
        ("doctor", "What stands in the gate's way or weakens it, each with its fix."),
        ("settings", "Each setting with its value and where it comes from."),
        ("plugins", "All hooks and who implements them."),
        ("audit", "Show, verify or export the audit trail."),
        ("serve", "The same over HTTP, for deploy tools; needs the extra server."),
        ("demo", "A bookshop goes through the gate, in a new folder."),
    ),
}
"""Literal, so that `--help` imports no command."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of the table."""
        return [name for commands in COMMANDS.values() for name, _ in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; a name that is not in the table may be a plugin's command."""
        if cmd_name not in self.list_commands(ctx):
            if cmd_name not in self.commands:
                _add_commands_of_plugins(self, ctx.params.get("directory") or Path())
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"ci_migrate.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Groups instead of one list, then the exit codes."""
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl(list(commands))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODE_MEANING.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of this name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) from error
            raise


def _add_commands_of_plugins(group: click.Group, directory: Path) -> None:
    """Ask plugins for their commands. What fails here is a warning: it must not hide that a name was mistyped."""
    from ci_migrate.plugins import manager as plugins
    from ci_migrate.settings.settings import load

    try:
        settings = load(directory, dict(os.environ), {})
        manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
        plugins.collected(manager, "ci_migrate_commands", cli=group)
    except CiMigrateError as error:
        click.echo(f"Commands of plugins were not looked for: {error.what}", err=True)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="ci-migrate")
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Run as if started in this folder.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, directory: Path, debug: bool) -> None:
    """The deploy gate for Alembic: backup, dry run on the restored backup, real migration, repair."""
    ctx.obj = Environment(
        directory=directory,
        debug=debug,
        environ=dict(os.environ),
        color=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        interactive=sys.stdin.isatty(),
        terminal=sys.stderr.isatty() and os.environ.get("TERM") != "dumb",
    )


def run(arguments: Sequence[str]) -> int:
    """Run the command line; whatever happens, the answer is an exit code."""
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a name that the terminal can't show is no reason to stop
    try:
        result: Any = cli.main(_globals_first(arguments), prog_name="ci-migrate", standalone_mode=False)
    except CiMigrateError as error:
        return _show(error, debug=debug)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return int(ExitCode.USAGE)
    except click.UsageError as error:
        from ci_migrate.commands.options import refuse_tokens

        try:
            refuse_tokens(arguments)  # click's own words would repeat it
        except CiMigrateError as refusal:
            return _show(refusal, debug=debug)
        context = f"\nTry '{error.ctx.command_path} --help'." if error.ctx else ""
        click.echo(f"Error: {error.format_message()}{context}", err=True)
        return int(ExitCode.USAGE)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. The database was not touched.", err=True)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.COULD_NOT_TELL)
    except SystemExit as end:  # click's completion of the shell, the demo
        if isinstance(end.code, str):
            click.echo(end.code, err=True)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException as error:  # noqa: BLE001 - the boundary: no traceback reaches a user who did not ask for it
        return _unexpected(error, debug=debug)
    return int(result) if isinstance(result, int) else 0


def _globals_first(arguments: Sequence[str]) -> list[str]:
    """`run -C shop --debug` is `-C shop --debug run`: what holds for all commands may stand after them too."""
    first, others = [], []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            others += [argument, *left]
        elif argument == "-C":
            first += [argument, *[value for value in [next(left, None)] if value is not None]]
        elif argument == "--debug" or (argument.startswith("-C") and not argument.startswith("--")):
            first.append(argument)
        else:
            others.append(argument)
    return first + others


def _show(error: CiMigrateError, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo("\n".join(error.lines), err=True)
    return int(error.exit_code)


def _unexpected(error: BaseException, *, debug: bool) -> int:
    number = getattr(error, "number", None)
    if type(error).__name__ == "Interrupted" and isinstance(number, int):
        click.echo("Interrupted. The database was not touched.", err=True)
        return 128 + number
    if debug:
        traceback.print_exc()
    click.echo(
        f"Bug in ci-migrate: {type(error).__name__}: {error}\nRun again with --debug for the traceback.",
        err=True,
    )
    return int(ExitCode.BUG)
