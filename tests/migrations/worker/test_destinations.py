"""What arguments of a connect mean. `tests/migrations/test_wall.py` shows the wall as a whole."""

import pytest

from ci_migrate.migrations.worker import destinations


@pytest.mark.parametrize(
    ("dsn", "parts"),
    [
        ("host=h port=1 dbname=d", {"host": "h", "port": "1", "dbname": "d"}),
        (r"host = 'a b' password='it\'s \\'", {"host": "a b", "password": "it's \\"}),
        ("postgres://u:p%40@h:5/d?sslmode=require", {"host": "h", "port": "5", "dbname": "d", "user": "u", "password": "p@", "sslmode": "require"}),
        ("postgresql://u@h1:1,h2/d", {"host": "h1,h2", "port": "1,", "dbname": "d", "user": "u"}),
        ("postgresql://%2Frun%2Fpg/d", {"host": "/run/pg", "dbname": "d"}),
        ("postgresql://[::1]:5/d", {"host": "::1", "port": "5", "dbname": "d"}),
        ("postgresql:///d?host=h&port=5", {"host": "h", "port": "5", "dbname": "d"}),
        ("", {}),
    ],
)  # fmt: skip
def test_connection_strings(dsn, parts):
    assert destinations.parse_dsn(dsn) == parts
