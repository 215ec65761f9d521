"""The page: what it says without a browser, and what a browser makes of it."""

import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from ci_migrate.model import LockHeld
from ci_migrate.reports.html import MOST, HtmlReporter

VOID = {"meta", "rect", "link", "br", "img", "input", "hr"}


def render(report) -> str:
    return HtmlReporter().render(report)


class Tags(HTMLParser):
    """The tree is closed as it was opened; all text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("style", "src") for name, _ in attrs), attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_well_formed_and_without_anything_that_acts(sample) -> None:
    page = render(sample)
    tags = Tags(page)
    assert not tags.seen & {"script", "iframe", "form", "img", "link", "object", "base"}
    assert re.search(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'", page)
    assert not re.search(
        r"(?:https?:)?//(?!www\.w3\.org)", re.sub(r"<(pre|code|p|li)\b.*?</\1>", "", page, flags=re.DOTALL)
    )


def test_long_lists_are_cut_with_a_count(samples) -> None:
    one = samples.statement(1, "3f2a", samples.ADD_EMAIL, 18, "SELECT 1")
    many = samples.evidence(statements=tuple(replace(one, position=n) for n in range(MOST + 7)))
    green = samples.green()
    results = tuple(replace(r, evidence=many) if r.evidence else r for r in green.results)
    page = render(replace(green, results=results))
    assert page.count("SELECT 1") == MOST
    assert "... and 7 more, all in report.json." in page


@pytest.fixture
def busy(samples):
    """A green report with locks and rewrites."""
    locks = (LockHeld(table="public.users", mode="ACCESS EXCLUSIVE", seconds=2.3, blocks="reads and writes"),)
    statements = (
        samples.statement(1, "3f2a", samples.ADD_EMAIL, 18, "ALTER TABLE users ADD x int", seconds=0.5, locks=locks),
        samples.statement(2, "9c1d", samples.UNIQUE_EMAIL, 16, "UPDATE users SET x = 1", seconds=2.0, rows=7,
                          rewrites=("public.users",)),
    )  # fmt: skip
    green = samples.green()
    found = samples.evidence(statements=statements)
    return replace(
        green, results=tuple(replace(r, evidence=found) if r.evidence else r for r in green.results)
    )


def test_the_bars_stand_where_the_time_was(busy) -> None:
    page = render(busy)
    lock = re.search(r"ACCESS EXCLUSIVE.*?<rect x=\"([\d.]+)\".*?width=\"([\d.]+)\"", page, re.DOTALL)
    assert (float(lock[1]), float(lock[2])) == (0.0, 920.0)  # 2.3 of 2.5 seconds
    second = re.search(
        r"9c1d_unique_email\.py:16</code> <span class=\"push.*?<rect x=\"([\d.]+)\"", page, re.DOTALL
    )
    assert float(second[1]) == 200.0


# --------------------------------------------------------------------------- in a browser


@pytest.fixture
def shown(browser, tmp_path):
    """Opens a report's page; whatever the browser complains about fails the test."""
    contexts = []

    def show(report, width=1100, **options):
        file = tmp_path / "report.html"
        file.write_text(render(report), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("request", lambda request: page.complaints.append(request.url))
        page.goto(file.as_uri())
        assert page.complaints == [file.as_uri()]
        return page

    yield show
    for context in contexts:
        context.close()


OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"


def test_it_fits_a_desktop_and_a_phone_with_any_text(shown, samples) -> None:
    long = replace(samples.dry_run_failed(), place="/srv/" + "x" * 400)
    for report in (samples.green(), samples.hostile(), long):
        for width in (1100, 360):
            page = shown(report, width)
            assert page.evaluate(OVERFLOW) <= 0, width
            assert page.title().startswith(("OK", "REFUSED"))


def test_by_keyboard_light_dark_and_on_paper(shown, busy, samples) -> None:
    light, page = shown(busy, color_scheme="light"), shown(busy, color_scheme="dark")
    assert (light.evaluate(GROUND), page.evaluate(GROUND)) == ("rgb(255, 255, 255)", "rgb(20, 23, 26)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    closed = page.locator("details:not([open]) pre").first
    assert not closed.is_visible()
    page.emulate_media(media="print")
    assert closed.is_visible()
    page.emulate_media(media="screen")
    page.locator("details:not([open]) > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details:not([open])").count() == 0
    red = shown(samples.dry_run_failed())
    assert "9c1d_unique_email.py:16" in red.locator("section[aria-labelledby=why]").inner_text()


def test_the_facts_at_a_glance(samples):
    def tiles(report):
        shown = HtmlReporter().render(report).partition('<dl class="glance">')[2].partition("</dl>")[0]
        return dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<]+)</dd>", shown))

    green = tiles(samples.green())
    assert green["Database"] == "migrated"
    assert green["Backup"] == "restored and compared"
    assert green["Rehearsal"] == "passed"
    refused = tiles(samples.refused())
    assert refused["Database"] == "untouched"
    assert refused["Findings"] == "2 refused, 1 warning"
    assert "Backup" not in refused, "there is none to tell of"
    assert tiles(samples.dry_run_failed())["Rehearsal"] == "said no"
