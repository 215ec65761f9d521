"""Driver errors as LedgerError: one line, without secrets, bound values and the server's DETAIL."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ci_migrate.errors import UNTOUCHED, LedgerError
from ci_migrate.ledger.place import place
from ci_migrate.settings.secrets import hide_secrets

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

INSUFFICIENT_PRIVILEGE = "42501"


@contextmanager
def translate_errors(
    url: URL,
    doing: str,
    *,
    state: str = UNTOUCHED,
    raw: type[Exception] = SQLAlchemyError,
) -> Iterator[None]:
    """Turn what goes wrong in the block into a LedgerError.

    Args:
        url: the ledger's.
        doing: "opened", "read", "written", "made": what could not be done with it.
        state: in what state the target is then.
        raw: the driver's own error class, where the block uses the driver itself.
    """
    try:
        yield
    except (SQLAlchemyError, raw) as error:
        raise problem(url, doing, error, state=state) from error
    except UnicodeEncodeError as error:
        raise LedgerError(
            f"The ledger ({place(url)}) was given a text that is not UTF-8: {ascii(error.object)[:80]}.",
            state=state,
        ) from error
    # a time or a word that this version does not know is a ValueError of datetime or of an enum
    except (msgspec.MsgspecError, zstd.ZstdError, ValueError) as error:
        raise LedgerError(
            f"The ledger ({place(url)}) holds a record that this version can't read: {error}.",
            state=state,
            hint="Use the version of ci-migrate that wrote it, or a newer one.",
        ) from error


def problem(
    url: URL, doing: str, error: BaseException, *, state: str = UNTOUCHED, hint: str = ""
) -> LedgerError:
    """A LedgerError for an error of SQLAlchemy, the driver or the operating system."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return LedgerError(
        f"The ledger ({place(url)}) could not be {doing}: {_line(cause)}.",
        state=state,
        hint=hint or _hint(url, sqlstate(cause)),
    )


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of a driver's error or of SQLAlchemy's around it; "" where there is none."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(getattr(cause, "sqlstate", None) or "")


def quote(name: str) -> str:
    """A PostgreSQL identifier in SQL for people."""
    return '"' + name.replace('"', '""') + '"'


def _line(error: BaseException) -> str:
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    arguments: tuple[object, ...] = getattr(error, "args", ())
    # PyMySQL's str() is the tuple (1045, "Access ...")
    if len(arguments) == 2 and isinstance(arguments[0], int):
        primary = f"{arguments[1]} ({arguments[0]})"
    lines = str(primary or error).strip().splitlines() or [type(error).__name__]
    return hide_secrets(lines[0]).rstrip(". ")


def _hint(url: URL, state: str) -> str:
    if state == INSUFFICIENT_PRIVILEGE:
        role = quote(url.username or "ROLE")
        return (
            f"Run in {quote(str(url.database))} as its owner: GRANT ALL ON SCHEMA public TO {role}; "
            f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; "
            f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; or set `state = "URL"`.'
        )
    return 'See that it can be reached, or name another place: `state = "URL"`.'
