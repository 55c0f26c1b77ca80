"""Error pages. If a path belongs to a page, the error is HTML. For all other paths, the error has the form of the
API."""

import secrets

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import translation

from hub.api import errors

log = structlog.get_logger("portal")

# The references use no letters and digits that people confuse, because people read references aloud.
_SIGNS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAGES = ("/portal/", "/admin/")


def _is_portal(request: HttpRequest) -> bool:
    return request.path_info.startswith(_PAGES)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not request.path_info.startswith("/portal/"):
        return errors.not_found(request, exception)
    return render(request, "portal/error.html", {"status": 404}, status=404)


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "portal/error.html", {"status": 403}, status=403)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "portal/error.html", {"status": 403, "is_stale": True}, status=403)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Reports that the request cannot be read. Does not read the session or the database, because the hub must refuse
    such a request without opening the session or the database."""
    if not _is_portal(request):
        return errors.bad_request(request, exception)
    return _alone(request, {"status": 400}, status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """Shows an error page with a reference. The log has the same reference, together with the details of the error.

    Does not use the database, because the database can be down.
    """
    if not _is_portal(request):
        return errors.server_error(request)
    reference = _new_reference()
    match = request.resolver_match
    log.error("page_failed", reference=reference, page=match.view_name if match else "", exc_info=True)
    try:
        return _alone(request, {"status": 500, "reference": reference}, status=500)
    except Exception:  # a part that every page needs can itself be the cause of the fault
        log.exception("error_page_failed", reference=reference)
        text = f"The hub could not show this page. Nothing was changed. Reference: {reference}"
        return HttpResponse(f"<!doctype html><title>Kitovu</title><h1>500</h1><p>{text}</p>", status=500)


def _new_reference() -> str:
    signs = [secrets.choice(_SIGNS) for _place in range(8)]
    return f"{''.join(signs[:4])}-{''.join(signs[4:])}"


def _alone(request: HttpRequest, context: dict[str, object], *, status: int) -> HttpResponse:
    """Renders a page without data about the signed-in user."""
    with translation.override(translation.get_language_from_request(request)):
        return HttpResponse(render_to_string("portal/fault.html", context), status=status)
