"""A29: passwords are not guessed at the administration APIs either. The portal's own are in tests/portal."""

import base64

import pytest
from django.core.cache import cache
from django.test import Client, override_settings

from hub import sign_in_attempts
from tests.factories import PASSWORD, UserFactory
from tests.world import World

PATH = "/api/ledger/v1/participants"


@pytest.fixture(autouse=True)
def _forget_failures() -> None:
    cache.clear()


def ask(name: str, password: str) -> int:
    word = base64.b64encode(f"{name}:{password}".encode()).decode()
    return Client().get(PATH, headers={"Authorization": f"Basic {word}"}).status_code


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a29_after_five_wrong_passwords_the_right_one_does_not_open_the_administration(world: World) -> None:
    UserFactory.create(is_staff=True)
    UserFactory.create(username="petro", is_staff=True)
    assert ask("olga", PASSWORD) == 200
    for _ in range(5):
        assert ask("olga", "wrong") == 401
    assert ask("olga", PASSWORD) == 401
    assert ask("OLGA", PASSWORD) == 401
    assert ask("petro", PASSWORD) == 200
    cache.clear()  # what a quarter of an hour does
    assert ask("olga", PASSWORD) == 200


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a29_without_its_cache_the_hub_can_still_be_administrated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def get(self, *_: object, **__: object) -> int:
            raise OSError("the cache is away")

        add = incr = set = get

    monkeypatch.setattr(sign_in_attempts, "cache", Gone())
    UserFactory.create(is_staff=True)
    assert ask("olga", "wrong") == 401
    assert ask("olga", PASSWORD) == 200
