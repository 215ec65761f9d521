"""docs/commands.md, of what click knows: python tests/support/commands_page.py > docs/commands.md"""

from collections.abc import Iterator
from functools import cache

import click

from ci_migrate.commands import load_command
from ci_migrate.verbs import GROUPS, VERBS

HEAD = """\
# Commands

`ci-migrate [-C DIR] [-q] [-v] [--debug] COMMAND`. Each command ends with one of the [exit codes](exit-codes.md). Most options
are also [settings](settings.md) of the same name. [Environment variables](#environment) are at the end.

`-q` prints the last line alone if a run went well. `-v` cuts no list and shows every statement. Both can also follow the command.

This page says what `--help` says; `make pages` writes it.

| command | does |
| --- | --- |
"""
FOOT = """
## Environment

Each setting has a variable: `CI_MIGRATE_` and its key in capitals ([Settings](settings.md)). These are no settings:

| variable | |
| --- | --- |
| `CI_MIGRATE_TARGET` | Which target, as `--target`. |
| `CI_MIGRATE_TOKEN` | The approval token, if `--token-file` does not give it. |
| `CI_MIGRATE_TRUST` | Whom approvals are trusted from: lines of allowed signers, or the absolute path of a file with them. |
| `CI_MIGRATE_ENVIRONMENT` | `prod` or `production`: this job is production's, whatever the settings say. |
| `CI_MIGRATE_STAGE` | Set for `env.py` and revisions: `check`, `dry-run`, `migrate` or `repair`, the stage that runs them. |
| `CI_MIGRATE_ACTOR` | Set by `ci-migrate serve` for its jobs: whose key called. |
| `CI_MIGRATE_PROVIDER_URL` | Set for the commands of `provider-create` and others: the target's URL. |
| `CI_MIGRATE_PROVIDER_CLONE_URL` | Set for `provider-drop`: the URL or the folder that `provider-clone` printed; not where that did not end. |

ci-migrate also reads `ALEMBIC_CONFIG`, `VIRTUAL_ENV`, `NO_COLOR`, `FORCE_COLOR`, `COLUMNS`, `GITHUB_ACTIONS`, and on GitLab `CI_ENVIRONMENT_TIER` or
`CI_ENVIRONMENT_NAME`.

## Completion

Put this into `.bashrc` to complete commands, options and names of targets (`zsh_source` into `.zshrc`, `fish_source` for fish):

```sh
eval "$(_CI_MIGRATE_COMPLETE=bash_source ci-migrate)"
```
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD.rstrip("\n")]
    for verb in VERBS.values():
        if verb.words:
            anchor = f"ci-migrate-{verb.name}".replace(" ", "-")
            lines.append(f"| [`{verb.name}`](#{anchor}) | {verb.words} |")
    for group, verbs in GROUPS.items():
        lines += ["", f"## {group}"]
        for verb in verbs:
            if verb.words:  # those within it come with it
                lines += section(load_command(verb), f"ci-migrate {verb.name}")
    lines += ["", "## Shared options"]
    for _, title, options in SHARED:
        lines += ["", f"### {title.capitalize()}", "", "| option | |", "| --- | --- |", *options()]
    return "\n".join(lines) + "\n" + FOOT


def section(command: click.Command, path: str) -> Iterator[str]:
    """One command, then those that it has in it."""
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", f"### `{path}`", "", f"`{path} {usage}`".replace(" `", "`"))
    if command.help:
        for paragraph in command.help.split("\f")[0].split("\n\n"):
            yield from ("", " ".join(paragraph.split()))
    rows = [row(o, context) for o in command.params if isinstance(o, click.Option) and not o.hidden]
    shared = [(anchor, title) for anchor, title, options in SHARED if all(r in rows for r in options())]
    left = [
        r for r in rows if not any(r in options() for anchor, _, options in SHARED if (anchor, _) in shared)
    ]
    if left:
        yield from ("", "| option | |", "| --- | --- |", *left)
    if shared:
        yield from (
            "",
            "Takes the " + " and the ".join(f"[{title}](#{anchor})" for anchor, title in shared) + ".",
        )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            if sub.hidden:
                continue
            yield from section(sub, f"{path} {name}")


def of_run(*names: str) -> list[str]:
    """The rows of some options, as the command `run` has them."""
    command = load_command(VERBS["run"])
    context = click.Context(command, info_name="ci-migrate run")
    return [
        row(o, context) for o in command.params if isinstance(o, click.Option) and set(o.opts) & set(names)
    ]


@cache
def target_options() -> list[str]:
    return of_run("--target", "--alembic-config", "--backup-dir", "-x", "--allow")


@cache
def report_options() -> list[str]:
    return of_run("--report-dir", "--junit-xml", "--report", "--json")


SHARED = (
    ("options-of-a-target", "options of a target", target_options),
    ("options-of-reports", "options of reports", report_options),
)
"""What many commands have in common is listed once."""


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
