"""The connector as a Python library: a payee is looked up, terms are confirmed or cancelled, payments are found."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_changes

from fspiop.time import format_datetime
from kitovu_connector import (
    AlreadySent,
    Conflict,
    ConnectorError,
    InvalidRequest,
    LookupFailed,
    NoSuchPayment,
    NoTermsYet,
    Order,
    PartyRef,
    Payment,
    State,
    Unanswered,
)
from kitovu_connector.payment_events_and_actions import Ask, Cancelled, Confirmed, Resumed, Wait, Waited
from kitovu_connector.payment_states import SENT, step
from tests.connector.hub_stub import PAYEE, Scheme, error, scheme, terms, told
from tests.connector.test_payment_states import FOUND, NEW, NOW, ORDER, POLICY, Started, follow
from tests.connector.test_payment_states import terms as offer

WANTED = Order(
    home_id="P1",
    payer=PartyRef(id_type="MSISDN", id_value="255712001001", name="Asha"),
    payee=PartyRef(id_type="MSISDN", id_value="+" + PAYEE),
    amount=Decimal("100.00"),
    currency="TZS",
)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], proof: str = "pinned", **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, proof, **more) as world:
            await story(world)

    asyncio.run(run())


# --- lookup -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", ["signatures", "pinned", "both", "nothing"])
def test_a_payee_is_looked_up_and_nothing_begins(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        found = await asyncio.gather(*(world.connector.lookup("MSISDN", number) for number in (PAYEE, "+" + PAYEE)))
        assert {(party.fsp_id, party.id_value) for party in found} == {("blue", PAYEE)}
        assert world.count("POST", "/quotes") == 0
        assert world.connector._lookups._waiting == {}
        assert await world.connector._store.unfinished_payments() == []

    tell(tmp_path, story, proof)


@pytest.mark.parametrize(
    ("refuses", "kind", "code"),
    [
        ((400, "3204"), LookupFailed, "3204"),
        ((401, "3000"), LookupFailed, "3000"),
        ((404, ""), Unanswered, "1001"),
        (None, Unanswered, "2004"),
    ],
)
def test_a_lookup_that_finds_nobody_says_why(
    tmp_path: Path, refuses: tuple[int, str] | None, kind: type[ConnectorError], code: str
) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        if refuses is not None:
            world.refuses["GET /parties"] = refuses
        with pytest.raises(kind, match=code):
            await world.connector.lookup("MSISDN", PAYEE)
        assert world.connector._lookups._waiting == {}

    tell(tmp_path, story, agree_s=0.7, ask_again_s=0.3)


def test_a_payees_dfsp_that_knows_nobody_is_heard(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        looking = asyncio.create_task(world.connector.lookup("MSISDN", PAYEE))
        await world.until("GET", "/parties")
        assert await world.hub_passes_on("PUT", f"/parties/MSISDN/{PAYEE}/error", error("5400")) == 200
        with pytest.raises(LookupFailed, match="5400"):
            await looking

    tell(tmp_path, story)


def test_a_stranger_answers_no_lookup(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        looking = asyncio.create_task(world.connector.lookup("MSISDN", PAYEE))
        await world.until("GET", "/parties")
        info = {"partyIdType": "MSISDN", "partyIdentifier": PAYEE}
        party = {"party": {"partyIdInfo": info | {"fspId": "red"}}}
        assert await world.straight("PUT", f"/parties/MSISDN/{PAYEE}", party, "red") == 400
        assert await world.straight("PUT", f"/parties/MSISDN/{PAYEE}/error", error("3204"), "red") == 400
        await asyncio.sleep(0.1)
        assert not looking.done()
        party = {"party": {"partyIdInfo": info | {"fspId": "blue"}, "name": "Baraka"}}
        assert await world.hub_passes_on("PUT", f"/parties/MSISDN/{PAYEE}", party) == 200
        assert (await looking).name == "Baraka"

    tell(tmp_path, story, "signatures")


def test_an_identifier_with_a_slash_is_not_looked_up(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        with pytest.raises(InvalidRequest, match="slash"):
            await world.connector.lookup("ALIAS", "a/b")
        assert world.asked == []

    tell(tmp_path, story)


# --- terms, confirmed or cancelled ------------------------------------------------------------------------------------


async def agreed(world: Scheme) -> Payment:
    payment = await world.connector.quote(WANTED)
    assert payment.state is State.AGREED
    assert payment.payee is not None
    assert (payment.payee.fsp_id, payment.transfer_amount) == ("blue", Decimal(100))
    assert world.count("POST", "/transfers") == 0
    return payment


def test_terms_are_shown_and_paid_once_they_are_confirmed(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        payment = await agreed(world)
        confirming = [asyncio.create_task(world.connector.confirm("P1")) for _ in range(3)]
        await world.until("POST", "/transfers")
        assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
        assert {ended.state for ended in await asyncio.gather(*confirming)} == {State.COMMITTED}
        assert (await world.connector.confirm("P1")).state is State.COMMITTED
        assert (await world.connector.quote(WANTED)).state is State.COMMITTED
        assert world.count("POST", "/transfers") == 1
        with pytest.raises(AlreadySent):
            await world.connector.cancel("P1")
        found = await world.connector.payment("P1")
        assert found is not None
        assert found.state is State.COMMITTED

    tell(tmp_path, story)


def test_what_was_cancelled_is_not_paid(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await agreed(world)
        for _ in range(2):
            assert (await world.connector.cancel("P1")).error_code == "4100"
        assert (await world.connector.confirm("P1")).state is State.ABORTED
        assert (await world.connector.quote(WANTED)).state is State.ABORTED
        assert world.count("POST", "/transfers") == 0

    tell(tmp_path, story)


def test_an_order_to_pay_does_not_confirm_terms(tmp_path: Path) -> None:
    """The same reference once with and once without a confirmation is not the same order."""

    async def story(world: Scheme) -> None:
        await agreed(world)
        with pytest.raises(Conflict):
            await world.connector.pay(WANTED)
        with pytest.raises(Conflict):
            await world.connector.quote(with_changes(WANTED, amount="200"))
        assert world.count("POST", "/transfers") == 0

    tell(tmp_path, story)


@pytest.mark.parametrize("then", ["confirm", "cancel"])
def test_terms_wait_for_the_core_over_a_restart(tmp_path: Path, then: str) -> None:
    async def story(world: Scheme) -> None:
        payment = await agreed(world)
        await world.stop()
        await world.start()
        assert await world.connector.payment("P1") == payment
        assert world.count("POST", "/quotes") == 1
        if then == "cancel":
            assert (await world.connector.cancel("P1")).state is State.ABORTED
            return
        confirming = asyncio.create_task(world.connector.confirm("P1"))
        await world.until("POST", "/transfers")
        await world.stop()  # in the middle of its way
        confirming.cancel()
        await world.start()
        assert world.payment().state in SENT
        assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
        assert (await world.ended()).state is State.COMMITTED
        assert {body["transferId"] for body in world.bodies("POST", "/transfers")} == {payment.transfer_id}

    tell(tmp_path, story)


def test_terms_that_nobody_confirms_expire(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("quotes")
        quoting = asyncio.create_task(world.connector.quote(WANTED))
        await world.until("POST", "/quotes")
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=0.5))
        path = f"/quotes/{world.payment().quote_id}"
        assert await world.hub_passes_on("PUT", path, terms(expiration=soon)) == 200
        assert (await quoting).state is State.AGREED
        ended = await world.ended()
        assert (ended.state, ended.error_code) == (State.ABORTED, "3302")
        assert (await world.connector.confirm("P1")).state is State.ABORTED

    tell(tmp_path, story, clock_margin_s=0.1)


def test_nobody_is_found_no_terms_are_shown(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.refuses["POST /quotes"] = (400, "3201")
        payment = await world.connector.quote(WANTED)
        assert (payment.state, payment.error_code) == (State.ABORTED, "3201")
        for call in (world.connector.confirm, world.connector.cancel):
            with pytest.raises(NoSuchPayment):
                await call("unknown")
        assert await world.connector.payment("unknown") is None

    tell(tmp_path, story)


def test_what_has_no_terms_yet_is_not_confirmed_and_can_be_cancelled(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        quoting = asyncio.create_task(world.connector.quote(WANTED))
        await world.until("GET", "/parties")
        with pytest.raises(NoTermsYet):
            await world.connector.confirm("P1")
        assert (await world.connector.cancel("P1")).error_code == "4100"
        assert (await quoting).state is State.ABORTED

    tell(tmp_path, story)


def test_pay_returns_the_end_and_the_same_order_is_the_same_payment(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        paying = [asyncio.create_task(world.connector.pay(WANTED)) for _ in range(3)]
        await world.until("POST", "/transfers")
        path = f"/transfers/{world.payment().transfer_id}"
        assert await world.hub_says("PUT", path, told("COMMITTED")) == 200
        assert {ended.state for ended in await asyncio.gather(*paying)} == {State.COMMITTED}
        assert world.count("POST", "/transfers") == 1

    tell(tmp_path, story)


# --- the states -------------------------------------------------------------------------------------------------------


def test_only_a_confirmation_leads_from_terms_to_money() -> None:
    new = with_changes(NEW, order=with_changes(ORDER, needs_confirmation=True))
    known = follow(Started(), FOUND, offer(), payment=new).payment
    assert known.state is State.AGREED
    for event in (Waited(), Resumed()):
        waiting = step(known, event, NOW + 5, POLICY)
        assert waiting.payment == known
        (wait,) = waiting.actions
        assert isinstance(wait, Wait)
    sent = step(known, Confirmed(), NOW + 5, POLICY)
    assert (sent.payment.state, sent.actions[0]) == (State.PREPARED, Ask.SEND)
    assert step(sent.payment, Confirmed(), NOW + 6, POLICY).payment == sent.payment
    assert step(sent.payment, Cancelled(), NOW + 6, POLICY).payment == sent.payment
    late = replace(POLICY, clock_margin_s=0.0)
    for event in (Confirmed(), Waited(), Resumed()):
        ended = step(known, event, known.terms_expire_at, late).payment
        assert (ended.state, ended.error_code) == (State.ABORTED, "3302")
