"""`ci-migrate explain`."""

import difflib
from pathlib import Path

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say, say_json
from ci_migrate.errors import UsageError
from ci_migrate.reports.links import without_links

PACKAGED_CHECKS = Path(__file__).parents[1] / "check_pages"
PACKAGED_ERRORS = Path(__file__).parents[1] / "errors_page.md"
CHECKOUT = Path(__file__).parents[2] / "docs"


@click.command("explain")
@click.argument("code", metavar="[CODE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def command(environment: Environment, /, code: str | None, as_json: bool) -> int:
    """Explain a finding, as CM202: what is bad, why, what to write instead. Or the code of an error.

    Without CODE: which there are.
    """
    pages = _pages()
    if code is None:
        listed = "\n".join(_text(page).partition("\n")[0].removeprefix("# ") for page in pages.values())
        if as_json:
            say_json({"page": listed})
        else:
            say(listed)
        return 0
    wanted = code.partition("@")[0]  # CM202@3f2a, as reports write it
    found = next((name for name in pages if name.lower() == wanted.lower()), None)
    if found is None:
        near = difflib.get_close_matches(wanted.upper(), pages, 1, 0.7)
        near = near or difflib.get_close_matches(wanted.lower(), pages, 1, 0.7)
        raise UsageError(
            f"There is no page for {wanted}: a check of a plugin explains itself in its message.",
            hint=f"ci-migrate explain {near[0]}" if near else "ci-migrate explain",
        )
    text = without_links(_text(pages[found])).rstrip("\n")
    if as_json:
        say_json({"page": text})
        return 0
    say(_coloured(text, environment.width) if environment.color else text, coloured=environment.color)
    return 0


def _pages() -> dict[str, Path | str]:
    """The files of the findings, then the sections of the errors, by their codes."""
    folder = PACKAGED_CHECKS if PACKAGED_CHECKS.is_dir() else CHECKOUT / "checks"
    errors = PACKAGED_ERRORS if PACKAGED_ERRORS.is_file() else CHECKOUT / "errors.md"
    pages: dict[str, Path | str] = {page.stem: page for page in sorted(folder.glob("CM*.md"))}
    for section in _text(errors).split("\n## ")[1:]:
        pages[section.partition("\n")[0]] = f"# {section}"
    return pages


def _text(page: Path | str) -> str:
    return page.read_text(encoding="utf-8") if isinstance(page, Path) else page


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
