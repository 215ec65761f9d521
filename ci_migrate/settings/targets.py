"""Which target of the settings is meant."""

from collections.abc import Mapping

from ci_migrate.errors import SettingsError
from ci_migrate.settings.files import FileSettings, quote
from ci_migrate.settings.fleet import is_member


def any_target(files: FileSettings | None, environ: Mapping[str, str]) -> str | None:
    """The first target, for what all of them share; None where one is named, or there is none to choose from."""
    if files is None or len(files.targets) < 2 or environ.get("CI_MIGRATE_TARGET", "").strip():
        return None
    return None if "default-target" in files.project else next(iter(files.targets))


def choose_target(
    files: FileSettings | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[str, str]:
    """The target's name and what chose it. Raises SettingsError where there is none of that name, or several."""
    names = list(files.targets) if files else []
    listed = f"The targets are: {', '.join(names)}." if names else "No settings define a target."
    for source, asked in (
        ("--target", flags.get("target")),
        ("CI_MIGRATE_TARGET", environ.get("CI_MIGRATE_TARGET")),
    ):
        name = str(asked or "").strip()  # CI systems pass an empty variable for "not set"
        if not name:
            continue
        if name in names or (not names and name == "default"):
            return name, source
        if is_member(name, names):
            return name, source
        raise SettingsError(f"There is no target named {quote(name)} ({source}).", hint=listed)
    default = files.project.get("default-target") if files else None
    if default is not None:
        if default.value not in names:
            raise SettingsError(
                f"There is no target named {quote(default.value)} (default-target in {default.source}).",
                hint=listed,
            )
        return default.value, f"default-target in {default.source}"
    if len(names) > 1:
        raise SettingsError(
            f"There are several targets and none was named: {', '.join(names)}.",
            hint=f'Name one by --target or CI_MIGRATE_TARGET, or for good: default-target = "{names[0]}"',
        )
    if files is not None and names:
        return names[0], f"the only one in {files.label}"
    return "default", "default"
