"""What the bookshop does with its tables."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bookshop.models import Book, Customer, Order, OrderLine, OrderStatus


class OutOfStockError(Exception):
    """There are fewer copies of a book than were ordered."""


def place_order(session: Session, customer: Customer, wanted: Mapping[int, int]) -> Order:
    """Order books (copies by the book's id), take them from stock and return the order."""
    order = Order(
        customer=customer, placed_at=datetime.now(UTC).replace(tzinfo=None), status=OrderStatus.PLACED
    )
    for book_id, quantity in wanted.items():
        book = session.get_one(Book, book_id)
        if book.stock < quantity:
            raise OutOfStockError(f"{book.title}: {book.stock} left, {quantity} wanted")
        book.stock -= quantity
        order.lines.append(OrderLine(book=book, quantity=quantity, price_cents=book.price_cents))
    session.add(order)
    session.flush()
    return order


def best_sellers(session: Session, limit: int = 10) -> list[tuple[str, int]]:
    """Titles with the copies sold, most first; cancelled orders do not count."""
    sold = func.sum(OrderLine.quantity)
    query = (
        select(Book.title, sold)
        .join(OrderLine, OrderLine.book_id == Book.id)
        .join(Order)
        .where(Order.status != OrderStatus.CANCELLED)
        .group_by(Book.id, Book.title)
        .order_by(sold.desc(), Book.id)
        .limit(limit)
    )
    return [(title, int(copies)) for title, copies in session.execute(query)]
