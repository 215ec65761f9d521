"""One approval for many databases of a fleet: the request for it, and the token of each that it lists."""

from pathlib import Path

import msgspec

from ci_migrate.approval.many_request import ManyRequest, collect, read_many, tokens_for
from ci_migrate.approval.request import ApprovalRequest, read_request
from ci_migrate.errors import UsageError
from ci_migrate.fleet.runs import read_run
from ci_migrate.fleet.worker import request_file
from ci_migrate.ledger.fleets import FleetStatus
from ci_migrate.settings.fleet import split
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.settings.urls import redact

FILE_NAME = "fleet-approval-request.json"


def ask_for_many(settings: Settings, fleet_run: str | None) -> ManyRequest:
    """One request for those databases of a run that wait for an approval of the same.

    Raises:
        UsageError: there is no such run, or none of its databases waits for one.
    """
    report = read_run(settings, fleet_run)
    requests: dict[str, ApprovalRequest] = {}
    unread: dict[str, str] = {}
    for target in report.targets:
        if target.status is not FleetStatus.APPROVAL:
            continue
        try:
            found = read_request(request_file(settings.project_dir, report.run.fleet_run, target.name))
        except UsageError as error:
            unread[target.name] = error.what
            continue
        if found.target == f"{settings.target}/{target.name}":
            requests[target.name] = found
        else:
            unread[target.name] = f"its request is one of {found.target}"
    request = collect(settings.target, report.run.fleet_run, redact(" ".join(settings.x)), requests)
    return msgspec.structs.replace(request, left_out=unread | request.left_out)


def tokens_of(settings: Settings, token: Secret, request: Path) -> dict[str, Secret]:
    """The token of each database that a fleet's approval lists, by name.

    Raises:
        UsageError: the request can't be read, or is another fleet's.
        NotApprovedError: the token is no fleet's, or was made for another list.
    """
    asked = read_many(request)
    if asked.fleet != settings.target:
        raise UsageError(f"{request} is a request of the fleet {asked.fleet}, not of {settings.target}.")
    return {split(target)[1]: Secret(text) for target, text in tokens_for(token.reveal(), asked).items()}
