"""Which database a run belongs to: by its key, by its name, else the ledger's own; and whose keys are whose."""

from concurrent.futures import ThreadPoolExecutor

from ledger_support import a_run, ledger, on_sqlite, tamper, url

from ci_migrate.ledger import databases
from ci_migrate.model import Identity

__all__ = ["ledger", "tamper", "url"]


def a_database(oid: str, name: str = "shop", server: str = "s1") -> Identity:
    facts = {"system_identifier": server, "database": name, "oid": oid}
    return Identity(dialect="postgresql", place=f"db:5432/{name}", facts=facts)


FIRST, RENAMED, OTHER = a_database("1"), a_database("2"), a_database("3", name="billing")


def test_a_database_is_known_by_its_key_then_by_its_name(ledger):
    own = ledger.uuid
    assert ledger.database_id(None) == ledger.database_id(FIRST) == own, (
        "of a new ledger everybody is its own"
    )
    ledger.pin_identity(FIRST)
    assert ledger.database_id(RENAMED) == own, "restored by a rename, and killed before that was written down"
    assert ledger.database_id(OTHER) == own, (
        "who reads must see what was left unfinished; who writes is refused"
    )


def test_what_is_known_of_a_key_alone_is_its_own(ledger):
    ledger.pin_identity(FIRST)
    ledger.note_key(a_database("1", server="replica"))
    assert ledger.known_keys(None) == {FIRST.key, a_database("1", server="replica").key}
    assert ledger.known_keys(FIRST) == ledger.known_keys(None)
    assert ledger.known_keys(RENAMED) == {RENAMED.key}, "a name alone could be another database's"


def test_a_key_stays_whose_it_is(ledger):
    ledger.pin_identity(FIRST)
    ledger.pin_identity(RENAMED, replace=True)
    ledger.note_key(FIRST)
    assert ledger.known_keys(None) == {FIRST.key, RENAMED.key}
    assert ledger.database_id(FIRST) == ledger.uuid


def test_of_many_that_come_first_one_pins_and_none_fails(ledger):
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda n: ledger.pin_identity(a_database(str(n))), range(5)))
    (pinned,) = [r for r in ledger.audit_records() if r.kind == "identity pinned"]
    oid = pinned.facts["identity"]["facts"]["oid"]
    assert ledger.known_keys(None) == {a_database(oid).key}
    assert ledger.identity_differences(a_database(oid)) == []
    assert len(ledger.identity_differences(a_database("9"))) == 1


def test_of_many_that_note_one_key_at_once_none_fails(ledger):
    """Two jobs that read the same replica for the first time."""
    ledger.pin_identity(FIRST)
    replica = a_database("1", server="replica")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ledger.note_key(replica), range(24)))
    assert ledger.known_keys(None) == {FIRST.key, replica.key}


def test_runs_are_of_the_database_that_the_server_said_it_was(ledger):
    ledger.pin_identity(FIRST)
    ledger.begin_run(a_run("run-1"), FIRST)
    ledger.begin_run(a_run("run-2", target="another name"), RENAMED)
    ledger.begin_run(a_run("run-3"))
    assert [run.run_id for run in ledger.history(ledger.database_id(FIRST))] == ["run-3", "run-2", "run-1"]
    assert ledger.history("nobody's") == ()


def test_names_with_odd_letters_and_any_length_are_kept_apart(ledger):
    ledger.pin_identity(FIRST)
    for name in ("größe", "a" * 300, "a" * 299 + "b", "it's", "x y"):
        odd = a_database("7", name=name)
        ledger.pin_identity(odd, replace=True)
        assert ledger.identity_differences(odd) == []
        assert ledger.database_id(odd) == ledger.uuid
    long, other = (
        Identity(dialect="sqlite", place="", facts={"file": "/" + "a" * 400 + end}) for end in "bc"
    )
    assert long.key != other.key
    assert max(len(long.key), len(long.name_key)) <= 255


@on_sqlite
def test_a_name_that_was_another_databases_before_leads_to_the_newest(ledger):
    """`shop` was dropped and made again on another database: what is asked of the name is of the last one."""
    ledger.pin_identity(FIRST)
    with ledger.writing() as connection:
        for oid, owner in (("2", "old"), ("3", "new")):
            databases.note_key(connection, a_database(oid, name="reused"), owner)
        assert databases.find_id(connection, a_database("9", name="reused")) == "new"
        assert databases.find_id(connection, a_database("2", name="reused")) == "old", "its key comes first"


@on_sqlite
def test_a_key_is_noted_once_with_the_time_of_the_first(ledger, tamper):
    ledger.pin_identity(FIRST)
    ledger.note_key(RENAMED)
    before = tamper("SELECT identity_key, database_id, since FROM ci_migrate_databases ORDER BY sequence")
    for found in (RENAMED, FIRST):
        ledger.note_key(found)
    assert (
        tamper("SELECT identity_key, database_id, since FROM ci_migrate_databases ORDER BY sequence")
        == before
    )
    assert [row[0] for row in before] == [FIRST.key, RENAMED.key]


@on_sqlite
def test_pinning_what_is_pinned_writes_nothing(ledger):
    ledger.pin_identity(FIRST)
    ledger.pin_identity(FIRST)
    assert [r.kind for r in ledger.audit_records()] == ["identity pinned"]
    assert ledger.audit_records()[0].facts["identity"]["facts"] == FIRST.facts


@on_sqlite
def test_what_was_read_of_a_database_says_whose_runs_are_its_own(ledger):
    """A run that began before anything was pinned is of the ledger's own database."""
    ledger.begin_run(a_run("before"))
    ledger.pin_identity(FIRST)
    ledger.begin_run(a_run("after"), OTHER)
    assert [run.run_id for run in ledger.history(ledger.uuid)] == ["after", "before"]
    with ledger.writing() as connection:
        databases.note_key(connection, OTHER, "its own")
    ledger.begin_run(a_run("later"), OTHER)
    assert [run.run_id for run in ledger.history("its own")] == ["later"]
    assert ledger.known_keys(OTHER) == {OTHER.key}
    assert ledger.known_keys(None) == {FIRST.key}
