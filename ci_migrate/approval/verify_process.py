"""A signed token is verified in a process of its own, which knows no password and nothing of the repository.

What somebody pasted is taken apart there, by an interpreter to which the working folder, `PYTHONPATH` and the like add
nothing (`python -I`), with an empty environment. Whatever it answers but a good word is a refusal.
"""

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from ci_migrate import process
from ci_migrate.approval.trust import Trust
from ci_migrate.approval.verification import Verified, verify
from ci_migrate.errors import CiMigrateError, NotApprovedError, SettingsError

TIMEOUT = 30.0
"""Seconds; it takes a tenth of one."""

_LIMIT = 1 << 20
_REFUSALS: dict[str, type[CiMigrateError]] = {c.__name__: c for c in (NotApprovedError, SettingsError)}


class _Question(msgspec.Struct, frozen=True):
    token: str
    trust: Trust
    now: datetime


class _Refusal(msgspec.Struct, frozen=True):
    kind: str
    what: str
    hint: str


class _Answer(msgspec.Struct, frozen=True):
    verified: Verified | None = None
    refusal: _Refusal | None = None


def verify_isolated(token: str, trust: Trust, now: datetime) -> Verified:
    """As `verification.verify`, in a process of its own.

    Raises:
        NotApprovedError: as there, or the process did not answer.
        SettingsError: as there.
    """
    answer = _ask(_Question(token, trust, now))
    if answer.refusal is not None:
        kind = _REFUSALS.get(answer.refusal.kind, NotApprovedError)
        raise kind(answer.refusal.what, hint=answer.refusal.hint)
    if answer.verified is None:
        raise _no_answer("it gave no answer")
    return answer.verified


def _ask(question: _Question) -> _Answer:
    argv = [sys.executable, "-I", "-c", f"from {__name__} import answer; answer()"]
    with process.running(argv, cwd=Path("/"), inherit=False) as child:
        out, err = process.Tail(child.stdout, _LIMIT), process.Tail(child.stderr)
        try:
            with suppress(BrokenPipeError):  # it ended: its exit code tells more
                child.stdin.write(msgspec.json.encode(question))
            child.stdin.close()
            code = child.wait(TIMEOUT)
        except process.TimeoutExpired as error:
            raise _no_answer(f"not within {TIMEOUT:.0f} s") from error
        finally:
            if child.poll() is None:
                process.end_group(child)
            said, complained = out.text(), err.text()
    if code:
        raise _no_answer((complained.strip().splitlines() or [f"exit code {code}"])[-1][:200])
    try:
        return msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError as error:
        raise _no_answer("its answer makes no sense") from error


def _no_answer(why: str) -> NotApprovedError:
    return NotApprovedError(
        f"The token could not be verified: the process that does it ended without an answer ({why}).",
        hint=f"Does this work? {sys.executable} -I -c 'import ci_migrate.approval.verify_process'",
    )


def answer() -> None:
    """The process's own part: a question on standard input, an answer on standard output."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    try:
        found = _Answer(verified=verify(question.token, question.trust, question.now))
    except (NotApprovedError, SettingsError) as error:
        found = _Answer(refusal=_Refusal(type(error).__name__, error.what, error.hint))
    sys.stdout.buffer.write(msgspec.json.encode(found))
