"""Loads a file of a project whose `assert` statements say what they compared.

pytest's own rewriting can be had within a run of pytest only; this one knows the statements that checks consist of.
"""

import ast
import reprlib
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

WORDS, LEFT, RIGHT = "@ci_migrate_words", "@ci_migrate_left", "@ci_migrate_right"
"""Names that no source text can have."""

BRIEF = reprlib.Repr()
BRIEF.maxstring = BRIEF.maxother = 80
BRIEF.maxlist = BRIEF.maxtuple = BRIEF.maxset = BRIEF.maxfrozenset = BRIEF.maxdict = 6

OPERATORS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


class AssertLoader(SourceFileLoader):
    """Compiles anew each time: what is written to __pycache__ is for those who import the file plainly."""

    def get_code(self, fullname: str) -> CodeType:
        """The code, with asserts that say what they compared, also where Python was told to leave asserts out."""
        path = self.get_filename(fullname)
        tree = _Rewriter().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=0)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__dict__[WORDS] = words
        super().exec_module(module)


def words(source: str, prefix: str, operator: str, values: tuple[Any, ...], message: object) -> str:
    """What an assertion that failed says: its own message, the values, and its text where that is another."""
    shown = prefix + f" {operator} ".join(BRIEF.repr(value) for value in values)
    place = "" if source == shown else f" ({source if len(source) < 160 else source[:157] + '...'})"
    return f"{'' if message is None else f'{message}: '}assert {shown}{place}"


class _Rewriter(ast.NodeTransformer):
    """`assert a == b` becomes `assert (left := a) == (right := b), words(..., left, right)`."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        source = ast.unparse(node.test)
        prefix, operator, names = "", "", [LEFT]
        match node.test:
            case ast.Compare(ops=[single], comparators=[right]):
                operator, names = OPERATORS[type(single)], [LEFT, RIGHT]
                node.test.left = _kept(LEFT, node.test.left)
                node.test.comparators = [_kept(RIGHT, right)]
            case ast.UnaryOp(op=ast.Not()):
                prefix = "not "
                node.test.operand = _kept(LEFT, node.test.operand)
            case _:
                node.test = _kept(LEFT, node.test)
        node.msg = ast.Call(
            func=ast.Name(WORDS, ast.Load()),
            args=[
                ast.Constant(source),
                ast.Constant(prefix),
                ast.Constant(operator),
                ast.Tuple([ast.Name(name, ast.Load()) for name in names], ast.Load()),
                node.msg or ast.Constant(None),
            ],
            keywords=[],
        )
        return node


def _kept(name: str, value: ast.expr) -> ast.expr:
    return ast.NamedExpr(target=ast.Name(name, ast.Store()), value=value)
