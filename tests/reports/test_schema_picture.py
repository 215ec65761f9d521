"""The picture of a schema's change: bounded, nothing on top of something else, and the same as the facts."""

import re

import pytest
from msgspec.structs import replace
from picture import ROOT, drawing, migrated_bookshop

from ci_migrate.model import Fingerprint, schema_changes
from ci_migrate.reports.html import HtmlReporter
from ci_migrate.reports.schema_picture import MOST_BESIDE, MOST_LINES, MOST_TABLES, draw
from ci_migrate.reports.touched_tables import Fate, Line, Touched, TouchedTable


def table(name: str, fate: Fate = Fate.CHANGED, *lines: Line, rows: str = "") -> TouchedTable:
    return TouchedTable(name, fate, rows, lines)


def drawn(*tables: TouchedTable, beside=(), others=()):
    found = draw(Touched(tables, tuple(beside), tuple(others)))
    assert found is not None
    return found


def both(found):
    narrow, wide = found.pictures
    assert (narrow.name, wide.name) == ("narrow", "wide")
    return narrow, wide


def of_schemas(samples, before, after):
    """A green report of a dry run that led from the one schema to the other."""
    found = samples.evidence(
        before=Fingerprint.of(before), after=Fingerprint.of(after), changes=schema_changes(before, after)
    )
    green = samples.green()
    return replace(
        green, results=tuple(replace(r, evidence=found) if r.evidence else r for r in green.results)
    )


KEYS = [
    table("gone", Fate.DROPPED, Line("\N{MINUS SIGN}", "b → books", "books"), rows="7 rows"),
    table("people", Fate.CHANGED, Line("~", "a: can be NULL now")),
    table("orders", Fate.NEW, Line("+", "b → books", "books"), Line("+", "p → people", "people"),
          Line("+", "above → orders", "orders")),
]  # fmt: skip


def test_no_table_no_picture(samples) -> None:
    assert draw(Touched((), (), ("view",))) is None
    assert "<figure>" not in HtmlReporter().render(of_schemas(samples, {}, {"view v": "SELECT 1"}))


def test_no_box_stands_on_another_and_all_are_inside() -> None:
    many = [table(f"t{n}", Fate.NEW, *[Line("+", "c INT")] * (n % 5)) for n in range(MOST_TABLES)]
    for picture in both(drawn(*many, beside=("a", "b"))):
        assert len(picture.boxes) == MOST_TABLES + 2
        for one in picture.boxes:
            assert 0 <= one.x < one.x + one.width <= picture.width
            assert 0 <= one.y < one.y + one.height <= picture.height
            assert all(one.y < text.y < one.y + one.height for text in one.texts)
            for other in picture.boxes:
                beside = one.x + one.width <= other.x or other.x + other.width <= one.x
                above = one.y + one.height <= other.y or other.y + other.height <= one.y
                assert one is other or beside or above


