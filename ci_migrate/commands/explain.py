"""`ci-migrate explain`."""

import difflib
import re
from pathlib import Path

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError

PACKAGED = Path(__file__).parents[1] / "check_pages"
IN_A_CHECKOUT = Path(__file__).parents[2] / "docs" / "checks"

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")
"""A link to another page, which a terminal can't follow."""


@click.command("explain")
@click.argument("code", metavar="[CODE]", required=False)
@click.pass_obj
def command(environment: Environment, /, code: str | None) -> int:
    """Explain a finding, as CM202: what is bad, why, what to write instead. Without CODE: which there are."""
    folder = PACKAGED if PACKAGED.is_dir() else IN_A_CHECKOUT
    pages = {page.stem: page for page in sorted(folder.glob("CM*.md"))}
    if code is None:
        for page in pages.values():
            say(page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "))
        return 0
    wanted = code.partition("@")[0].upper()  # CM202@3f2a, as reports write it
    if wanted not in pages:
        near = difflib.get_close_matches(wanted, pages, 1, 0.7)
        raise UsageError(
            f"There is no page for {wanted}: a check of a plugin explains itself in its message.",
            hint=f"ci-migrate explain {near[0]}" if near else "ci-migrate explain",
        )
    text = _LINK.sub(r"\1", pages[wanted].read_text(encoding="utf-8")).rstrip("\n")
    say(_coloured(text, environment.width) if environment.color else text, coloured=environment.color)
    return 0


def _coloured(text: str, width: int) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    # `_environ`: colours are decided by the environment of the command, which asked it already
    console = Console(
        width=width, force_terminal=True, color_system="standard", legacy_windows=False, _environ={}
    )
    with console.capture() as capture:
        console.print(Markdown(text, code_theme="ansi_dark"))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).rstrip("\n")
