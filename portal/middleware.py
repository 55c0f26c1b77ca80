"""This middleware handles each request. It sets the language and the time zone, ends idle sessions, refuses large
bodies, and records the visitors' network addresses.
"""

import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils import timezone, translation

from hub import page_concurrency
from hub.audit import coming_from
from hub.sign_in_attempts import address_of
from portal import known_browsers_for_lockout
from portal.access import Rule
from portal.visitor import visitor_of

_SEEN = "seen_at"
_NOTE_EVERY_S = 60
MOST_OF_A_FORM = 65_536


class Visit:
    """Handles all requests except requests to the DFSP API. An earlier middleware responds to requests of the DFSP
    API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with coming_from(address_of(request)):
            if _is_too_large(request):
                return render(request, "portal/error.html", {"status": 413}, status=413)
            if not request.path_info.startswith("/portal/"):
                response = self.get_response(request)
                _note_user(request)
                return response
            _end_if_idle(request)
            visitor = visitor_of(request)
            # Only the portal is translated. The texts of APIs are always English.
            language = visitor.language or translation.get_language_from_request(request)
            with translation.override(language), timezone.override(ZoneInfo(visitor.time_zone)):
                response = self.get_response(request)
            known_browsers_for_lockout.remember(request, response, visitor)
            _note_user(request)
            return response


def _note_user(request: HttpRequest) -> None:
    """Stores the signed-in user for `hub.page_concurrency`. If the page has not read the session, stores no user."""
    user = request.user if request.session.accessed else None  # in an API, `user` can also be None
    if user is not None and user.is_authenticated:
        request.META[page_concurrency.USER] = user.pk


def _is_too_large(request: HttpRequest) -> bool:
    """Returns whether the body is too large.

    This check runs before Django checks the form's token. To find the token, Django reads the whole body.

    The administration APIs have their own check of the size.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if request.path_info.startswith("/api/"):
        return False
    if not (length.isascii() and length.isdecimal() and len(length) <= 18):
        return True
    return int(length) > MOST_OF_A_FORM and int(length) > _most_of_a_file(request) + MOST_OF_A_FORM


def _most_of_a_file(request: HttpRequest) -> int:
    """Returns the maximum size in bytes of a file that this visitor uploads to this page. Most pages accept no file."""
    try:
        rule: Rule | None = getattr(resolve(request.path_info).func, "rule", None)
    except Resolver404:
        return 0
    if rule is None or rule.post is None or not rule.most_of_a_file:
        return 0
    return rule.most_of_a_file if visitor_of(request).may(rule.post) else 0


def _end_if_idle(request: HttpRequest) -> None:
    """Ends the session of a user who was idle for too long. An automatic refresh of a page does not count as
    activity."""
    if not request.user.is_authenticated:
        return
    now = int(time.time())
    seen = request.session.get(_SEEN, now)
    if now - seen > settings.SESSION_IDLE_S:
        logout(request)
    elif _SEEN not in request.session or (now - seen >= _NOTE_EVERY_S and "HX-Polling" not in request.headers):
        request.session[_SEEN] = now
