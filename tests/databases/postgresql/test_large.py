"""Large shapes get through backup, proof, run and restore, within a bounded memory of our own process."""

import pytest

from benchmarks.large import MEMORY, SHAPES, measure


@pytest.mark.long
@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_F90_a_large_shape(postgresql_url, postgresql_server, tmp_path, shape, scale):
    costs = measure(shape, scale, tmp_path / "project", postgresql_url.render_as_string(hide_password=False))
    for cost in costs:
        assert cost.code == 0, f"{cost.command}: {cost.printed[-2000:]}"
        assert cost.memory < MEMORY, f"{cost.command} took {cost.memory} MB"
