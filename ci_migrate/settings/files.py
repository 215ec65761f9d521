"""Where settings come from: the project's files, the environment, the flags; and Alembic's own files."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_migrate.errors import SettingsError
from ci_migrate.settings.keys import BY_NAME, KEYS, STAGES, Key
from ci_migrate.settings.urls import holds_password, redact

OTHER_VARIABLES = frozenset(
    "CI_MIGRATE_" + name for name in ("TARGET", "TOKEN", "TRUST", "STAGE", "ENVIRONMENT", "ACTOR")
)
"""Variables that are ours and set no key."""


@dataclass(frozen=True)
class Given:
    """One value, converted, with the place that it came from and the folder that its paths start from."""

    value: Any = field(repr=False)
    source: str
    base: Path


Layer = dict[str, Given]
"""What one place sets: by the key's name."""


@dataclass(frozen=True)
class FileSettings:
    """What a settings file says."""

    folder: Path
    label: str
    project: Layer
    targets: Mapping[str, Layer]
    stages: Mapping[str, Mapping[str, Given]]
    """By target, by stage: its tags."""


def is_file(path: Path) -> bool:
    """Whether a file is there; False as well for a path that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def folders_upwards(directory: Path) -> Iterator[Path]:
    """A folder, then those above it, up to the one that holds `.git`."""
    for folder in (directory, *directory.parents):
        yield folder
        try:
            if (folder / ".git").exists():
                return
        except OSError:
            return


# --------------------------------------------------------------------------- settings files


def read_toml(path: Path, label: str) -> dict[str, Any]:
    """A TOML file. Raises SettingsError with the file, line and column where it can't be read."""
    import tomllib

    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SettingsError(f"{label} can't be read: {error.strerror}.", file=label) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{label} is not UTF-8: see byte {error.start}.", file=label) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{label} is no valid TOML: {redact(str(error))}.", file=label) from error


def read_settings_file(directory: Path) -> FileSettings | None:
    """The settings of the nearest folder that has some; None where no folder upwards has."""
    for folder in folders_upwards(directory):
        found: list[tuple[str, str, dict[str, Any]]] = []
        pyproject, own = folder / "pyproject.toml", folder / "ci-migrate.toml"
        if is_file(pyproject):
            label = _relative(pyproject, directory)
            tool = read_toml(pyproject, label).get("tool")
            table = tool.get("ci-migrate") if isinstance(tool, dict) else None
            if table is not None:
                if not isinstance(table, dict):
                    raise SettingsError(f"{label}: [tool.ci-migrate] must be a table.")
                found.append((label, "tool.ci-migrate", table))
        if is_file(own):
            label = _relative(own, directory)
            found.append((label, "", read_toml(own, label)))
        if len(found) > 1:
            raise SettingsError(
                f"Both {found[0][0]} and {found[1][0]} hold settings of ci-migrate.",
                hint="Keep one of the two.",
            )
        if found:
            try:
                return _read_tables(*found[0], folder)
            except SettingsError as error:
                error.file = found[0][0]
                raise
    return None


def _read_tables(label: str, prefix: str, table: dict[str, Any], folder: Path) -> FileSettings:
    refuse_passwords(label, table)
    rest = dict(table)
    targets: dict[str, Layer] = {}
    stages: dict[str, dict[str, Given]] = {}
    for name, content in _subtables(rest, "targets", _place(label, prefix)):
        dotted = ".".join(part for part in (prefix, "targets", quote(name)) if part)
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
            raise SettingsError(
                f"{_place(label, prefix)}: {quote(name)} can't be a target's name.",
                hint="A name is made of letters, digits, dots, hyphens and underscores.",
            )
        own = dict(content)
        stages[name] = {}
        for stage, its in _subtables(own, "stages", _place(label, dotted)):
            place = _place(label, f"{dotted}.stages.{quote(stage)}")
            if stage not in STAGES:
                raise SettingsError(f"{place}: there is no stage {quote(stage)}{_nearest(stage, STAGES)}.")
            layer = _layer(its, "stage", place, folder)
            if "tags" in layer:
                stages[name][stage] = layer["tags"]
        targets[name] = _layer(own, "target", _place(label, dotted), folder)
    project = _layer(rest, "project", _place(label, prefix), folder)
    return FileSettings(folder, label, project, targets, stages)


