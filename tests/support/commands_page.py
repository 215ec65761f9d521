"""docs/commands.md, of what click knows: python tests/support/commands_page.py > docs/commands.md"""

from collections.abc import Iterator

import click

from ci_migrate.cli import COMMANDS, cli

HEAD = """\
# Commands

Made of `--help`: `python tests/support/commands_page.py > docs/commands.md`. The exit codes are in the
[README](../README.md), what a flag sets for good in [Settings](settings.md): most flags of a pipeline are settings too, by
the names there.

Of all commands: `ci-migrate [-C DIR] [--debug] COMMAND`. Each ends with one of the exit codes; `--help` says the same as this
page.
"""


def page() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="ci-migrate")
    lines = [HEAD.rstrip("\n")]
    for group, commands in COMMANDS.items():
        lines += ["", f"## {group}"]
        for name, _ in commands:
            command = cli.get_command(context, name)
            assert command is not None
            lines += section(command, f"ci-migrate {name}")
    return "\n".join(lines) + "\n"


def section(command: click.Command, path: str) -> Iterator[str]:
    """One command, then those that it has in it."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", f"### `{path}`", "", f"`{path} {usage}`".replace(" `", "`"))
    if command.help:
        for paragraph in command.help.split("\f")[0].split("\n\n"):
            yield from ("", " ".join(paragraph.split()))
    options = [o for o in command.params if isinstance(o, click.Option) and not o.hidden]
    if options:
        yield from ("", "| option | |", "| --- | --- |")
        yield from (row(option, context) for option in options)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from section(sub, f"{path} {name}")


def row(option: click.Option, context: click.Context) -> str:
    """`--to` REVISION | Where to. Default: `head`."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    metavar = "" if option.is_flag else f" {option.make_metavar(context)}"
    words = [" ".join((option.help or "").split())]
    if not option.is_flag and isinstance(option.default, str | int | float):
        words.append(f"Default: `{option.default}`.")
    if option.multiple:
        words.append("May be given several times.")
    if option.required:
        words.append("Required.")
    text = " ".join(words).replace("|", "\\|")
    return f"| {names}{metavar.replace('|', ' or ')} | {text} |"


if __name__ == "__main__":
    print(page(), end="")
