"""Approvals: what an approver says, tokens that confirm, tokens that are signed."""

from ci_migrate.approval.decision import Approver, Decision

__all__ = ["Approver", "Decision"]