def _place(label: str, dotted: str) -> str:
    return f"{label} [{dotted}]" if dotted else label


def _subtables(table: dict[str, Any], name: str, place: str) -> list[tuple[str, dict[str, Any]]]:
    """Take the tables in `table[name]` out of it."""
    content = table.pop(name, {})
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise SettingsError(f"{place}: {name} must hold tables, one for each name.")
    return list(content.items())


def _layer(table: dict[str, Any], scope: str, place: str, base: Path) -> Layer:
    layer: Layer = {}
    for name, raw in table.items():
        key = BY_NAME.get(name)
        if key is None:
            here = [key.name for key in KEYS if scope in key.scopes]
            hint = ""
            if name == "tool":
                hint = "In ci-migrate.toml the keys stand at the top, without [tool.ci-migrate]."
            raise SettingsError(f"{place}: unknown key {quote(name)}{_nearest(name, here)}.", hint=hint)
        if scope not in key.scopes:
            raise SettingsError(f"{place}: {name} can't stand here; {_where(key)}.")
        layer[name] = _convert(key, raw, place, place, base)
    return layer


def _where(key: Key) -> str:
    tables = {
        "project": "[tool.ci-migrate]",
        "target": "the table of a target",
        "stage": "stages.NAME of a target",
    }
    return "it belongs into " + " or ".join(tables[scope] for scope in key.scopes)


def _convert(key: Key, raw: object, place: str, source: str, base: Path) -> Given:
    try:
        return Given(key.kind.convert(raw, base), source, base)
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"{place}: {key.name} must be {key.kind.words}; found {_describe_found(key, raw)}."
        ) from error


def _describe_found(key: Key, raw: object) -> str:
    """What stands there instead, for people; nothing of a value that may be secret."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int | float):
        return "a number that is too large" if abs(raw) >= 1e15 else str(raw)
    if isinstance(raw, str):
        return "another text" if key.secret else f"the text {quote(raw)}"
    if isinstance(raw, list | tuple):
        return "a list that does not fit" if "list" in key.kind.words else "a list"
    if isinstance(raw, dict):
        return "a table that does not fit" if "table" in key.kind.words else "a table"
    return "a date or time"


def refuse_passwords(label: str, table: Mapping[str, Any]) -> None:
    """Raise SettingsError if any text in a settings file holds a password, whatever the key."""
    # a list of what is left to see instead of recursion: dotted keys nest as deep as their author likes
    left: list[tuple[str, Any]] = [("", table)]
    while left:
        name, value = left.pop()
        if isinstance(value, str) and holds_password(value):
            raise SettingsError(
                f"{label}: {redact(name)} holds a password; a settings file is no place for one.",
                hint='Write "env:NAME" (or "file:PATH", "command:...") and set the variable in your CI.',
            )
        if isinstance(value, dict):
            left.extend((f"{name}.{key}".lstrip("."), content) for key, content in value.items())
        elif isinstance(value, list):
            left.extend((name, item) for item in value)


def _relative(path: Path, directory: Path) -> str:
    up = len(directory.parts) - len(path.parent.parts)
    return "../" * up + path.name


def quote(name: object) -> str:
    """A name that somebody wrote, short, printable and without a password."""
    text = redact(str(name)).encode(errors="replace").decode()
    text = text if text.isprintable() else ascii(text)[1:-1]
    text = text if len(text) <= 60 else text[:57] + "..."
    return text if re.fullmatch(r"[\w-]+", text) else f'"{text}"'


def _nearest(name: str, valid: Iterable[str]) -> str:
    import difflib

    options = list(valid)
    close = difflib.get_close_matches(name[:100].lower().replace("_", "-"), options, n=1, cutoff=0.0)
    return f'; the nearest is "{close[0]}"' if close else ""


# --------------------------------------------------------------------------- environment and flags


def read_environment(environ: Mapping[str, str], base: Path) -> Layer:
    """The CI_MIGRATE_* variables; an empty one counts as not set."""
    by_variable = {key.variable: key for key in KEYS}
    layer: Layer = {}
    for name in sorted(environ):
        text = environ[name].strip()
        if not name.startswith("CI_MIGRATE_") or not text or name in OTHER_VARIABLES:
            continue
        if name not in by_variable:  # a typing error in CI_MIGRATE_TAGS would leave a target unprotected
            nearest = _nearest(name.removeprefix("CI_MIGRATE_"), [key.name for key in KEYS])
            raise SettingsError(f"The environment variable {quote(name)} sets no key{nearest}.")
        key = by_variable[name]
        layer[key.name] = _convert(key, key.kind.read_text(text), "The environment", name, base)
    return layer


def read_flags(flags: Mapping[str, object], base: Path) -> Layer:
    """The flags that were given (None or an empty tuple: it was not), as values or as text."""
    layer: Layer = {}
    for flag, raw in flags.items():
        name = flag.replace("_", "-")
        if raw is None or raw == () or name == "target":
            continue
        if name not in BY_NAME:
            raise SettingsError(f"--{name} sets no key{_nearest(name, BY_NAME)}.")
        key = BY_NAME[name]
        value = key.kind.read_text(raw) if isinstance(raw, str) else raw
        value = str(value) if isinstance(value, Path) else value
        layer[name] = _convert(key, value, "The command line", f"--{name}", base)
    return layer


# --------------------------------------------------------------------------- Alembic and its interpreter


@dataclass(frozen=True)
class AlembicFiles:
    """Alembic's own configuration: an ini file, a pyproject.toml with `[tool.alembic]`, or both."""

    folder: Path
    ini: Path | None
    toml: Path | None
    source: str


