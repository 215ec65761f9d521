"""`ci-migrate init`."""

import difflib
from collections.abc import Sequence
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError
from ci_migrate.operations.init import PLACES, Adoption, Platform, Proposed, find_source, look, proposals
from ci_migrate.operations.project_install import project_install
from ci_migrate.settings.files import read_settings_file


@click.command("init")
@click.option(
    "--platform",
    type=click.Choice([platform.value for platform in Platform]),
    help="Whose CI file to write; by default that of the platform found.",
)
@click.option(
    "--agents", is_flag=True, help="Also the section of AGENTS.md for coding agents, between its markers."
)
@click.option("--print", "only_print", is_flag=True, help="Print the files instead of writing them.")
@click.option(
    "--diff", "only_diff", is_flag=True, help="Print how the files differ from what is there instead."
)
@click.option("-c", "--alembic-config", metavar="FILE", help="Alembic's ini file.")
@click.pass_obj
def command(
    environment: Environment,
    /,
    platform: str | None,
    agents: bool,
    only_print: bool,
    only_diff: bool,
    **options: Any,
) -> int:
    """Write commented settings and the jobs for your CI. Changes nothing that is there already."""
    there = read_settings_file(environment.directory.resolve())
    if there is not None and there.targets:
        # of several targets the settings would ask for one; the files are the same for all
        options["target"] = next(iter(there.targets))
    settings = settings_of(environment, options)
    adoption = look(settings, Platform(platform) if platform else None, environment.interrupt)
    files = proposals(adoption, agents=agents)
    for file in files:
        if only_diff:
            _print_diff(adoption, file)
        elif only_print and file.text is not None:
            say(f"# --- {_show(adoption, file)}\n{file.text}")
        elif not only_print:
            _write(adoption, file)
    _tell(adoption, files)
    return 0


def _show(adoption: Adoption, file: Proposed) -> str:
    return file.path.relative_to(adoption.root).as_posix()


def _print_diff(adoption: Adoption, file: Proposed) -> None:
    """Of a file that stays as it is, how it differs from what would be written today."""
    text = file.text if file.text is not None else file.today
    if text is None:
        return
    before = file.path.read_text(errors="replace") if file.path.is_file() else ""
    name = _show(adoption, file)
    lines = difflib.unified_diff(
        before.splitlines(), text.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
    )
    difference = "\n".join(lines)
    if difference:
        say(difference)


def _write(adoption: Adoption, file: Proposed) -> None:
    if file.text is None:
        say(f"left     {_show(adoption, file)}: {file.words}")
        return
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.text, encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise UsageError(f"{file.path} can't be written: {error.strerror}.") from error
    say(f"written  {_show(adoption, file)}: {file.words}")


def _tell(adoption: Adoption, files: Sequence[Proposed]) -> None:
    """What was found, and what to type next; on standard error, so that --print is the files alone."""
    if adoption.trouble:
        say(f"env.py could not be asked for its URL: {adoption.trouble}", err=True)
    if adoption.platform is Platform.NONE:
        say(f"No CI was found: --platform {', '.join(PLACES)} writes its file.", err=True)
    install = project_install(adoption.folder)
    if not install.lock and any(install.command in (file.text or "") for file in files):
        job = PLACES[adoption.platform].format(adoption.name)
        say(
            "Nothing here says how to install what env.py imports, and the jobs fail until you say it:\n"
            f"write it into {job}, or add a requirements.txt, remove {job}, and run init again.",
            err=True,
        )
    if adoption.platform is not Platform.NONE and not find_source(adoption.extras):
        say(
            "The jobs install ci-migrate from the URL in the CI's variable CI_MIGRATE, as in\n"
            "  git+https://HOST/OWNER/ci-migrate@COMMIT\n"
            "Its name alone could be anybody's.",
            err=True,
        )
    say(
        "Next:\n"
        "# what would run; reads only\n"
        "ci-migrate plan\n"
        "# all of it, on this machine\n"
        "ci-migrate run\n"
        "# what stands in the way of production\n"
        "ci-migrate doctor --target production",
        err=True,
    )
