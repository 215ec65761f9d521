from ledger_support import a_plan

from ci_migrate.approval.plan_diff import plan_diff
from ci_migrate.model import Revision


def test_a_plan_does_not_differ_from_itself():
    assert plan_diff(a_plan(), a_plan()) == []


def test_revisions_that_come_go_and_change_are_named():
    def revision(name: str, sha: str = "a") -> Revision:
        return Revision(id=name, file=f"versions/{name}.py", sha256=sha, message="")

    approved = a_plan(revisions=(revision("aa"), revision("bb")))
    now = a_plan(revisions=(revision("bb", "changed"), revision("cc")))
    assert plan_diff(approved, now) == [
        "revision cc came in",
        "revision aa is gone",
        "revision file versions/bb.py was changed",
    ]
