"""docs/http-api.md, compared with the code."""

from pathlib import Path

from ci_migrate.errors import EXIT_CODE_MEANING
from ci_migrate.server.problems import STATUS, TITLES
from ci_migrate.server.routes import PREFIX, router

TEXT = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()
ROWS = [[c.strip() for c in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]


def test_every_endpoint_is_documented():
    listed = {row[0].strip("`").partition("?")[0] for row in ROWS if row[0].startswith("`")}
    there = {f"{m} {r.path.removeprefix(PREFIX)}" for r in router.routes for m in r.methods}
    assert listed == there


def test_every_exit_code_has_its_status():
    listed = [(int(row[0]), int(row[1]), row[2]) for row in ROWS if row[0].isdigit()]
    assert listed == [(int(code), STATUS[code], words) for code, words in EXIT_CODE_MEANING.items()]
    assert set(STATUS.values()) - {200} <= set(TITLES)
