"""A second rehearsal on a second copy: other statements are an error, other values and rounds of a loop are none."""

import pytest
from alembic_project import AlembicProject

VALUES = """
import uuid, random
for n in range(random.randint(2, 90)):
    op.execute(f"INSERT INTO users (name) VALUES ('{uuid.uuid4()}')")
"""
OTHER = """
import uuid
op.execute("INSERT INTO users (name) VALUES ('x')")
op.execute(f"CREATE TABLE t{uuid.uuid4().hex} (id integer)")
"""
LESS = """
from pathlib import Path
op.execute("INSERT INTO users (name) VALUES ('x')")
mark = Path("mark")
if not mark.exists():
    mark.touch()
    op.execute("INSERT INTO users (id) VALUES (77)")
"""
FAILS = """
from pathlib import Path
mark = Path("mark")
assert not mark.exists()
mark.touch()
"""


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (VALUES, None, ""),
        (OTHER, 14, "the second time it sent CREATE TABLE t"),
        (LESS, 17, "the second time this was not sent: INSERT INTO users (id) VALUES (77)"),
        (FAILS, None, "the second time it failed: AssertionError"),
    ],
)
def test_twice(alembic_project: AlembicProject, body: str, line: int | None, words: str) -> None:
    alembic_project.revision("r2", "r1", body)
    report = alembic_project.gate("dry-run", rehearse_twice=True)
    evidence = report.evidence
    assert evidence.rehearsals == 2
    assert (evidence.divergence is None) is (not words)
    found = [f for f in report.findings if f.code == "CM603"]
    assert [f.severity.value for f in found] == ["error"] * bool(words)
    assert (report.exit_code == 1) is bool(words), report
    for finding in found:
        assert words in finding.message
        assert finding.revision == "r2"
        assert (finding.line, finding.file) == (line, "migrations/versions/r2.py" if line else None)
    assert not list(alembic_project.folder.rglob("*_again*"))
    (alembic_project.folder / "mark").unlink(missing_ok=True)