def _toml_of(folder: Path, directory: Path) -> Path | None:
    """The folder's pyproject.toml, if it has `[tool.alembic]` (Alembic 1.16 reads it)."""
    path = folder / "pyproject.toml"
    if not is_file(path):
        return None
    tool = read_toml(path, _relative(path, directory)).get("tool")
    return path if isinstance(tool, dict) and isinstance(tool.get("alembic"), dict) else None


def alembic_files(config: Given | None, directory: Path, project: Path | None) -> AlembicFiles:
    """Alembic's files: those that the settings name, or those that lie in the nearest folder that has some.

    Args:
        config: the key alembic-config.
        directory: where the search begins.
        project: the folder of the settings file, where the search ends; None: at `.git`.
    """
    if config is not None:
        path: Path = config.value
        if not is_file(path):
            raise SettingsError(
                f"alembic-config ({config.source}) names {path}, and there is no such file.",
                hint="Correct the path; relative ones start from the folder of what sets them.",
            )
        folder = project or path.parent
        if path.suffix == ".toml":
            return AlembicFiles(folder, None, path, config.source)
        return AlembicFiles(folder, path, _toml_of(folder, directory), config.source)
    for folder in folders_upwards(directory):
        toml = _toml_of(folder, directory)
        ini = next((p for p in (folder / "alembic.ini",) if is_file(p)), None)
        if ini is None and toml is None:
            flask = folder / "migrations" / "alembic.ini"
            ini = flask if is_file(flask) else None
        if ini is not None or toml is not None:
            return AlembicFiles(folder, ini, toml, "found")
        if folder == project:
            break
    raise SettingsError(
        f"No Alembic project here: looked for alembic.ini, [tool.alembic] in pyproject.toml and "
        f"migrations/alembic.ini in {directory} and above.",
        hint="Run it in the project folder, or set alembic-config, or give the folder with -C DIR.",
    )


def find_python(setting: Given | None, project: Path, environ: Mapping[str, str]) -> tuple[Path, str]:
    """The interpreter that runs env.py, and what said so."""
    if setting is not None:
        path: Path = setting.value
        if not path.is_absolute():
            import shutil

            found = shutil.which(str(path), path=environ.get("PATH"))
            path = Path(found) if found else path
        if not path.is_absolute() or not is_file(path):
            raise SettingsError(f"python ({setting.source}) names {path}, and there is no such interpreter.")
        return path, setting.source
    active = environ.get("VIRTUAL_ENV")
    if environ.get("PRE_COMMIT") and active and Path(active).resolve() == Path(sys.prefix).resolve():
        active = None  # pre-commit names the hook's own environment, which has nothing of the project
    for folder, source in (
        (project / active if active else None, "VIRTUAL_ENV"),
        (project / ".venv", ".venv"),
    ):
        # not resolved: the link in a virtual environment is what makes it one
        if folder is not None and is_file(folder / "bin" / "python"):
            return folder / "bin" / "python", source
    return Path(sys.executable), "default"
