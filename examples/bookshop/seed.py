"""Fill the bookshop with some thousand rows, the same ones each time.

alembic upgrade 0002
python seed.py [URL]        # default: BOOKSHOP_DATABASE_URL, else sqlite:///bookshop.db
alembic upgrade head
"""

import os
import random
import sys
from datetime import date, datetime, timedelta

import sqlalchemy as sa

AUTHORS, BOOKS, CUSTOMERS, ORDERS = 200, 1000, 1500, 3000
TABLES = ("authors", "books", "customers", "orders", "order_lines")

# ruff: noqa: SIM905 - twelve words in a line read better than twelve lines
FIRST = "Ada Bruno Chiara Dmitri Elif Fatou Günther Hana Ines Jorge Kofi Lina Mei Nils Pia Ravi Sol".split()
MIDDLE = ("", "", "", "B. ", "Maria ", "van der ")
LAST = "Adeyemi Brontë Costa Dubois Eriksen Fischer García Ito Jansen Khan Lem Müller Novák O'Neill".split()
ADJECTIVES = "Silent Crooked Golden Last Burning Patient Invisible Northern Borrowed Seventh Hollow".split()
NOUNS = "River Library Clockmaker Orchard Winter Lighthouse Garden Cartographer Island Letter Mirror".split()


def rows() -> dict[str, list[dict[str, object]]]:
    """All rows by table."""
    chance = random.Random(2026)
    authors = [
        {"id": i, "name": f"{chance.choice(FIRST)} {chance.choice(LAST)}"} for i in range(1, AUTHORS + 1)
    ]
    books = [
        {
            "id": i,
            "author_id": chance.randint(1, AUTHORS),
            "title": f"The {chance.choice(ADJECTIVES)} {chance.choice(NOUNS)}",
            "isbn": f"978{i:010}",
            "price_cents": chance.randrange(499, 4999, 50),
            "published_on": date(1950, 1, 1) + timedelta(days=chance.randrange(27_000)) if i % 10 else None,
            "stock": chance.randrange(0, 50),
        }
        for i in range(1, BOOKS + 1)
    ]
    customers = [
        {
            "id": i,
            # some people have one name only
            "full_name": chance.choice(FIRST)
            + ("" if i % 50 == 0 else f" {chance.choice(MIDDLE)}{chance.choice(LAST)}"),
            "email": f"reader{i}@example.org",
            "phone": f"+49 30 {chance.randrange(10**6, 10**7)}" if i % 3 else None,
        }
        for i in range(1, CUSTOMERS + 1)
    ]
    orders = [
        {
            "id": i,
            "customer_id": chance.randint(1, CUSTOMERS),
            "placed_at": datetime(2024, 1, 1)  # noqa: DTZ001 - the column has no time zone
            + timedelta(minutes=chance.randrange(1_500_000)),
        }
        for i in range(1, ORDERS + 1)
    ]
    order_lines = [
        {
            "order_id": order,
            "book_id": (book := chance.randint(1, BOOKS)),
            "quantity": chance.choice((1, 1, 1, 2, 3)),
            "price_cents": books[book - 1]["price_cents"],
        }
        for order in range(1, ORDERS + 1)
        for _ in range(chance.randint(1, 3))
    ]
    for i, line in enumerate(order_lines, start=1):
        line["id"] = i
    return dict(zip(TABLES, (authors, books, customers, orders, order_lines), strict=True))


def seed(url: str) -> int:
    """Insert all rows into an empty bookshop at revision 0002 and return how many there are."""
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    customers = metadata.tables.get("customers")
    if customers is None or not {"full_name", "phone"} <= set(customers.columns.keys()):
        raise SystemExit("The rows fit revisions 0002 to 0004: run `alembic upgrade 0002` first.")
    inserted = 0
    with engine.begin() as connection:
        if connection.scalar(sa.select(sa.func.count()).select_from(customers)):
            raise SystemExit("There are rows already.")
        for name, its in rows().items():
            connection.execute(sa.insert(metadata.tables[name]), its)
            inserted += len(its)
            if engine.dialect.name == "postgresql":
                # the ids were given, so the sequence has not moved
                connection.execute(
                    sa.text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}")
                )
    engine.dispose()
    return inserted


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BOOKSHOP_DATABASE_URL")
    print(f"{seed(given or 'sqlite:///bookshop.db')} rows")
