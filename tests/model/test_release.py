"""How far back one can go after a migration, as a value."""

import msgspec
import pytest

from ci_migrate.model import LockPolicy, Misfit, MisfitKind, ReleaseFit

GONE = Misfit(kind=MisfitKind.GONE, table="users", column="email", words="column users.email is not there")


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        (ReleaseFit(deployed="v1"), True),
        (ReleaseFit(deployed="v1", misfits=(GONE,)), False),
        (ReleaseFit(deployed="v1", misfits=(msgspec.structs.replace(GONE, certain=False),)), True),
        (ReleaseFit(deployed="v1", unknown="it can't be imported"), False),
    ],
)
def test_it_fits_where_nothing_certain_speaks_against_it(fit: ReleaseFit, expected: bool) -> None:
    assert fit.fits is expected


def test_it_comes_back_from_json_as_it_was() -> None:
    fit = ReleaseFit(
        deployed="v1.4.2",
        misfits=(GONE,),
        fitting=("v1.4.2",),
        floor="v1.4.2",
        floors={"r1": "v1.4.2", "r2": ""},
    )
    assert msgspec.json.decode(msgspec.json.encode(fit), type=ReleaseFit) == fit
    assert msgspec.json.decode(b'{"deployed": "v1"}', type=ReleaseFit) == ReleaseFit(deployed="v1")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind": "odd", "table": "a", "words": "b"}', type=Misfit)


def test_pauses_grow_up_to_half_a_minute() -> None:
    assert [LockPolicy.pause(attempt) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]
