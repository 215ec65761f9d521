"""A call of somebody else's code, given up after a time: the gate never waits for ever for a plugin."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HOOK_TIMEOUT = 60.0
"""Seconds; the default of the setting `hook-timeout`."""


def call_with_timeout(call: Callable[[], T], seconds: float) -> T:
    """What a call returns.

    It runs in a thread of its own that does not keep the process alive. One that is given up can't be ended: what it
    still does, and what it returns in the end, is nobody's business any more.

    Args:
        call: without arguments.
        seconds: for how long it is waited for.

    Raises:
        TimeoutError: it has not come back by then.
        Exception | SystemExit: what the call raised; RuntimeError instead of what only the gate itself may raise
            (KeyboardInterrupt, pytest's outcomes): that would end it.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again where the call was made
            raised.append(error)

    thread = threading.Thread(target=work, name="ci-migrate hook", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised and not isinstance(raised[0], Exception | SystemExit):
        raise RuntimeError(f"{type(raised[0]).__name__}: {raised[0]}") from raised[0]
    if raised:
        raise raised[0]
    if not returned:
        raise TimeoutError(f"no answer within {seconds:g} s (hook-timeout)")
    return returned[0]
