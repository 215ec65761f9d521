"""Data migrations: loops over rows, rehearsed on the backup's rows and held against them on the target."""

import pytest
from env_zoo import PLAIN, SYNC, new_zoo

LOOPS = {
    "literals": """
    for row in op.get_bind().execute(sa.text("select id, name from users order by id")).fetchall():
        op.execute(f"update users set name = '{row.name.upper()}' where id = {row.id}")
    """,
    "bound": """
    users = sa.table("users", sa.column("id", sa.Integer), sa.column("name", sa.Text))
    for row in op.get_bind().execute(sa.select(users)).fetchall():
        op.get_bind().execute(users.update().where(users.c.id == row.id).values(name=row.name.upper()))
    """,
    "orm": """
    from sqlalchemy.orm import DeclarativeBase, Session
    class Base(DeclarativeBase): pass
    class User(Base):
        __tablename__ = "users"
        id = sa.Column(sa.Integer, primary_key=True)
        name = sa.Column(sa.Text)
    session = Session(op.get_bind())
    for user in session.scalars(sa.select(User).order_by(User.id)):
        user.name = user.name.upper()
    session.flush()
    """,
    "one insert with all rows": """
    users = sa.table("users", sa.column("id", sa.Integer), sa.column("name", sa.Text))
    names = [row.name for row in op.get_bind().execute(sa.select(users))]
    copies = sa.table("copies", sa.column("name", sa.Text))
    op.get_bind().execute(sa.insert(copies).values([{"name": name} for name in names]))
    op.get_bind().execute(users.update().where(users.c.name.in_(names)).values(name=sa.func.upper(users.c.name)))
    """,
}


def with_rows(zoo, count):
    zoo.query("delete from users")
    values = ", ".join(f"({n}, 'name {n}')" for n in range(count))
    zoo.query(f"insert into users values {values}")


@pytest.fixture
def zoo(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN, history=False)
    zoo.revision(
        "r1",
        None,
        "create table users (id integer primary key, name text); create table copies (id integer, name text)",
    )
    zoo.gate("run")
    return zoo


@pytest.mark.parametrize("way", LOOPS)
def test_a_loop_over_rows_is_one_statement(zoo, way):
    with_rows(zoo, 3000 if way != "one insert with all rows" else 300)
    zoo.revision("r2", "r1", LOOPS[way])
    done = zoo.gate("run", "--allow", "CM501=meant")
    statements = [s for s in done.stage("dry-run")["evidence"]["statements"] if s["revision"] == "r2"]
    updates = [s for s in statements if s["sql"].lower().startswith("update users")]
    assert len(updates) == 1
    if way in ("literals", "bound"):
        assert updates[0]["repeats"] == 3000
        assert updates[0]["rows"] == 3000
    assert len(statements) <= 4
    assert all(name.startswith("NAME") for _, name in zoo.rows("users"))


GROW = """
import os
if os.environ["CI_MIGRATE_STAGE"] == "migrate":
    {instead}
"""
"""Somebody else writes between the backup and the migration: a raw cursor plays that part."""


@pytest.mark.parametrize("count", [2, 500])
@pytest.mark.parametrize("way", LOOPS)
def test_more_or_fewer_rows_than_rehearsed_follow(zoo, way, count):
    with_rows(zoo, 20)
    change = f"delete from users where id >= {count}" if count < 20 else (
        "insert into users select n + 20, 'more' from (with recursive c(n) as "
        f"(select 0 union all select n + 1 from c where n < {count - 1}) select n from c) x"
    )  # fmt: skip
    body = GROW.format(instead=f'op.get_bind().connection.cursor().execute("{change}")')
    zoo.revision("r2", "r1", body + LOOPS[way].replace("\n    ", "\n"))
    zoo.gate("run")
    assert zoo.versions() == ["r2"]
    rows = zoo.rows("users")
    assert len(rows) == (count if count < 20 else count + 20)
    assert all(name == name.upper() for _, name in rows)


def test_another_statement_than_rehearsed_is_not_sent(zoo):
    with_rows(zoo, 20)
    zoo.revision(
        "r2",
        "r1",
        """
        import os
        op.execute("update users set name = upper(name)")
        op.execute("drop table users" if os.environ["CI_MIGRATE_STAGE"] == "migrate" else "update users set id = id")
        """,
    )
    before = zoo.rows("users")
    done = zoo.gate("run", code=6)
    assert "drop table users" in done.stage("migrate")["message"]
    assert "did not" in done.stage("migrate")["message"]
    assert zoo.rows("users") == before
    assert zoo.versions() == ["r1"]
