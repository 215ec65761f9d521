"""One verb per file: parse, call, render; no logic. `verbs.py` says which there are."""

import importlib
from typing import Any

import click

from ci_migrate.verbs import VERBS, Verb


def load_command(verb: Verb) -> click.Command:
    """The click command of a verb: `command` in the module of its name."""
    path = verb.name.replace("-", "_").replace(" ", ".")
    command: click.Command = importlib.import_module(f"ci_migrate.commands.{path}").command
    return command


class VerbGroup(click.Group):
    """The verbs within a verb, in the order of the table; a module is imported when its command is called."""

    def __init__(self, *arguments: Any, verb: str = "", **attributes: Any) -> None:
        """As click's; `verb` is whose verbs these are, "" for those of the first level."""
        super().__init__(*arguments, **attributes)
        self.verb = verb

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The next words of all verbs that begin with this one."""
        begin = f"{self.verb} " if self.verb else ""
        words = [name.removeprefix(begin) for name in VERBS if name.startswith(begin)]
        return [word for word in words if " " not in word]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self.list_commands(ctx):
            return super().get_command(ctx, cmd_name)
        return load_command(VERBS[f"{self.verb} {cmd_name}".strip()])
