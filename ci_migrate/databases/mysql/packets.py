"""Results of one column, read from the connection as they come: PyMySQL takes a dozen calls for each row.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html: a packet is three bytes of size, a
number that counts on, and its content, which is a value behind its length, or the end, or an error.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymysql.cursors import SSCursor

_READ = 1 << 17
"""Bytes that are asked for at once."""

_MOST = 0xFFFFFF
"""Bytes in a packet; one that has so many goes on in the next."""

_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
"""What a first byte says that is no length itself: how many bytes the length has."""

_END = 9
"""Bytes that a packet with `_EIGHT` has fewer than where it is the end of the rows."""


def read_values(cursor: "SSCursor") -> Iterator[tuple[list[bytes], int]]:
    """The values of a result of one column, as many at a time as have come, with the bytes that these took.

    NULL is b"". At the end `cursor.warning_count` is set.

    Raises:
        pymysql.MySQLError: the server ended it, or was lost.
    """
    connection: Any = cursor.connection
    data, at, begun = b"", 0, b""
    number = connection._next_seq_id  # noqa: SLF001
    while True:
        values: list[bytes] = []
        start, end = at, len(data)
        while end - at >= 4:
            size = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            stop = at + 4 + size
            if stop > end:
                break
            if data[at + 3] != number:
                raise _lost(cursor)
            number = number + 1 & 0xFF
            first = data[at + 4] if size else _NULL
            if size == _MOST or begun:
                begun += data[at + 4 : stop]
                if size < _MOST:
                    values.append(_value_of(begun))
                    start -= len(begun)  # most of it came before
                    begun = b""
            elif first < _NULL:
                values.append(data[at + 5 : stop])
            elif first == _ERROR or (first == _EIGHT and size < _END):
                yield values, at - start
                connection._next_seq_id = number  # noqa: SLF001
                _end(cursor, data[at + 4 : stop])
                return
            else:
                values.append(_value_of(data[at + 4 : stop]))
            at = stop
        if values:
            yield values, at - start
        lacking = stop - end if end - at >= 4 else 0
        data, at = data[at:] + _read(cursor, max(_READ, lacking)), 0


_HEADS = {_TWO: 3, _THREE: 4, _EIGHT: 9}


def _value_of(content: bytes) -> bytes:
    return content[_HEADS.get(content[0], 1) :] if content[0] != _NULL else b""


def _read(cursor: Any, size: int) -> bytes:
    """At least one byte, and all that a large packet still lacks."""
    reader = cursor.connection._rfile  # noqa: SLF001
    try:
        data: bytes = reader.read1(size) if size <= _READ else reader.read(size)
    except OSError as error:
        raise _lost(cursor) from error
    if not data:
        raise _lost(cursor)
    return data


def _lost(cursor: Any) -> Exception:
    import pymysql
    from pymysql.constants import CR

    cursor._result.unbuffered_active = False  # noqa: SLF001 - or it would read the rest when it is forgotten
    cursor.connection._force_close()  # noqa: SLF001
    return pymysql.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")


def _end(cursor: Any, content: bytes) -> None:
    from pymysql.protocol import MysqlPacket

    result = cursor._result  # noqa: SLF001
    packet = MysqlPacket(content, result.connection.encoding)
    result.unbuffered_active = False
    if packet.is_error_packet():
        packet.raise_for_error()
    result._check_packet_is_eof(packet)  # noqa: SLF001
    result.connection = None
    cursor.warning_count = result.warning_count
