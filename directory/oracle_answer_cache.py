"""A cache of oracles' recent answers in Redis. The hub works correctly even if the cache loses all its data.

The cache stores each oracle's answer as a separate value. A cached value expires ORACLE_CACHE_S seconds after the
oracle's answer. When the hub changes an alias, the alias gets a new edition, and the hub no longer reads answers of
older editions. The cache contains digests, not aliases. The hub signs each cached answer together with the answer's
time. Without the signature, a program that can write to Redis could decide where money goes.
"""

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from directory.aliases import Alias, Registration
from directory.models import Oracle

_SALT = "directory.oracle_cache"  # processes of all versions must find and forget the same cached answers
_MOST_REGISTRATIONS = 100  # the hub does not cache an answer with more than this number of registrations
_MARGIN_S = 5  # after all earlier answers have expired, Redis keeps the edition for this additional time


@dataclass(frozen=True, slots=True)
class Remembered:
    """An oracle's answer from the cache, or no answer. The field `edition` is the alias's edition at the time of the
    request."""

    found: list[Registration] | None
    edition: str = ""


def read(oracle: Oracle, alias: Alias) -> Remembered:
    """Returns the oracle's answer about this alias, if it is cached."""
    if settings.ORACLE_CACHE_S <= 0:
        return Remembered(None)
    edition_key, key = _edition_key(alias), _key(oracle, alias)
    try:
        stored = cache.get_many([edition_key, key])
    except RedisError:
        return Remembered(None)
    edition = str(stored.get(edition_key, ""))
    return Remembered(_answer(stored.get(key), key, edition), edition)


def _answer(text: object, key: str, edition: str) -> list[Registration] | None:
    if not isinstance(text, str):
        return None
    try:
        # The age of a cached value comes from the time in its signature. So if a program copies a value and later
        # writes the copy back, the value's age does not change.
        its_edition, rows = signing.loads(text, salt=key, max_age=settings.ORACLE_CACHE_S)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return [Registration(*row) for row in rows] if its_edition == edition else None


def keep(oracle: Oracle, alias: Alias, found: Iterable[Registration], *, edition: str) -> None:
    """Caches an answer for ORACLE_CACHE_S seconds.

    `edition` is the edition that `read` returned before the request to the oracle.
    """
    if settings.ORACLE_CACHE_S <= 0:
        return
    key = _key(oracle, alias)
    rows = [[registration.fsp, registration.currency, registration.sub_id] for registration in found]
    if len(rows) > _MOST_REGISTRATIONS:
        return
    with contextlib.suppress(RedisError):
        cache.set(key, signing.dumps([edition, rows], salt=key), timeout=settings.ORACLE_CACHE_S)


def forget(aliases: Iterable[Alias]) -> None:
    """Removes all cached answers about these aliases, for all oracles, sub-ids and currencies.

    If a request to an oracle is in progress during the removal, the cache does not store the answer to this request.
    """
    if settings.ORACLE_CACHE_S <= 0:
        return
    edition = secrets.token_hex(8)
    timeout = settings.ORACLE_CACHE_S + settings.ORACLE_TIMEOUT_S + _MARGIN_S
    with contextlib.suppress(RedisError):
        cache.set_many({_edition_key(alias): edition for alias in aliases}, timeout=timeout)


def _edition_key(alias: Alias) -> str:
    return "oracles:edition:" + _digest(alias.type, alias.key)


def _key(oracle: Oracle, alias: Alias) -> str:
    parts = (str(oracle.pk), oracle.endpoint, alias.type, alias.identifier, alias.sub_id, alias.currency)
    return "oracles:answer:" + _digest(*parts)


def _digest(*parts: str) -> str:
    return salted_hmac(_SALT, "\n".join(parts), algorithm="sha256").hexdigest()
