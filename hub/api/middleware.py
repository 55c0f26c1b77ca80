"""The DFSP API's own short way: no sessions, no CSRF, no static files between a DFSP and its view.

Also which doors a process has at all (`SERVES`): in production DFSPs and operators have listeners of their own.
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
# One path to this reader and another to the next: dot segments, control characters.
_MISLEADING = re.compile(r"[\x00-\x1f\x7f]|/\.{1,2}(?:/|\Z)")
DFSP_DOORS = RESOURCES.keys() | {"token"}
"""The first parts of the paths that DFSPs use."""
# The other doors by the first part of their paths; what is not named here (health, metrics, files) is served always.
DOORS = {"api": "administration", "portal": "portal", "admin": "admin", "docs": "docs"}
METRICS = "/metrics"
"""Asked of each process by its address, in plain HTTP: the rules for host names and HTTPS are not for it."""


class DfspShortcut:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        doors = {first: {door} for first, door in (DOORS | dict.fromkeys(DFSP_DOORS, "fspiop")).items()}
        doors["token"].add(DOORS["api"])  # the operators' clients get theirs where the administration is
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
            fault = "path: no dot segment and no control character"
            return errors.response_for(FspiopError(ErrorCode.VALIDATION_ERROR, fault))
        try:
            view, args, kwargs = resolve(path, DFSP_URLS)
        except Resolver404:
            return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except Exception as error:  # what DRF's own handling let through
            return errors.response_for(errors.as_fspiop(error))
        return response
