"""Documentation that can't rot: compared with the code."""

import inspect
import re
import shlex
from pathlib import Path

import click
import commands_page
import prose
import report_page
import site_pages as site
import yaml
from pasted import parse
from servers import TOO_OLD, TRIED

from ci_migrate import checks
from ci_migrate.approval.payload import ApprovalPayload
from ci_migrate.databases.mysql.flavours import flavour_of
from ci_migrate.databases.postgresql.usable import OLDEST
from ci_migrate.errors import EXIT_CODE_MEANING
from ci_migrate.plugins import hookspecs
from ci_migrate.reports.story import VERDICT
from ci_migrate.settings.keys import KEYS

ROOT = Path(__file__).resolve().parents[1]


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_page_of_the_commands_is_made_of_their_help() -> None:
    made = (ROOT / "docs" / "commands.md").read_text()
    assert made == commands_page.page(), "python tests/support/commands_page.py > docs/commands.md"


def test_variables_that_are_no_settings_are_documented() -> None:
    source = "".join(file.read_text() for file in (ROOT / "ci_migrate").rglob("*.py"))
    named = set(re.findall(r"\bCI_MIGRATE_[A-Z_]*[A-Z]\b", source)) - {key.variable for key in KEYS}
    listed = {row[0].strip("`") for row in rows(commands_page.FOOT) if "CI_MIGRATE" in row[0]}
    assert listed == named


def test_each_exit_code_has_its_entry_in_the_page_for_the_night() -> None:
    """By the last line that the terminal prints, which is what somebody looks for there."""
    page = (ROOT / "docs" / "three-in-the-morning.md").read_text()
    verdicts = [f"{verdict} (exit {int(code)})" for code, verdict in VERDICT.items()]
    assert re.findall(r"^## `(.+)`$", page, re.MULTILINE) == verdicts
    assert [row[0].split("`")[1] for row in rows(page) if row[0].startswith("[`")] == verdicts
    for verdict in verdicts[:-1]:  # the last one says that it is as the one before
        section = page.partition(f"## `{verdict}`")[2].partition("\n## ")[0]
        assert f"\n{verdict.replace(' (exit 0)', '')}. The database is " in section


def test_the_page_of_the_exit_codes_has_those_of_the_code() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    listed = [row for row in rows(page) if row[0].isdigit()]
    assert [(int(row[0]), row[1]) for row in listed] == [
        (int(code), meaning) for code, meaning in EXIT_CODE_MEANING.items()
    ]
    assert all(all(row[2:]) for row in listed[1:]), "each says when, and the state of the database"
    handled = {int(code) for code in re.findall(r"^ +(\d+)\) ", page, re.MULTILINE)}
    assert handled <= {int(code) for code in EXIT_CODE_MEANING}


def test_the_page_of_the_report_is_made_of_its_schema() -> None:
    made = (ROOT / "docs" / "report.md").read_text()
    assert made == report_page.page(), "python tests/support/report_page.py > docs/report.md"


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs" / "hooks.md").read_text()
    names = [name for name in dir(hookspecs) if name.startswith("ci_migrate_")]
    assert len(names) == 12
    for name in names:
        hook = getattr(hookspecs, name)
        documentation = inspect.getdoc(hook)
        assert documentation
        heading = f"### `{name}({', '.join(inspect.signature(hook).parameters)})`"
        assert f"{heading}\n\n{documentation}\n" in text, f"docs/hooks.md: {name} differs from hookspecs.py"


def test_every_check_is_documented() -> None:
    page = (ROOT / "docs" / "checks.md").read_text()
    listed = {row[0][1:6]: row for row in rows(page) if row[0].startswith("[CM")}
    assert set(listed) == {check.code for check in checks.BUILT_IN}
    for check in checks.BUILT_IN:
        where = "dry run" if check.measured else "plan"
        assert listed[check.code][1:4] == [check.name, check.severity.value, where]


def test_every_finding_has_a_page() -> None:
    """Those of checks, and those that stages add by themselves: reports link to them by their codes."""
    source = "".join(file.read_text() for file in (ROOT / "ci_migrate").rglob("*.py"))
    names = dict(re.findall(r'code="(CM\d+)",\s*name="([\w-]+)"', source))
    names |= {check.code: check.name for check in checks.BUILT_IN}
    assert {"CM103", "CM901"} < set(names)
    pages = {page.stem: page.read_text() for page in (ROOT / "docs" / "checks").glob("*.md")}
    assert set(pages) == set(names)
    for code, name in names.items():
        assert pages[code].startswith(f"# {code} {name}\n")
        assert re.findall(r"^## (.*)$", pages[code], re.MULTILINE) == ["Bad", "Why", "Good", "Exceptions"]


