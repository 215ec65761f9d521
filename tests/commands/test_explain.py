"""`ci-migrate explain`: the page of a check, without a site and without a project."""

import shutil
import tomllib
from pathlib import Path

from alembic_project import ended

from ci_migrate.checks import BUILT_IN
from ci_migrate.checks.base import OTHER_CODES
from ci_migrate.commands import explain
from ci_migrate.reports.failure import all_codes

ROOT = Path(__file__).parents[2]


def test_each_code_has_its_page(alembic_project):
    listed = [line.split()[0] for line in ended(alembic_project.call("explain"), 0).splitlines()]
    checks = {check.code for check in BUILT_IN} | set(OTHER_CODES)
    assert set(listed) == checks | all_codes()
    for code in checks:
        page = ended(alembic_project.call("explain", code.lower()), 0)
        assert page.startswith(f"# {code} ")
        assert "](" not in page.replace("](http", ""), "a link that leads nowhere in a terminal"


def test_a_code_as_reports_write_it(alembic_project):
    shown = ended(alembic_project.call("explain", "CM202@3f2a"), 0)
    assert 'op.drop_column("users", "email")' in shown


def test_one_page_is_read_for_one_code(alembic_project, tmp_path, monkeypatch):
    pages = shutil.copytree(ROOT / "docs" / "checks", tmp_path / "checks")
    (pages / "CM999.md").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(explain, "PACKAGED_CHECKS", pages)
    ended(alembic_project.call("explain", "CM202"), 0, "# CM202 ")
    ended(alembic_project.call("explain", "locked"), 0, "# locked")


def test_colours_are_for_terminals(alembic_project):
    plain = alembic_project.call("explain", "CM202").out
    coloured = alembic_project.call("explain", "CM202", env={"FORCE_COLOR": "1"}).out
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured


def test_without_a_project_or_with_a_broken_one(alembic_project):
    alembic_project.settings("this is no TOML")
    ended(alembic_project.call("explain", "CM301"), 0, "lock-budget")


def test_what_nobody_wrote_down(alembic_project):
    ended(alembic_project.call("explain", "CM20"), 2, "There is no page for CM20", "ci-migrate explain CM2")
    ended(
        alembic_project.call("explain", "SHOP1"),
        2,
        "a check of a plugin explains itself",
        "ci-migrate explain",
    )


def test_who_is_refused_is_told_how_to_read_on(alembic_project):
    ended(alembic_project.call("run"), 0)
    alembic_project.sql("insert into users (id) values (1)")
    alembic_project.revision("r3", "r2", "drop table users")
    refused = alembic_project.call("run")
    assert "Why, and the safe way: ci-migrate explain CM201" in ended(refused, 1)


def test_a_wheel_has_the_pages():
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert explain.CHECKOUT.samefile(ROOT / "docs")
    assert built["force-include"]["docs/checks"] == f"ci_migrate/{explain.PACKAGED_CHECKS.name}"
    assert built["force-include"]["docs/errors.md"] == f"ci_migrate/{explain.PACKAGED_ERRORS.name}"
