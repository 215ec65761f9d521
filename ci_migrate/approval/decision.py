"""What approvers are asked, and what they say. Plugins write approvers too."""

from typing import Protocol

from ci_migrate.model import Approval, Frozen, Plan


class Decision(Frozen, frozen=True, kw_only=True):
    """What an approver says to a plan. `granted`: None is no opinion; one False outweighs every True."""

    granted: bool | None
    by: str = ""
    reason: str = ""
    approval: Approval | None = None


class Approver(Protocol):
    """What the hook `ci_migrate_approvals` returns."""

    def decide(self, plan: Plan) -> Decision:
        """Say yes, no or nothing. Raises NotApprovedError for a token that does not fit."""
