"""The commands that an approval needs, as they are pasted into a terminal: how to ask for one, and how to go on."""

from ci_migrate.model import Direction, Plan

NEWEST = ("head", "heads", "")


def generate_command(plan: Plan) -> list[str]:
    """What makes a token for this plan; the reason is left to the approver."""
    command = ["ci-migrate", "token", "generate", "--target", plan.target]
    if plan.direction is Direction.RESTORE:
        return [*command, "--restore", plan.destination]
    if plan.direction is Direction.PROTECTION:
        return [*command, "--protection", plan.destination]
    if plan.direction is Direction.DOWNGRADE:
        return [*command, "--rollback", "--to", plan.destination]
    if plan.direction is Direction.STAMP:
        return [*command, "--stamp", "--to", plan.destination]
    return command if plan.destination in NEWEST else [*command, "--to", plan.destination]


def request_command(plan: Plan) -> list[str]:
    """What writes the request that approvers sign: a run that stops writes its own."""
    if plan.direction not in (Direction.RESTORE, Direction.PROTECTION):
        return ["ci-migrate", "approve", "--key", "KEY"]
    flag = "--restore" if plan.direction is Direction.RESTORE else "--protection"
    return ["ci-migrate", "token", "request", "--target", plan.target, flag, plan.destination]


def go_on_command(plan: Plan) -> list[str]:
    """What is run again once there is a token."""
    target = ["--target", plan.target]
    if plan.direction is Direction.RESTORE:
        return ["ci-migrate", "backup", "restore", plan.destination, *target]
    if plan.direction is Direction.PROTECTION:
        if plan.destination == "unprotect":
            return ["ci-migrate", "unprotect", *target]
        flag = [] if plan.destination.startswith("rules-") else [f"--{plan.destination}"]
        return ["ci-migrate", "protect", *flag, *target]
    if plan.direction is Direction.DOWNGRADE:
        return ["ci-migrate", "rollback", "--to", plan.destination, *target]
    if plan.direction is Direction.STAMP:
        return ["ci-migrate", "stamp", plan.destination, *target, "--reason", "why"]
    to = [] if plan.destination in NEWEST else ["--to", plan.destination]
    return ["ci-migrate", "run", *to, *target]
