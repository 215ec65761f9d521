"""CM801: squawk's own findings, at the statement that they are about; its real program where it is installed."""

import shutil
import sys
from pathlib import Path

import pytest

from ci_migrate.checks.base import Facts
from ci_migrate.checks.squawk import CHECK
from ci_migrate.errors import ToolError
from ci_migrate.model import Evidence, Fingerprint, Identity, Plan, Statement, WayBack

SQL = ("CREATE TABLE t (\n  id bigint\n)", "/* app=shop */ ALTER TABLE users\n  ADD COLUMN age integer NOT NULL", "UPDATE t SET x = %(x)s", "CREATE INDEX ix ON users (email)")  # fmt: skip


def facts(program: Path | None, dialect: str = "postgresql") -> Facts:
    statements = tuple(
        Statement(
            position=n,
            context=0,
            revision="r2",
            file="versions/r2.py",
            line=10 * n,
            sql=sql,
            digest="",
            seconds=0,
            rows=0,
        )
        for n, sql in enumerate(SQL, 1)
    )
    nothing = Fingerprint(objects={})
    evidence = Evidence(
        proven=True, statements=statements, before=nothing, after=nothing, way_back=WayBack(tried=False)
    )
    plan = Plan(
        target="dev",
        identity=Identity(dialect=dialect, place="", facts={}),
        direction="upgrade",
        destination="head",
        contexts=(),
        revisions=(),
        env_sha256="",
        script_heads=(),
    )
    return Facts(plan=plan, evidence=evidence, squawk=program)


@pytest.fixture
def program(tmp_path):
    """A program in squawk's place that prints what it is told to print."""

    def made(output: str, code: int = 0) -> Path:
        path = tmp_path / "squawk"
        path.write_text(
            f"#!{sys.executable}\nimport sys\ntext = open(sys.argv[-1]).read().splitlines()\n{output}\nsys.exit({code})\n"
        )
        path.chmod(0o755)
        return path

    return made


TOLD = """
import json
at = next(n for n, line in enumerate(text) if "ADD COLUMN" in line) + {base}
told = dict(line=at, rule_name="adding-required-field", level="Error", {words})
print("a warning of its own", file=sys.stderr)
print(json.dumps([told, told, dict(line=0, rule_name="prefer-robust-stmts", message="x")]))
"""


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize(
    "words", ['message="It is required.", help=None', 'messages=[dict(Note="It is"), dict(Help="required.")]']
)
@pytest.mark.parametrize("dialect", ["postgresql", "postgresql (2 databases)"])
def test_at_its_statement_whatever_the_version(program, base, words, dialect):
    (found,) = CHECK.find(CHECK, facts(program(TOLD.format(base=base, words=words), code=1), dialect))
    assert (found.code, found.message) == ("CM801", "squawk adding-required-field: It is required.")
    assert (found.revision, found.file, found.line) == ("r2", "versions/r2.py", 20)


def test_not_asked_for_and_not_of_postgresql(program):
    assert list(CHECK.find(CHECK, facts(None))) == []
    assert list(CHECK.find(CHECK, facts(program("sys.exit(3)"), "sqlite"))) == []


@pytest.mark.parametrize("output", ["print('no such option')", "print(json)", "print('[{}]')"])
def test_an_answer_that_is_none(program, output):
    with pytest.raises(ToolError, match="no findings in JSON"):
        list(CHECK.find(CHECK, facts(program(output, code=2))))


def test_the_real_one():
    here = Path(sys.executable).with_name("squawk")
    found = here if here.exists() else shutil.which("squawk")
    if not found:
        pytest.skip("squawk is not installed (squawk-cli)")
    told = {f.message.split(":")[0]: f.line for f in CHECK.find(CHECK, facts(Path(found)))}
    assert told["squawk require-concurrent-index-creation"] == 40
    assert {line for words, line in told.items() if "required" in words or "not-null" in words} == {20}
