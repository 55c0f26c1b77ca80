"""The short path of the DFSP API: no sessions, no CSRF checks and no static files between a DFSP and its view.

It also closes the doors that a process does not serve (`SERVES`): in production, DFSPs and operators have separate
listeners.
"""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from fspiop.errors import ErrorCode, FspiopError
from fspiop.resources import RESOURCES
from hub.api import errors

DFSP_URLS = "hub.dfsp_urls"
# Paths that two programs may read differently: dot segments, control characters.
_MISLEADING = re.compile(r"[\x00-\x1f\x7f]|/\.{1,2}(?:/|\Z)")
DFSP_DOORS = RESOURCES.keys() | {"token"}
"""The first segments of the paths for DFSPs."""
# The other doors by the first segment of their paths. Paths not listed here (health, metrics, files) are always served.
DOORS = {"api": "administration", "portal": "portal", "admin": "admin", "docs": "docs"}
METRICS = "/metrics"
"""Requested from each process by IP address in plain HTTP, so the rules for host names and HTTPS do not apply."""


class DfspShortcut:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        doors = {first: {door} for first, door in (DOORS | dict.fromkeys(DFSP_DOORS, "fspiop")).items()}
        doors["token"].add(DOORS["api"])  # operators' clients get tokens where the administration is served
        self.closed = frozenset(first for first, behind in doors.items() if behind.isdisjoint(settings.SERVES))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        first = path.partition("/")[2].partition("/")[0]  # "*" has no slash
        if first in self.closed:
            return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
        if path == METRICS:
            scrape, args, kwargs = resolve(path)
            return scrape(request, *args, **kwargs)  # type: ignore[no-any-return]
        if first not in DFSP_DOORS:
            return self.get_response(request)
        if _MISLEADING.search(path) is not None:
            fault = "path: must not have dot segments or control characters"
            return errors.response_for(FspiopError(ErrorCode.VALIDATION_ERROR, fault))
        try:
            view, args, kwargs = resolve(path, DFSP_URLS)
        except Resolver404:
            return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except Exception as error:  # raised outside of DRF's own handling
            return errors.response_for(errors.as_fspiop(error))
        return response
