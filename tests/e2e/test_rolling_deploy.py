"""The bookshop's release runs its own requests on the migrated copy: they work where CM701 to CM703 find nothing, and
fail where they do. Both are asked in one dry run."""

import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from alembic_project import AlembicProject
from postgresql_server import PostgreSQLServer
from sqlalchemy import create_engine

BOOKSHOP = Path(__file__).resolve().parents[2] / "examples" / "bookshop"
AUTHOR = (
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@x",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "tag.gpgsign=false",
)

REVISION = '''
import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def statuses(*values):
    """The enum has other values from now on."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE orders ALTER status DROP DEFAULT")
        op.execute("ALTER TYPE order_status RENAME TO order_status_old")
        sa.Enum(*values, name="order_status").create(op.get_bind())
        op.execute("ALTER TABLE orders ALTER status TYPE order_status USING status::text::order_status")
        op.execute("ALTER TABLE orders ALTER status SET DEFAULT 'placed'")
        op.execute("DROP TYPE order_status_old")
        return
    with op.batch_alter_table("orders") as batch:
        batch.drop_constraint("order_status", type_="check")
        batch.create_check_constraint("order_status", sa.column("status").in_(values))


def upgrade():
{body}


def downgrade():
    pass
'''


@dataclass(frozen=True)
class Migration:
    """One change, and the code that refuses it: "" for none. On SQLite `lax` ones break nothing."""

    name: str
    code: str
    body: str
    lax: bool = False


def batch(table: str, change: str) -> str:
    return f'with op.batch_alter_table("{table}") as batch:\n    batch.{change}'


MIGRATIONS = [
    Migration("column_dropped", "CM701", batch("customers", 'drop_column("phone")')),
    Migration("column_renamed", "CM701", batch("customers", 'alter_column("email", new_column_name="address")')),
    Migration("table_renamed", "CM701", 'op.rename_table("reviews", "ratings")'),
    Migration(
        "required_column", "CM702",
        'op.add_column("customers", sa.Column("country", sa.String(2), nullable=False, server_default="de"))\n'
        + batch("customers", 'alter_column("country", existing_type=sa.String(2), server_default=None)'),
    ),
    Migration(
        "became_required", "CM702",
        'op.execute("UPDATE books SET published_on = \'2000-01-01\' WHERE published_on IS NULL")\n'
        + batch("books", 'alter_column("published_on", existing_type=sa.Date(), nullable=False)'),
    ),
    Migration(
        "default_dropped", "CM702",
        batch("customers", 'alter_column("phone", existing_type=sa.String(40), server_default=None)'),
    ),
    Migration("enum_value_gone", "CM703", 'statuses("placed", "paid", "shipped")'),
    Migration(
        "text_to_number", "CM703",
        batch("books", 'alter_column("isbn", type_=sa.BigInteger(), postgresql_using="isbn::bigint")'),
    ),
    Migration(
        "text_shortened", "CM703",
        batch("books", 'alter_column("title", existing_type=sa.String(200), type_=sa.String(50))'), lax=True,
    ),
    Migration(
        "time_zones", "CM703",
        batch("orders", 'alter_column("placed_at", existing_type=sa.DateTime(), type_=sa.DateTime(timezone=True))'),
        lax=True,
    ),
    Migration("new_column", "", 'op.add_column("customers", sa.Column("country", sa.String(2)))'),
    Migration(
        "new_column_with_default", "",
        'op.add_column("books", sa.Column("pages", sa.Integer, nullable=False, server_default="0"))',
    ),
    Migration(
        "new_table", "",
        'op.create_table("carts", sa.Column("id", sa.Integer, primary_key=True),\n'
        '    sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id")))',
    ),
    Migration("index", "", 'op.create_index("ix_customers_email", "customers", ["email"])'),
    Migration("longer_text", "", batch("books", 'alter_column("title", existing_type=sa.String(200), type_=sa.Text())')),
    Migration(
        "wider_number", "", batch("books", 'alter_column("stock", existing_type=sa.Integer(), type_=sa.BigInteger())')
    ),
    Migration("enum_value_added", "", 'statuses("placed", "paid", "shipped", "cancelled", "returned")'),
    Migration("check", "", batch("books", 'create_check_constraint("ck_price", sa.column("price_cents") >= 0)')),
]  # fmt: skip

