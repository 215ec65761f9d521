"""Each error is told as a problem: one status for each exit code, words for people, nothing that may hold a secret."""

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from ci_migrate.errors import (
    CiMigrateError,
    DirtyError,
    ExitCode,
    LedgerError,
    LockedError,
    NotApprovedError,
    RefusedError,
    UsageError,
)
from ci_migrate.server.problems import (
    MEDIA_TYPE,
    STATUS,
    TITLES,
    ProblemError,
    documented,
    handle_problems,
    problem,
)
from ci_migrate.server.wording import PREFIX


class Number(BaseModel):
    number: int


@pytest.fixture
def ask():
    """Calls a small application whose `/fail` raises what it is given."""
    app = FastAPI()
    handle_problems(app)
    raised: list[Exception] = []

    @app.get("/fail")
    async def fail() -> None:
        raise raised[0]

    @app.post("/number")
    async def number(body: Number) -> Number:
        return body

    async def call(method: str, path: str, **how) -> httpx.Response:
        way = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=way, base_url="http://localhost") as client:
            return await client.request(method, path, **how)

    def run(
        path: str = "/fail", method: str = "GET", error: Exception | None = None, **how
    ) -> httpx.Response:
        raised[:] = [error] if error is not None else []
        answer = asyncio.run(call(method, path, **how))
        if answer.status_code != 200:
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert answer.json()["status"] == answer.status_code
        return answer

    return run


def test_each_exit_code_has_a_status_and_each_status_a_title():
    assert STATUS.keys() == set(ExitCode)
    assert set(STATUS.values()) - {200} <= TITLES.keys()
    assert [code for code, status in STATUS.items() if status == 200] == [ExitCode.OK], "nothing else is good"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RefusedError("No."), 422, 1),
        (UsageError("What?"), 400, 2),
        (NotApprovedError("Not yet."), 403, 4),
        (LockedError("Held."), 423, 5),
        (DirtyError("Half."), 500, 7),
        (LedgerError("Gone."), 503, 8),
    ],
)
def test_an_error_of_ours_keeps_its_words_its_code_and_its_next_command(ask, error, status, code):
    error.hint = "ci-migrate repair --target dev"
    answer = ask(error=error)
    told = answer.json()
    assert (answer.status_code, told["exitCode"], told["title"]) == (status, code, TITLES[status])
    assert told["message"].startswith(error.what)
    assert told["message"].endswith(f"POST {PREFIX}/repair"), "as a call"


@pytest.mark.parametrize(
    "error", [ValueError("postgresql://ana:s3cret@db"), KeyError("s3cret"), ZeroDivisionError()]
)
def test_a_bug_is_told_by_its_kind_alone(ask, error):
    answer = ask(error=error)
    assert (answer.status_code, answer.json()["exitCode"]) == (500, 3)
    assert answer.json()["message"] == f"Bug in ci-migrate: {type(error).__name__}."
    assert "s3cret" not in answer.text


def test_headers_of_a_problem_come_with_it(ask):
    answer = ask(error=ProblemError(429, "Wait.", {"Retry-After": "7"}))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "exitCode" not in answer.json(), "no command was run"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"number": "x"}, "body.number"), ({}, "body.number"), (None, "body"), ([], "body")],
)
def test_what_makes_no_sense_is_named_field_by_field(ask, body, field):
    answer = ask("/number", "POST", json=body)
    assert (answer.status_code, answer.json()["exitCode"]) == (400, 2)
    assert f"The call makes no sense: {field}:" in answer.json()["message"]


def test_of_very_many_mistakes_five_are_named(ask):
    """An answer must not grow with what somebody sends."""
    answer = ask("/number", "POST", content=b"{" * 10_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert len(answer.text) < 1000


def test_json_that_is_none_is_no_bug(ask):
    for content in (b"{", b"\xff\xfe", b'{"number": 1e999999}', b"[" * 5000):
        answer = ask("/number", "POST", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, content[:20]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/protect", "`ci-migrate protect --target TARGET`"),
        ("/a/b/unprotect/", "`ci-migrate unprotect --target TARGET`"),
        ("/protected", "There is no such call."),
        ("/nowhere", "There is no such call."),
    ],
)
def test_what_is_no_call_is_told_where_it_is_done(ask, path, words):
    answer = ask(path)
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")
    assert words in answer.json()["message"]
    assert ask("/fail", "DELETE").status_code == 405
    own = ask(error=ProblemError(404, "Target dev has no backup x."))
    assert own.json()["message"] == "Target dev has no backup x.", "what an endpoint says is not replaced"


def test_further_members_stand_beside_the_message():
    answer = problem(409, "Sign it.", approvalRequest={"a": 1})
    assert json.loads(answer.body) == {
        "title": "Approvers sign", "status": 409, "message": "Sign it.", "approvalRequest": {"a": 1},
    }  # fmt: skip
    assert json.loads(problem(418, "Odd.").body)["title"] == "Error"


def test_the_document_names_the_schema_of_problems():
    found = documented(403, 423)
    assert found.keys() == {403, 423, "default"}
    for status, told in found.items():
        assert told["description"] == TITLES.get(status, "Any other problem")
        assert told["content"][MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_all_our_errors_have_a_status():
    def below(kind: type) -> set[type]:
        return {kind, *(one for child in kind.__subclasses__() for one in below(child))}

    for kind in below(CiMigrateError):
        assert kind.exit_code in STATUS, kind
