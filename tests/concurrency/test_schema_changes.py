"""A migration while the hub works: statements that were prepared before it return other columns after it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.db import connection
from django.db.models import Model

from hub.outbox import claims, courier
from hub.outbox import store as outbox
from hub.outbox.models import Message
from hub.participants.models import Participant
from hub.sql_execution import execute
from ledger import engine
from tests.api import messages
from tests.api.caller import dfsp
from tests.directory.requests import register
from tests.outbox.messages import message
from tests.world import World, prepare, state_of

PARTY = "/parties/MSISDN/255655001001"


@contextmanager
def longer(model: type[Model], column: str) -> Iterator[None]:
    """The column has room for a character more, as after a migration, and for no more than before at the end."""
    table, length = model._meta.db_table, model._meta.get_field(column).max_length
    assert length is not None
    execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({length + 1})")
    try:
        yield
    finally:
        execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar({length})")


def names_are_longer() -> AbstractContextManager[None]:
    return longer(Participant, "name")


def pay() -> str:
    """One payment up to its end; the id of its transfer."""
    assert dfsp("GET", PARTY).status_code == 202
    party = {"party": messages.party("blue", "255655001001")}
    assert dfsp("PUT", PARTY, party, source="blue", destination="green").status_code == 200
    quote, transfer = messages.quote(), messages.transfer()
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    assert dfsp("PUT", f"/quotes/{quote['quoteId']}", messages.terms(), source="blue").status_code == 200
    assert dfsp("POST", "/transfers", transfer).status_code == 202
    path = f"/transfers/{transfer['transferId']}"
    assert dfsp("PUT", path, messages.fulfilment(), source="blue", destination="green").status_code == 200
    return str(transfer["transferId"])


def test_a_migration_between_two_payments_is_not_noticed_by_any_of_their_requests(committed_world: World) -> None:
    register("MSISDN/255655001001", "blue")
    assert state_of(pay()) == "COMMITTED"
    with names_are_longer():
        assert state_of(pay()) == "COMMITTED"
    assert state_of(pay()) == "COMMITTED"


def test_an_engine_goes_on_after_a_migration_and_decides_the_group_that_noticed_it_again(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, once, ran = engine.Engine(), engine._run_once, []

    def counted(batch: list[object]) -> object:
        ran.append(len(batch))
        return once(batch)

    monkeypatch.setattr(engine, "_run_once", counted)
    assert type(own.submit(prepare(committed_world, "green", "blue", 1))).__name__ == "Reserved"
    with names_are_longer():
        for _ in range(2):
            assert type(own.submit(prepare(committed_world, "green", "blue", 1))).__name__ == "Reserved"
    assert ran == [1, 1, 1, 1]


def test_a_courier_claims_after_a_migration(committed_world: World) -> None:
    destination = committed_world.ids["blue"]
    room = {destination: claims.Room(10, 10**9)}

    def claim() -> int:
        return len(claims.claim(room, lease_s=10).messages)

    one = courier.Courier()
    try:
        for subject in ("first", "second"):
            outbox.append([message(destination, subject=subject)])
            assert one._database.submit(courier._with_fresh_connection, claim).result() == 1
        with longer(Message, "kind"):
            outbox.append([message(destination, subject="third")])
            assert one._database.submit(courier._with_fresh_connection, claim).result() == 1
    finally:
        one._database.submit(lambda: connection.close()).result()
