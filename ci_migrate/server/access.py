"""Who may call: bearer keys, looked up in the ledger of the target that the call is for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ci_migrate.ledger.keys import KeyRecord, Role, may_be_key
from ci_migrate.server.problems import ProblemError
from ci_migrate.server.service import Service, Target

BEARER = HTTPBearer(
    auto_error=False, description="`Authorization: Bearer KEY`; `ci-migrate serve key create`"
)

UNKNOWN = "No key, or none that is good for this target. Send `Authorization: Bearer KEY`."
CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class Caller:
    """Somebody with a good key, and the target that they call for."""

    service: Service
    target: Target
    key: KeyRecord
    address: str

    @property
    def name(self) -> str:
        """As it stands in the audit trail."""
        return self.key.name


def address_of(request: Request) -> str:
    """Where a call comes from; behind a trusted proxy what that one says."""
    return request.client.host if request.client else "unknown"


def identify(service: Service, name: str | None, key: str) -> tuple[Target | None, KeyRecord | None]:
    """The target that a call is for, and whose key it came with: the key says which, where the call does not."""
    target = service.target(name)
    if target is None and name is None and may_be_key(key):
        return service.target_of(key) or (None, None)
    if target is None or not may_be_key(key):
        return target, None
    return target, service.caller(target, key)


def needs(role: Role) -> Callable[..., Caller]:
    """What an endpoint depends on that needs this role.

    It is asked before the parameters are looked at. Without a good key nobody learns which targets there are.
    """

    def dependency(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
        target: Annotated[
            str | None,
            Query(max_length=255, description="A key is good for one target and says which: not needed."),
        ] = None,
    ) -> Caller:
        service: Service = request.app.state.service
        address = address_of(request)
        shown = credentials.credentials if credentials is not None else ""
        found, key = identify(service, target, shown)
        request.state.target = found
        if found is None or key is None:
            # a good key is never turned away for the bad ones that came from its address
            wait = service.failures.wait(address)
            service.failures.note(address)
            if wait:
                again = {"Retry-After": str(math.ceil(wait))}
                raise ProblemError(429, "Too many calls without a good key. Try again later.", again)
            raise ProblemError(401, UNKNOWN, CHALLENGE)
        request.state.key = key
        if not key.role.covers(role):
            raise ProblemError(403, f"The key {key.name} has the role {key.role}; this needs {role}.")
        return Caller(service, found, key, address)

    return dependency


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]
Approver = Annotated[Caller, Depends(needs(Role.APPROVER))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]
