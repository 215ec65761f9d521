"""The engine: aiosqlite on a desk; asyncpg or psycopg (both are async) where NOTES_DATABASE_URL says so."""

import os

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ.get("NOTES_DATABASE_URL", "sqlite+aiosqlite:///notes.db")
engine = create_async_engine(URL)
session = async_sessionmaker(engine, expire_on_commit=False)
