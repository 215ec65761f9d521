"""`ci-migrate mcp`."""

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError
from ci_migrate.mcp.tools import BY_NAME, Scope


@click.command("mcp")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME[=TOOL,...]",
    help="A target that the tools may touch; with =TOOL,... only those tools may. Repeatable. Default: the target of "
    "other commands, unless it is production.",
)
@click.option(
    "-c", "--alembic-config", "--config", "alembic_config", metavar="FILE", help="Alembic's ini file."
)
@click.option(
    "-n", "--name", "alembic_name", metavar="SECTION", help="Section of the ini file, as `alembic -n`."
)
@click.option("-x", "x", multiple=True, metavar="KEY=VALUE", help="Argument for env.py, as `alembic -x`.")
@click.pass_obj
def command(
    environment: Environment,
    targets: tuple[str, ...],
    alembic_config: str | None,
    alembic_name: str | None,
    x: tuple[str, ...],
) -> int:
    """Offer the commands that write to no target to a coding agent, over MCP on standard input and output.

    None of its tools migrates, approves, restores, repairs, stamps or deletes. You choose here which targets they may
    touch; the agent can't. The agent's client starts this command: name it in the client's settings.
    """
    try:
        from ci_migrate.mcp.children import Children
        from ci_migrate.mcp.server import serve
    except ImportError as error:
        raise UsageError(
            f"`mcp` needs a package that is not installed: {error.name}.",
            hint="pip install 'ci-migrate[mcp]'",
        ) from error
    flags = {"alembic_config": alembic_config, "alembic_name": alembic_name, "x": x}
    allowed = dict(_allowed(text) for text in targets)
    if not allowed:
        settings = settings_of(environment, flags)
        if settings.production:
            raise UsageError(
                f"Target {settings.target} is production ({settings.production_reason}).",
                hint=f"To let agents look at it: ci-migrate mcp --target {settings.target}=plan,check,status",
            )
        allowed = {settings.target: frozenset(BY_NAME)}
    for name in allowed:
        settings_of(environment, {**flags, "target": name})  # one that is not there is told now
    options = [f"--alembic-config={alembic_config}"] if alembic_config else []
    options += [f"--name={alembic_name}"] if alembic_name else []
    options += [word for value in x for word in ("-x", value)]
    shown = ", ".join(
        name if len(tools) == len(BY_NAME) else f"{name} (a part)" for name, tools in allowed.items()
    )
    say(f"Serving MCP on standard input and output. Targets: {shown}.", err=True)
    serve(Children(environment.directory.resolve(), environment.environ), Scope(allowed, tuple(options)))
    return 0


def _allowed(text: str) -> tuple[str, frozenset[str]]:
    """A target, and the tools that may touch it. Raises UsageError: there is no such tool."""
    name, equals, listed = text.partition("=")
    tools = frozenset(listed.replace("-", "_").split(",")) if equals else frozenset(BY_NAME)
    strange = sorted(tools - set(BY_NAME))
    if strange or not name:
        raise UsageError(
            f"--target {text}: {f'there is no tool {strange[0]}' if strange else 'it has no name'}.",
            hint=f"The tools are {', '.join(BY_NAME)}.",
        )
    return name, tools | {tool.name for tool in BY_NAME.values() if tool.free}
