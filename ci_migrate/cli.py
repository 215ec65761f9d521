"""The command line: the group, the signals, and the error boundary, where an error becomes text and an exit code."""

import contextlib
import difflib
import io
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ci_migrate import __version__
from ci_migrate.commands import VerbGroup
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import own_output, say, say_json, say_traceback
from ci_migrate.errors import EXIT_CODE_MEANING, UNTOUCHED, CiMigrateError, ExitCode, UsageError
from ci_migrate.markers import PROJECT_NAME
from ci_migrate.verbs import ALEMBICS_OWN, GROUPS, HABITS

IN_A_LOG, NARROWEST = 100, 40
"""Columns where there is no terminal, and the fewest that prose is wrapped at."""


ANYWHERE = ("--debug", "-q", "-v", "--verbose")
BEFORE_THE_COMMAND = ("-c", "--config", "-n", "--name", "-x")
"""Where Alembic has these: `alembic -x tenant=a upgrade head`."""


INSTEAD_OF_SQL = """\
# the statements as they run on a copy of the data, with rows, locks and seconds; report.html has them all
ci-migrate dry-run -v
# without a database
alembic upgrade head --sql"""
"""What is answered to `--sql`."""


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
            # what is left is flushed at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return int(ExitCode.COULD_NOT_TELL)

    def _of_plugins(self, ctx: click.Context) -> list[str]:
        """The names of plugins' commands. Plugins are imported only where there are some: `--help` is quick."""
        _add_commands_of_plugins(self, ctx.params.get("directory") or Path())
        return sorted(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Groups instead of one list, then the exit codes."""
        for group, verbs in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(verb.name, verb.words) for verb in verbs if verb.words])
        theirs = self._of_plugins(ctx)
        if theirs:
            with formatter.section("From plugins"):
                formatter.write_dl([(name, self.commands[name].get_short_help_str()) for name in theirs])
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
            if args[0] in ALEMBICS_OWN:
                own = shlex.join(["alembic", *args])
                raise click.UsageError(f"That is Alembic's own: {own}", ctx) from error
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
    """Ask plugins for their commands. What fails here is a warning: it must not hide that a name was mistyped.

    No target is chosen for that: `plugins` is the project's.
    """
    from importlib.metadata import entry_points

    try:
        named, folder = _named_plugins(_resolve(directory))
        if not named and not entry_points(group=PROJECT_NAME):
            return
        from ci_migrate.plugins import manager as plugins

        plugins.collect(plugins.create_manager(named, folder), "ci_migrate_commands", cli=group)
    except CiMigrateError as error:
        say(f"Commands of plugins were not looked for: {error.what}", err=True)


def _resolve(directory: Path) -> Path:
    """The folder's whole name. Raises UsageError: it has none, as the working folder was removed."""
    try:
        return directory.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"The folder {directory.name or 'that you are in'} is gone.",
            hint="Go to one that is there, or name it with -C DIR.",
        ) from error


def _named_plugins(directory: Path) -> tuple[tuple[str, ...], Path]:
    """The plugins that settings name, and the project's folder."""
    from ci_migrate.settings.files import read_environment, read_settings_file

    files = read_settings_file(directory)
    folder = files.folder if files else directory
    named = read_environment(os.environ, folder).get("plugins")
    if named is None and files is not None:
        named = files.project.get("plugins")
    return (named.value if named else ()), folder


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="ci-migrate")
@click.option(
    "-C",
    "directory",
    type=click.Path(path_type=Path),
    default=Path(),
    is_eager=True,  # whose plugins have commands must be known to --help
    help="Run as if started in this folder.",
)
@click.option("-q", "--quiet", is_flag=True, help="Of a run that went well only the last line: its state.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Lists are not cut, and what failed is shown with all its text."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, directory: Path, quiet: bool, verbose: bool, debug: bool) -> None:
    """The deploy gate for Alembic: backup, dry run on the restored backup, real migration, repair."""
    _resolve(directory)
    ctx.obj = Environment(
        directory=directory,
        debug=debug,
        environ=dict(os.environ),
        quiet=quiet,
        verbose=verbose,
        color=_wants_color(os.environ, terminal=sys.stdout.isatty()),
        interactive=sys.stdin.isatty(),
        terminal=sys.stderr.isatty() and os.environ.get("TERM") != "dumb",
        screen=sys.stdout.isatty(),
        width=_width(os.environ),
    )


