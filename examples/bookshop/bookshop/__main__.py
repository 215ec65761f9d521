"""`python -m bookshop`: print the best sellers."""

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bookshop.shop import best_sellers


def main() -> None:
    url = os.environ.get("BOOKSHOP_DATABASE_URL", "sqlite:///bookshop.db")
    with Session(create_engine(url)) as session:
        for title, copies in best_sellers(session):
            print(f"{copies:6}  {title}")


if __name__ == "__main__":
    main()
