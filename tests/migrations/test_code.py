"""What a script does, apart from how it is written."""

import pytest

from ci_migrate.migrations.code import code_digest

SCRIPT = '''"""add a table"""
revision = "r1"
down_revision = None
from alembic import op

def upgrade():
    """Nothing to say."""
    op.create_table("users", op.f('x'), f"{revision} a")
'''
FORMATTED = """# a licence
revision = 'r1'
down_revision = (None)

from alembic import op


def upgrade():
    op.create_table(
        'users',  # why
        op.f("x"),
        f"{revision}" ' a',
    )
"""


def test_comments_docstrings_and_formatters_change_nothing() -> None:
    assert code_digest(SCRIPT.encode()) == code_digest(FORMATTED.encode()) != ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"users"', '"user"'),
        ("None", "0"),
        ("None", "False"),
        ('"r1"', 'b"r1"'),
        ("{revision} a", "{revision!r} a"),
        ("op.f('x')", "op.f('x'), 1"),
        ("op.f('x')", "op.g('x')"),
        ("def upgrade()", "def upgrade(engine=None)"),
        ("def upgrade()", "async def upgrade()"),
        ("from alembic import op", "from alembic import op as op2"),
        ("    op.create", "    if revision:\n        op.create"),
    ],
)
def test_what_is_another_code(old: str, new: str) -> None:
    assert old in SCRIPT
    assert code_digest(SCRIPT.replace(old, new).encode()) not in ("", code_digest(SCRIPT.encode()))


@pytest.mark.parametrize("source", [b"def upgrade(:", b"\x00", b"\xff\xfe", b"(" * 500, b"1 +" * 5000 + b"1"])
def test_what_nobody_can_parse_has_none(source: bytes) -> None:
    assert code_digest(source) == ""


def test_a_text_alone_is_no_docstring_of_a_loop() -> None:
    assert code_digest(b"for x in y:\n 'a'\n") != code_digest(b"for x in y:\n 'b'\n")
    assert code_digest(b"") == code_digest(b"'a docstring alone'") == code_digest(b"# nothing")


def test_each_version_of_python_says_the_same() -> None:
    """A ledger outlives the interpreter: this is what each one must say."""
    source = (
        SCRIPT
        + "type_ = [1.0, 1j, 1, True, ..., *x]\nclass A(B): x: int = -1\nprint(f'{x:>{y}}', lambda *a, b=1: a)\n"
    )
    assert code_digest(source.encode()) == "52277244250c4cf42947d55eb7a308843f456464bf983beeb13f053443f332c1"
