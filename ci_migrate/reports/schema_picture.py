"""Where the boxes and arrows of a schema's change stand; `page/page.html` draws them. A pure function of the evidence.

Boxes stand in one column (a phone) or two (a desktop, paper). Arrows run in one gutter, beside the column or between
the two, so that none crosses a box.
"""

from dataclasses import dataclass, field
from typing import NamedTuple
from unicodedata import east_asian_width

from ci_migrate.model import plural
from ci_migrate.reports.touched_tables import ADDED, GONE, Fate, Line, Touched, TouchedTable, in_words

MOST_TABLES = 12
"""Tables that are drawn; the rest is counted. Dropped ones come first."""

MOST_BESIDE = 6
"""Tables that did not change, drawn because a key leads to them."""

MOST_LINES = 10
"""Changes that a box shows; the rest is counted."""

ROW, HEAD, GAP = 19, 27, 14
LANE = 9
"""Between two arrows that run beside each other in the gutter."""

_CHARACTER = 7.3
"""A character of the monospaced letters at the size in `page.css`; wider than most fonts have it."""


class Text(NamedTuple):
    """One line of a box; `whole` is what a reader sees who points at it, "" where nothing is left out."""

    y: float
    sign: str
    text: str
    whole: str
    kind: str


@dataclass
class Box:
    """One table."""

    name: str
    whole: str
    fate: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    texts: list[Text] = field(default_factory=list)


class Arrow(NamedTuple):
    """From the line of a foreign key to the table that it leads to."""

    path: str
    head: str
    kind: str


class Picture(NamedTuple):
    """One drawing; `name` tells it from the other one of the page."""

    name: str
    width: int
    height: float
    boxes: list[Box]
    arrows: list[Arrow]


class Drawn(NamedTuple):
    """The change in words, what of it is not drawn, and the drawings for a narrow and a wide page."""

    summary: str
    left_out: list[str]
    pictures: list[Picture]


def draw(touched: Touched) -> Drawn | None:
    """The pictures; None where no table changed."""
    if not touched.tables:
        return None
    left_out = []
    if len(touched.tables) > MOST_TABLES:
        left_out.append(f"{plural(len(touched.tables) - MOST_TABLES, 'more table')}")
    if len(touched.beside) > MOST_BESIDE:
        left_out.append(f"{plural(len(touched.beside) - MOST_BESIDE, 'more table')} that keys lead to")
    if touched.others:
        kinds = sorted(set(touched.others))
        left_out.append(f"{plural(len(touched.others), 'change')} outside of tables ({', '.join(kinds)})")
    pictures = [_picture("narrow", touched, 360, columns=1), _picture("wide", touched, 1000, columns=2)]
    return Drawn(in_words(touched), left_out, pictures)


def _picture(name: str, touched: Touched, width: int, columns: int) -> Picture:
    tables = [_shorten(table) for table in touched.tables[:MOST_TABLES]]
    tables += [TouchedTable(other, Fate.SAME, "", ()) for other in touched.beside[:MOST_BESIDE]]
    there = {table.name for table in tables}
    led_to = {line.to for table in tables for line in table.lines if line.to in there}
    gutter = LANE * (len(led_to) + 2) if led_to else GAP if columns > 1 else 0
    wide = (width - gutter) / columns
    ends = [0.0] * columns
    boxes: dict[str, Box] = {}
    for table in tables:
        column = ends.index(min(ends))
        box = _box(table, column * (wide + gutter), ends[column], wide)
        boxes[table.name] = box
        ends[column] = box.y + box.height + GAP
    arrows = _arrows(tables, boxes, wide)
    return Picture(name, width, max(ends) - GAP, list(boxes.values()), arrows)


def _shorten(table: TouchedTable) -> TouchedTable:
    """With at most `MOST_LINES` lines; a foreign key is left out last but what goes, since an arrow begins at it."""
    if len(table.lines) <= MOST_LINES:
        return table
    order = sorted(
        range(len(table.lines)), key=lambda n: (table.lines[n].sign != GONE, not table.lines[n].to, n)
    )
    kept = sorted(order[: MOST_LINES - 1])
    more = Line("", f"... and {len(table.lines) - len(kept):,} more")
    return table._replace(lines=(*(table.lines[n] for n in kept), more))


_KIND = {Fate.DROPPED: "bad", Fate.CHANGED: "warn", Fate.NEW: "good", Fate.SAME: "quiet"}


def _box(table: TouchedTable, x: float, y: float, width: float) -> Box:
    fate = f"{table.fate}, {table.rows}" if table.rows else table.fate.value
    room = int((width - 24) / _CHARACTER)
    name, whole = _fit(table.name, room - len(fate) - 2)
    box = Box(
        name,
        whole,
        fate,
        _KIND[table.fate],
        x,
        y,
        width,
        HEAD + ROW * len(table.lines) + 6 * bool(table.lines),
    )
    for number, line in enumerate(table.lines):
        text, whole = _fit(line.text, room - 2)
        kind = {ADDED: "good", GONE: "bad", "": "quiet"}.get(line.sign, "warn")
        box.texts.append(Text(_middle(box, number) + 4, line.sign, text, whole, kind))
    return box


def _middle(box: Box, number: int) -> float:
    """The height at which the arrow of a line begins."""
    return box.y + HEAD + ROW * (number + 0.5) + 1


def _fit(text: str, room: int) -> tuple[str, str]:
    """What fits, and the whole text where that is less. Letters of East Asia take the room of two."""
    taken = 0
    for at, letter in enumerate(text):
        taken += 2 if east_asian_width(letter) in "WF" else 1
        if taken > room:
            return text[: max(1, at - 1)] + "\N{HORIZONTAL ELLIPSIS}", text
    return text, ""


def _arrows(tables: list[TouchedTable], boxes: dict[str, Box], wide: float) -> list[Arrow]:
    """All arrows to one table share a lane."""
    keys = [
        (boxes[table.name], number, line, boxes[line.to])
        for table in tables
        for number, line in enumerate(table.lines)
        if line.to in boxes
    ]
    lanes = {name: at for at, name in enumerate(dict.fromkeys(line.to for _, _, line, _ in keys), start=1)}
    arrows = []
    for box, number, line, other in keys:
        lane = wide + LANE * (lanes[line.to] + 0.5)
        start, end = (side.x + side.width if side.x == 0 else side.x for side in (box, other))
        # heads of the two columns often stand at one height: what leads to the left ends above what leads to the right
        tip = 7 if other.x == 0 else -7
        y, to_y = _middle(box, number), other.y + HEAD / 2 - tip / 2
        path = f"M{start:.1f} {y:.1f}H{lane:.1f}V{to_y:.1f}H{end + tip:.1f}"
        head = f"M{end:.1f} {to_y:.1f}l{tip} -4v8z"
        arrows.append(Arrow(path, head, {ADDED: "good", GONE: "bad"}.get(line.sign, "warn")))
    return arrows
