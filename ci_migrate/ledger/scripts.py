"""What scripts do, by their texts: so that a text that was only formatted anew is known as the one that ran."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import scripts

_PAGE = 500
"""Hashes asked for at once: SQLite takes 999 bound values in its older builds."""


def codes_of(ledger: Ledger, texts: Iterable[str]) -> dict[str, str]:
    """The digests of the code of these texts, by the texts' sha256, as far as they were noted."""
    wanted = sorted(set(texts))
    found: dict[str, str] = {}
    with ledger.reading() as connection:
        for start in range(0, len(wanted), _PAGE):
            some = scripts.c.sha256.in_(wanted[start : start + _PAGE])
            rows = connection.execute(select(scripts.c.sha256, scripts.c.code).where(some))
            found.update({row.sha256: row.code for row in rows})
    return found


def note_codes(ledger: Ledger, codes: Mapping[str, str]) -> None:
    """Note the digests of the code of texts; those that are known stay as they are."""
    new = codes.keys() - codes_of(ledger, codes).keys()
    if new:
        rows = [{"sha256": text, "code": codes[text]} for text in sorted(new)]
        # another run may note the same at this moment; what is missing then is noted by the next one
        with ledger.writing() as connection, suppress(IntegrityError), connection.begin_nested():
            connection.execute(insert(scripts), rows)
