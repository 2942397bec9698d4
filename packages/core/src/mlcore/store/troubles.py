"""What an exception of a filesystem of fsspec means: worth another try, or which mistake of whom.

They derive from nothing common: those of s3fs come from botocore, of gcsfs from aiohttp and google, of adlfs from
azure, and none of these may be imported here. So they are known by their names, by the HTTP status and the error code
that they carry, and by those of the exceptions that caused them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_CODES = frozenset(
    {"ConditionalRequestConflict", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable"}
    | {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "TransientError"}
)
_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "EINTR", "ENETDOWN"),
        *("ENETRESET", "ENETUNREACH", "EPIPE", "EREMOTEIO", "ESTALE", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)
# Names that say "the network", in any library: of requests, aiohttp, botocore, azure and google.
_NETWORK = frozenset(
    {"ClientConnectionError", "ClientPayloadError", "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError"}
    | {"EndpointConnectionError", "FSTimeoutError", "HTTPClientError", "IncompleteRead", "ReadTimeoutError"}
    | {"ResponseParserError", "ResponseStreamingError", "ServerDisconnectedError", "ServerTimeoutError"}
    | {"ServiceRequestError", "ServiceResponseError", "TimeoutError", "TransportError", "gaierror"}
)
_CREDENTIALS = frozenset(
    {"ClientAuthenticationError", "CredentialRetrievalError", "CredentialUnavailableError", "DefaultCredentialsError"}
    | {"NoAuthTokenError", "NoCredentialsError", "PartialCredentialsError", "RefreshError", "TokenRetrievalError"}
)

_REFUSED = "check the credentials, and what they may do there: they are configured as for fsspec; see docs/stores.md"
_MEANT = {
    "RequestTimeTooSkewed": ("this machine's clock differs too much from the store's", "set the clock of this machine"),
    "NoSuchBucket": ("there is no such bucket", "make the bucket, or check its name in the store's URL"),
    "ContainerNotFound": ("there is no such container", "make the container, or check its name in the store's URL"),
    "InvalidBucketName": ("the bucket's name is not valid", "check the store's URL: s3://BUCKET/FOLDER"),
    "ExpiredToken": ("the credentials have expired", "get new ones, then go on with: mlcore resume RUN"),
    "InvalidAccessKeyId": ("the access key is not known there", _REFUSED),
    "SignatureDoesNotMatch": ("the secret key is wrong", _REFUSED),
    "AccessDenied": ("access was denied", _REFUSED),
    "PermanentRedirect": ("the bucket is in another region", "set the region, AWS_DEFAULT_REGION for s3"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "set the region, AWS_DEFAULT_REGION for s3"),
}
_ABSENT_PLACE = ("NoSuchBucket", "ContainerNotFound", "InvalidBucketName")


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    return any(_passes(each) for each in _chain(error))


def is_absent_place(error: BaseException) -> bool:
    """Whether the bucket itself is missing, not a file in it."""
    return any(_code(each) in _ABSENT_PLACE for each in _chain(error))


def meaning(error: BaseException) -> tuple[str, str] | None:
    """What happened and what to do, where that is known."""
    for each in _chain(error):
        if known := _MEANT.get(_code(each) or ""):
            return known
        if _names(each) & _CREDENTIALS:
            hint = "credentials are configured as for fsspec, in the environment or its own files; see docs/stores.md"
            return f"there are no credentials that work: {each}", hint
    if is_transient(error):
        told = str(error) or type(error).__name__
        return (
            f"the store cannot be reached, or is overloaded: {told}",
            "check the network and the store's address; a run that stops here goes on with: mlcore resume RUN",
        )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _passes(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return bool(_names(error) & _NETWORK) or _code(error) in _CODES or _status(error) in _STATUSES


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _code(error: Any) -> str | None:  # of any library
    """The error code that the service gave."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        response = response.get("Error")
    found = response.get("Code") if isinstance(response, dict) else getattr(error, "error_code", None)
    return None if found is None else str(getattr(found, "value", found))


def _status(error: Any) -> int | None:  # of any library
    """The HTTP status that the service gave."""
    response = getattr(error, "response", None)
    meta = response.get("ResponseMetadata") if isinstance(response, dict) else None
    found = [meta.get("HTTPStatusCode")] if isinstance(meta, dict) else []
    found += [getattr(error, name, None) for name in ("status", "status_code", "code")]
    return next((int(str(each)) for each in found if str(each).isdecimal()), None)