def test_links_lead_somewhere() -> None:
    """To a file, and to a heading of it where one is named. `make docs` holds the site to it, too."""
    for page in (ROOT / "README.md", *site.pages()):
        for path, _, anchor in re.findall(r"\]\(([^)#:]*)(#([^)]+))?\)", page.read_text()):
            aim = (page.parent / path).resolve() if path else page
            assert aim.exists(), f"{page.name}: {path}"
            if anchor:
                assert anchor in anchors(aim), f"{page.name}: {path}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The names by which GitHub and the site link the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_navigation() -> None:
    """Zensical builds a page that nothing leads to, and says nothing of an entry without a page."""
    named = re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    there = {place.as_posix() for place in site.pages().values()}
    assert len(named) == len(set(named))
    assert set(named) == {place for place in there if not place.startswith("checks/")}, (
        "checks.md leads to those"
    )


def test_no_page_is_long() -> None:
    """A page has one reader and one question: Evidence, and what is made from the code, may be longer."""
    made = {"commands.md", "report.md"}
    long = {
        source.relative_to(ROOT).as_posix(): lines
        for source, place in site.pages().items()
        if place.parent.name != "evidence"
        and place.name not in made | {"changelog.md"}
        and (lines := len(source.read_text().splitlines())) > 250
    }
    assert long == {}
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120, "three screens"


def test_the_project_s_address_is_in_one_place() -> None:
    """Also: nothing that is still a placeholder belongs to somebody."""
    urls = site.urls()
    host = re.findall(r"https://[^/]+", urls["Documentation"])[0]
    files = [*(ROOT / "ci_migrate").rglob("*.py"), ROOT / "README.md", ROOT / "action.yml", *site.pages()]
    naming = [f for f in files if host in f.read_text() and f.name != "releasing.md"]
    assert naming == []


def test_actions_of_our_own_workflows_are_pinned_by_commit() -> None:
    """A tag can be moved to other code; the version stands beside the commit, for people and for Dependabot."""
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    used = [
        line
        for file in workflows
        for line in re.findall(r"^ *(?:- )?uses: (?!\./)(.*)$", file.read_text(), re.MULTILINE)
    ]
    assert len(used) > 10
    assert [
        line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+.*", line)
    ] == []


def test_the_words_of_the_pages() -> None:
    assert [problem for page in prose.pages() for problem in prose.look(page)] == []


def test_every_field_that_is_signed_is_documented() -> None:
    text = (ROOT / "docs" / "tokens.md").read_text()
    cells = [row[0] for row in rows(text.split("The payload is canonical JSON")[1].split("## ")[0])]
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert documented == list(ApprovalPayload.__struct_encode_fields__)


def test_the_inputs_of_the_action_are_documented() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    listed = {row[0].strip("`"): row[1].strip("`") for row in rows((ROOT / "docs" / "ci.md").read_text())[2:]}
    assert listed == {name: what.get("default", "") for name, what in inputs.items()}


def shown_commands(text: str) -> list[str]:
    """What pages show: command lines in blocks, and those within the text."""
    fences = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text.replace("\\\n", " "), re.DOTALL | re.MULTILINE)
    blocks = "\n".join(block for kind, block in fences if kind in ("", "sh", "console", "yaml"))
    in_blocks = re.findall(
        r"""(?m)(?:^\s*(?:\$ |- )?(?:run: )?(?:exec )?|\$\(|["'])ci-migrate ([a-z-](?:'[^']*'|"[^"]*"|[^|>;&)#\n`"'])*)""",
        blocks,
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


def test_the_versions_that_we_claim_are_those_that_are_tried() -> None:
    """In the table of docs/databases.md and in the README's line; the tests of versions try what `TRIED` says."""
    table = re.findall(
        r"(?m)^\| (PostgreSQL|MariaDB|MySQL) \| ([\d., ]+) \|", (ROOT / "docs/databases.md").read_text()
    )
    assert {engine: tuple(found.split(", ")) for engine, found in table} == TRIED
    readme = " ".join((ROOT / "README.md").read_text().split())
    line = re.search(r"It is tested on SQLite, (.*?) \(\[Versions\]", readme)
    assert line
    newest, oldest = TRIED["PostgreSQL"][-1], TRIED["PostgreSQL"][0]
    assert line[1] == (
        f"PostgreSQL {oldest} to {newest}, MariaDB {' and '.join(TRIED['MariaDB'])}, and MySQL {' and '.join(TRIED['MySQL'])}"
    )
    assert [int(v) for v in TRIED["PostgreSQL"]] == list(range(int(oldest), int(newest) + 1))
    assert TOO_OLD["PostgreSQL"] == str(OLDEST - 1) == str(int(oldest) - 1)
    assert flavour_of("10.11.6-MariaDB").oldest <= (10, 6)
    installers = {name: (ROOT / f".ci/install-{name.lower()}").read_text() for name in TRIED}
    for engine in ("PostgreSQL", "MariaDB"):
        for version in TRIED[engine][1:]:
            assert f"    {version}) " in installers[engine]
