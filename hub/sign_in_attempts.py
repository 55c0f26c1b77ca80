"""Limits password attempts. An attacker cannot guess passwords by many attempts, and cannot lock other people out by
failed attempts.

The hub counts each failed attempt to sign in, and forgets the attempt after a quarter of an hour. The hub has three
counts, and a failed attempt adds one to each count to which it belongs:
- attempts with this name from this address
- attempts with any name from this address
- attempts with this name from addresses that are new for this name

Each count has a limit. An attacker at another address can block a person's name only by the third limit. The third
limit does not apply at an address from which this person has signed in before. A browser with which a person has signed
in before has a separate count. For attempts with this browser, only the browser's own count matters.
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
MOST_OF_AN_ADDRESS = 20  # all people in an office can have the same address
MOST_OF_A_NAME_ELSEWHERE = 50
_KNOWN_FOR_S = 90 * 24 * 3600
_IPV6_PREFIX = 64  # an internet customer usually has all addresses with the same first 64 bits


def address_of(request: HttpRequest) -> str:
    """Returns the client's address, or "" if the address is unknown."""
    try:
        return str(ip_address(get_adapter().get_client_ip(request)))
    except (PermissionDenied, ValueError):  # the proxy gave no address, or the text is not an address
        return ""


def attempt_of(request: HttpRequest, name: str, *, browser: str = "", most_elsewhere: int | None = None) -> "Attempt":
    """Returns an attempt to sign in under this name, from the client's address."""
    address = address_of(request)
    if address and isinstance(ip_address(address), IPv6Address):
        address = str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return Attempt(name, address, browser, most_elsewhere or MOST_OF_A_NAME_ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in with a name and a password. `browser` is "" unless the person has signed in with this
    browser before."""

    name: str
    address: str
    browser: str
    most_elsewhere: int

    def begin(self) -> bool:
        """Counts this attempt as failed, before the caller checks the password. So parallel attempts cannot evade the
        limit. If the password is right, call `succeed`, which removes the attempt from the counts. If a limit is
        reached, returns False, and the caller must not check the password. Use `begin` for people, who make one attempt
        at a time.
        """
        try:
            return self._count_failure()
        except (RedisError, OSError):
            return _without_cache()

    def succeed(self) -> None:
        """Removes this attempt from the counts of failures, because the password was right. Stores that this person has
        signed in from this address."""
        try:
            for key, _ in self._places():
                _uncount(key)
            self._remember()
        except (RedisError, OSError):
            return

    def is_open(self) -> bool:
        """Returns whether the limits allow an attempt. Call `end` with the attempt's result. Use `is_open` for
        programs, which can make many attempts at the same time.
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
        """Increases the counts one after the other, and returns False at the first count above its limit. The remaining
        counts do not change. So attempts from one address alone cannot reach the third limit.
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
    return True  # if the cache fails, people must still be able to sign in


def _key(*parts: str) -> str:
    """Returns the cache key for these values. The key is a hash, because people sometimes type their password in place
    of their name."""
    return "attempts:" + hashlib.sha256("\0".join(part.lower() for part in parts).encode()).hexdigest()


def _count(key: str) -> int:
    cache.add(key, 0, timeout=FORGOTTEN_AFTER_S)
    try:
        count = int(cache.incr(key))
    except ValueError:  # the counter expired between the two calls
        cache.set(key, 1, timeout=FORGOTTEN_AFTER_S)
        return 1
    if count == 1:
        # If the counter had expired just before `incr`, then `incr` has created a counter that never expires.
        cache.touch(key, timeout=FORGOTTEN_AFTER_S)
    return count


def _uncount(key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:  # the counter has expired
        return
