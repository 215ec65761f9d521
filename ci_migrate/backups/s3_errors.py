"""What a bucket's refusals mean, in words. Nothing of the server's own text is shown, nor of an endpoint's URL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ci_migrate.errors import BackupError

_RIGHTS = "Check the credentials, and the rights ListBucket, GetObject, PutObject, DeleteObject on it."
_REGION = "Set AWS_REGION to the bucket's region, and AWS_ENDPOINT_URL if it is not AWS's own."
_NETWORK = "Check the network, and AWS_ENDPOINT_URL."
_AGAIN = "Nothing was published. Run again later."

_MEANING = {
    "NoSuchBucket": ("there is no such bucket", "Create it, or correct backup-dir."),
    "AccessDenied": ("access is denied", _RIGHTS),
    "403": ("access is denied", _RIGHTS),
    "AllAccessDisabled": ("access is denied", _RIGHTS),
    "InvalidAccessKeyId": ("the access key is not known there", "Check AWS_ACCESS_KEY_ID, AWS_PROFILE."),
    "SignatureDoesNotMatch": ("the secret key is wrong", "Check AWS_SECRET_ACCESS_KEY, AWS_PROFILE."),
    "ExpiredToken": ("the credentials have expired", "Get new ones."),
    "InvalidToken": ("the session token is not valid", "Check AWS_SESSION_TOKEN."),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "Set it right."),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "NotImplemented": (
        "the server does not know a request that is needed here (create-only put)",
        "Use a server that has conditional writes: AWS, MinIO, Ceph 20, R2.",
    ),
    "SlowDown": ("the server is too busy", _AGAIN),
    "ServiceUnavailable": ("the server is not available", _AGAIN),
    "InternalError": ("the server had an error of its own", _AGAIN),
}


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turn what boto3 raises into a BackupError that names the place and what to do.

    Args:
        place: `s3://bucket/prefix`.
    """
    from boto3.exceptions import Boto3Error
    from botocore import exceptions

    try:
        yield
    except (Boto3Error, exceptions.BotoCoreError, exceptions.ClientError) as error:
        cause = error.__context__ if isinstance(error, Boto3Error) else error  # an upload hides what it met
        why, hint = _words(cause or error)
        raise BackupError(f"{place}: {why}.", hint=hint) from error


def code_of(error: Any) -> str:
    """The code of a botocore ClientError: `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))[:60]


def _words(error: BaseException) -> tuple[str, str]:
    from botocore import exceptions

    match error:
        case exceptions.ClientError():
            code = code_of(error)
            if re.fullmatch("5[0-9][0-9]", code):  # of an answer that had no code of its own
                code = "ServiceUnavailable"
            why, hint = _MEANING.get(code, (f"refused by {code or 'an error without a code'}", _RIGHTS))
            return f"{why} ({error.operation_name})", hint
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return (
                "no credentials were found",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
            )
        case exceptions.NoRegionError():
            return "no region is set", _REGION
        case exceptions.ProfileNotFound() | exceptions.ConfigParseError() | exceptions.ConfigNotFound():
            return "AWS's configuration can't be used", "Check AWS_PROFILE and AWS_CONFIG_FILE."
        case exceptions.HTTPClientError() | exceptions.ConnectionError() | exceptions.IncompleteReadError():
            return f"it can't be reached, or the connection was cut ({type(error).__name__})", _NETWORK
        case _:
            return f"{type(error).__name__}", _NETWORK
