"""What a person can paste out of what a command printed, read as a shell and the command line read it."""

import contextlib
import shlex

import click

from ci_migrate.cli import cli

SQL = ("DELETE", "INSERT")


def parse(words: list[str]) -> None:
    """As the command line does, without running anything. Raises click.UsageError."""
    command: click.Command = cli
    context = cli.make_context("ci-migrate", words)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def under_next(text: str) -> list[str]:
    """The lines behind `next` in `status`, under `Next` in `run` and `repair`, or those that end a refusal's message."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("next "):
            return [one[len("next ") :].strip() for one in lines[number:]]
    said = (n for n, line in enumerate(lines) if line.startswith(("  # ", "  ci-migrate ")))
    start = lines.index("Next") + 1 if "Next" in lines else next(said)
    return [line.strip() for line in lines[start : lines.index("", start)]]


def commands_to_paste(text: str) -> list[str]:
    """The commands among those lines, checked."""
    return checked(under_next(text))


def checked(lines: list[str]) -> list[str]:
    """The commands of lines: each one of ci-migrate that parses, of Alembic, or SQL.

    Raises:
        AssertionError: a line is neither that nor a comment of the shell.
    """
    commands = [line for line in lines if not line.startswith("# ")]
    for command in commands:
        words = shlex.split(command)
        while "=" in words[0]:  # a variable for this one command
            words.pop(0)
        if words[0] == "ci-migrate":
            with contextlib.suppress(click.exceptions.Exit):
                parse(words[1:])
        else:
            assert words[0] in ("alembic", *SQL), command
            assert words[0] not in SQL or command.endswith(";"), command
    return commands
