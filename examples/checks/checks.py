"""What ci-migrate asks of each migration here, besides its own checks."""

from sqlalchemy import text

from ci_migrate import check


def check_no_cent_is_lost(before, after):
    """`before` is the restored backup, `after` the same once the pending revisions ran on it."""
    then = before.execute(text("SELECT sum(balance) FROM accounts")).scalar()
    now = after.execute(text("SELECT sum(cents) FROM accounts")).scalar()
    assert now == round(then * 100), f"money is lost: {now} cents of {then * 100:.0f}"


def check_everybody_has_an_account(after):
    owners = after.execute(text("SELECT owner FROM accounts ORDER BY owner")).scalars().all()
    assert owners == ["ana", "bo", "cy"]


@check("SHOP001", severity="warning")
def check_messages(plan):
    """In the stage `check`: nothing but the plan is looked at."""
    for revision in plan.revisions:
        assert len(revision.message) < 50, f"{revision.file} wants a shorter message"


@check("SHOP002")
def check_it_is_quick(evidence):
    """With what the dry run measured."""
    assert evidence.migrate_seconds < 60