@pytest.mark.parametrize("beside", [(), ("books",)])
def test_arrows_lead_from_the_key_to_its_table_and_cross_no_box(beside) -> None:
    for picture in both(drawn(*KEYS, beside=beside)):
        boxes = {box.name: box for box in picture.boxes}
        ends = []
        for arrow in picture.arrows:
            path = re.fullmatch(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H([\d.]+)", arrow.path)
            x, y, lane, to_y, to_x = map(float, path.groups())
            assert not any(box.x <= lane <= box.x + box.width for box in boxes.values()), (
                "it runs in the gutter"
            )
            (source,) = [b for b in boxes.values() if x in (b.x, b.x + b.width) and b.y < y < b.y + b.height]
            tip_x = float(re.match(r"M([\d.]+) ", arrow.head)[1])
            assert abs(tip_x - to_x) == 7
            (end,) = [
                b for b in boxes.values() if tip_x in (b.x, b.x + b.width) and b.y < to_y < b.y + b.height
            ]
            ends.append((source.name, end.name, arrow.kind))
        books = [("gone", "books", "bad"), ("orders", "books", "good")] if beside else []
        assert sorted(ends) == sorted([*books, ("orders", "people", "good"), ("orders", "orders", "good")])


def test_arrows_to_two_tables_share_no_line() -> None:
    for picture in both(drawn(*KEYS, beside=("books",))):
        lanes = {}
        for arrow in picture.arrows:
            lane, to_y, tip = re.search(r"H([\d.]+)V([\d.]+)H([\d.]+)", arrow.path).groups()
            lanes.setdefault((to_y, tip), set()).add(lane)
        assert len(lanes) == 3
        assert len(set.union(*lanes.values())) == 3
        assert len({to_y for to_y, _ in lanes}) == 3


def test_a_change_of_300_tables_stays_small_and_says_what_is_left_out(samples) -> None:
    before = {f"table t{n:03}": "TABLE" for n in range(300)}
    after = {
        **before,
        **{f"column t{n:03}.c{m:02}": "INT" for n in range(300) for m in range(40)},
        **{f"view v{n}": "SELECT 1" for n in range(3)},
    }
    page = HtmlReporter().render(of_schemas(samples, before, after))
    assert "300 tables changed." in page
    assert "Not drawn: 288 more tables; 3 changes outside of tables (view)." in page
    figure = page.partition("<figure>")[2].partition("</figure>")[0]
    assert figure.count('class="box') == 2 * MOST_TABLES
    assert figure.count(f"... and {41 - MOST_LINES} more") == 2 * MOST_TABLES
    assert len(figure) < 60_000


def test_what_goes_and_what_an_arrow_needs_is_shown_first() -> None:
    lines = [*(Line("+", f"c{n} INT") for n in range(20)), Line("+", "p → people", "people"),
             Line("\N{MINUS SIGN}", "old INT")]  # fmt: skip
    for picture in both(drawn(table("t", Fate.CHANGED, *lines), beside=("people",))):
        texts = [text.text for text in picture.boxes[0].texts]
        assert len(texts) == MOST_LINES
        assert texts[-3:] == ["p → people", "old INT", "... and 13 more"]
        assert len(picture.arrows) == 1


def test_tables_beside_are_bounded_too() -> None:
    lines = [Line("+", f"x → b{n}", f"b{n}") for n in range(MOST_BESIDE + 2)]
    found = drawn(table("t", Fate.NEW, *lines), beside=[f"b{n}" for n in range(MOST_BESIDE + 2)])
    assert found.left_out == ["2 more tables that keys lead to"]
    assert all(len(p.boxes) == 1 + MOST_BESIDE and len(p.arrows) == MOST_BESIDE for p in found.pictures)


def test_long_and_wide_names_are_cut_and_told_whole() -> None:
    for name in ("x" * 200, "漢" * 100):
        for picture in both(drawn(table(name, Fate.DROPPED, Line("+", name), rows="12,345,678 rows"))):
            (box,) = picture.boxes
            assert box.whole == name
            assert box.texts[0].whole == name
            assert len(box.name) < len(name)
            assert box.name.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_names_are_text_and_never_markup(samples) -> None:
    evil = '"<script>alert(1)</script>"'
    before = {"table a&b": "TABLE"}
    after = {f"table {evil}": "TABLE", f'column {evil}."</svg><b>"': "TEXT DEFAULT '<i>'"}
    page = HtmlReporter().render(of_schemas(samples, before, after))
    figure = page.partition("<figure>")[2].partition("</figure>")[0]
    assert figure.count("&lt;script&gt;alert(1)") == 2
    assert "<script" not in page
    assert figure.count("</svg>") == 2
    assert "a&amp;b" in figure


def test_whoever_sees_no_picture_is_told_the_same(samples) -> None:
    page = HtmlReporter().render(samples.green())
    for name in ("narrow", "wide"):
        assert f'role="img" aria-labelledby="{name}-title {name}-desc"' in page
        assert f'<title id="{name}-title">Tables that the dry run changed</title>' in page
        assert (
            f'<desc id="{name}-desc">1 table changed. The table below says the same in words.</desc>' in page
        )
    assert "<figcaption>1 table changed.</figcaption>" in page


# --------------------------------------------------------------------------- in a browser


LETTERS = """picture => [...picture.querySelectorAll("g")].flatMap(group => {
  const box = group.querySelector("rect").getBoundingClientRect()
  return [...group.querySelectorAll("text")]
    .map(text => text.getBoundingClientRect())
    .filter(text => text.left < box.left || text.right > box.right || text.bottom > box.bottom)
}).length"""


def test_one_picture_is_shown_and_its_text_stays_in_its_boxes(browser, tmp_path, samples) -> None:
    before = {"table a": "TABLE", "table " + "long_" * 30: "TABLE"}
    after = {f"column a.{'m' * 90}": "VARCHAR(200) NOT NULL", "table a": "TABLE", "table b": "TABLE",
             "constraint b.foreign key(a_id)": "FOREIGN KEY (a_id) REFERENCES a(id)"}  # fmt: skip
    file = tmp_path / "report.html"
    file.write_text(HtmlReporter().render(of_schemas(samples, before, after)), encoding="utf-8")
    for width, media, shown in ((390, "screen", "narrow"), (1280, "screen", "wide"), (700, "print", "wide")):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.emulate_media(media=media)
        page.goto(file.as_uri())
        other = {"narrow": "wide", "wide": "narrow"}[shown]
        assert page.locator(f"svg.{shown}").is_visible(), (width, media)
        assert not page.locator(f"svg.{other}").is_visible(), (width, media)
        assert page.locator(f"svg.{shown}").evaluate(LETTERS) == 0, (width, media)
        page.close()


def test_the_picture_of_the_pages_is_what_a_report_draws_today():
    with migrated_bookshop() as folder:
        drawn = drawing(folder)
    committed = (ROOT / "docs" / "schema.svg").read_text(encoding="utf-8")
    assert drawn == committed, "make picture"
