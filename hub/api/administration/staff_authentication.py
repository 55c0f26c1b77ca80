"""In development, authenticates Django's staff at the administration APIs: by a two-factor session or by a password.

In production, a password alone must not be enough to change balances. So in production, administration clients
authenticate instead (`hub.api.administration.client_authentication`).
"""

from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.request import Request

from hub.sign_in_attempts import attempt_of


class StaffSession(SessionAuthentication):
    """Authenticates a person by a portal session that has a second factor."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found: tuple[Any, None] | None = super().authenticate(request)
        if found is not None and settings.ADMINISTRATION_AUTH == "staff" and not has_second_factor(request._request):
            raise exceptions.AuthenticationFailed
        return found


class StaffPassword(BasicAuthentication):
    """Authenticates a person by user name and password. The portal's limit on failed attempts applies here too."""

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[Any, Any]:
        assert request is not None
        attempt = attempt_of(request._request, userid[:150])
        if not attempt.is_open():
            raise exceptions.AuthenticationFailed
        try:
            found = super().authenticate_credentials(userid, password, request)
        except exceptions.AuthenticationFailed:
            attempt.end(is_right=False)
            raise
        attempt.end(is_right=True)
        return found


def has_second_factor(request: HttpRequest) -> bool:
    """Returns whether the user of this session signed in with a password and a one-time code."""
    user = request.user
    records = get_authentication_records(request, user if isinstance(user, User) else None)
    return any(record.get("method") == "mfa" for record in records)
