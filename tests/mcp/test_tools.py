"""What an agent can ask for is a table, and nothing in it writes."""

import pytest

from ci_migrate.cli import cli
from ci_migrate.commands import load_command
from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.mcp.tools import BY_NAME, TOOLS, Scope, command_of
from ci_migrate.verbs import VERBS, Trait

ALL_TOOLS = frozenset(BY_NAME)
DEV = Scope({"dev": ALL_TOOLS})
NEVER = ("run", "migrate", "repair", "rollback", "stamp", "approve", "protect", "unprotect", "init", "serve")


def test_no_tool_writes_locks_removes_or_makes_a_ledger():
    assert len(TOOLS) == 9
    forbidden = Trait.WRITES | Trait.LOCKS | Trait.REMOVES | Trait.LEDGER
    for tool in TOOLS:
        assert not tool.verb.traits & forbidden, tool.name
        assert not {"approve", "migrate", "repair"} & set(tool.verb.stages), tool.name
    assert not {tool.verb.name for tool in TOOLS} & {
        *NEVER,
        *(v for v in VERBS if v.startswith(("token", "backup"))),
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_call_is_a_command_that_there_is(tool):
    given = {a.name: 3 if a.number else a.values[0] if a.values else "abc" for a in tool.arguments}
    words = command_of(tool, given, Scope({"dev": ALL_TOOLS}, ("--alembic-config=a.ini", "-x", "tenant=a")))
    command = load_command(VERBS[words[0]])
    told = [words[0], *(["--stages-to=3"] if tool.walks else []), *words[1:]]
    parent = cli.make_context("ci-migrate", [], resilient_parsing=True)
    read = command.make_context("ci-migrate", told[1:], parent=parent).params
    if tool.of_target:
        assert (read["target"], read["alembic_config"], read["x"]) == ("dev", "a.ini", ("tenant=a",))
    assert set(tool.schema(["dev"])["properties"]) == {a.name for a in tool.arguments} | (
        {"target"} if tool.of_target else set()
    )


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("plan", {"allow": "CM201@r3=meant"}),
        ("dry_run", {"token_file": "/etc/passwd"}),
        ("explain", {"target": "dev"}),
        ("dry_run", {"on": "backup:backup_r1_20261130_024335"}),
        ("dry_run", {"on": "backup:"}),
        ("dry_run", {"on": ["empty"]}),
        ("dry_run", {"on": ""}),
        ("plan", {"to": ["head"]}),
        ("plan", {"to": "a\nb"}),
        ("plan", {"to": "a\x00b"}),
        ("plan", {"to": "\u202eabc"}),
        ("plan", {"to": "x" * 501}),
        ("history", {"limit": "3"}),
        ("history", {"limit": True}),
        ("history", {"limit": 0}),
    ],
)
def test_what_is_no_argument(tool, given):
    with pytest.raises(UsageError):
        command_of(BY_NAME[tool], given, DEV)


@pytest.mark.parametrize("text", ["--target=production", "-C/etc", "--allow=CM201@r3=meant", "--", "-x"])
def test_an_argument_is_never_an_option(text):
    """It is the value of an option, or stands behind `--`."""
    words = command_of(BY_NAME["plan"], {"to": text}, DEV)
    assert words[-1] == f"--to={text}"
    assert command_of(BY_NAME["show"], {"run": text}, DEV)[-2:] == ("--", text)


def test_a_copy_comes_from_a_backup_of_the_target_alone():
    """An id names a backup of any target."""
    on = BY_NAME["dry_run"].schema(["dev"])["properties"]["on"]
    assert on["enum"] == ["empty", "backup:latest"]
    for what in on["enum"]:
        assert command_of(BY_NAME["dry_run"], {"on": what}, DEV)[-1] == f"--on={what}"
    with pytest.raises(UsageError, match="must be empty or backup:latest"):
        command_of(BY_NAME["dry_run"], {"on": "backup:backup_r1_20261130_024335"}, DEV)


def test_who_may_touch_what():
    scope = Scope({"dev": ALL_TOOLS, "production": frozenset({"plan", "status"})})
    assert "--target=production" in command_of(BY_NAME["plan"], {"target": "production"}, scope)
    assert "--target=dev" in command_of(BY_NAME["dry_run"], {}, scope)
    with pytest.raises(RefusedError, match="dry_run may not touch the target production"):
        command_of(BY_NAME["dry_run"], {"target": "production"}, scope)
    with pytest.raises(RefusedError, match="may not touch"):
        command_of(BY_NAME["plan"], {"target": ["dev"]}, scope)
    with pytest.raises(UsageError, match="dev, production"):
        command_of(BY_NAME["plan"], {}, scope)
    assert scope.targets_of(BY_NAME["dry_run"]) == ("dev",)
