"""Large shapes get through backup, proof, run and restore, within a bounded memory of our own process."""

import pytest

from benchmarks.large import MEMORY, SHAPES, measure

OVER = {("tables", "run"): 200}
"""Above the aim: a run holds the schema, here of some 30,000 objects, several times over. It grows with the schema, not
with the data."""


@pytest.mark.long
@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_F90_a_large_shape(postgresql_url, postgresql_server, tmp_path, shape, scale):
    costs = measure(shape, scale, tmp_path / "project", postgresql_url.render_as_string(hide_password=False))
    for cost in costs:
        assert cost.code == 0, f"{cost.command}: {cost.printed[-2000:]}"
        limit = OVER.get((shape, cost.command), MEMORY)
        assert cost.memory < limit, f"{cost.command} took {cost.memory} MB"
