"""What a script does, apart from how it is written: comments, docstrings and formatting are left out."""

import ast
import json
from collections.abc import Iterator
from typing import Any

from ci_migrate.model import sha256_hex

_WRITING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of the syntax tree that follow from others, or from how a text was quoted."""


def code_digest(source: bytes) -> str:
    """sha256 of the syntax tree without docstrings and positions; "" of what this Python can't parse.

    The same under each version of Python that parses it: fields that a version adds are left out while they are empty.
    """
    try:
        tree = ast.parse(source)
        return sha256_hex(json.dumps(_plain(tree), ensure_ascii=True).encode())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def _plain(value: Any) -> Any:
    if isinstance(value, ast.AST):
        return [type(value).__name__, *([name, _plain(field)] for name, field in _fields(value))]
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return f"{type(value).__name__} {value!r}"  # a constant: 1, 1.0 and True are three


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name, field in ast.iter_fields(node):
        said = _without_docstring(node, field) if name == "body" and field else field
        if name not in _WRITING and said is not None and said != []:
            yield name, said


def _without_docstring(node: ast.AST, body: Any) -> Any:
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        first = body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            return body[1:]
    return body
