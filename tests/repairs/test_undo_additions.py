"""The proof of an undo on the target, where others write meanwhile."""

from ci_migrate.model import ColumnContent, TableContent
from ci_migrate.repairs.undo_additions import lost


def content(rows: int, **values: int) -> TableContent:
    return TableContent(rows=rows, columns={name: ColumnContent(values=n) for name, n in values.items()})


def test_a_table_or_a_column_that_is_emptied_is_lost_and_single_rows_are_not() -> None:
    then = {"users": content(3, name=3, age=1, email=3, note=0)}
    dropped = {"users": {"email"}}
    assert lost(then, {"users": content(2, name=2, age=2, note=0)}, dropped) == []
    assert lost(then, {"users": content(3, name=3, age=0, note=0)}, dropped) == [
        "column users.age has lost its values"
    ]
    assert lost(then, {"users": content(0)}, dropped) == ["table users has lost its rows"]
    assert lost(then, {}, dropped) == ["table users has lost its rows"]
    assert lost(then, {"users": content(3, name=3, note=0)}, dropped) == [
        "column users.age has lost its values"
    ]
