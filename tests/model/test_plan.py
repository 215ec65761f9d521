"""Plans: which database, which revisions, and the digest that an approval binds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import (
    Direction,
    Identity,
    Inputs,
    Plan,
    PlannedContext,
    Revision,
    VersionTable,
    canonical_json,
    sha256_hex,
    shortened_key,
)


def identity(dialect: str = "sqlite", **facts: str) -> Identity:
    return Identity(
        dialect=dialect, place="p", facts={n.replace("__", "."): fact for n, fact in facts.items()}
    )


def context(*revisions: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> PlannedContext:
    return PlannedContext(
        version_table=VersionTable(), from_heads=before, to_heads=after, revisions=revisions
    )


NO_INPUTS = Inputs()


def plan(
    *contexts: PlannedContext, direction: Direction = Direction.UPGRADE, inputs: Inputs = NO_INPUTS
) -> Plan:
    return Plan(
        target="dev", identity=identity(file="/srv/app.db"), direction=direction, destination="head",
        contexts=contexts, revisions=(Revision(id="r1", file="r1.py", sha256="0", message="one"),),
        env_sha256="e", script_heads=("r1",), inputs=inputs,
    )  # fmt: skip


# ------------------------------------------------------------------ which database

POSTGRESQL = {"host": "db", "port": "5432", "database": "shop", "oid": "16384"}


@pytest.mark.parametrize(
    ("found", "key", "name_key"),
    [
        (identity(file="/srv/app.db"), "sqlite:/srv/app.db", "sqlite:/srv/app.db"),
        (
            identity("postgresql", **POSTGRESQL, system_identifier="77"),
            "postgresql:77/16384",
            "postgresql:77/shop",
        ),
        # a role that may not read the identifier has the address alone
        (identity("postgresql", **POSTGRESQL), "postgresql:db:5432/16384", "postgresql:db:5432/shop"),
        (
            identity("mysql", server="uuid-1", host="db", port="3306", database="shop"),
            "mysql:uuid-1/shop",
            "mysql:uuid-1/shop",
        ),
        # facts of an engine that a plugin brings: all of them, sorted
        (identity("duck", b="2", a="1"), "duck:a=1,b=2", "duck:a=1,b=2"),
        # of several databases each tells its own, the target's first
        (
            identity(file="/a.db", reports__file="/b.db"),
            "sqlite:/a.db reports=/b.db",
            "sqlite:/a.db reports=/b.db",
        ),
        (
            identity("postgresql", system_identifier="7", oid="1", database="a",
                     z__system_identifier="7", z__oid="2", z__database="b"),
            "postgresql:7/1 z=7/2",
            "postgresql:7/a z=7/b",
        ),
        (identity(), "sqlite:", "sqlite:"),
    ],
)  # fmt: skip
def test_the_key_of_a_database(found, key, name_key):
    assert (found.key, found.name_key) == (key, name_key)


def test_the_same_database_by_another_name_or_address_has_the_same_key():
    by_name = identity("postgresql", host="db", port="5432", oid="1", system_identifier="7", database="a")
    by_address = identity(
        "postgresql", host="10.0.0.1", port="6432", oid="1", system_identifier="7", database="a"
    )
    assert by_name.key == by_address.key


def test_a_restore_by_a_rename_changes_the_key_and_not_the_name_key():
    before, after = (
        identity("postgresql", oid=oid, system_identifier="7", database="a") for oid in ("1", "2")
    )
    assert before.key != after.key
    assert before.name_key == after.name_key


def test_a_file_whose_name_is_no_text_has_a_key_that_can_be_stored():
    found = identity(file="/srv/caf\udce9.db").key
    assert found == "sqlite:/srv/caf\\udce9.db"
    assert found.encode()


@given(st.text(max_size=600))
def test_a_key_fits_into_its_column(text):
    short = shortened_key(text)
    assert len(short) <= 255
    assert (short == text) == (len(text) <= 255)
    assert shortened_key(short) == short


def test_long_names_that_begin_alike_are_told_apart():
    names = [f"/srv/{'x' * 400}/{n}.db" for n in range(3)]
    assert len({identity(file=name).key for name in names}) == 3


# ------------------------------------------------------------------ version tables


@pytest.mark.parametrize(
    ("table", "label"),
    [
        (VersionTable(), "alembic_version"),
        (VersionTable(schema="tenant_a"), "tenant_a.alembic_version"),
        (VersionTable(search_path="tenant_b"), "tenant_b.alembic_version"),
        # what a statement named counts, not what the session would have meant without it
        (VersionTable(schema="tenant_a", search_path="tenant_b"), "tenant_a.alembic_version"),
        (VersionTable(database="stats", schema="s", name="v"), "stats.s.v"),
    ],
)
def test_a_version_table_for_people(table, label):
    assert table.label == label


# ------------------------------------------------------------------ the plan itself


def test_heads_of_several_tables_are_told_once_each_and_sorted():
    found = plan(
        context("r2", before=("b",), after=("c", "d")), context("r2", before=("b", "a"), after=("d",))
    )
    assert (found.from_heads, found.to_heads, found.pending) == (("a", "b"), ("c", "d"), 2)


@pytest.mark.parametrize(
    ("made", "nothing"),
    [
        (plan(), True),
        (plan(context(before=("r1",), after=("r1",))), True),
        (plan(context(before=("r1",), after=("r1",)), context("r1")), False),
        # a stamp runs nothing and changes version rows
        (plan(context(before=("r1",), after=("r2",)), direction=Direction.STAMP), False),
        (plan(context(before=("r1",), after=("r1",)), direction=Direction.STAMP), True),
        (plan(direction=Direction.STAMP), True),
    ],
)
def test_whether_a_plan_changes_something(made, nothing):
    assert made.changes_nothing is nothing


def test_a_revision_by_its_id():
    assert plan().revision("r1").message == "one"
    assert plan().revision("r") is None, "no part of an id"


FIELDS = {
    "target": "live",
    "identity": identity(file="/other.db"),
    "direction": Direction.DOWNGRADE,
    "destination": "r1",
    "contexts": (context("r1"),),
    "revisions": (),
    "env_sha256": "f",
    "script_heads": ("r2",),
    "inputs": Inputs(files={"models.py": "1"}),
}


def test_an_approval_binds_each_field():
    assert FIELDS.keys() == set(Plan.__struct_fields__)
    digests = {msgspec.structs.replace(plan(), **{name: value}).digest for name, value in FIELDS.items()}
    assert len(digests | {plan().digest}) == len(FIELDS) + 1


def test_what_a_person_reads_of_the_database_is_bound_too():
    """The place of an identity is no fact, and yet what an approver saw."""
    seen = msgspec.structs.replace(
        plan(), identity=Identity(dialect="sqlite", place="q", facts={"file": "/srv/app.db"})
    )
    assert seen.digest != plan().digest


def test_a_digest_without_inputs_is_the_one_of_0_1_0():
    """Its ledgers hold approvals of plans that had no such field."""
    text = canonical_json(plan()).replace(b',"inputs":{"files":{},"distributions":{},"settings":{}}', b"")
    assert b"inputs" not in text
    assert sha256_hex(text) == plan().digest
    assert plan().digest == "a793c534233a688888d3e492a28fdefda9231c268d77340545a53bdba3784620"


def test_a_digest_with_inputs_is_the_one_of_the_whole_json():
    found = plan(inputs=Inputs(distributions={"alembic": "1.16"}))
    assert found.digest == sha256_hex(canonical_json(found))


def test_a_plan_is_the_same_after_it_was_kept():
    made = plan(context("r1", after=("r1",)), inputs=Inputs(settings={"x": "a=b"}))
    again = msgspec.json.decode(canonical_json(made), type=Plan)
    assert again == made
    assert again.digest == made.digest
