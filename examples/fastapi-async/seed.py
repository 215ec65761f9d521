"""Users and notes at revision 0001; two people share an address, but for its capitals."""

import asyncio

from app.database import engine
from sqlalchemy import text

USERS = [
    {"id": 1, "email": "ana@example.com"},
    {"id": 2, "email": "bo@example.com"},
    {"id": 3, "email": "Ana@example.com"},
]


async def seed() -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO users (id, email) VALUES (:id, :email)"), USERS)
        await connection.execute(
            text("INSERT INTO notes (id, user_id, text) VALUES (1, 1, 'milk'), (2, 2, 'bread')")
        )
    await engine.dispose()


asyncio.run(seed())
