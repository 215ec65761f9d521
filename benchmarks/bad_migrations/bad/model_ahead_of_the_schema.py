"""A data migration reads by the models of today, which have a column of tomorrow."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/freedomofpress/securedrop-client/issues/1500",
    schema="CREATE TABLE messages (id integer PRIMARY KEY, size integer);",
    rows="INSERT INTO messages VALUES (1, 10);",
    upgrade="""
        from sqlalchemy.orm import Session, declarative_base

        class Message(declarative_base()):
            __tablename__ = "messages"
            id = sa.Column(sa.Integer, primary_key=True)
            size = sa.Column(sa.Integer)
            test = sa.Column(sa.Boolean)

        for message in Session(op.get_bind()).query(Message):
            message.size += 1
    """,
    expected="no such column: messages.test",
)
