"""What a process remembers is as old as its time says, however often somebody asks for it."""

import time

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import override_settings
from pytest_django.fixtures import DjangoAssertNumQueries

from directory.models import Oracle
from hub.participants import credential_cache, credentials, queries
from hub.participants.models import Credential
from portal.permissions import Role
from portal.views import overview
from tests.portal.people import browser
from tests.proofs import key_of, public_pem
from tests.world import World


def test_names_that_nobody_has_are_not_kept(world: World) -> None:
    for number in range(100):
        assert queries.id_of(f"nobody-{number}") is None
    assert queries._ids_by_name == {}
    assert queries.id_of("green") == world.account("green").participant_id
    assert len(queries._ids_by_name) == 1


def test_a_key_that_ended_is_forgotten_while_it_is_asked_for(world: World) -> None:
    green = world.account("green").participant
    credentials.add_signing_key(green, key=public_pem(key_of("green")), actor="test")
    with override_settings(CREDENTIALS_REFRESH_S=0.5):
        credential_cache.forget()
        assert credential_cache.current().keys_of(green.pk)
        Credential.objects.update(revoked_at=Now())  # by another process, as far as this one knows
        end = time.monotonic() + 1
        while time.monotonic() < end:
            found = credential_cache.current().keys_of(green.pk)
            time.sleep(0.02)
    assert found == []


def test_a_figure_is_made_anew_while_it_is_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_FRESH_S", 1)
    end = time.monotonic() + 1.5
    calls, made = 0, set()
    while time.monotonic() < end:
        made.add(overview._context()["made_at"])
        calls += 1
        time.sleep(0.02)
    assert calls > 10
    assert len(made) == 2


def test_all_visitors_of_some_seconds_share_one_computation(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    first = overview._context()
    with django_assert_num_queries(0):
        assert overview._context()["made_at"] == first["made_at"]


def test_the_overview_and_the_directory_need_no_valkey(world: World) -> None:
    viewer = browser(Role.VIEWER)
    oracle = Oracle.objects.create(type="MSISDN", endpoint="http://127.0.0.1:1/")
    lost = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES=settings.CACHES | {"default": lost}):
        assert viewer.get("/portal/overview/").status_code == 200
        assert viewer.get(f"/portal/directory/oracles/{oracle.pk}/health/").status_code == 200
