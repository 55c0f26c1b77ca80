"""How often passwords may be tried, so that they are not guessed and a stranger who guesses keeps nobody out.

Failures are counted for a quarter of an hour in up to three places: for the name from
this address, for this address, and for the name from wherever nobody has signed in with it before. What a stranger
elsewhere does fills only the last, which does not hold who signed in from here before. A browser that signed in before
is counted by itself alone: nobody else can fill that.
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
MOST_OF_AN_ADDRESS = 20  # behind which a whole office may sit
MOST_OF_A_NAME_ELSEWHERE = 50
_KNOWN_FOR_S = 90 * 24 * 3600
_IPV6_PREFIX = 64  # one customer's


def address_of(request: HttpRequest) -> str:
    """From where a person's request comes; empty where that can not be known."""
    try:
        return str(ip_address(get_adapter().get_client_ip(request)))
    except (PermissionDenied, ValueError):  # none that can be trusted, or none that is one
        return ""


def attempt_of(request: HttpRequest, name: str, *, browser: str = "", most_elsewhere: int | None = None) -> "Attempt":
    """What is tried for this name from where this request comes."""
    address = address_of(request)
    if address and isinstance(ip_address(address), IPv6Address):
        address = str(IPv6Network((address, _IPV6_PREFIX), strict=False))
    return Attempt(name, address, browser, most_elsewhere or MOST_OF_A_NAME_ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One password that is tried: for which name, from which address and which known browser, if it is one."""

    name: str
    address: str
    browser: str
    most_elsewhere: int

    def begin(self) -> bool:
        """For people, who try one after the other. Counts it as if it had failed, so that many at once are no way
        around; False where too many did, and then the password is not looked at. `succeed` takes it back."""
        try:
            return self._count_failure()
        except (RedisError, OSError):
            return _without_cache()

    def succeed(self) -> None:
        """What began was right: it does not count, and its address is known from now on."""
        try:
            for key, _ in self._places():
                _uncount(key)
            self._remember()
        except (RedisError, OSError):
            return

    def is_open(self) -> bool:
        """For programs, of which many may be right at once: whether too many have failed. `end` says how it ended."""
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
        """A place that is full keeps it from those after it: one address alone does not fill what all share."""
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
    log.warning("attempts_not_counted", why="the cache is away")
    return True  # without its cache the hub still has to be administrated


def _key(*parts: str) -> str:
    """What is typed as a name may be anything, a password too: it is not kept as it is."""
    return "attempts:" + hashlib.sha256("\0".join(part.lower() for part in parts).encode()).hexdigest()


def _count(key: str) -> int:
    cache.add(key, 0, timeout=FORGOTTEN_AFTER_S)
    try:
        count = int(cache.incr(key))
    except ValueError:  # ended between the two
        cache.set(key, 1, timeout=FORGOTTEN_AFTER_S)
        return 1
    if count == 1:
        # One that ended just before it was counted began anew by counting, and without an end.
        cache.touch(key, timeout=FORGOTTEN_AFTER_S)
    return count


def _uncount(key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:  # ended meanwhile
        return
