"""The error responses of the SDK's outbound API: `statusCode`, `message`, and the state of the call."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from fspiop.errors import ErrorCode, FspiopError, error_body, text_of
from kitovu_connector import logs
from kitovu_connector.conflicts import Conflict
from kitovu_connector.exchanges import NoAnswer

log = structlog.get_logger(__name__)

FAILED, TIMED_OUT = 500, 504
_STATES = {
    "accounts": "executionState",
    "bulkQuotes": "bulkQuoteState",
    "bulkTransactions": "bulkTransferState",
    "bulkTransfers": "bulkTransferState",
    "requestToPay": "requestToPayState",
    "requestToPayTransfer": "transferState",
    "transfers": "transferState",
}
"""The member that every error of a call has, by resource. It contains the call's state."""


class ApiError(Exception):
    """An error response. `state` is the state of the call that failed. `field` is the SDK's name of this state."""

    def __init__(self, status: int, code: str, message: str, *, field: str = "", state: Any = None) -> None:
        super().__init__(f"{code} {message}")
        self.status, self.code, self.message, self.field, self.state = status, code, message, field, state

    def response(self) -> web.Response:
        """Returns the response."""
        body = {"statusCode": self.code, "message": self.message}
        return web.json_response(body | ({self.field: self.state} if self.field else {}), status=self.status)


def status_of(code: str) -> int:
    """Returns the status for a request that another system refused: 504 if no answer came in time, otherwise 500."""
    return TIMED_OUT if code == ErrorCode.SERVER_TIMED_OUT.code else FAILED


def last_error(code: str, text: str) -> dict[str, Any]:
    """Returns the object transferError for the field `lastError`."""
    return {"httpStatusCode": status_of(code), "mojaloopError": error_body(code, text or text_of(code))}


def failed(code: str, text: str, *, field: str = "", state: Any = None) -> ApiError:
    """Returns the error for a request that another system refused."""
    return ApiError(status_of(code), code, text or text_of(code), field=field, state=state)


def id_used(*, field: str = "", state: Any = None) -> ApiError:
    """Returns the error for an id that an earlier request with other content has used. `state` shows what the earlier
    request has begun. So the status is not 400, which means that nothing has begun.
    """
    text = "this id was used for a request with other content"
    return failed(ErrorCode.MODIFIED_REQUEST.code, text, field=field, state=state)


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Responds to every error in the SDK's form."""
    try:
        return await handler(request)
    except ApiError as error:
        log.warning("core_request_failed", path=_resource(request), code=error.code)
        return error.response()
    except NoAnswer as error:
        log.warning("core_request_failed", path=_resource(request), code=error.code)
        return failed(error.code, error.text).response()
    except FspiopError as error:
        log.warning(
            "core_request_refused",
            path=_resource(request),
            code=error.code,
            why=logs.without_numbers(error.description),
        )
        status = error.http_status if error.http_status in (401, 403) else 400
        return _refused(request, status, error)
    except Conflict:
        found = FspiopError(ErrorCode.MODIFIED_REQUEST, "this id was used for another call")
        return _refused(request, 400, found)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return ApiError(error.status, ErrorCode.UNKNOWN_URI.code, error.reason).response()
    except Exception as error:
        log.error("core_request_failed", path=_resource(request), error=logs.trace_of(error))
        return ApiError(FAILED, ErrorCode.INTERNAL_SERVER_ERROR.code, ErrorCode.INTERNAL_SERVER_ERROR.text).response()


def _refused(request: web.Request, status: int, error: FspiopError) -> web.Response:
    """Returns the response to a request that was refused before the call began. So the call's state is empty."""
    field = "" if request.method == "GET" else _STATES.get(_resource(request), "")
    return ApiError(status, error.code, error.description, field=field, state={}).response()


def _resource(request: web.Request) -> str:
    return request.path.split("/")[1]
