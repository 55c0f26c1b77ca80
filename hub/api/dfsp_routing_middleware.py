"""Routes the requests of DFSPs directly to their views, without sessions, CSRF checks or static files. This module also
refuses requests to all APIs and pages that are not in `SERVES`. In production, DFSPs and operators use separate
processes.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, URLPattern, URLResolver, resolve
from django.urls.resolvers import RegexPattern

from fspiop.errors import ErrorCode, FspiopError
from fspiop.resources import RESOURCES
from hub.api import errors

DFSP_URLS = "hub.dfsp_urls"
# Matches paths with dot segments or control characters, because two programs can read such paths differently.
_MISLEADING = re.compile(r"[\x00-\x1f\x7f]|/\.{1,2}(?:/|\Z)")
DFSP_DOORS = RESOURCES.keys() | {"token", "dfsp"}
"""The first segments of the paths that DFSPs use."""
# The other APIs and pages, by the first segment of their paths. The process always serves all other paths (health,
# metrics, files).
DOORS = {"api": "administration", "portal": "portal", "admin": "admin", "docs": "docs"}
METRICS = "/metrics"
"""Monitoring programs send requests to these paths: directly to each process, by IP address and in plain HTTP.

The rules for host names and HTTPS do not apply to these paths.
"""


class DfspShortcut:
    """Routes a DFSP's request to its view, before all other middleware of Django."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.closed = closed_doors()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        first = door_of(path)
        if first in self.closed:
            return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
        if path == METRICS:
            scrape, args, kwargs = resolve(path)
            return scrape(request, *args, **kwargs)  # type: ignore[no-any-return]
        if first in DFSP_DOORS:
            return answer(request, first)
        if first != "api" and _has_nul(request):  # the administration APIs themselves check requests for NULs
            # Neither PostgreSQL nor the file system can search for a text with a NUL. So Django's handler responds with
            # 400.
            raise SuspiciousOperation("the request contains a NUL")
        return self.get_response(request)


def _has_nul(request: HttpRequest) -> bool:
    """Returns whether the path, the query or a cookie contains a NUL."""
    if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return True
    # If a cookie's value is in quotation marks, octal numbers in the value can stand for characters.
    cookies = request.META.get("HTTP_COOKIE", "")
    return "\\000" in cookies or "\0" in cookies


def door_of(path: str) -> str:
    """Returns the first segment of a path. If a path has no segments, such as "*", returns ""."""
    return path.partition("/")[2].partition("/")[0]


def closed_doors() -> frozenset[str]:
    """Returns the first segments of the paths that this process does not serve."""
    doors = {first: {door} for first, door in (DOORS | dict.fromkeys(DFSP_DOORS, "fspiop")).items()}
    doors["token"].add(DOORS["api"])  # a process that serves only the administration also issues tokens
    return frozenset(first for first, behind in doors.items() if behind.isdisjoint(settings.SERVES))


def answer(request: HttpRequest, first: str) -> HttpResponse:
    """Returns the view's response to a DFSP's request. `first` is the first segment of the path, one of DFSP_DOORS."""
    path = request.path_info
    if _MISLEADING.search(path) is not None:
        fault = "path: must not have dot segments or control characters"
        return errors.response_for(FspiopError(ErrorCode.VALIDATION_ERROR, fault))
    try:
        view, args, kwargs = resolver_of(first).resolve(path)
    except Resolver404:
        return errors.response_for(FspiopError(ErrorCode.UNKNOWN_URI))
    try:
        response: HttpResponse = view(request, *args, **kwargs)
    except Exception as error:  # DRF has not handled this error
        return errors.response_for(errors.as_fspiop(error))
    return response


def dfsp_routes() -> list[URLPattern | URLResolver]:
    """Returns the routes of the FSPIOP API, and the routes of the hub's own API for DFSPs."""
    urls = import_module(DFSP_URLS)
    found: list[URLPattern | URLResolver] = [*urls.urlpatterns, *urls.own_api_urlpatterns]
    return found


@cache
def resolver_of(first: str) -> URLResolver:
    """Returns a resolver with only the routes of one FSPIOP resource. All resources together have forty routes, and
    Django tries routes one after the other.
    """
    return URLResolver(RegexPattern(r"^/"), [each for each in dfsp_routes() if _first_of(each) == first])


def _first_of(route: URLPattern | URLResolver) -> str:
    return str(route.pattern).partition("/")[0]
