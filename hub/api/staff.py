"""Who may try passwords at the administration APIs, and how often: what the portal's sign-in allows, they allow."""

from typing import Any

from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.authentication import BasicAuthentication
from rest_framework.request import Request

MOST_FAILURES = 5
FORGOTTEN_AFTER_S = 15 * 60


class StaffPassword(BasicAuthentication):
    """A user name and its password. After five wrong ones the name is closed for a quarter of an hour."""

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[Any, Any]:
        key = f"staff-password-failed:{userid[:150].lower()}"
        if _failures(key) >= MOST_FAILURES:
            raise exceptions.AuthenticationFailed
        try:
            return super().authenticate_credentials(userid, password, request)
        except exceptions.AuthenticationFailed:
            _count(key)
            raise


def _failures(key: str) -> int:
    try:
        return int(cache.get(key, 0))
    except (RedisError, OSError):
        return 0  # without its cache the hub still has to be administrated


def _count(key: str) -> None:
    try:
        cache.add(key, 0, timeout=FORGOTTEN_AFTER_S)
        cache.incr(key)
    except (RedisError, OSError, ValueError):
        return
