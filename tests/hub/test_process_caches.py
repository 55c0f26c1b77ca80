"""What a process remembers is as old as its time says, however often somebody asks for it."""

import time

from django.db.models.functions import Now
from django.test import override_settings

from hub.participants import credential_cache, credentials, queries
from hub.participants.models import Credential
from portal import cached_figures
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


def test_a_figure_is_made_anew_while_it_is_asked_for() -> None:
    made = iter(range(100))
    end = time.monotonic() + 1.5
    seen = set()
    while time.monotonic() < end:
        seen.add(cached_figures.for_seconds(1, "test:figure", lambda: next(made) + 1))
        time.sleep(0.02)
    assert len(seen) >= 2
