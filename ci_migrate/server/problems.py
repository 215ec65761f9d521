"""Errors as problem+json (RFC 9457), with `message`, and one HTTP status for each exit code."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ci_migrate.errors import CiMigrateError, ExitCode
from ci_migrate.server.bodies import Body
from ci_migrate.server.wording import over_http
from ci_migrate.verbs import VERBS

STATUS = {
    ExitCode.OK: 200,
    ExitCode.REFUSED: 422,
    ExitCode.USAGE: 400,
    ExitCode.BUG: 500,
    ExitCode.NOT_APPROVED: 403,
    ExitCode.LOCKED: 423,
    ExitCode.FAILED_RESTORED: 424,
    ExitCode.FAILED_DIRTY: 500,
    ExitCode.COULD_NOT_TELL: 503,
    ExitCode.INTERRUPTED: 503,
    ExitCode.TERMINATED: 503,
}
"""docs/http-api.md has the same table."""

TITLES = {
    400: "Usage",
    401: "No key",
    403: "Not allowed",
    404: "Not found",
    405: "Not this method",
    409: "Approvers sign",
    413: "Too large",
    415: "Not JSON",
    421: "Not this name",
    422: "Refused",
    423: "Locked",
    424: "Failed, put back",
    429: "Too many failures",
    500: "Failed",
    503: "Could not tell",
}
NOT_FOUND = 404
MEDIA_TYPE = "application/problem+json"


class Problem(Body):
    """What went wrong. `message` is for people: what happened, in what state the database is, the next command."""

    title: str
    status: int
    message: str
    exit_code: int | None = Field(None, description="What the command line would have returned.")


class ProblemError(HTTPException):
    """Ends a call with a problem."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)


def problem(status: int, message: str, *, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """The answer for a problem; `more` are further members."""
    body = {"title": TITLES.get(status, "Error"), "status": status, "message": over_http(message), **more}
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def problem_of(error: CiMigrateError) -> JSONResponse:
    """The answer for an error of ours."""
    message = "\n".join(error.lines)
    return problem(STATUS[error.exit_code], message, exitCode=int(error.exit_code))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: which problems an endpoint answers with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema}}
    # without a default FastAPI documents a 422 of its own, which a call that makes no sense never gets
    found: dict[int | str, dict[str, Any]] = {
        "default": {"description": "Any other problem", "content": content}
    }
    return {**found, **{status: {"description": TITLES[status], "content": content} for status in statuses}}


def _no_call(path: str) -> str:
    """Where that is done instead. Anybody may read it: it says nothing of what is there."""
    name = path.strip("/").rpartition("/")[2]
    if name in {VERBS["protect"].name, VERBS["unprotect"].name}:
        return (
            "Protection is not changed over HTTP: whoever steals a key could name themselves as the approver. "
            f"It is done where the database's password is: `ci-migrate {name} --target TARGET`."
        )
    return "There is no such call. /openapi.json names all calls; `ci-migrate --help` what is done elsewhere."


def handle_problems(app: FastAPI) -> None:
    """Answer each error with a problem."""

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        no_route = error.status_code == NOT_FOUND and not isinstance(error, ProblemError)
        words = _no_call(request.url.path) if no_route else str(error.detail)
        return problem(error.status_code, words, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        words = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:5])
        return problem(400, f"The call makes no sense: {words}.", exitCode=int(ExitCode.USAGE))

    @app.exception_handler(CiMigrateError)
    async def _ours(_request: Request, error: CiMigrateError) -> Response:
        return problem_of(error)

    @app.exception_handler(Exception)
    async def _bug(_request: Request, error: Exception) -> Response:
        # uvicorn's log has the traceback; the caller learns nothing that may hold a secret
        return problem(500, f"Bug in ci-migrate: {type(error).__name__}.", exitCode=int(ExitCode.BUG))
