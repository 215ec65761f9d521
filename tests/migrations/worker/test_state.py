"""What the child knows of connections: the driver's own below each layer, and whether a transaction is open."""

import sqlite3
import time
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from ci_migrate.migrations.worker.state import (
    Session,
    State,
    driver_connection,
    in_transaction,
    raw_connection,
)


@pytest.fixture
def state() -> State:
    made = State.__new__(State)
    made.sessions, made.context, made.revision, made.stamped, made.measuring = {}, 7, "r7", False, 0.0
    return made


def test_below_the_pool_of_sqlalchemy_is_the_drivers_connection():
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        for layer in (connection.connection, raw, SimpleNamespace(connection=raw)):
            assert raw_connection(layer) is raw
        assert driver_connection(raw) is raw
    engine.dispose()


def test_below_an_adapted_connection_is_that_of_the_async_driver():
    inner = object()
    assert driver_connection(SimpleNamespace(driver_connection=inner)) is inner
    assert driver_connection(SimpleNamespace(_connection=inner)) is inner


def test_whether_a_transaction_is_open_is_asked_of_the_driver():
    with sqlite3.connect(":memory:") as connection:
        assert in_transaction(connection) is False
        connection.execute("begin")
        assert in_transaction(connection) is True
    connection.close()
    assert in_transaction(SimpleNamespace(is_in_transaction=lambda: 1)) is True
    assert in_transaction(SimpleNamespace()) is None, "nobody knows"


def test_a_session_is_found_by_each_of_its_layers(state):
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        session = state.sessions[id(raw)] = Session("", raw, autocommit=False, sql=None, others="")
        assert state.session_of(connection.connection) is session
        assert state.session_of(raw) is session
        assert state.session_of(object()) is None
    engine.dispose()


def test_a_session_that_env_py_migrates_by_has_its_own_place(state):
    """Several are committed one by one, after all of them have run: the last revision of one is not that of another."""
    session = Session("", object(), autocommit=False, sql=None, others="")
    assert state.place_of(session) == (7, "r7", False)
    session.contexts += [2, 3]
    session.revision, session.stamped = "r3", True
    assert state.place_of(session) == (3, "r3", True)


def test_the_clock_stands_still_while_something_is_measured(state):
    before = state.clock()
    state.measuring += 100.0
    assert state.clock() < before - 99
    assert abs(state.clock() + 100.0 - time.monotonic()) < 5
