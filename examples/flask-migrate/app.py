"""flask run"""

import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

app = Flask(__name__)
HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", f"sqlite:///{HERE}/members.db")
db = SQLAlchemy(app)
Migrate(app, db, render_as_batch=True)


class Member(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str | None]
    city: Mapped[str | None]


@app.get("/")
def members() -> list[str | None]:
    return [member.full_name for member in db.session.scalars(db.select(Member))]


@app.cli.command()
def seed() -> None:
    """Three members, as they are at revision 0001."""
    with db.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO member (id, name) VALUES (1, 'Ana'), (2, 'Bo'), (3, 'Cem')")
