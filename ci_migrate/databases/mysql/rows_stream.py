"""The output of mariadb-dump and mysqldump as it comes: told apart by table, counted, spread over files."""

import re
from collections.abc import Callable, Mapping, Sequence

Sink = Callable[[bytes], object]

TRAILER = b"\n-- Dump completed"
"""The last line of a dump that ended well: it is there even where the exit code lies."""

SANDBOX = b"/*M!999999\\- enable the sandbox mode */"
"""MariaDB's first line, which MySQL's client takes for an error. The client is run in binary mode, which knows no
commands either."""

_NEXT = re.compile(
    rb"\n(?:/\*!40000 ALTER TABLE `(?P<start>(?:[^`]|``)+)` DISABLE KEYS \*/;"
    rb"|INSERT INTO `(?P<into>(?:[^`]|``)+)` (?:\((?:(?:`(?:[^`]|``)+`|\w+)(?:, ?)?)+\) )?VALUES(?P<end>[ \n]))"
)
# said before one table and taken back after another, which may be in different files: who loads them says it
_HISTORY = re.compile(rb"/\*M!\d+ SET [^\n]*system_versioning_insert_history[^\n]*")
_STRING = re.compile(rb"'(?:[^'\\]|\\.)*'", re.DOTALL)


class RowStream:
    """Takes a dump without structure, triggers and routines.

    Line breaks in values are escaped by the tools, so a line that starts with a parenthesis is a row (MariaDB), and
    a line that ends with a semicolon ends the statement. mysqldump writes all rows of a statement on one line.

    Args:
        sinks: where it goes: each gets the head, and whole tables.
        places: which sink a table goes to; 0 if not named.
    """

    def __init__(self, sinks: Sequence[Sink], places: Mapping[str, int]) -> None:
        self.rows: dict[str, int] = {}
        self.bytes = 0
        self._sinks = sinks
        self._places = places
        self._at = -1  # the sink of this table; -1 before the first
        self._kept = b"\n"
        self._table = ""  # whose rows come; "" between statements
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take what came next."""
        self.bytes += len(data)
        self._tail = (self._tail + data)[-400:]
        data = self._kept + data
        position = 0
        while True:
            end = self._in_rows(data, position) if self._table else self._between(data, position)
            if end < 0:
                break
            position = end
        self._kept = data[position:]

    def _in_rows(self, data: bytes, start: int) -> int:
        """Count rows up to the end of the statement, or of the data; -1 if there is nothing more to do."""
        end = data.find(b";\n", start)
        stop = end + 1 if end >= 0 else len(data) - 1
        if stop <= start:
            return -1
        # both marks have two bytes: the last byte is looked at again with what follows it
        self.rows[self._table] += data.count(b"\n(", start, stop + 1)
        self._write(data[start:stop])
        if end >= 0:
            self._table = ""
        return stop

    def _between(self, data: bytes, start: int) -> int:
        found = _NEXT.search(data, start)
        if found is None:
            return -1
        if found["start"] is not None:
            self._write(data[start : found.start()])
            self._at = self._places.get(_name(found["start"]), 0)
            self._write(data[found.start() : found.end()])
            return found.end()
        table = _name(found["into"])
        self.rows.setdefault(table, 0)
        if found["end"] == b"\n":
            self._write(data[start : found.end() - 1])
            self._table = table
            return found.end() - 1
        end = data.find(b";\n", found.end())
        if end < 0:
            return -1
        self.rows[table] += _STRING.sub(b"", data[found.end() : end]).count(b"),(") + 1
        self._write(data[start : end + 1])
        return end + 1

    def _write(self, data: bytes) -> None:
        if not self._table:
            data = _HISTORY.sub(b"", data)
        if self._at >= 0:
            self._sinks[self._at](data)
            return
        head = data.removeprefix(b"\n" + SANDBOX)
        for sink in self._sinks:
            sink(head)

    def finish(self) -> bool:
        """Pass on what is left. Returns whether the dump ended as it should."""
        complete = TRAILER in self._tail and not self._table
        self._write(self._kept)
        return complete


def _name(escaped: bytes) -> str:
    return escaped.decode(errors="surrogateescape").replace("``", "`")
