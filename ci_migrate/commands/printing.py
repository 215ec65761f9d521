"""The one way to standard output and standard error: what is printed holds no secret, and steers nothing.

Revision messages, reasons, names of backups come from whoever can write a branch or a manifest. A control character
in them rewrites the line above, a mark of bidirectional writing shows another command than the one that will be
pasted, and `::error::` or `##[group]` at the start of a line is an order to the CI.
"""

import sys
import traceback

import click


def say(text: str, *, err: bool = False, coloured: bool = False) -> None:
    """Print lines for people, or JSON.

    Args:
        text: whatever it holds.
        err: on standard error; standard output belongs to what was asked for.
        coloured: a renderer of ours made it, with colours.
    """
    from ci_migrate.reports.clean import for_terminal

    # whoever made colours knew that they are wanted; click would take them out again where there is no terminal
    click.echo(for_terminal(text, coloured=coloured), err=err, color=coloured or None)


def say_json(value: object, *, indent: bool = True) -> None:
    """Print a value as JSON: its texts are cleaned, its numbers and the signs of JSON are not looked at."""
    import msgspec

    from ci_migrate.reports.clean import clean_value

    text = msgspec.json.encode(clean_value(value))
    click.echo((msgspec.json.format(text) if indent else text).decode())


def say_for_now(text: str) -> None:
    """A line on standard error that the next one replaces; "" takes it away. For terminals."""
    from ci_migrate.reports.clean import for_terminal

    click.echo(f"\r{for_terminal(text)}\x1b[K", nl=False, err=True)


def hand_over(text: str, *, err: bool = False) -> None:
    """Print as it is what was made to be handed on: a token, a key, a command for the CI."""
    click.echo(text, err=err)


def say_traceback() -> None:
    """The traceback of the error that is being handled, on standard error: for `--debug`."""
    say("".join(traceback.format_exception(sys.exc_info()[1])).rstrip("\n"), err=True)
