"""What a revision's `upgrade()` asks for, read from its text: nothing is run, no database is asked.

A text shows less than a rehearsal: names that are made at run time and statements that a library sends are not in it.
What stands here is for an early word in a pull request; the dry run decides.
"""

import ast
from collections.abc import Iterator, Mapping

from ci_migrate.migrations.asked import UNKNOWN, Asked, Asks, asked_in_sql, known
from ci_migrate.migrations.worker.tokens import Dialect


def asked_of(source: str, dialect: Dialect) -> list[Asked]:
    """What `upgrade()` asks for, in the order of the text; nothing of a text that is no Python.

    Args:
        source: the script's.
        dialect: by which its SQL is read.
    """
    try:
        return list(_Reader(source, dialect).read())
    except (SyntaxError, ValueError, RecursionError):
        return []  # whoever loads it says why


class _Reader:
    def __init__(self, source: str, dialect: Dialect) -> None:
        tree = ast.parse(source)
        self.dialect = dialect
        self.lines = source.splitlines()
        self.alone: dict[int, tuple[int, str]] = {}  # by the call's id: its last line, its white space
        self.functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self.texts: dict[str, str] = {}  # constants of the module
        self.tables: dict[str, str] = {}  # `users = sa.table("users", ...)`
        self.op = {"op"}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "alembic":
                self.op |= {a.asname or a.name for a in node.names if a.name == "op"}
            self._names(node)

    def read(self) -> Iterator[Asked]:
        """All of `upgrade()`, and of `upgrade_*()`, which Alembic's template multidb calls by their names."""
        seen: set[str] = set()
        for name in self.functions:
            if name == "upgrade" or name.startswith("upgrade_"):
                yield from self._function(name, seen)

    def _function(self, name: str, seen: set[str]) -> Iterator[Asked]:
        if name in seen:
            return
        seen.add(name)
        for statement in self.functions[name].body:
            yield from self._node(statement, {}, seen)

    def _node(self, node: ast.AST, batches: Mapping[str, str], seen: set[str]) -> Iterator[Asked]:
        if isinstance(node, ast.stmt):
            self._names(node)
        if isinstance(node, ast.Expr):
            self._note_if_alone(node)
        if isinstance(node, ast.With):
            opened = dict(batches)
            for item in node.items:
                called = item.context_expr
                if (
                    isinstance(called, ast.Call)
                    and self._operation(called) == "batch_alter_table"
                    and isinstance(item.optional_vars, ast.Name)
                ):
                    opened[item.optional_vars.id] = self._table(called, 0, "table_name")
            batches = opened
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in self.functions:
                yield from self._function(node.func.id, seen)
            yield from self._call(node, batches)
        for child in ast.iter_child_nodes(node):
            yield from self._node(child, batches, seen)

    def _note_if_alone(self, node: ast.Expr) -> None:
        first, last = node.lineno, node.end_lineno or node.lineno
        before = self.lines[first - 1].encode()[: node.col_offset].decode()
        after = self.lines[last - 1].encode()[node.end_col_offset or 0 :].decode()
        if not before.strip() and not after.strip():
            self.alone[id(node.value)] = (last, before)

    # ------------------------------------------------------------------ names and texts

    def _names(self, node: ast.AST) -> None:
        """Remember `NAME = "text"` and `NAME = sa.table("text")`."""
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if not isinstance(target, ast.Name):
                    continue
                text = self._text(node.value)
                if text is not None:
                    self.texts[target.id] = text
                value = node.value
                if isinstance(value, ast.Call) and _last(value.func) in ("table", "Table") and value.args:
                    self.tables[target.id] = self._text(value.args[0]) or ""

    def _text(self, node: ast.AST | None) -> str | None:
        """A text as far as it is known: what is put in at run time is a name nobody knows."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return self.texts.get(node.id)
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else self._inserted(v) for v in node.values]
            return "".join(str(part) for part in parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._text(node.left), self._text(node.right)
            return None if left is None or right is None else left + right
        if isinstance(node, ast.Call) and _last(node.func) in ("text", "dedent", "DDL") and node.args:
            return self._text(node.args[0])
        return None

    def _inserted(self, value: ast.AST) -> str:
        known = self._text(value.value) if isinstance(value, ast.FormattedValue) else None
        return UNKNOWN if known is None else known

    def _argument(self, call: ast.Call, position: int, keyword: str) -> ast.expr | None:
        for one in call.keywords:
            if one.arg == keyword:
                return one.value
        return call.args[position] if len(call.args) > position else None

    def _said(self, call: ast.Call, position: int, keyword: str) -> str:
        return self._text(self._argument(call, position, keyword)) or ""

    def _table(self, call: ast.Call, position: int, keyword: str, schema: str = "schema") -> str:
        table, place = self._said(call, position, keyword), self._said(call, 99, schema)
        return known(f"{place}.{table}" if place and table else table)

    def _operation(self, call: ast.Call) -> str:
        """`create_index` of `op.create_index(...)`; "" of other calls."""
        function = call.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            return function.attr if function.value.id in self.op else ""
        return ""

    # ------------------------------------------------------------------ calls

    def _call(self, call: ast.Call, batches: Mapping[str, str]) -> Iterator[Asked]:
        function = call.func
        if not isinstance(function, ast.Attribute):
            return
        if function.attr in ("execute", "exec_driver_sql", "scalar", "scalars") and call.args:
            yield from self._executed(call.args[0], call.lineno)
            return
        if isinstance(function.value, ast.Name) and function.value.id in batches:
            call = _out_of_batch(call, batches[function.value.id])
            function = call.func
            assert isinstance(function, ast.Attribute)
        elif not self._operation(call):
            return
        read = _OPERATIONS.get(function.attr)
        if read is not None:
            yield from read(self, call)

    def _executed(self, what: ast.expr, line: int) -> Iterator[Asked]:
        text = self._text(what)
        if text is not None:
            yield from asked_in_sql(text, line, self.dialect)
            return
        # `users.delete().where(...)`, `sa.delete(users)`
        calls = [n for n in ast.walk(what) if isinstance(n, ast.Call)]
        for one in calls:
            if _last(one.func) != "delete":
                continue
            of = one.args[0] if one.args else one.func.value if isinstance(one.func, ast.Attribute) else None
            if isinstance(of, ast.Name) and of.id in self.tables:
                chosen = any(_last(n.func) in ("where", "filter", "filter_by") for n in calls)
                yield Asked(Asks.DELETES if chosen else Asks.EMPTIES, line, known(self.tables[of.id]))

    def create_table(self, call: ast.Call) -> Iterator[Asked]:
        yield Asked(Asks.CREATES, call.lineno, self._table(call, 0, "table_name"))

    def rename_table(self, call: ast.Call) -> Iterator[Asked]:
        new = known(self._said(call, 1, "new_table_name"))
        yield Asked(Asks.RENAMES, call.lineno, self._table(call, 0, "old_table_name"), new, call=call)

    def drop_table(self, call: ast.Call) -> Iterator[Asked]:
        yield Asked(Asks.DROPS_TABLE, call.lineno, self._table(call, 0, "table_name"), call=call)

    def drop_column(self, call: ast.Call) -> Iterator[Asked]:
        column = known(self._said(call, 1, "column_name"))
        yield Asked(Asks.DROPS_COLUMN, call.lineno, self._table(call, 0, "table_name"), column, call=call)

    def alter_column(self, call: ast.Call) -> Iterator[Asked]:
        table, column = self._table(call, 0, "table_name"), known(self._said(call, 1, "column_name"))
        kind = self._argument(call, 99, "type_")
        if kind is not None and not _widens(self._argument(call, 99, "existing_type"), kind):
            yield Asked(Asks.CHANGES_TYPE, call.lineno, table, column, call=call)
        nullable = self._argument(call, 99, "nullable")
        was = self._argument(call, 99, "existing_nullable")
        if _is(nullable, value=False) and not _is(was, value=False):
            yield Asked(Asks.SETS_NOT_NULL, call.lineno, table, column, call=call)

    def create_index(self, call: ast.Call) -> Iterator[Asked]:
        if _is(self._argument(call, 99, "postgresql_concurrently"), value=True):
            return
        name = known(self._said(call, 0, "index_name"))
        table, alone = self._table(call, 1, "table_name"), self.alone.get(id(call))
        yield Asked(Asks.ADDS_INDEX, call.lineno, table, name=name, call=call, statement=alone)

    def create_foreign_key(self, call: ast.Call) -> Iterator[Asked]:
        table = self._table(call, 1, "source_table", "source_schema")
        yield from self._constraint(call, Asks.ADDS_FOREIGN_KEY, table)

    def create_check_constraint(self, call: ast.Call) -> Iterator[Asked]:
        yield from self._constraint(call, Asks.ADDS_CHECK, self._table(call, 1, "table_name"))

    def create_unique_constraint(self, call: ast.Call) -> Iterator[Asked]:
        yield from self._constraint(call, Asks.ADDS_UNIQUE, self._table(call, 1, "table_name"))

    def _constraint(self, call: ast.Call, asks: Asks, table: str) -> Iterator[Asked]:
        if not _is(self._argument(call, 99, "postgresql_not_valid"), value=True):
            name, alone = known(self._said(call, 0, "constraint_name")), self.alone.get(id(call))
            yield Asked(asks, call.lineno, table, name=name, call=call, statement=alone)


_OPERATIONS = {
    function.__name__: function
    for function in (
        _Reader.create_table,
        _Reader.rename_table,
        _Reader.drop_table,
        _Reader.drop_column,
        _Reader.alter_column,
        _Reader.create_index,
        _Reader.create_foreign_key,
        _Reader.create_check_constraint,
        _Reader.create_unique_constraint,
    )
}


def _last(function: ast.expr) -> str:
    """`text` of `sa.text`, and of `text`."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is(node: ast.expr | None, *, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _out_of_batch(call: ast.Call, table: str) -> ast.Call:
    """`batch_op.drop_column("a")` as `op.drop_column("users", "a")`."""
    function = call.func
    assert isinstance(function, ast.Attribute)
    schema, _, bare = table.rpartition(".")
    named = ast.Constant(bare or "TABLE")
    # names of constraints and indexes stand before their table
    first = 1 if function.attr.startswith("create_") else 0
    arguments = [*call.args[:first], named, *call.args[first:]]
    keywords = list(call.keywords)
    if schema:
        key = "source_schema" if function.attr == "create_foreign_key" else "schema"
        keywords.append(ast.keyword(key, ast.Constant(schema)))
    op = ast.Attribute(ast.Name("op", ast.Load()), function.attr, ast.Load())
    return ast.copy_location(ast.Call(op, arguments, keywords), call)


def _widens(was: ast.expr | None, becomes: ast.expr) -> bool:
    """Whether a VARCHAR only gets longer, or a TEXT.

    PostgreSQL keeps the table as it is then; MySQL does unless the length crosses 255 bytes, which the text of a script
    does not tell.
    """
    old, new = _length(was), _length(becomes)
    return old is not None and new is not None and new >= old


def _length(kind: ast.expr | None) -> float | None:
    """How many characters a type of texts holds; None of others, and where the text does not tell."""
    called = kind.func if isinstance(kind, ast.Call) else kind
    if called is None or _last(called) not in ("String", "Unicode", "VARCHAR", "Text", "UnicodeText", "TEXT"):
        return None
    if _last(called).upper().endswith("TEXT"):
        return float("inf")
    given = (
        [*kind.args, *(k.value for k in kind.keywords if k.arg == "length")]
        if isinstance(kind, ast.Call)
        else []
    )
    if not given:
        return float("inf")
    first = given[0]
    return float(first.value) if isinstance(first, ast.Constant) and isinstance(first.value, int) else None
