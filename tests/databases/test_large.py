"""Large shapes get through backup, proof, run and restore, within a bounded memory of our own process."""

from contextlib import nullcontext

import pytest

from benchmarks.large import MEMORY, SETTINGS, SHAPES, empty_database, measure

EACH = [(engine, shape) for engine, shapes in SHAPES.items() for shape in shapes]


@pytest.mark.long
@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize(("engine", "shape"), EACH)
def test_F90_a_large_shape(request, tmp_path, engine, shape, scale):
    running = nullcontext()
    if engine != "sqlite":
        running = request.getfixturevalue(f"start_{engine}")(settings=SETTINGS.get(engine, ()))
    with running as server, empty_database(engine, server, shape, tmp_path) as url:
        for cost in measure(engine, shape, scale, tmp_path / "project", url):
            assert cost.code == 0, f"{cost.command}: {cost.printed[-2000:]}"
            assert cost.memory < MEMORY, f"{cost.command} took {cost.memory} MB"
