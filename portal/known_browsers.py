"""Browsers in which a person has signed in before: strangers' wrong passwords do not keep that person out of them.

What a browser keeps is a signed cookie for each such person. It opens nothing; whoever has it is counted by itself.
"""

import hashlib
import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from portal.visitor import Visitor

_SALT = "portal.known_browsers"
_KEPT_FOR_S = 180 * 24 * 3600


def known_as(request: HttpRequest, username: str) -> str:
    """What this browser is known as to this user; empty where the user has not signed in with it."""
    try:
        told = signing.loads(request.COOKIES.get(_cookie(username), ""), salt=_SALT, max_age=_KEPT_FOR_S)
    except signing.BadSignature:
        return ""
    name, browser = told
    return str(browser) if name == username.lower() else ""


def remember(request: HttpRequest, response: HttpResponse, visitor: Visitor) -> None:
    """Gives a browser in which somebody has signed in with both factors its cookie, unless it has one."""
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
