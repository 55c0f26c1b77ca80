"""Error pages. Paths below /portal/ get HTML. Paths outside /portal/ get the API's error form."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hub.api import errors


def _is_portal(request: HttpRequest) -> bool:
    return request.path_info.startswith("/portal/")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not _is_portal(request):
        return errors.not_found(request, exception)
    return render(request, "portal/error.html", {"status": 404}, status=404)


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "portal/error.html", {"status": 403}, status=403)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "portal/error.html", {"status": 403, "is_stale": True}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Shows an error page without details. Does not use the database, because the database can be down."""
    if not _is_portal(request):
        return errors.server_error(request)
    text = "The hub could not show this page. Nothing was changed. Try again. The hub's log has the details."
    return HttpResponse(f"<!doctype html><title>Kitovu</title><h1>500</h1><p>{text}</p>", status=500)
