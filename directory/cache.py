"""What oracles said a short while ago, in Redis: it may be lost at any time, and is forgotten where the hub changes it.

No alias is in it, only digests; and since who can write to Redis must not say where money goes, answers are signed.
"""

import contextlib
from collections.abc import Iterable

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from directory.aliases import Alias, Registration
from directory.models import Oracle

_SALT = "directory.cache"


def read(oracle: Oracle, alias: Alias) -> list[Registration] | None:
    """The oracle's answer about this alias, if it is remembered."""
    answer = _answers(_key(alias)).get(_question(oracle, alias))
    return None if answer is None else [Registration(*row) for row in answer]


def keep(oracle: Oracle, alias: Alias, found: Iterable[Registration]) -> None:
    """Remembers an answer for ORACLE_CACHE_S seconds."""
    if settings.ORACLE_CACHE_S <= 0:
        return
    key = _key(alias)
    answer = [[registration.fsp, registration.currency, registration.sub_id] for registration in found]
    answers = _answers(key) | {_question(oracle, alias): answer}
    with contextlib.suppress(RedisError):
        cache.set(key, signing.dumps(answers, salt=key, compress=True), timeout=settings.ORACLE_CACHE_S)


def forget(aliases: Iterable[Alias]) -> None:
    """Forgets all that was said of these aliases, by whichever oracle, for every sub-id and currency."""
    with contextlib.suppress(RedisError):
        cache.delete_many([_key(alias) for alias in aliases])


def _answers(key: str) -> dict[str, list[list[str]]]:
    if settings.ORACLE_CACHE_S <= 0:
        return {}
    try:
        text = cache.get(key)
        found: dict[str, list[list[str]]] = signing.loads(text, salt=key) if isinstance(text, str) else {}
    except (RedisError, signing.BadSignature):
        return {}
    return found


def _key(alias: Alias) -> str:
    return "oracles:" + _digest(alias.type, alias.key)


def _question(oracle: Oracle, alias: Alias) -> str:
    return _digest(str(oracle.pk), oracle.endpoint, alias.identifier, alias.sub_id, alias.currency)


def _digest(*parts: str) -> str:
    return salted_hmac(_SALT, "\n".join(parts), algorithm="sha256").hexdigest()
