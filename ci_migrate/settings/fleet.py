"""A target that is a fleet, and the targets in it: TARGET lists many databases, `TARGET/NAME` is one of them."""

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ci_migrate.errors import SettingsError
from ci_migrate.settings.files import Given, Layer
from ci_migrate.settings.keys import BY_NAME
from ci_migrate.settings.kinds import Secret

if TYPE_CHECKING:
    from ci_migrate.settings.settings import Settings

MEMBER = re.compile(r"[\w./][\w.:/+~-]{0,149}", re.ASCII)
"""The name of a database within a fleet. It can be pasted into a shell."""

FLEET = ("fleet-file", "fleet-query", "fleet-command", "fleet-plugin")
"""The keys that make a target a fleet: each says where its databases are listed."""


def split(target: str) -> tuple[str, str]:
    """The name of a target in the settings, and the name of a database in it; "" where it is no fleet's."""
    name, _, member = target.partition("/")
    return name, member


def is_member(target: str, names: Collection[str]) -> bool:
    """Whether this names a database of one of these targets."""
    name, member = split(target)
    return name in names and MEMBER.fullmatch(member) is not None


def file_name(text: str) -> str:
    """A name for a folder or a file: readable, and another one for each text."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[-60:]
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def keys_of(settings: "Settings") -> list[str]:
    """The keys that make this target a fleet: one at most, or they are refused."""
    return [key for key in FLEET if getattr(settings, BY_NAME[key].attribute)]


def give_url(
    given: Layer, environ: Mapping[str, str], target: str, url: Secret, base: Path
) -> Mapping[str, str]:
    """Set the URL of one database of a fleet; returns the environment in which env.py finds it, too."""
    variable = (
        given["fleet-variable"].value if "fleet-variable" in given else BY_NAME["fleet-variable"].default
    )
    given["url"] = Given(Secret(f"env:{variable}"), f"the fleet {split(target)[0]}", base)
    return {**environ, variable: url.reveal()}


def give_own(given: Layer, target: str) -> None:
    """Give one database of a fleet what is not shared: a place for its backups, its name in arguments for env.py.

    Nobody looks through the backups of thousands for those of one.
    """
    place, x = given["backup-dir"], given["x"]
    given["backup-dir"] = Given(f"{place.value.rstrip('/')}/{file_name(target)}", place.source, place.base)
    named = tuple(argument.replace("{name}", split(target)[1]) for argument in x.value)
    given["x"] = Given(named, x.source, x.base)


def check(settings: "Settings") -> None:
    """Raise SettingsError for what makes no sense for a fleet, or for one database of it."""
    fleet, member = split(settings.target)
    named = keys_of(settings)
    if member and not named:
        raise SettingsError(
            f"Target {fleet} is no fleet, so there is no {settings.target}.", hint=f"--target {fleet}"
        )
    if not named:
        return
    if member and settings.sources["url"] != f"the fleet {fleet}":
        raise SettingsError(
            f"{settings.target} is one database of a fleet, and its URL was not looked up.",
            hint=f"Use the command line: ci-migrate COMMAND --target {settings.target}",
        )
    if len(named) > 1:
        raise SettingsError(
            f"Target {fleet} has {named[0]} and {named[1]}: a fleet is listed in one place.",
            hint="Take one of them out.",
        )
    if settings.fleet_dry_run == "canary" and settings.dry_run == "off":
        raise SettingsError(
            f"fleet-dry-run ({settings.sources['fleet-dry-run']}) is canary and dry-run "
            f"({settings.sources['dry-run']}) is off: then not even the canary is rehearsed.",
            hint="Take one of them out.",
        )
    own = [
        key for key in ("url", "read-url", "state") if getattr(settings, BY_NAME[key].attribute) is not None
    ]
    own += ["databases"] if settings.databases else []
    for key in own:
        if not (member and key == "url"):
            raise SettingsError(
                f"Target {fleet} has {named[0]} and {key} ({settings.sources[key]}): the databases of a fleet do not "
                "share one.",
                hint=f"Take {key} out.",
            )