def _wants_color(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """As Python itself decides: NO_COLOR first, then FORCE_COLOR, then whether there is a terminal that can."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (terminal and environ.get("TERM") != "dumb")


def _width(environ: Mapping[str, str]) -> int:
    """Columns of the terminal, of COLUMNS where it is set; in a log a hundred."""
    columns = environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return max(NARROWEST, int(columns))
    with contextlib.suppress(OSError, ValueError):  # it is no terminal, or none that has a size
        return max(NARROWEST, os.get_terminal_size(sys.stdout.fileno()).columns or IN_A_LOG)
    return IN_A_LOG


def run(arguments: Sequence[str]) -> int:
    """Run the command line; whatever happens, the answer is an exit code."""
    with own_output() if "--json" in arguments else contextlib.nullcontext():
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a name that the terminal can't show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_bytes(arguments)
        result: Any = cli.main(_in_order(arguments), prog_name="ci-migrate", standalone_mode=False)
    except CiMigrateError as error:
        return _show(error, arguments, debug=debug)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return int(ExitCode.USAGE)
    except click.UsageError as error:
        from ci_migrate.commands.options import refuse_tokens

        try:
            refuse_tokens(arguments)  # click's own words would repeat it
        except CiMigrateError as refusal:
            return _show(refusal, arguments, debug=debug)
        context = f"\nTry '{error.ctx.command_path} --help'." if error.ctx else ""
        if isinstance(error, click.NoSuchOption) and error.option_name == "--sql":
            context = f"\n{INSTEAD_OF_SQL}"
        say(f"Error: {error.format_message()}{context}", err=True)
        return _answer(error, ExitCode.USAGE, arguments, error.format_message())
    except click.ClickException as error:
        say(f"Error: {error.format_message()}", err=True)
        return _answer(error, ExitCode.USAGE, arguments, error.format_message())
    except (click.Abort, KeyboardInterrupt) as error:
        say(f"Interrupted. {UNTOUCHED}", err=True)
        return _answer(error, ExitCode.INTERRUPTED, arguments, "Interrupted.")
    except SystemExit as end:  # click's completion of the shell, the demo
        if isinstance(end.code, str):
            say(end.code, err=True)
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException as error:  # noqa: BLE001 - the boundary: no traceback reaches a user who did not ask for it
        return _unexpected(error, arguments, debug=debug)
    return int(result) if isinstance(result, int) else 0


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Raise UsageError where an argument is no UTF-8 and names no file: no ledger and no report could hold it."""
    for argument in arguments:
        if any("\ud800" <= c <= "\udfff" for c in argument) and not os.path.lexists(argument):
            raise UsageError(f"The argument {argument!a} is not UTF-8.", hint="See the terminal's locale.")


def _in_order(arguments: Sequence[str]) -> list[str]:
    """What holds for all commands may stand after them (`run -q`), and before them what Alembic has there (`-x`)."""
    first: list[str] = []
    others: list[str] = []
    last: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            others += [argument, *left]
        elif argument in ("-C", *(BEFORE_THE_COMMAND if not others else ())):
            ours = first if argument == "-C" else last
            ours += [argument, *[value for value in [next(left, None)] if value is not None]]
        elif argument in ANYWHERE or (argument.startswith("-C") and not argument.startswith("--")):
            first.append(argument)
        else:
            others.append(argument)
    place = others.index("--") if "--" in others else len(others)
    return first + others[:place] + last + others[place:]


def _answer(error: BaseException, exit_code: int, arguments: Sequence[str], words: str = "") -> int:
    """The exit code; where JSON was asked for, the error stands on standard output, too."""
    if "--json" in arguments:
        from ci_migrate.reports.failure import ErrorDocument, failure_of_error

        failure = failure_of_error(error, int(exit_code), words, _folder(arguments))
        with contextlib.suppress(OSError):  # nobody may be reading any more
            say_json(ErrorDocument(exit_code=int(exit_code), failure=failure))
    return int(exit_code)


def _folder(arguments: Sequence[str]) -> Path:
    """The folder of `-C`, which click may not have come to: it reads what there is, and passes over what is wrong."""
    read = cli.make_context("ci-migrate", _in_order(arguments), resilient_parsing=True)
    return read.params.get("directory") or Path()


def _show(error: CiMigrateError, arguments: Sequence[str], *, debug: bool) -> int:
    if debug:
        say_traceback()
    say("\n".join(error.lines), err=True)
    return _answer(error, error.exit_code, arguments)


def _unexpected(error: BaseException, arguments: Sequence[str], *, debug: bool) -> int:
    number = getattr(error, "number", None)
    if type(error).__name__ == "Interrupted" and isinstance(number, int):
        say(f"Interrupted. {UNTOUCHED}", err=True)
        return _answer(error, 128 + number, arguments, "Interrupted.")
    if debug:
        say_traceback()
    words = f"Bug in ci-migrate: {type(error).__name__}: {error}"
    say(f"{words}\nRun again with --debug for the traceback.", err=True)
    return _answer(error, ExitCode.BUG, arguments, words)
