"""The DFSP API's own short way: no sessions, no CSRF, no static files between a DFSP and its view."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from fspiop.errors import ErrorCode, FspiopError
from hub.api import errors

DFSP_URLS = "hub.dfsp_urls"
RESOURCES = frozenset(
    {
        "participants",
        "parties",
        "transactionRequests",
        "quotes",
        "authorizations",
        "transfers",
        "transactions",
        "bulkQuotes",
        "bulkTransfers",
        "fxQuotes",
        "fxTransfers",
        "services",
        "token",
    }
)


class DfspShortcut:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.partition("/")[2].partition("/")[0] not in RESOURCES:  # "*" has no slash
            return self.get_response(request)
        try:
            view, args, kwargs = resolve(path, DFSP_URLS)
        except Resolver404:
            return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except Exception as error:  # what DRF's own handling let through
            return errors.response_for(errors.as_fspiop(error))
        return response
