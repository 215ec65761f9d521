"""What a script asks for, by its syntax tree: it is not run."""

import ast
import textwrap

import pytest

from ci_migrate.migrations.asked import Asks
from ci_migrate.migrations.script import asked_of
from ci_migrate.migrations.worker.tokens import POSTGRESQL

HEAD = "from alembic import op\nimport sqlalchemy as sa\n"


def told(upgrade: str, *, head: str = HEAD, rest: str = "") -> list[tuple[str, str, str]]:
    source = f"{head}\ndef upgrade():\n{textwrap.indent(textwrap.dedent(upgrade), '    ')}\n{textwrap.dedent(rest)}"
    return [(a.asks.value, a.table, a.column or a.name) for a in asked_of(source, POSTGRESQL)]


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ('op.drop_table("users")', ("drops-table", "users", "")),
        ('op.drop_table("users", schema="app")', ("drops-table", "app.users", "")),
        ('op.drop_table(table_name="users")', ("drops-table", "users", "")),
        ('op.drop_column("users", "email")', ("drops-column", "users", "email")),
        ('op.rename_table("a", "b")', ("renames", "a", "b")),
        ('op.create_index("i", "users", ["x"])', ("adds-index", "users", "i")),
        ('op.create_foreign_key(None, "a", "b", ["x"], ["id"])', ("adds-foreign-key", "a", "")),
        ('op.create_check_constraint("c", "a", "x > 0")', ("adds-check", "a", "c")),
        ('op.create_unique_constraint("u", "a", ["x"])', ("adds-unique", "a", "u")),
        ('op.alter_column("a", "x", nullable=False)', ("sets-not-null", "a", "x")),
        ('op.alter_column("a", "x", type_=sa.Integer())', ("changes-type", "a", "x")),
        (
            'op.alter_column("a", "x", existing_type=sa.String(50), type_=sa.String(20))',
            ("changes-type", "a", "x"),
        ),
        ('op.execute("truncate a")', ("empties", "a", "")),
        ('op.execute(sa.text("truncate " "a"))', ("empties", "a", "")),
        ('op.get_bind().execute(sa.text("delete from a"))', ("empties", "a", "")),
        ('op.get_bind().exec_driver_sql("delete from a where x")', ("deletes", "a", "")),
        ('for name in ("a", "b"): op.drop_table(name)', ("drops-table", "", "")),
        ('op.execute(f"drop table {name}")', ("drops-table", "", "")),
        ('if op.get_context().dialect.name == "sqlite": op.drop_table("a")', ("drops-table", "a", "")),
    ],
)
def test_one_operation(upgrade: str, expected: tuple[str, str, str]) -> None:
    assert told(upgrade) == [expected]


@pytest.mark.parametrize(
    "upgrade",
    [
        'op.create_index("i", "users", ["x"], postgresql_concurrently=True)',
        'op.create_foreign_key("f", "a", "b", ["x"], ["id"], postgresql_not_valid=True)',
        'op.alter_column("a", "x", new_column_name="y")',
        'op.alter_column("a", "x", existing_type=sa.String(50), type_=sa.String(100))',
        'op.alter_column("a", "x", existing_type=sa.String(50), type_=sa.Text())',
        'op.alter_column("a", "x", nullable=False, existing_nullable=False, server_default="1")',
        'op.drop_constraint("c", "a")',
        'op.drop_index("i")',
        'op.add_column("a", sa.Column("x", sa.Integer))',
        'op.execute("update a set x = 1")',
        'print("drop table users")',
        'shop.drop_table("users")',
        "op.execute(statement)",
        "pass",
    ],
)
def test_what_costs_nothing(upgrade: str) -> None:
    assert told(upgrade) == []


def test_batches() -> None:
    found = told(
        """
        with op.batch_alter_table("users", schema="app") as batch_op:
            batch_op.drop_column("email")
            batch_op.create_unique_constraint("u", ["name"])
        with op.batch_alter_table("orders") as batch_op:
            batch_op.create_foreign_key("f", "users", ["x"], ["id"])
        """
    )
    assert found == [
        ("drops-column", "app.users", "email"),
        ("adds-unique", "app.users", "u"),
        ("adds-foreign-key", "orders", "f"),
    ]


def test_a_batch_is_written_out() -> None:
    source = f"""{HEAD}
def upgrade():
    with op.batch_alter_table("users") as batch_op:
        batch_op.create_index("i", ["x"], unique=True)
"""
    (found,) = asked_of(source, POSTGRESQL)
    assert found.call is not None
    assert ast.unparse(found.call) == "op.create_index('i', 'users', ['x'], unique=True)"
    assert found.line == 6


def test_names_that_the_module_gives() -> None:
    head = f'{HEAD}TABLE = "users"\nusers = sa.table("users", sa.column("id"))\n'
    found = told(
        """
        op.drop_column(TABLE, "email")
        op.execute(f"drop table {TABLE}_old")
        op.execute(users.delete())
        op.execute(sa.delete(users).where(users.c.id == 1))
        _more()
        """,
        head=head,
        rest="""
        def _more():
            op.drop_table(TABLE)
            _more()

        def downgrade():
            op.drop_table("never")

        def unused():
            op.drop_table("never")
        """,
    )
    assert found == [
        ("drops-column", "users", "email"),
        ("drops-table", "users_old", ""),
        ("empties", "users", ""),
        ("deletes", "users", ""),
        ("drops-table", "users", ""),
    ]


def test_alembics_template_multidb_and_other_names_of_op() -> None:
    source = """
from alembic import op as o
def upgrade(engine_name):
    globals()["upgrade_%s" % engine_name]()
def upgrade_one():
    o.drop_table("a")
def upgrade_two():
    o.drop_table("b")
def downgrade_one():
    o.drop_table("c")
"""
    assert [(a.asks, a.table) for a in asked_of(source, POSTGRESQL)] == [
        (Asks.DROPS_TABLE, "a"),
        (Asks.DROPS_TABLE, "b"),
    ]


@pytest.mark.parametrize("source", ["def upgrade(:", "\x00", "", "1 +" * 5000 + "1", "(" * 500])
def test_what_is_no_script(source: str) -> None:
    assert asked_of(source, POSTGRESQL) == []
