"""Revision scripts as text, where they can't be imported: some can be only inside of the application that env.py makes.

What Alembic takes from a script is written there as plain values in nearly all of them; where it is computed, the
script can't be read so, and the error of its import stands.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from typing import Any

NAMES = ("revision", "down_revision", "depends_on", "branch_labels", "ci_migrate")


def read_scripts(script: Any) -> list[Any]:
    """All revisions of a ScriptDirectory, newest first, as `alembic.script.revision.Revision` with a `path`.

    Raises ValueError where a script can't be read so, and Alembic's errors where the graph makes no sense.
    """
    from alembic.script.revision import RevisionMap

    folders = [str(folder) for folder in script.version_locations or [os.path.join(script.dir, "versions")]]
    found = [
        read_script(file)
        for file in list_files(folders, getattr(script, "recursive_version_locations", False))
    ]
    known: Any = RevisionMap(lambda: [one for one in found if one is not None])
    ordered = known.iterate_revisions("heads", "base", inclusive=True)
    return list(ordered)


def list_files(folders: Iterable[str], recursive: bool) -> list[str]:
    """The Python files in some folders."""
    found = []
    for folder in folders:
        for place, below, names in os.walk(folder):
            if not recursive:
                below.clear()
            found += [os.path.join(place, name) for name in names if name.endswith(".py")]
    return sorted(found)


def read_script(file: str) -> Any:
    """One revision; None where the file is none."""
    from alembic.script.revision import Revision

    with open(file, "rb") as opened:
        tree = ast.parse(opened.read(), file)
    values: dict[str, Any] = {}
    functions: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        for name, value in assigned(node):
            # values alone: what an author writes is not run to be looked at
            if name in NAMES:
                values[name] = ast.literal_eval(value)
    if values.get("revision") is None:
        return None
    revision: Any = Revision(
        values["revision"],
        values.get("down_revision"),
        dependencies=values.get("depends_on"),
        branch_labels=values.get("branch_labels"),
    )
    revision.path = file
    revision.doc = (ast.get_docstring(tree) or "").strip().split("\n")[0]
    revision.own = values.get("ci_migrate")
    back = functions.get("downgrade")
    upgrade = functions.get("upgrade")
    revision.leads_back = back is not None and (works(back) or upgrade is None or not works(upgrade))
    return revision


def assigned(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Names and values of an assignment."""
    if isinstance(node, ast.Assign):
        return [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [(node.target.id, node.value)]
    return []


def works(function: ast.FunctionDef) -> bool:
    """Whether there is more in it than `pass`, a docstring, or raising NotImplementedError."""
    for node in function.body:
        if isinstance(node, ast.Pass) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node):
            continue
        return True
    return False
