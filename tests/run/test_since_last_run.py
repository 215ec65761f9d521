"""What is not as it was, in words: beside a dry run changes are compared, since texts may differ between two databases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_support import some_evidence

from ci_migrate.model import Evidence, Fingerprint, Schema, SchemaChange
from ci_migrate.run.since_last_run import definitions_of, differs_from_rehearsal, schema_diff

USERS = "table users"
EMAIL = "column users.email"


def evidence_of(before: Schema, after: Schema) -> Evidence:
    """Of a dry run that found the one and left the other."""
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return some_evidence(
        before=Fingerprint.of(before),
        after=Fingerprint.of(after),
        changes=tuple(SchemaChange(name=n, before=before.get(n), after=after.get(n)) for n in names),
    )


def differs(before: Schema, now: Schema, *, copy: tuple[Schema, Schema]) -> list[str]:
    return differs_from_rehearsal(Fingerprint.of(before), now, evidence_of(*copy))


OLD: Schema = {USERS: "heap", EMAIL: "varchar(64)"}
NEW: Schema = {USERS: "heap", EMAIL: "varchar(255)", "index ix": "on users (email)"}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NEW, []),
        (OLD, [f"{EMAIL}: type was varchar(64), is varchar(255) in the dry run, but not here",
               "index ix added in the dry run, but not here"]),
        ({**NEW, "table sneaked": "heap"}, ["table sneaked added, but not in the dry run"]),
        ({n: t for n, t in NEW.items() if n != USERS}, [f"{USERS} removed, but not in the dry run"]),
        ({**NEW, EMAIL: "varchar(9)"}, [f"{EMAIL}: type was varchar(255), is varchar(9), where `was` is the dry run"]),
        ({**NEW, USERS: "columnar"}, [f"{USERS} changed, is columnar, but not in the dry run"]),
    ],
)  # fmt: skip
def test_what_is_not_as_in_the_dry_run_is_named(now, words):
    assert differs(OLD, now, copy=(OLD, NEW)) == words


def test_a_definition_that_reads_otherwise_on_the_copy_is_no_difference():
    """A restored database may write a default or a check in another way: the same change is the same."""
    here_before, here_after = {"check ck": "CHECK (a > 0)"}, {"check ck": "CHECK (a > 1)"}
    there_before, there_after = {"check ck": "CHECK ((a > 0))"}, {"check ck": "CHECK ((a > 1))"}
    assert differs(here_before, here_after, copy=(there_before, there_after)) == []
    assert differs(here_before, here_before, copy=(there_before, there_before)) == []
    stayed = differs(here_before, here_before, copy=(there_before, there_after))
    assert stayed == ["check ck: was CHECK ((a > 0)), is CHECK ((a > 1)) in the dry run, but not here"]


SCHEMAS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three"]), max_size=6)


@given(before=SCHEMAS, after=SCHEMAS)
def test_a_run_that_did_what_was_rehearsed_differs_in_nothing(before, after):
    assert differs(before, after, copy=(before, after)) == []


@given(before=SCHEMAS, after=SCHEMAS, now=SCHEMAS)
def test_each_object_that_is_otherwise_is_named_once(before, after, now):
    """On the very same ground no difference is lost, whatever became of it."""
    told = differs(before, now, copy=(before, after))
    wrong = {name for name in before.keys() | after.keys() | now.keys() if now.get(name) != after.get(name)}
    assert len(told) == len(wrong)
    assert {words[0] for words in told} == wrong


@given(before=SCHEMAS, now=SCHEMAS)
def test_what_a_fingerprint_was_is_told_as_far_as_it_is_known(before, now):
    told = schema_diff(Fingerprint.of(before), now, {})
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    assert [words.split()[0].rstrip(":") for words in told] == names
    known = definitions_of(evidence_of(before, {}))
    for words in schema_diff(Fingerprint.of(before), now, known):
        name = words.split()[0].rstrip(":")
        if name in before and name in now:
            assert before[name] in words, "it was kept by the dry run"
            assert now[name] in words


def test_without_evidence_nothing_is_known_of_what_it_was():
    assert definitions_of(None) == {}
    assert schema_diff(Fingerprint.of({"a": "x" * 500}), {"a": "y" * 500}, {}) == [
        f"a changed, is {'y' * 160}..."
    ]
