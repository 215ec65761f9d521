"""The text of a baseline: the revision script that `squash` writes, readable, for plain Alembic and for one engine."""

import ast
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ci_migrate.databases.baselines import Baseline
from ci_migrate.model import now, plural

ENGINES = {"sqlite": ("sqlite",), "postgresql": ("postgresql",), "mysql": ("mysql", "mariadb")}
"""What SQLAlchemy calls an engine, by the family that its statements are for."""

_TEXT = '''\
"""{title}

Revision ID: {revision}
Revises:
Create Date: {date}

{about}
"""

from alembic import op

revision = {revision!r}
down_revision = None
branch_labels = {labels}
depends_on = None

ci_migrate = {{
    "replaces": [
{replaces}
    ],
    "allow": {{"CM401": "a baseline has nothing to go back to"}},
}}


def upgrade():
    if op.get_context().dialect.name not in {dialects!r}:
        raise RuntimeError("this baseline is for {engine} alone, and this is another database")
    for sql in (*STRUCTURE, *ROWS, *REST):
        send(sql)


def downgrade():
    raise NotImplementedError("the revisions that led here were squashed into this one: there is no way back to them")


def send(sql):
    """As it is written: no percent sign and no colon in it is a mark of the driver's."""
    context = op.get_context()
    if context.as_sql:  # alembic upgrade --sql
        context.impl.static_output(sql + ";")
        return
    op.get_bind().exec_driver_sql(sql, None, {{"no_parameters": True}})


STRUCTURE = ({structure})

# rows that the revisions put in, and the numbers that come next
ROWS = ({rows})

# what must come after the rows
REST = ({rest})
'''


@dataclass(frozen=True)
class Wanted:
    """What a baseline says of itself: its id, the revisions in it from the first on, and the command that made it.

    `replaces` are these, with those that an earlier baseline among them replaces.
    """

    revision: str
    revisions: Sequence[str]
    replaces: Sequence[str]
    labels: Sequence[str]
    command: str
    version: str
    dialect: str


def write_script(wanted: Wanted, baseline: Baseline) -> str:
    """The whole file."""
    dialects = next((names for names in ENGINES.values() if wanted.dialect in names), (wanted.dialect,))
    made = now()
    about = (
        f"Made by `{wanted.command}`, ci-migrate {wanted.version}, on {baseline.engine}. It makes what "
        f"{plural(len(wanted.revisions), 'revision')} made in an empty database, rows included; that was proved on "
        f"scratch copies. It is for {_family(baseline)} alone. A database that is at {wanted.revision} or later never "
        "runs it; one that is at an earlier revision must be migrated by the scripts as they were before."
    )
    first = wanted.revisions[0]
    return _TEXT.format(
        title=_in_docstring(
            f"Baseline: {plural(len(wanted.revisions), 'revision')} from {first} to {wanted.revision} in one."
        ),
        revision=wanted.revision,
        date=made.strftime("%Y-%m-%d %H:%M:%S"),
        about=_in_docstring(textwrap.fill(about, 100, break_on_hyphens=False, break_long_words=False)),
        labels=repr(tuple(wanted.labels)) if wanted.labels else None,
        replaces=textwrap.fill(
            ", ".join(map(repr, wanted.replaces)) + ",",
            100,
            initial_indent=" " * 8,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
            break_long_words=False,
        ),
        dialects=dialects,
        engine=_family(baseline),
        structure=_literals(baseline.structure),
        rows=_literals(baseline.rows),
        rest=_literals(baseline.rest),
    )


def _family(baseline: Baseline) -> str:
    return baseline.engine.partition(" ")[0]


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _literals(statements: Iterable[str]) -> str:
    lines = [f"    {literal(sql)},\n" for sql in statements]
    return "\n" + "".join(lines) if lines else ""


def literal(sql: str) -> str:
    """A text as people can read it in a script, on its lines; by `repr` where Python would read another one."""
    plain = all(sign.isprintable() or sign in "\n\t" for sign in sql)
    for quotes in ('"""', "'''"):
        written = f"{'r' if chr(92) in sql else ''}{quotes}{sql}{quotes}"
        if plain and quotes not in sql and _reads_as(written, sql):
            return written
    return repr(sql)


def _reads_as(written: str, sql: str) -> bool:
    try:
        return bool(ast.literal_eval(written) == sql)
    except (SyntaxError, ValueError):
        return False
