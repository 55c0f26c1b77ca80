"""Turns every error into the API's own error body. Errors are instances of FspiopError, and one function makes the
error response. Each error code has one HTTP status, which is the same status as in the reference hub (FSPIOP API v1.1,
section 7.6).
"""

from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DataError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from rest_framework import exceptions

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError
from hub.sql_execution import is_away

log = structlog.get_logger("api")

RETRY_AFTER_S = 1


def response_for(error: FspiopError) -> HttpResponse:
    """Returns the error as an HTTP response. Responses 429 and 503 have a Retry-After header."""
    body = strictjson.canonical(error.body())
    response = HttpResponse(body, status=error.http_status, content_type="application/json")
    response["Content-Length"] = str(len(body))  # no middleware sets this header for DFSP requests
    if error.http_status in (429, 503):
        response["Retry-After"] = str(RETRY_AFTER_S)
    return response


def as_fspiop(error: BaseException) -> FspiopError:
    """Converts an exception of any kind into the error for the response."""
    match error:
        case FspiopError():
            return error
        case exceptions.MethodNotAllowed():
            return FspiopError(ErrorCode.CLIENT_ERROR, str(error.detail), http_status=405)
        case exceptions.NotFound():
            return FspiopError(ErrorCode.UNKNOWN_URI)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return FspiopError(ErrorCode.CLIENT_ERROR, "authentication is required", http_status=401)
        case exceptions.PermissionDenied():
            return FspiopError(ErrorCode.CLIENT_ERROR, "the caller lacks the necessary permission", http_status=403)
        case exceptions.APIException(status_code=status) if status < 500:
            return FspiopError(ErrorCode.CLIENT_ERROR, str(error.detail), http_status=status)
        case RequestDataTooBig():
            return FspiopError(ErrorCode.TOO_LARGE_PAYLOAD)
        case SuspiciousOperation():  # for example, if a query has too many parameters for Django
            return FspiopError(ErrorCode.MALFORMED_SYNTAX, "the request cannot be read")
        case UnreadablePostError():
            return FspiopError(ErrorCode.MALFORMED_SYNTAX, "the body ended before its Content-Length")
        case DataError():
            # This error occurs, for example, if a name in a header contains a NUL. The hub has stored nothing. The
            # sender caused the error.
            log.warning("not_storable", error=str(error)[:200])
            return FspiopError(ErrorCode.MALFORMED_SYNTAX, "the request has a value that cannot be stored")
        case _ if is_away(error):
            log.warning("database_not_reached", error=str(error)[:200])
            return FspiopError(ErrorCode.SERVICE_UNAVAILABLE, "the database is unavailable; try again")
        case _:
            log.error("unhandled", exc_info=error)
            return FspiopError(ErrorCode.INTERNAL_SERVER_ERROR)


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Handles exceptions for Django REST framework."""
    return response_for(as_fspiop(error))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django calls this view as handler404."""
    return response_for(FspiopError(ErrorCode.UNKNOWN_URI))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls this view as handler500."""
    return response_for(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django calls this view as handler400, if Django itself refuses a path or a header."""
    return response_for(FspiopError(ErrorCode.MALFORMED_SYNTAX))
