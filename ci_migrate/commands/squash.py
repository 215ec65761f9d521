"""`ci-migrate squash`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import hand_over, say, say_json
from ci_migrate.commands.progress import say_aside
from ci_migrate.errors import UsageError
from ci_migrate.model import plural
from ci_migrate.operations.squash import Baselined, squash


@click.command("squash")
@click.option(
    "--to", "destination", metavar="REVISION", required=True, help="The last revision that is squashed."
)
@click.option("--print", "prints", is_flag=True, help="Print the baseline instead of what would change.")
@click.option("--write", is_flag=True, help="Write the baseline, and remove the scripts that it replaces.")
@click.option("--json", "as_json", is_flag=True, help="What was found as JSON, with the baseline's text.")
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    destination: str,
    prints: bool,
    write: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write one baseline in the place of all revisions up to one, and prove that it leads to the same.

    The proof runs on empty scratch copies; the target is not reached. Without --write no file is changed.
    """
    if prints + write + as_json > 1 and (prints or not write):
        raise UsageError("--print shows the baseline: leave --write and --json out.")
    settings = settings_of(environment, options)
    environment.listen()
    made = squash(
        settings,
        destination,
        environment.interrupt,
        write=write,
        tell=(lambda _text: None) if environment.quiet else say_aside,
    )
    if as_json:
        say_json(made)
    elif prints:
        hand_over(made.text.rstrip("\n"))
    else:
        say("\n".join(_lines(made)))
    return 0


def _lines(made: Baselined) -> list[str]:
    """What was proved, and what becomes of which file."""
    count = plural(len(made.revisions), "revision")
    lines = [f"Proved on {made.engine}: {count} (base -> {made.revision}) and the baseline lead to the same."]
    lines += [f"  compared: {words}" for words in made.compared]
    lines += [f"  not compared: {words}" for words in made.not_compared]
    if made.later:
        lines.append(f"  {plural(made.later, 'later revision')} ran on top of both, and led to the same")
    lines.append(
        f"  base -> {made.revision}: {made.chain_seconds:.2f} s, by the baseline {made.baseline_seconds:.2f} s"
    )
    would = "" if made.written else "would be "
    lines.append(f"{would}written  {made.file}")
    lines += [f"{would}removed  {file}" for file in made.gone]
    if not made.written:
        lines.append("No file was changed: --print shows the baseline, --write writes it.")
    return lines
