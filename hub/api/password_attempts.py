"""Limits password attempts. The limits prevent an attacker from guessing passwords, and from locking people out.

Counts each failed attempt to sign in for a quarter of an hour. Each failed attempt increases up to three counts:
- attempts with this name from this address
- attempts with any name from this address
- attempts with this name from all addresses where nobody has signed in with this name

If an attacker's address differs from a person's address, the attacker can reach only the third limit for this person.
The third limit does not apply to a person at an address from which this person has signed in before. If a person has
signed in with a browser before, the failed attempts with this browser have a separate count. Attempts with other
browsers do not change this count.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

import structlog
from allauth.account.adapter import get_adapter
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from redis.exceptions import RedisError

log = structlog.get_logger("security")

FORGOTTEN_AFTER_S = 15 * 60
MOST_OF_A_NAME_HERE = 5
MOST_OF_AN_ADDRESS = 20  # a whole office may share one address
MOST_OF_A_NAME_ELSEWHERE = 50
_KNOWN_FOR_S = 90 * 24 * 3600
_IPV6_PREFIX = 64  # the prefix of one customer


def address_of(request: HttpRequest) -> str:
    """Returns the address from which a person's request comes, or "" if the address is unknown."""
    try:
        return str(ip_address(get_adapter().get_client_ip(request)))
    except (PermissionDenied, ValueError):  # no trusted address, or not an address
        return ""


def attempt_of(request: HttpRequest, name: str, *, browser: str = "", most_elsewhere: int | None = None) -> "Attempt":
    """Returns the sign-in attempt with this name from the address of this request."""
    address = address_of(request)
    if address and isinstance(ip_address(address), IPv6Address):
        address = str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return Attempt(name, address, browser, most_elsewhere or MOST_OF_A_NAME_ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in with a name and a password. The attempt has an address, and perhaps a known browser."""

    name: str
    address: str
    browser: str
    most_elsewhere: int

    def begin(self) -> bool:
        """Counts an attempt as failed before the caller checks the password. So parallel attempts cannot evade the
        limit. `succeed` removes the failure.

        Returns False if too many attempts have failed. If the method returns False, the caller must not check the
        password. This method is for people, because a person makes one attempt at a time.
        """
        try:
            return self._count_failure()
        except (RedisError, OSError):
            return _without_cache()

    def succeed(self) -> None:
        """Records that an attempt to sign in succeeded. Removes a successful attempt from the counts of failures, and
        adds its address to the known addresses."""
        try:
            for key, _ in self._places():
                _uncount(key)
            self._remember()
        except (RedisError, OSError):
            return

    def is_open(self) -> bool:
        """Returns whether an attempt is allowed. The method `end` records the attempt's result.

        This method is for programs, because a program can make many attempts at once.
        """
        try:
            return all(int(cache.get(key, 0)) < most for key, most in self._places())
        except (RedisError, OSError):
            return _without_cache()

    def end(self, *, is_right: bool) -> None:
        try:
            if is_right:
                self._remember()
            else:
                self._count_failure()
        except (RedisError, OSError):
            return

    def _count_failure(self) -> bool:
        """Counts a failed attempt to sign in.

        If an attempt reaches one of the three limits, it does not count for the remaining limits. So one address cannot
        reach the third limit.
        """
        return all(_count(key) <= most for key, most in self._places())

    def _remember(self) -> None:
        cache.set(self._known, 1, timeout=_KNOWN_FOR_S)

    @property
    def _known(self) -> str:
        return _key("known", self.name, self.address)

    def _places(self) -> list[tuple[str, int]]:
        if self.browser:
            return [(_key("browser", self.name, self.browser), MOST_OF_A_NAME_HERE)]
        here = (_key("here", self.name, self.address), MOST_OF_A_NAME_HERE)
        if cache.get(self._known):
            return [here]
        return [
            here,
            (_key("address", self.address), MOST_OF_AN_ADDRESS),
            (_key("elsewhere", self.name), self.most_elsewhere),
        ]


def _without_cache() -> bool:
    log.warning("attempts_not_counted", why="the cache is unavailable")
    return True  # people must be able to administer the hub without the cache


def _key(*parts: str) -> str:
    """Returns the cache key of a count of failed attempts. The cache key is a hash, because people can type any text as
    a name, even a password."""
    return "attempts:" + hashlib.sha256("\0".join(part.lower() for part in parts).encode()).hexdigest()


def _count(key: str) -> int:
    cache.add(key, 0, timeout=FORGOTTEN_AFTER_S)
    try:
        count = int(cache.incr(key))
    except ValueError:  # the counter expired between the two calls
        cache.set(key, 1, timeout=FORGOTTEN_AFTER_S)
        return 1
    if count == 1:
        # If the counter had just expired, the call has created a new one without an expiry.
        cache.touch(key, timeout=FORGOTTEN_AFTER_S)
    return count


def _uncount(key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:  # the counter has expired
        return
