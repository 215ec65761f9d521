"""Approvals: what an approver says, tokens that confirm, tokens that are signed."""
