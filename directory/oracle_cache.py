"""What oracles said a short while ago, in Redis: it may be lost at any time, and is forgotten where the hub changes it.

Each answer is a value of its own, which ends ORACLE_CACHE_S after it was given, whoever asks whatever meanwhile. What
the hub changes about an alias gives the alias a new edition; answers of an older one are no longer read. No alias is in
it, only digests; and since who can write to Redis must not say where money goes, answers are signed, with their time.
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

_SALT = "directory.oracle_cache"
_MOST_REGISTRATIONS = 100  # of an answer that is worth remembering
_MARGIN_S = 5  # by which an edition outlives every answer that was asked for before it


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a question. `edition` is the alias's as the question is asked."""

    found: list[Registration] | None
    edition: str = ""


def read(oracle: Oracle, alias: Alias) -> Remembered:
    """The oracle's answer about this alias, if it is remembered."""
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
        # The time of the signature, too: a value that somebody kept and put back is as old as it was.
        its_edition, rows = signing.loads(text, salt=key, max_age=settings.ORACLE_CACHE_S)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return [Registration(*row) for row in rows] if its_edition == edition else None


def keep(oracle: Oracle, alias: Alias, found: Iterable[Registration], *, edition: str) -> None:
    """Remembers an answer for ORACLE_CACHE_S seconds; `edition` is what `read` gave before the oracle was asked."""
    if settings.ORACLE_CACHE_S <= 0:
        return
    key = _key(oracle, alias)
    rows = [[registration.fsp, registration.currency, registration.sub_id] for registration in found]
    if len(rows) > _MOST_REGISTRATIONS:
        return
    with contextlib.suppress(RedisError):
        cache.set(key, signing.dumps([edition, rows], salt=key), timeout=settings.ORACLE_CACHE_S)


def forget(aliases: Iterable[Alias]) -> None:
    """Forgets all that was said of these aliases, by whichever oracle, for every sub-id and currency.

    What is being asked at this moment is not remembered either.
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
