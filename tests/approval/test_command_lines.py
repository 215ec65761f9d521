"""Each line is parsed by the command line that it is for: a hint that can't be pasted helps nobody."""

import pytest
from ledger_support import a_plan

from ci_migrate.approval.command_lines import generate_command, go_on_command, request_command
from ci_migrate.cli import cli
from ci_migrate.model import Direction, ProtectionChange, Removal, Restoration, RunRepair

PLAN = a_plan()
RULES = f"rules-{'a' * 64}"


OF = {"target": "production", "identity": PLAN.identity}
RESTORATION = Restoration(**OF, backup_id="backup-1", manifest_sha256="0" * 64, place="/backups", heads=())


def removal(*names: str, what: str = "backups") -> Removal:
    return Removal(**OF, what=what, names=names)


def repair(*, forward: bool) -> RunRepair:
    return RunRepair(**OF, run_id="r1", forward=forward, plan_digest="")


def change(destination: str) -> ProtectionChange:
    return ProtectionChange(target="production", identity=PLAN.identity, destination=destination)


@pytest.mark.parametrize(
    ("what", "generates", "goes_on"),
    [
        (PLAN, [], "run"),
        (a_plan(destination="3333"), ["--to", "3333"], "run --to 3333"),
        (
            a_plan(direction=Direction.DOWNGRADE, destination="1111"),
            ["--rollback", "--to", "1111"],
            "rollback --to 1111",
        ),
        (
            a_plan(direction=Direction.STAMP, destination="1111"),
            ["--stamp", "--to", "1111"],
            "stamp 1111",
        ),
        (
            a_plan(direction=Direction.RESTORE, destination="backup-1"),
            ["--restore", "backup-1"],
            "backup restore backup-1",
        ),
        (RESTORATION, ["--restore", "backup-1"], "backup restore backup-1"),
        (removal("b1"), ["--delete-backup", "b1"], "backup delete b1 --yes"),
        (removal("b1", "b2"), ["--delete-backup", "b1", "--delete-backup", "b2"], "backup prune --yes"),
        (removal("x", what="replaced databases"), ["--drop-old"], "backup restore --drop-old --yes"),
        (repair(forward=False), ["--repair", "r1"], "repair"),
        (repair(forward=True), ["--repair", "r1", "--forward"], "repair --forward"),
        (change("unprotect"), ["--protection", "unprotect"], "unprotect"),
        (change("unfreeze"), ["--protection", "unfreeze"], "protect --unfreeze"),
        (change("accept-identity"), ["--protection", "accept-identity"], "protect --accept-identity"),
        (change(RULES), ["--protection", RULES], "protect"),
    ],
)
def test_what_is_typed_for_each_purpose(what, generates, goes_on):
    assert generate_command(what) == ["ci-migrate", "token", "generate", "--target", "production", *generates]
    words = go_on_command(what)
    assert words[0] == "ci-migrate"
    assert words[1:][: len(goes_on.split())] == goes_on.split()
    assert words[words.index("--target") + 1] == "production"
    for line in (words, generate_command(what), request_command(what)):
        command, rest = cli, line[1:]
        while hasattr(command, "get_command") and rest and not rest[0].startswith("-"):
            command, rest = command.get_command(None, rest[0]), rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_a_run_that_stops_writes_its_own_request_and_others_do_not():
    assert request_command(PLAN) == ["ci-migrate", "approve", "--key", "KEY"]
    assert request_command(change("unprotect"))[:3] == ["ci-migrate", "token", "request"]
