"""Code that judges a dry run and lies outside of the project: plugins, wherever they are, and the program squawk."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from ci_migrate.markers import PROJECT_NAME
from ci_migrate.model import sha256_hex
from ci_migrate.settings.settings import Settings


def code_outside(settings: Settings) -> dict[str, str]:
    """What there is, with a digest of its files; "" where one of them can't be read.

    Plugins that are files are not among them.
    """
    modules = {entry.name: entry.module for entry in entry_points(group=PROJECT_NAME)}
    modules |= {name: name for name in settings.plugins if not name.endswith(".py")}
    found = {f"code of plugin {name}": _digest(_files_of(module)) for name, module in modules.items()}
    if settings.squawk is not None:
        program = shutil.which(str(settings.squawk)) or str(settings.squawk)
        found["program squawk"] = _digest([("", settings.project_dir / program)])
    return found


def _files_of(name: str) -> list[tuple[str, Path]]:
    """The files of a module that is imported; of one in a package, all of the outermost package's."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:count]))
        if module is not None and getattr(module, "__file__", None):  # a namespace has none, and is shared
            return sorted(_of_module(module))
    return []


def _of_module(module: ModuleType) -> Iterator[tuple[str, Path]]:
    file = Path(str(module.__file__))
    yield file.name, file
    for folder in map(Path, getattr(module, "__path__", ())):
        yield from ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.py"))


def _digest(files: list[tuple[str, Path]]) -> str:
    try:
        lines = [f"{name} {sha256_hex(path.read_bytes())}" for name, path in files]
    except OSError:
        return ""
    return sha256_hex("\n".join(lines).encode(errors="surrogatepass"))[:16] if lines else ""
