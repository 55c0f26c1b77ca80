"""Which commits of the outbox wait for the disk: all but those whose loss only repeats a delivery."""

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from hub.outbox import claims, retries, store
from hub.outbox.claims import Room
from hub.outbox.client import Answer
from tests.outbox.messages import message
from tests.world import World

LEASE_S = 30


def waits() -> bool:
    """Whether the present transaction's commit will wait."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return bool(cursor.fetchone()[0] == "on")


@pytest.fixture(autouse=True)
def _as_in_production(committed_world: World) -> Iterator[None]:
    """The server of the tests does not wait for its disk."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")
        yield
        cursor.execute("RESET synchronous_commit")


@pytest.fixture
def claimed(committed_world: World) -> claims.Claimed:
    """A message to blue that a courier has claimed."""
    blue = committed_world.ids["blue"]
    store.append([message(blue, "/transfers/T", subject="T")])
    (found,) = claims.claim({blue: Room(10, 10**6)}, lease_s=LEASE_S).messages
    return found


def test_the_commit_of_a_claim_does_not_wait(committed_world: World) -> None:
    with transaction.atomic():
        claims.claim({committed_world.ids["blue"]: Room(10, 10**6)}, lease_s=LEASE_S)
        assert not waits()
    assert waits()


def test_the_commit_of_a_delivery_does_not_wait(claimed: claims.Claimed) -> None:
    with transaction.atomic():
        store.delivered([(claimed.id, 200)])
        assert not waits()
    assert waits()


def test_the_commit_of_a_new_message_waits(committed_world: World) -> None:
    with transaction.atomic():
        store.append([message(committed_world.ids["blue"], "/transfers/U", subject="U")])
        assert waits()


def test_the_commit_of_a_failure_waits_because_it_may_notify_the_sender(claimed: claims.Claimed) -> None:
    with transaction.atomic():
        retries.settle([retries.judge(claimed, Answer(status=501))])
        assert waits()
