"""The command lines that an approval needs, to be pasted into a terminal: how to get one, and how to go on."""

from ci_migrate.model import Approvable, Purpose

NEWEST = ("head", "heads", "")


def generate_command(plan: Approvable) -> list[str]:
    """What makes a token for this plan; the reason is left to the approver."""
    command = ["ci-migrate", "token", "generate", "--target", plan.target]
    if plan.purpose == Purpose.RESTORE:
        return [*command, "--restore", plan.destination]
    if plan.purpose == Purpose.PROTECTION:
        return [*command, "--protection", plan.destination]
    if plan.purpose == Purpose.DOWNGRADE:
        return [*command, "--rollback", "--to", plan.destination]
    if plan.purpose == Purpose.STAMP:
        return [*command, "--stamp", "--to", plan.destination]
    return command if plan.destination in NEWEST else [*command, "--to", plan.destination]


def request_command(plan: Approvable) -> list[str]:
    """What writes the request that approvers sign: a run that stops writes its own."""
    if plan.purpose not in (Purpose.RESTORE, Purpose.PROTECTION):
        return ["ci-migrate", "approve", "--key", "KEY"]
    flag = "--restore" if plan.purpose == Purpose.RESTORE else "--protection"
    return ["ci-migrate", "token", "request", "--target", plan.target, flag, plan.destination]


def go_on_command(plan: Approvable) -> list[str]:
    """What is run again once there is a token."""
    target = ["--target", plan.target]
    if plan.purpose == Purpose.RESTORE:
        return ["ci-migrate", "backup", "restore", plan.destination, *target]
    if plan.purpose == Purpose.PROTECTION:
        if plan.destination == "unprotect":
            return ["ci-migrate", "unprotect", *target]
        flag = [] if plan.destination.startswith("rules-") else [f"--{plan.destination}"]
        return ["ci-migrate", "protect", *flag, *target]
    if plan.purpose == Purpose.DOWNGRADE:
        return ["ci-migrate", "rollback", "--to", plan.destination, *target]
    if plan.purpose == Purpose.STAMP:
        return ["ci-migrate", "stamp", plan.destination, *target, "--reason", "why"]
    to = [] if plan.destination in NEWEST else ["--to", plan.destination]
    return ["ci-migrate", "run", *to, *target]
