"""The state of a target in one sentence, and the commands that a person can paste."""

import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import (
    Comparison,
    Diagnosis,
    NextCommand,
    Progress,
    State,
    TargetState,
    as_hint,
    command_lines,
    read_commands,
)
from ci_migrate.model.state import describe_proof

HALF = Diagnosis(found=Progress.HALF, words="2 of 3 statements of r2 are committed.")
UNKNOWN = Diagnosis(found=Progress.UNKNOWN, words="")


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (State(target=TargetState.UNTOUCHED), "The database is untouched."),
        (State(target=TargetState.UNTOUCHED, before="r1"), "The database is untouched, still at r1."),
        (
            State(target=TargetState.AS_BEFORE, before="r1", proof=Comparison(compared=("heads", "schema"))),
            "The database is as it was before, at r1: heads and schema compared and equal.",
        ),
        (
            State(target=TargetState.AS_BEFORE),
            "The database is as it was before: nothing was compared.",
        ),
        (
            State(target=TargetState.MIGRATED, done="migrated", before="r1", after="r2"),
            "The database is migrated: now at r2.",
        ),
        (State(target=TargetState.MIGRATED, done="restored"), "The database is restored."),
        (
            State(target=TargetState.MIGRATED, after="r2"),
            "The database is migrated to r2, but this is not proved: manual intervention required.",
        ),
        (
            State(target=TargetState.MIGRATED),
            "The database is migrated, but this is not proved: manual intervention required.",
        ),
        (
            State(target=TargetState.KEPT_PREFIX, kept="It is at r1."),
            "The database is partly migrated. It is at r1.",
        ),
        (
            State(target=TargetState.KEPT_PREFIX),
            "The database is partly migrated. Manual intervention required.",
        ),
        (
            State(target=TargetState.UNKNOWN),
            "The state of the database is not known: manual intervention required.",
        ),
        (
            State(target=TargetState.UNKNOWN, diagnosis=UNKNOWN),
            "The state of the database is not known: manual intervention required.",
        ),
        (
            State(target=TargetState.UNKNOWN, diagnosis=HALF),
            "The database is left as the migration left it: 2 of 3 statements of r2 are committed.",
        ),
    ],
)
def test_each_state_in_one_sentence(state, sentence):
    assert state.sentence == sentence


@given(
    st.sampled_from(TargetState), st.sampled_from(["", "r1"]), st.sampled_from(["", "r2"]),
    st.sampled_from(["", "migrated"]), st.sampled_from(["", "It is at r1."]),
    st.none() | st.builds(Diagnosis, found=st.sampled_from(Progress), words=st.sampled_from(["", "half", "half."])),
)  # fmt: skip
def test_no_state_is_without_a_sentence_that_ends(target, before, after, done, kept, diagnosis):
    state = State(target=target, before=before, after=after, done=done, kept=kept, diagnosis=diagnosis)
    sentence = state.sentence
    assert sentence.startswith("The ")
    assert sentence.endswith(".")
    assert not any(wrong in sentence for wrong in ("..", "  ", "None", " .", ": .", ":."))
    # never green by accident: what is not told to be done calls for a person, or says that it is not known
    if target in (TargetState.MIGRATED, TargetState.UNKNOWN) and not done and diagnosis is None:
        assert "manual intervention required" in sentence


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (Comparison(), "nothing was compared"),
        (Comparison(compared=("heads",)), "heads compared and equal"),
        (Comparison(compared=("heads", "schema", "rows")), "heads, schema and rows compared and equal"),
        (
            Comparison(compared=("heads",), not_compared=("rows of a: too many", "rows of b: too many")),
            "heads compared and equal; not compared: rows of a: too many; rows of b: too many",
        ),
        (Comparison(exceptions=("a view is new",)), "a view is new"),
        # an exception is no proof of anything else
        (
            Comparison(not_compared=("rows",), exceptions=("a view is new",)),
            "not compared: rows; a view is new",
        ),
    ],
)
def test_a_proof_says_what_was_compared_and_what_was_not(proof, words):
    assert describe_proof(proof) == words


# ------------------------------------------------------------------ what can be pasted

COMMANDS = (
    NextCommand(command="ci-migrate status", why="shows where it is"),
    NextCommand(command="ci-migrate repair"),
)


def test_each_command_has_a_line_of_its_own():
    assert command_lines(COMMANDS) == ("# shows where it is", "ci-migrate status", "ci-migrate repair")
    assert as_hint(*COMMANDS) == "# shows where it is\nci-migrate status\nci-migrate repair"
    assert as_hint() == ""
    assert list(read_commands([])) == []


LINES = st.text("abc -'\"$#", min_size=1).filter(lambda line: not line.startswith("#"))


@given(st.lists(st.builds(NextCommand, command=LINES, why=st.text("abc #'"))))
def test_a_hint_is_read_as_it_was_written(commands):
    assert list(read_commands(command_lines(commands))) == commands


@given(st.lists(st.builds(NextCommand, command=LINES, why=LINES), min_size=1, max_size=3))
def test_what_a_command_does_is_a_comment_for_a_shell(commands):
    """All lines can be pasted at once: quotes in the words begin no string."""
    for line in command_lines(commands):
        if line.startswith("# "):
            assert shlex.split(line, comments=True) == []


# ------------------------------------------------------------------ what version 0.1.0 kept


def test_a_state_that_0_1_0_wrote():
    assert TargetState("as before, proved") is TargetState.AS_BEFORE
    assert msgspec.json.decode(b'"as before, proved"', type=TargetState) is TargetState.AS_BEFORE
    with pytest.raises(ValueError, match="half"):
        TargetState("half")


def test_a_commit_point_has_the_name_that_0_1_0_gave_it():
    text = msgspec.json.encode(Diagnosis(found=Progress.HALF, words="w", commit_point=2))
    assert b'"rung":2' in text
    assert msgspec.json.decode(text, type=Diagnosis).commit_point == 2
