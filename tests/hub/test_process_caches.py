"""What a process remembers is as old as its time says, however often somebody asks for it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

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


def test_no_request_uses_credentials_of_before_the_refresh_while_another_reads_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quiet time, several requests arrive together: one reads, the others wait for what it reads."""
    snapshot = credential_cache.current()
    snapshot.taken_at -= 1.1 * settings.CREDENTIALS_REFRESH_S
    reads, goes_on = threading.Event(), threading.Event()
    newer = credential_cache.Snapshot(time.monotonic())

    def slowly() -> credential_cache.Snapshot:
        reads.set()
        assert goes_on.wait(10)
        return newer

    monkeypatch.setattr(credential_cache, "_load", slowly)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(credential_cache.current)
        assert reads.wait(10)
        others = [pool.submit(credential_cache.current) for _ in range(2)]
        time.sleep(0.2)
        assert not any(other.done() for other in others)
        goes_on.set()
        assert all(each.result(10) is newer for each in (first, *others))


def test_a_request_does_not_wait_while_credentials_are_refreshed_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = credential_cache.current()
    snapshot.taken_at -= 0.8 * settings.CREDENTIALS_REFRESH_S
    reads, goes_on = threading.Event(), threading.Event()
    newer = credential_cache.Snapshot(time.monotonic())

    def slowly() -> credential_cache.Snapshot:
        reads.set()
        assert goes_on.wait(10)
        return newer

    monkeypatch.setattr(credential_cache, "_load", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(credential_cache.current)
        assert reads.wait(10)
        assert credential_cache.current() is snapshot
        goes_on.set()
        assert first.result(10) is newer


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
