"""What must outlive a CI runner: identity, runs, journal, approvals, audit trail; beside the target."""
