"""/metrics and /docs/ in production: the one for who has the token, the other where it is asked for."""

import pytest
from django.test import Client, override_settings

from tests.world import World

TOKEN = "t" * 40


def status(**headers: str) -> int:
    return Client().get("/metrics", headers=headers).status_code


def test_production_shows_metrics_to_who_has_the_token(world: World) -> None:
    with override_settings(PRODUCTION=True, METRICS_TOKEN=TOKEN):
        assert status(authorization=f"Bearer {TOKEN}") == 200
        for wrong in ("", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"):
            assert status(authorization=wrong) == 401, wrong
        assert Client().get("/metrics")["WWW-Authenticate"] == "Bearer"


def test_a_process_is_scraped_by_its_address(world: World) -> None:
    with override_settings(
        PRODUCTION=True, METRICS_TOKEN=TOKEN, SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["hub.example"]
    ):
        assert status(authorization=f"Bearer {TOKEN}", host="10.0.0.7:8000") == 200
        assert Client().get("/docs/", headers={"host": "10.0.0.7:8000"}).status_code == 400


def test_production_without_a_token_shows_no_metrics(world: World) -> None:
    with override_settings(PRODUCTION=True, METRICS_TOKEN=""):
        assert status() == status(authorization="Bearer ") == 404


@pytest.mark.parametrize("token", ["", TOKEN])
def test_development_shows_them_unless_it_has_a_token(world: World, token: str) -> None:
    with override_settings(METRICS_TOKEN=token):
        assert status() == (401 if token else 200)
