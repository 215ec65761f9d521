"""The command lines that an approval needs, to be pasted into a terminal: how to get one, and how to go on."""

from ci_migrate.model import Approvable, BackfillRun, Purpose, Removal, Restoration, RunRepair

NEWEST = ("head", "heads", "")


def generate_command(plan: Approvable) -> list[str]:
    """What makes a token for this plan; the reason is left to the approver."""
    return ["ci-migrate", "token", "generate", "--target", plan.target, *_flags(plan)]


def request_command(plan: Approvable) -> list[str]:
    """What writes the request that approvers sign: a run that stops writes its own."""
    if plan.purpose in (Purpose.UPGRADE, Purpose.DOWNGRADE, Purpose.STAMP):
        return ["ci-migrate", "approve", "--key", "KEY"]
    return ["ci-migrate", "token", "request", "--target", plan.target, *_flags(plan)]


def _flags(plan: Approvable) -> list[str]:
    """What says which approval is wanted; nothing for a run to where the settings say."""
    if isinstance(plan, Removal):
        if plan.what != "backups":
            return ["--drop-old"]
        return [word for name in plan.names for word in ("--delete-backup", name)]
    if isinstance(plan, RunRepair):
        return ["--repair", plan.run_id, *_way_of(plan)]
    if isinstance(plan, BackfillRun):
        return ["--backfill", plan.name, *(["--again"] if plan.again else [])]
    match plan.purpose:
        case Purpose.RESTORE:
            return ["--restore", _backup_of(plan), *_tables_of(plan)]
        case Purpose.PROTECTION:
            return ["--protection", plan.destination]
        case Purpose.DOWNGRADE:
            return ["--rollback", "--to", plan.destination]
        case Purpose.STAMP:
            return ["--stamp", "--to", plan.destination]
    return [] if plan.destination in NEWEST else ["--to", plan.destination]


def _way_of(plan: RunRepair) -> list[str]:
    if plan.accepts:
        return ["--accept-foreign"]
    return ["--forward"] if plan.forward else []


def _backup_of(plan: Approvable) -> str:
    """Which backup is restored; version 0.1.0 approved plans whose destination it is."""
    return plan.backup_id if isinstance(plan, Restoration) else plan.destination


def _tables_of(plan: Approvable) -> list[str]:
    """Those whose rows alone are restored."""
    tables = plan.tables if isinstance(plan, Restoration) else ()
    return [word for table in tables for word in ("--table", table)]


def go_on_command(plan: Approvable) -> list[str]:
    """What is run again once there is a token."""
    target = ["--target", plan.target]
    if isinstance(plan, Removal):
        if plan.what != "backups":
            return ["ci-migrate", "backup", "restore", "--drop-old", "--yes", *target]
        what = ["delete", *plan.names] if len(plan.names) == 1 else ["prune"]
        return ["ci-migrate", "backup", *what, "--yes", *target]
    if isinstance(plan, RunRepair):
        return ["ci-migrate", "repair", *_way_of(plan), *target]
    if isinstance(plan, BackfillRun):
        return ["ci-migrate", "backfill", "run", plan.name, *(["--again"] if plan.again else []), *target]
    match plan.purpose:
        case Purpose.RESTORE:
            return ["ci-migrate", "backup", "restore", _backup_of(plan), *_tables_of(plan), *target]
        case Purpose.PROTECTION:
            if plan.destination == "unprotect":
                return ["ci-migrate", "unprotect", *target]
            flag = [] if plan.destination.startswith("rules-") else [f"--{plan.destination}"]
            if plan.destination.startswith("move-notes-"):
                flag = ["--move-notes"]
            return ["ci-migrate", "protect", *flag, *target]
        case Purpose.DOWNGRADE:
            return ["ci-migrate", "rollback", "--to", plan.destination, *target]
        case Purpose.STAMP:
            return ["ci-migrate", "stamp", plan.destination, *target, "--reason", "why"]
    to = [] if plan.destination in NEWEST else ["--to", plan.destination]
    return ["ci-migrate", "run", *to, *target]
