"""The models of another release: loaded from its own files, and described for the parent.

The project's `sys.path` leads into the checkout that is being migrated, by the folder of the command, by `PYTHONPATH`,
or by an editable install. Here each of its folders is that of the other release.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from .channel import Refused


class Tree:
    """Where the files of the other release stand (`there`) instead of those of the checkout (`here`).

    `there` is "" where it is installed: then only `ahead` is put before the folders that Python has.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.here = os.path.realpath(request["here"])
        self.there = os.path.realpath(request["there"]) if request["there"] else ""
        self.ahead: list[str] = list(request["ahead"])
        # a `.venv` in the checkout is not the checkout's; one that holds all of it (`/usr`) says nothing
        prefixes = map(os.path.realpath, (sys.prefix, sys.exec_prefix, sys.base_prefix))
        self.apart = [prefix for prefix in prefixes if within(prefix, self.here)]

    def enter(self) -> None:
        """Before anything of the project is imported."""
        os.chdir(self.moved(os.getcwd()))
        sys.path[:] = [*self.ahead, *(self.moved(folder) if folder else folder for folder in sys.path)]
        for name, module in list(sys.modules.items()):
            # setuptools' editable installs: their finder knows its packages' folders by heart
            if name.startswith("__editable__"):
                for packages in (getattr(module, "MAPPING", {}), getattr(module, "NAMESPACES", {})):
                    for package, place in list(packages.items()):
                        several = isinstance(place, list)
                        packages[package] = (
                            [self.moved(one) for one in place] if several else self.moved(place)
                        )
            elif self.is_stray(name, module):
                del sys.modules[name]  # a `.pth` file imported it when Python started
        importlib.invalidate_caches()
        sys.path_importer_cache.clear()

    def lead_files(self, entries: list[dict[str, Any]]) -> None:
        """A relative SQLite URL of the other release means the file of the checkout: there it is the same project."""
        for entry in list(entries):
            file = entry["match"].get("file")
            if file and self.moved(file) != file:
                entries.append({**entry, "match": {**entry["match"], "file": self.moved(file)}})

    def moved(self, path: str) -> str:
        """The same path in the other release; one that is not the project's as it is."""
        real = os.path.realpath(path)
        if not self.there or not self.is_here(real):
            return path
        return os.path.normpath(os.path.join(self.there, os.path.relpath(real, self.here)))

    def is_here(self, path: Any) -> bool:
        """Whether it is a file or folder of the checkout."""
        if not isinstance(path, str) or not os.path.isabs(path):
            return False
        real = os.path.realpath(path)
        # the other release may be laid out below the checkout: where TMPDIR is there
        apart = [*self.apart, self.there] if self.there else self.apart
        return within(real, self.here) and not any(within(real, one) for one in apart)

    def refuse_strays(self) -> None:
        """Raise Refused where a module came from the checkout all the same: then the models may be its own."""
        for name, module in list(sys.modules.items()):
            if self.is_stray(name, module):
                raise Refused(
                    f"the module {name} was imported from {module.__file__}, which is not that release's"
                )

    def is_stray(self, name: str, module: Any) -> bool:
        """Whether a module is the checkout's; this program's own files may stand there, too."""
        ours = name.partition(".")[0] in (__name__.partition(".")[0], "__main__", "__mp_main__")
        return not ours and self.is_here(getattr(module, "__file__", None))


def within(path: str, folder: str) -> bool:
    """Whether a path leads into a folder, or is it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def import_models(name: str) -> Any:
    """What `module:attribute` names: a MetaData, a list of them, or what has one (a declarative base)."""
    module, _, attributes = name.partition(":")
    found: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return (
        found
        if hasattr(found, "tables") or isinstance(found, (list, tuple))
        else getattr(found, "metadata", None)
    )


def describe_models(models: Any, dialect: Any) -> dict[str, Any]:
    """All tables of a MetaData, or of several; `error` where there are none to describe."""
    metadatas = [
        one for one in (models if isinstance(models, (list, tuple)) else [models]) if hasattr(one, "tables")
    ]
    tables = [describe_table(table, dialect) for one in metadatas for table in one.tables.values()]
    return {"tables": tables, "error": "" if tables else "there are no tables in its models"}


def describe_table(table: Any, dialect: Any) -> dict[str, Any]:
    """A table, as the release writes and reads it."""
    from sqlalchemy import CheckConstraint, UniqueConstraint

    unique = [c.columns for c in table.constraints if isinstance(c, UniqueConstraint)]
    unique += [index.columns for index in table.indexes if index.unique]
    checks = [c.name for c in table.constraints if isinstance(c, CheckConstraint)]
    return {
        "schema": table.schema,
        "name": str(table.name),
        "columns": [describe_column(column, table, dialect) for column in table.columns],
        "unique": [names_of(columns) for columns in unique],
        "foreign_keys": [names_of(one.columns) for one in table.foreign_key_constraints],
        "checks": [str(name) for name in checks if isinstance(name, str)],
    }


def names_of(columns: Iterable[Any]) -> list[str]:
    """The columns of a constraint, in no order."""
    return sorted(str(column.name) for column in columns)


def describe_column(column: Any, table: Any, dialect: Any) -> dict[str, Any]:
    """A column: its type as this dialect would create it, and what an INSERT says of it that sets nothing."""
    values = enum_values(column.type, dialect)
    native = values and not type_text(column.type, dialect).upper().startswith(("VARCHAR", "NVARCHAR"))
    numbered = column is getattr(table, "_autoincrement_column", None)
    identity = getattr(column, "identity", None)
    return {
        "name": str(column.name),
        "type": "ENUM" if native else type_text(column.type, dialect),
        "values": values,
        "nullable": bool(column.nullable),
        "default": column.default is not None,
        "server_default": column.server_default is not None or numbered,
        "generated": getattr(column, "computed", None) is not None
        or bool(getattr(identity, "always", False)),
    }


def type_text(type_: Any, dialect: Any) -> str:
    """`VARCHAR(20)`; the type's own name where the dialect has no word for it."""
    try:
        return str(type_.compile(dialect=dialect))
    except Exception:  # a type of the project's own may raise anything
        return str(getattr(type_, "__visit_name__", type(type_).__name__)).upper()


def enum_values(type_: Any, dialect: Any) -> list[str]:
    """The texts that an Enum writes; [] of other types."""
    from sqlalchemy import Enum
    from sqlalchemy.types import TypeDecorator

    for _ in range(5):
        if not isinstance(type_, TypeDecorator):
            break
        try:
            type_ = type_.load_dialect_impl(dialect)
        except Exception:
            return []
    return [str(value) for value in type_.enums] if isinstance(type_, Enum) else []
