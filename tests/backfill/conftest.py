"""A database of each engine, by each driver, sync and async."""

import pytest
from backfill_shop import DRIVERS, ENGINES, Shop, url_of


@pytest.fixture(params=ENGINES)
def shop(request, tmp_path):
    """Each engine once."""
    return Shop(url_of(request, tmp_path, request.param))


@pytest.fixture(params=ENGINES | DRIVERS)
def driven(request, tmp_path):
    """Each engine by each driver."""
    return Shop(url_of(request, tmp_path, request.param))
