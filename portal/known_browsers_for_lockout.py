"""Recognises the browsers in which a user has signed in before, so that a stranger's wrong passwords do not lock the
user out.

A browser keeps a signed cookie for each user who signed in with this browser. The cookie gives no access. The cookie
has only one effect: the hub counts this browser's attempts separately.
"""

import hashlib
import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from portal.visitor import Visitor

_SALT = "portal.known_browsers"  # with another salt, the hub would not recognise the browsers that it knows
_KEPT_FOR_S = 180 * 24 * 3600


def known_as(request: HttpRequest, username: str) -> str:
    """Returns the name that the hub gave this browser, or "" if this user has never signed in with this browser."""
    try:
        told = signing.loads(request.COOKIES.get(_cookie(username), ""), salt=_SALT, max_age=_KEPT_FOR_S)
    except signing.BadSignature:
        return ""
    name, browser = told
    return str(browser) if name == username.lower() else ""


def remember(request: HttpRequest, response: HttpResponse, visitor: Visitor) -> None:
    """Sets the cookie if the user has signed in with two factors, and the browser has no cookie for this user yet."""
    if not visitor.has_second_factor or known_as(request, visitor.name):
        return
    response.set_cookie(
        _cookie(visitor.name),
        signing.dumps([visitor.name.lower(), secrets.token_hex(16)], salt=_SALT),
        max_age=_KEPT_FOR_S,
        path="/portal/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def _cookie(username: str) -> str:
    return "kitovu_browser_" + hashlib.sha256(username.lower().encode()).hexdigest()[:16]
