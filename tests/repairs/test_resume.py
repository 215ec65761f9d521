"""What was sent of a revision that is half committed: the journal counts, not the dry run."""

from datetime import UTC, datetime

import pytest

from ci_migrate.model import JournalEntry
from ci_migrate.repairs.resume import _digests


def entries(words: str) -> list[JournalEntry]:
    """`r1:a` is a statement of a revision, `.` a commit, `r1=2` a resumption with so many statements left out."""
    found, position = [], 0
    for word in words.split():
        kind, revision, digest = "statement", None, ""
        if word == ".":
            kind = "committed"
        elif "=" in word:
            kind, (revision, count) = "resumed", word.split("=")
            position = int(count)
        else:
            revision, digest = word.split(":")
            position += 1
        found.append(
            JournalEntry(
                kind=kind,
                position=position,
                context=0,
                revision=revision,
                digest=digest,
                at=datetime.now(UTC),
            )
        )
        if kind == "resumed":
            position = 0
    return found


@pytest.mark.parametrize(
    ("journal", "commit_point", "sent"),
    [
        ("r1:a . r2:b r2:b r2:c . r2:d", 2, ["b", "b", "c"]),  # a loop took a round more than rehearsed
        ("r1:a . r2:b r2:c r2:d", 2, ["b", "c", "d"]),  # the news of the commit was lost
        ("r1:a . r2:b r2:c . r2:d . r2:e", 3, ["b", "c", "d"]),
        ("r1:a . r2:b . r2=1 r2:c . r2:d", 3, ["b", "c"]),  # went on once already
    ],
)
def test_what_was_sent_up_to_the_commit(journal, commit_point, sent) -> None:
    assert _digests(entries(journal), (0, "r2"), commit_point) == sent
