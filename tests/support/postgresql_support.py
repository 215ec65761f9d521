"""What tests of PostgreSQL do on its server beside the gate: sessions of their own, by psycopg."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL

ROLES = """DO $$ BEGIN
  CREATE ROLE rich_owner; CREATE ROLE rich_reader;
EXCEPTION WHEN duplicate_object THEN NULL; END $$"""
"""The roles that rich_postgresql.sql names."""


def plain(url: URL) -> str:
    """As psycopg and the tools of PostgreSQL take it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def session(url: URL, **arguments: Any) -> Iterator[psycopg.Connection]:
    with psycopg.connect(plain(url), autocommit=True, **arguments) as connection:
        yield connection


def execute(url: URL, *statements: str, **arguments: Any) -> None:
    """Each text by itself: some can't be in a transaction with others."""
    with session(url, **arguments) as connection:
        for statement in statements:
            connection.execute(statement)


def one(url: URL, query: str, *values: object) -> Any:
    """The first value of the first row; None where there is no row."""
    with session(url) as connection:
        row = connection.execute(query, values or None).fetchone()
        return row and row[0]
