"""What a case is, and where they are found: one small module each, in bad/ and harmless/."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
ENGINES = ("sqlite", "postgresql", "mariadb")


@dataclass(frozen=True)
class Case:
    """A pending revision `r1` on a database with rows.

    `schema` is SQL that the revision `r0` ran, `rows` what came in since. `upgrade` and `downgrade` are Python;
    `files` are written over the project's (more revisions, another env.py), `then` after a first run, for what goes
    wrong later. `settings` are what a team has in its ci-migrate.toml. `source` shows somebody whom it bit;
    `expected` is the code of the finding, or words of what the gate says. A harmless case has neither.
    """

    engine: str
    schema: str
    rows: str = ""
    upgrade: str = "pass"
    downgrade: str = "pass"
    source: str = ""
    expected: str = ""
    settings: str = ""
    files: dict[str, str] = field(default_factory=dict)
    then: dict[str, str] = field(default_factory=dict)
    name: str = ""
    title: str = ""

    @property
    def bad(self) -> bool:
        return bool(self.expected)

    @property
    def drops(self) -> list[str]:
        """What takes the schema away again."""
        cascade = " CASCADE" if self.engine == "postgresql" else ""
        made = re.findall(r"CREATE (TABLE|TYPE) (\w+)", self.schema)
        return [f"DROP {kind} {name}{cascade}" for kind, name in made[::-1]]


def statements(text: str) -> list[str]:
    """The statements of an SQL text: each ends with a semicolon at the end of a line; what follows is not indented."""
    found = re.split(r";[ ]*\n(?=\S|$)", textwrap.dedent(text).strip() + "\n")
    return [statement.strip() for statement in found if statement.strip()]


def cases(*, bad: bool) -> Iterator[Case]:
    """All cases of one kind, sorted by name."""
    folder = "bad" if bad else "harmless"
    for path in sorted((HERE / folder).glob("[a-z]*.py")):
        module = import_module(f"{__package__}.{folder}.{path.stem}")
        found: Case = module.CASE
        assert found.bad is bad, f"{path}: a bad case says what is expected, a harmless one does not"
        assert found.engine in ENGINES, path
        assert found.source.startswith("https://") is bad, f"{path}: who was bitten?"
        yield replace(found, name=path.stem, title=(module.__doc__ or "").strip().rstrip("."))


def on_mysql(found: Iterable[Case]) -> Iterator[Case]:
    """The cases of MariaDB once more, on MySQL: the same words in files and statements."""
    return (replace(case, engine="mysql") for case in found if case.engine == "mariadb")


SMOKE = """
    import os
    import sqlalchemy as sa

    with sa.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
        print(connection.execute(sa.text("{query}")).all())
"""
"""What the old release does: one query."""

DEPLOYED = 'deployed = "./deployed"\ndeployed-models = "models:metadata"'
"""The release that runs, in a folder of its own: its models are in `deployed/models.py`."""

MODELS = """
    import sqlalchemy as sa

    metadata = sa.MetaData()
    sa.Table("{table}", metadata, {columns})
"""
