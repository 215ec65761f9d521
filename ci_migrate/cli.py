"""The command line: the group, the signals, and the error boundary, where an error becomes text and an exit code."""

import difflib
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ci_migrate import __version__
from ci_migrate.commands import VerbGroup
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say, say_traceback
from ci_migrate.errors import EXIT_CODE_MEANING, CiMigrateError, ExitCode, UsageError
from ci_migrate.verbs import GROUPS, HABITS


class Commands(VerbGroup):
    """The verbs of the table, and the commands of plugins."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A name that is not in the table may be a plugin's command."""
        if cmd_name not in self.list_commands(ctx) and cmd_name not in self.commands:
            _add_commands_of_plugins(self, ctx.params.get("directory") or Path())
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Where nobody reads any more (`| head`), click ends with 1: "the gate said no" here."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # what is left is flushed at the end
            return int(ExitCode.COULD_NOT_TELL)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Groups instead of one list, then the exit codes."""
        for group, verbs in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(verb.name, verb.words) for verb in verbs if verb.words])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODE_MEANING.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that is meant, or the nearest one, where there is none of this name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0] in HABITS:
                raise click.UsageError(_meant(*args), ctx) from error
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) from error
            raise


def _meant(name: str, *arguments: str) -> str:
    """What to type instead of a command of Alembic's."""
    revisions = [a for a in arguments if "=" not in a and (not a.startswith("-") or a[1:].isdigit())]
    meant = HABITS[name].format(shlex.quote(revisions[0]) if revisions else "REVISION")
    return f"ci-migrate has no `{name}`: ci-migrate {meant}"


def _add_commands_of_plugins(group: click.Group, directory: Path) -> None:
    """Ask plugins for their commands. What fails here is a warning: it must not hide that a name was mistyped."""
    from ci_migrate.plugins import manager as plugins
    from ci_migrate.settings.settings import load

    try:
        settings = load(directory, dict(os.environ), {})
        manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
        plugins.collect(manager, "ci_migrate_commands", cli=group)
    except CiMigrateError as error:
        say(f"Commands of plugins were not looked for: {error.what}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="ci-migrate")
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
        _refuse_bytes(arguments)
        result: Any = cli.main(_globals_first(arguments), prog_name="ci-migrate", standalone_mode=False)
    except CiMigrateError as error:
        return _show(error, debug=debug)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return int(ExitCode.USAGE)
    except click.UsageError as error:
        from ci_migrate.commands.options import refuse_tokens

        try:
            refuse_tokens(arguments)  # click's own words would repeat it
        except CiMigrateError as refusal:
            return _show(refusal, debug=debug)
        context = f"\nTry '{error.ctx.command_path} --help'." if error.ctx else ""
        say(f"Error: {error.format_message()}{context}", err=True)
        return int(ExitCode.USAGE)
    except click.ClickException as error:
        say(f"Error: {error.format_message()}", err=True)
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted. The database was not touched.", err=True)
        return int(ExitCode.INTERRUPTED)
    except SystemExit as end:  # click's completion of the shell, the demo
        if isinstance(end.code, str):
            say(end.code, err=True)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException as error:  # noqa: BLE001 - the boundary: no traceback reaches a user who did not ask for it
        return _unexpected(error, debug=debug)
    return int(result) if isinstance(result, int) else 0


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Raise UsageError where an argument is no UTF-8 and names no file: no ledger and no report could hold it."""
    for argument in arguments:
        if any("\ud800" <= c <= "\udfff" for c in argument) and not os.path.lexists(argument):
            raise UsageError(f"The argument {argument!a} is not UTF-8.", hint="See the terminal's locale.")


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
        say_traceback()
    say("\n".join(error.lines), err=True)
    return int(error.exit_code)


def _unexpected(error: BaseException, *, debug: bool) -> int:
    number = getattr(error, "number", None)
    if type(error).__name__ == "Interrupted" and isinstance(number, int):
        say("Interrupted. The database was not touched.", err=True)
        return 128 + number
    if debug:
        say_traceback()
    say(
        f"Bug in ci-migrate: {type(error).__name__}: {error}\nRun again with --debug for the traceback.",
        err=True,
    )
    return int(ExitCode.BUG)
