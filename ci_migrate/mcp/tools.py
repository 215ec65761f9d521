"""The tools, a literal table: each is one command of the command line, with the few options that an agent may give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ci_migrate.errors import CiMigrateError, RefusedError, UsageError
from ci_migrate.verbs import VERBS, Verb

LONGEST = 500
"""Characters of an argument."""


@dataclass(frozen=True)
class Argument:
    """What an agent may give. `flag` is the option that it becomes, "" for one without a name.

    `values` are the only ones, where some would reach beyond the target.
    """

    name: str
    words: str
    flag: str = ""
    number: bool = False
    values: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        if self.number:
            return {"type": "integer", "minimum": 1, "description": self.words}
        if self.values:
            return {"type": "string", "enum": list(self.values), "description": self.words}
        return {"type": "string", "maxLength": LONGEST, "description": self.words}


@dataclass(frozen=True)
class Tool:
    """One tool. `prints` are the options that make its command print JSON."""

    name: str
    words: str
    arguments: tuple[Argument, ...] = ()
    prints: tuple[str, ...] = ("--json",)
    of_target: bool = True  # its command takes --target, and the project's options
    walks: bool = False  # the pipeline: its command tells which stage has ended
    free: bool = False  # it tells of no target: whoever may call any tool may call it

    @property
    def verb(self) -> Verb:
        """Its row in the table of commands."""
        return VERBS[self.name.replace("_", "-")]

    def schema(self, targets: Sequence[str]) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        fields = {argument.name: argument.schema for argument in self.arguments}
        if self.of_target:
            fields["target"] = {
                "type": "string",
                "enum": list(targets),
                "description": "A target of the settings. Optional if there is only one.",
            }
        return {"type": "object", "properties": fields, "additionalProperties": False}


TO = Argument("to", "Destination, as for `alembic upgrade`: a revision, head, heads, +1.", "--to")

# fmt: off
TOOLS: tuple[Tool, ...] = (
    Tool("plan", "Show what would run, on which database. Only reads.", (TO,), walks=True),
    Tool("check", "Show the plan and run every static check. Only reads. Call it after each edit of a revision.",
         (TO, Argument("since", "Check what this branch adds to a git commit, as origin/main. Reaches no database.",
                       "--since")), walks=True),
    Tool("dry_run", "Back up the target, restore the backup into a scratch copy, run the pending revisions there and "
         "measure. Does not write to the target. May take minutes.",
         (TO, Argument("on", "Rehearse without reaching the target: on an empty database, or on the last backup of the "
                             "target.", "--on", values=("empty", "backup:latest"))), walks=True),
    Tool("explain", "Explain a code (CM202, locked): why it is bad and what to write instead. Without a code list all.",
         (Argument("code", "The code of a finding or an error."),), of_target=False, free=True),
    Tool("status", "Show where the target is, what is pending, and the last run. Only reads."),
    Tool("show", "Show the report of a run in this folder again: the last one, or the one that you name.",
         (Argument("run", "The id of a run, or the start of it."),), of_target=False),
    Tool("history", "List the runs of the target, newest first.",
         (Argument("limit", "How many.", "--limit", number=True),)),
    Tool("doctor", "Find what stops or weakens the gate here, each with its fix. Only reads."),
    Tool("settings", "Show each setting with its value and source, without secrets."),
)
# fmt: on

BY_NAME: Mapping[str, Tool] = {tool.name: tool for tool in TOOLS}


@dataclass(frozen=True)
class Scope:
    """What a person let the agent reach when they started the server: the tools that may touch each target.

    `options` are what each command gets besides (`-c FILE`).
    """

    targets: Mapping[str, frozenset[str]]
    options: tuple[str, ...] = ()

    def targets_of(self, tool: Tool) -> tuple[str, ...]:
        """The targets that this tool may touch, the first one first."""
        return tuple(name for name, tools in self.targets.items() if tool.name in tools)

    def shows(self, target: str, tool: Tool) -> bool:
        """Whether this tool may tell of this target."""
        return tool.name in self.targets.get(target, ())

    def choose(self, tool: Tool, asked: object) -> str:
        """The target of a call.

        Raises:
            RefusedError: this tool may not touch it.
            UsageError: none was named, and there are several.
        """
        open_to_it = self.targets_of(tool)
        if asked is None and len(open_to_it) == 1:
            return open_to_it[0]
        if asked is None and open_to_it:
            raise UsageError(f"Name one of the targets: {', '.join(open_to_it)}.")
        if asked in open_to_it:
            return str(asked)
        raise RefusedError(
            f"The tool {tool.name} may not touch the target {asked!s:.60}.",
            hint="Whoever starts `ci-migrate mcp` says which targets it serves, and to which tools.",
        )


def command_of(tool: Tool, given: Mapping[str, object], scope: Scope) -> tuple[str, ...]:
    """The arguments of the command that a call is.

    Raises:
        UsageError: an argument that the tool does not have, or that is no text or number as it wants it.
        RefusedError: a target that it may not touch.
    """
    known = {argument.name: argument for argument in tool.arguments}
    strange = sorted(set(given) - set(known) - ({"target"} if tool.of_target else set()))
    if strange:
        raise UsageError(f"The tool {tool.name} has no argument {strange[0]!s:.60}.")
    words = [*tool.verb.name.split(), *tool.prints]
    if tool.of_target:
        words += [f"--target={scope.choose(tool, given.get('target'))}", *scope.options]
    last: list[str] = []
    for argument in tool.arguments:
        value = given.get(argument.name)
        if value is None:
            continue
        text = _text(tool, argument, value)
        if argument.flag:
            words.append(f"{argument.flag}={text}")
        else:
            last += ["--", text]
    return (*words, *last)


def could_call(command: Sequence[str], scope: Scope) -> bool:
    """Whether a call does what a command does. `command` has no `ci-migrate` at its head.

    Goes by what is known to be harmless: click reads `--allow X`, `--allow=X`, `-xX`, and may read more one day.
    """
    tool = BY_NAME.get(command[0].replace("-", "_"))
    if tool is None:
        return False
    names = {argument.flag: argument.name for argument in tool.arguments}
    if tool.of_target:
        names["--target"] = "target"
    given: dict[str, str] = {}
    left = iter(command[1:])
    for word in left:
        flag, equals, value = word.partition("=") if word.startswith("-") else ("", "=", word)
        if word in (*tool.prints, "-v"):
            continue
        if word == "-c" and f"--alembic-config={next(left, '')}" in scope.options:
            continue
        if flag not in names or names[flag] in given:  # of two click takes the last one
            return False
        given[names[flag]] = value if equals else next(left, "")
    if tool.of_target and "target" not in given:  # it would go to the default one
        return False
    try:
        command_of(tool, given, scope)
    except CiMigrateError:
        return False
    return True


def _text(tool: Tool, argument: Argument, value: object) -> str:
    if argument.number:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return str(value)
    elif argument.values:
        if value in argument.values:
            return str(value)
    elif isinstance(value, str) and len(value) <= LONGEST and value.isprintable():
        return value
    kind = "a whole number from 1" if argument.number else f"a text of at most {LONGEST} printable characters"
    kind = " or ".join(argument.values) or kind
    raise UsageError(f"{argument.name} of the tool {tool.name} must be {kind}.")
