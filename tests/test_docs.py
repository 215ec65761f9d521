"""Documentation that can't rot: compared with the code."""

import inspect
import re
import shlex
from pathlib import Path

import click
import commands_page
import report_page
import yaml
from pasted import parse

from ci_migrate import checks
from ci_migrate.approval.payload import ApprovalPayload
from ci_migrate.errors import EXIT_CODE_MEANING
from ci_migrate.plugins import hookspecs
from ci_migrate.settings.keys import KEYS
from ci_migrate.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_readme_lists_the_commands_of_the_code() -> None:
    listed = [(row[0].strip("`"), row[1]) for row in rows(README) if row[0].startswith("`")]
    assert listed == [(verb.name, verb.words) for verb in VERBS.values() if verb.words]


def test_the_page_of_the_commands_is_made_of_their_help() -> None:
    made = (ROOT / "docs" / "commands.md").read_text()
    assert made == commands_page.page(), "python tests/support/commands_page.py > docs/commands.md"


def test_variables_that_are_no_settings_are_documented() -> None:
    source = "".join(file.read_text() for file in (ROOT / "ci_migrate").rglob("*.py"))
    named = set(re.findall(r"\bCI_MIGRATE_[A-Z_]*[A-Z]\b", source)) - {key.variable for key in KEYS}
    listed = {row[0].strip("`") for row in rows(commands_page.FOOT) if "CI_MIGRATE" in row[0]}
    assert listed == named


def test_readme_lists_the_exit_codes_of_the_code() -> None:
    listed = [(int(row[0]), row[1]) for row in rows(README) if row[0].isdigit()]
    assert listed == [(int(code), meaning) for code, meaning in EXIT_CODE_MEANING.items()]


def test_the_page_of_the_exit_codes_has_those_of_the_code() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    listed = [row for row in rows(page) if row[0].isdigit()]
    assert [(int(row[0]), row[1]) for row in listed] == [
        (int(code), meaning) for code, meaning in EXIT_CODE_MEANING.items()
    ]
    assert all(all(row[2:]) for row in listed[1:]), (
        "each says when, the state of the database, and what to do"
    )
    handled = {int(code) for code in re.findall(r"^ +(\d+)\) ", page, re.MULTILINE)}
    assert handled <= {int(code) for code in EXIT_CODE_MEANING}


def test_the_page_of_the_report_is_made_of_its_schema() -> None:
    made = (ROOT / "docs" / "report.md").read_text()
    assert made == report_page.page(), "python tests/support/report_page.py > docs/report.md"


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    names = [name for name in dir(hookspecs) if name.startswith("ci_migrate_")]
    assert len(names) == 9
    for name in names:
        hook = getattr(hookspecs, name)
        documentation = inspect.getdoc(hook)
        assert documentation
        heading = f"### `{name}({', '.join(inspect.signature(hook).parameters)})`"
        assert f"{heading}\n\n{documentation}\n" in text, f"docs/plugins.md: {name} differs from hookspecs.py"


def test_every_check_is_documented() -> None:
    listed = {
        row[0]: row for row in rows((ROOT / "docs" / "checks.md").read_text()) if row[0].startswith("CM")
    }
    assert set(listed) == {check.code for check in checks.BUILT_IN}
    for check in checks.BUILT_IN:
        where = "dry run" if check.measured else "plan"
        assert listed[check.code][1:4] == [check.name, check.severity.value, where]


def test_every_check_has_a_page() -> None:
    pages = {page.stem: page.read_text() for page in (ROOT / "docs" / "checks").glob("*.md")}
    assert set(pages) == {check.code for check in checks.BUILT_IN}
    for check in checks.BUILT_IN:
        assert pages[check.code].startswith(f"# {check.code} {check.name}\n")
        assert re.findall(r"^## (.*)$", pages[check.code], re.MULTILINE) == [
            "Bad",
            "Why",
            "Good",
            "Exceptions",
        ]


def test_links_lead_somewhere() -> None:
    for page in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "examples").glob("*/README.md")),
    ):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_field_that_is_signed_is_documented() -> None:
    text = (ROOT / "docs" / "approval.md").read_text()
    cells = [row[0] for row in rows(text.split("The payload is canonical JSON")[1].split("## ")[0])]
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert documented == list(ApprovalPayload.__struct_encode_fields__)


def test_the_inputs_of_the_action_are_documented() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows((ROOT / "docs" / "ci.md").read_text())[2:]}
    assert listed == {name: what.get("default", "") for name, what in inputs.items()}


def shown_commands(text: str) -> list[str]:
    """What pages show: command lines in blocks, and those within the text."""
    blocks = "\n".join(re.findall(r"```(?:sh|console)?\n(.*?)```", text.replace("\\\n", " "), re.DOTALL))
    in_blocks = re.findall(
        r"""(?m)(?:^\s*(?:\$ )?|\$\(|["'])ci-migrate ([a-z-](?:'[^']*'|"[^"]*"|[^|>;&)#\n`"'])*)""", blocks
    )
    return [*in_blocks, *re.findall(r"`ci-migrate ([a-z-][^`|]*)`", text)]


def test_each_command_that_a_page_shows_is_one() -> None:
    """Its name and all of its options are those of the code; words of a text may leave out what it needs."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")]
    seen = 0
    for page in pages:
        if page.name == "commands.md":  # made of the code
            continue
        for text in shown_commands(page.read_text()):
            try:
                parse(shlex.split(text))
            except (click.MissingParameter, click.BadOptionUsage, click.BadParameter, click.exceptions.Exit):
                pass
            except click.UsageError as error:
                raise AssertionError(f"{page.name}: ci-migrate {text}: {error.format_message()}") from error
            seen += 1
    assert seen > 80


def test_each_test_that_a_page_names_is_there() -> None:
    named = [
        (page.name, *found)
        for page in (ROOT / "docs").rglob("*.md")
        for found in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page.read_text())
    ]
    assert named
    missing = [
        one
        for one in named
        if not (ROOT / one[1]).exists() or f"def {one[2]}(" not in (ROOT / one[1]).read_text()
    ]
    assert missing == []
