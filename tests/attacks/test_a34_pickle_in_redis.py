"""A34: whoever can write to Redis can lie, and can run nothing."""

import pickle

import pytest
from django.conf import settings
from django.core.cache import cache
from redis import Redis

KEY = "a34"


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def test_a_pickle_that_somebody_wrote_into_the_cache_is_not_run() -> None:
    Redis.from_url(settings.REDIS_URL).set(cache.make_key(KEY), pickle.dumps(Bomb()))
    assert cache.get(KEY, "absent") is None
    cache.delete(KEY)


@pytest.mark.parametrize("value", [1, 0, True, None, "text", [1.5, "a"], {"a": [None]}])
def test_what_the_hub_keeps_comes_back_as_it_was(value: object) -> None:
    cache.set(KEY, value, timeout=5)
    assert cache.get(KEY, "absent") == value
    cache.delete(KEY)


def test_counters_count() -> None:
    cache.set(KEY, 1, timeout=5)
    assert cache.incr(KEY) == 2
    cache.delete(KEY)


def test_tasks_and_sessions_are_json() -> None:
    assert settings.CELERY_ACCEPT_CONTENT == ["json"]
    assert settings.CELERY_TASK_SERIALIZER == "json"
    assert settings.SESSION_SERIALIZER == "django.contrib.sessions.serializers.JSONSerializer"
