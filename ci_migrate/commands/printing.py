"""The one way to standard output and standard error: what is printed holds no secret, and steers nothing.

Revision messages, reasons, names of backups come from whoever can write a branch or a manifest. A control character
in them rewrites the line above, a mark of bidirectional writing shows another command than the one that will be
pasted, and `::error::` or `##[group]` at the start of a line is an order to the CI.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import IO

import click


@contextlib.contextmanager
def own_output() -> Iterator[None]:
    """Keep standard output for JSON: what a plugin or a library writes to its descriptor goes to standard error."""
    before = sys.stdout
    if not _is_descriptor(before, 1) or not _is_descriptor(sys.stderr, 2):
        yield
        return
    before.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding="utf-8", errors="backslashreplace") as stream:
            sys.stdout = stream
            yield
            try:
                stream.flush()
            except BrokenPipeError:
                # nobody reads any more: what is left is flushed when the stream closes
                os.dup2(os.open(os.devnull, os.O_WRONLY), kept)
            os.dup2(kept, 1)
    finally:
        sys.stdout = before


def _is_descriptor(stream: IO[str], number: int) -> bool:
    """Whether it is that one, and no text in memory."""
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False


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