QUICK = {("column_renamed", "sqlite"), ("new_column_with_default", "sqlite")}


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AlembicProject:
    """The bookshop at 0008 with some rows; tagged v1.0.0, and its files once more in ../old. Its models are none now."""
    folder = tmp_path_factory.mktemp("rolling") / "shop"
    shutil.copytree(
        BOOKSHOP, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "backups", ".ci-migrate")
    )
    shutil.copytree(folder, folder.parent / "old")
    (folder / ".gitignore").write_text("*.db\n.ci-migrate\n__pycache__\n")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "1"), ("tag", "v1.0.0")):
        subprocess.run(["git", *AUTHOR, *arguments], cwd=folder, check=True)
    (folder / "bookshop" / "models.py").write_text(
        "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase):\n    pass\n"
    )
    url = f"sqlite:///{folder}/shop.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        url = new_database(server)
    (folder / "pyproject.toml").write_text(SETTINGS.format(old=folder.parent / "old", python=sys.executable))
    made = AlembicProject(
        folder, {"BOOKSHOP_DATABASE_URL": url, "XDG_CACHE_HOME": str(folder.parent / "cache")}
    )
    environ = made.environment()
    alembic = [sys.executable, "-m", "alembic", "upgrade", "0008"]
    subprocess.run(alembic, cwd=folder.parent / "old", env=environ, check=True, capture_output=True)
    rows = textwrap.dedent("""
        import os
        import sqlalchemy as sa
        with sa.create_engine(os.environ["BOOKSHOP_DATABASE_URL"]).begin() as connection:
            for statement in (
                "INSERT INTO authors (name) VALUES ('a')",
                "INSERT INTO books (author_id, title, isbn, price_cents, stock) VALUES (1, 'b', '9781', 100, 3)",
                "INSERT INTO customers (first_name, last_name, email) VALUES ('c', 'd', 'e')",
                "INSERT INTO orders (customer_id, placed_at) VALUES (1, '2026-01-01 00:00:00')",
                "INSERT INTO order_lines (order_id, book_id, quantity, price_cents) VALUES (1, 1, 1, 100)",
                "INSERT INTO reviews (book_id, customer_id, stars) VALUES (1, 1, 5)",
            ):
                connection.execute(sa.text(statement))
    """)
    subprocess.run([sys.executable, "-c", rows], env=environ, check=True)
    return made


SETTINGS = """
[tool.ci-migrate]
deployed = "v1.0.0"
previous-release = ["env", "-C", "{old}", "{python}", "-m", "bookshop.requests"]
previous-release-variable = "BOOKSHOP_DATABASE_URL"

[tool.ci-migrate.targets.dev]
url = "env:BOOKSHOP_DATABASE_URL"
"""


def new_database(server: PostgreSQLServer) -> str:
    name = f"rolling_{uuid4().hex[:8]}"
    engine = create_engine(
        server.admin_url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.url(name).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def each():
    for engine in ("sqlite", "postgresql"):
        for one in MIGRATIONS:
            marks = () if (one.name, engine) in QUICK else pytest.mark.long
            yield pytest.param(engine, one, id=f"{one.name}-{engine}", marks=marks)


@pytest.mark.parametrize(("shop", "migration"), list(each()), indirect=["shop"])
def test_the_comparison_says_what_the_requests_of_the_old_release_meet(
    shop: AlembicProject, migration: Migration
) -> None:
    text = REVISION.replace("{body}", textwrap.indent(migration.body, "    "))
    (shop.folder / "migrations" / "versions" / "0009.py").write_text(text)
    report = shop.gate("dry-run")
    found = {f.code for f in report.findings if f.severity == "error"} & {"CM701", "CM702", "CM703", "CM705"}
    requests = [f.message for f in report.findings if f.code == "CM605"]
    lax = migration.lax and "sqlite" in shop.environ["BOOKSHOP_DATABASE_URL"]
    expected = migration.code if not lax else ""
    # a column that is NOT NULL and renamed is one that is required, too
    assert bool(found) is bool(expected), report
    assert {expected} - {""} <= found, report
    assert bool(requests) is bool(expected), (requests, report.result("dry-run"))
    assert report.evidence is not None
    assert report.evidence.release is not None
    assert report.evidence.release.floor == ("" if expected else "v1.0.0")
    if migration.name == "check":
        assert "CM704" in {f.code for f in report.findings}


def test_there_are_enough_of_both() -> None:
    assert sum(bool(one.code) for one in MIGRATIONS) >= 8
    assert sum(not one.code for one in MIGRATIONS) >= 8
