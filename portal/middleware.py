"""What surrounds every request of a person: its language and time zone, the end of an idle session, who is recorded."""

import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation

from hub.api.attempts import address_of
from hub.audit import coming_from
from portal import known_browsers
from portal.visitor import visitor_of
from settlement.statements.reading import MOST_OCTETS

_SEEN = "seen_at"
_NOTE_EVERY_S = 60
_ROOM_FOR_THE_FORM = 65_536


class Visit:
    """For all but the DFSP API, whose short way passes before it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with coming_from(address_of(request)):
            if _is_too_large(request):
                return render(request, "portal/error.html", {"status": 413}, status=413)
            if not request.path_info.startswith("/portal/"):
                return self.get_response(request)
            _end_if_idle(request)
            visitor = visitor_of(request)
            # Only here: what an API says does not depend on the language that its caller asks for.
            language = visitor.language or translation.get_language_from_request(request)
            with translation.override(language), timezone.override(ZoneInfo(visitor.time_zone)):
                response = self.get_response(request)
            known_browsers.remember(request, response, visitor)
            return response


def _is_too_large(request: HttpRequest) -> bool:
    """Looked at before anything reads a form: the first that asks for its token would take it in whole."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    is_form = request.path_info.startswith(("/portal/", "/admin/"))
    return is_form and not (length.isdecimal() and int(length) <= MOST_OCTETS + _ROOM_FOR_THE_FORM)


def _end_if_idle(request: HttpRequest) -> None:
    """A page that refreshes itself does not keep a session awake; a person does."""
    if not request.user.is_authenticated:
        return
    now = int(time.time())
    seen = request.session.get(_SEEN, now)
    if now - seen > settings.SESSION_IDLE_S:
        logout(request)
    elif _SEEN not in request.session or (now - seen >= _NOTE_EVERY_S and "HX-Polling" not in request.headers):
        request.session[_SEEN] = now
