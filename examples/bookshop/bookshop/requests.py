"""`python -m bookshop.requests`: what the bookshop asks of its database all day, one of each kind.

It leaves everything as it was: all of it is rolled back. ci-migrate runs it on a migrated copy (`previous-release`) to
tell whether this release still works there.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from bookshop.models import Author, Book, Customer, Order, OrderLine, OrderStatus, Review
from bookshop.shop import best_sellers, place_order


def add_author(session: Session) -> None:
    session.add(Author(name="Ursula K. Le Guin"))


def add_book(session: Session) -> None:
    author = session.scalars(select(Author).limit(1)).one()
    session.add(
        Book(author=author, title="t" * 200, isbn="9780000000017", price_cents=1999, published_on=None)
    )


def stock_up(session: Session) -> None:
    book = session.scalars(select(Book).where(Book.isbn == "9780000000017")).one()
    assert book.isbn.startswith("978"), book.isbn
    book.stock += 5


def sign_up(session: Session) -> None:
    session.add(
        Customer(first_name="Ana", last_name="Maria", email="ana@example.org", phone="+49 30 1234567")
    )


def sign_up_without_phone(session: Session) -> None:
    session.add(Customer(first_name="Bo", last_name="", email="bo@example.org"))


def find_customer(session: Session) -> None:
    found = session.scalars(select(Customer).where(Customer.email == "ana@example.org")).one()
    assert found.phone.startswith("+49"), found.phone


def order(session: Session) -> None:
    customer = session.scalars(select(Customer).where(Customer.email == "ana@example.org")).one()
    book = session.scalars(select(Book).where(Book.isbn == "9780000000017")).one()
    place_order(session, customer, {book.id: 2})


def read_orders(session: Session) -> None:
    since = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0)
    for one in session.scalars(select(Order).where(Order.placed_at >= since)):
        assert sum(line.quantity * line.price_cents for line in one.lines) > 0
        assert one.placed_at.tzinfo is None
        assert one.status in OrderStatus


def pay_and_ship(session: Session) -> None:
    for status in (OrderStatus.PAID, OrderStatus.SHIPPED):
        one = session.scalars(select(Order).order_by(Order.id.desc()).limit(1)).one()
        one.status = status
        session.flush()


def cancel(session: Session) -> None:
    one = session.scalars(select(Order).order_by(Order.id.desc()).limit(1)).one()
    one.status = OrderStatus.CANCELLED


def review(session: Session) -> None:
    customer = session.scalars(select(Customer).where(Customer.email == "ana@example.org")).one()
    book = session.scalars(select(Book).where(Book.isbn == "9780000000017")).one()
    session.add(Review(book=book, customer_id=customer.id, stars=5, words=None))


def count_reviews(session: Session) -> None:
    assert session.scalar(select(func.count(Review.id))) is not None


def sell_best(session: Session) -> None:
    best_sellers(session)


def delete_order(session: Session) -> None:
    one = session.scalars(select(Order).order_by(Order.id.desc()).limit(1)).one()
    for line in session.scalars(select(OrderLine).where(OrderLine.order_id == one.id)):
        session.delete(line)
    session.flush()
    session.delete(one)


REQUESTS: tuple[Callable[[Session], None], ...] = (
    add_author, add_book, stock_up, sign_up, sign_up_without_phone, find_customer, order, read_orders, pay_and_ship,
    cancel, review, count_reviews, sell_best, delete_order,
)  # fmt: skip


def main() -> None:
    engine = create_engine(os.environ.get("BOOKSHOP_DATABASE_URL", "sqlite:///bookshop.db"))
    with Session(engine) as session:
        for request in REQUESTS:
            request(session)
            session.flush()
            session.expire_all()
            print("ok", request.__name__)
        session.rollback()


if __name__ == "__main__":
    main()
