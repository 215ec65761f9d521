"""uvicorn app.main:app"""

from fastapi import FastAPI
from sqlalchemy import select

from app.database import session
from app.models import Note

app = FastAPI()


@app.get("/notes")
async def notes() -> list[dict[str, object]]:
    async with session() as asked:
        found = await asked.scalars(select(Note).order_by(Note.pinned.desc(), Note.id))
        return [{"id": note.id, "text": note.text, "pinned": note.pinned} for note in found]
