"""The connector's Python API: Decimal amounts, lists of payments, and aliases."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as with_changes

from kitovu_connector import (
    AliasRefused,
    AmountError,
    CustomerAlias,
    InvalidRequest,
    Order,
    PartyRef,
    State,
    Terms,
    Unanswered,
    payment_order,
)
from kitovu_connector.alias_registrations import AT_ONCE
from kitovu_connector.orders_and_payments import payment_of, stored_order
from kitovu_connector.payment_record import Payment as StoredPayment
from tests.connector.hub_stub import PAYEE, Scheme, error, scheme, told

PARTY = PartyRef(id_type="MSISDN", id_value=PAYEE)
WANTED = Order(home_id="P1", payer=PARTY, payee=PARTY, amount=Decimal("100.50"), currency="TZS")


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], proof: str = "pinned", **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, proof, **more) as world:
            await story(world)

    asyncio.run(run())


# --- amounts ----------------------------------------------------------------------------------------------------------

RIGHT = [
    (Decimal("15000"), 150_000_000),
    (Decimal("12.50"), 125_000),
    (Decimal("1E+3"), 10_000_000),
    (Decimal("0.0001"), 1),
    (Decimal("99999999999999.9999"), 10**18 - 1),
    ("15000", 150_000_000),
    ("12.50", 125_000),
]
WRONG = [
    *(1.5, 15000.0, 15000, 0, True, None, b"1"),
    *(Decimal("-1"), Decimal("0.00001"), Decimal("NaN"), Decimal("Infinity"), Decimal("100000000000000")),
    *(Decimal("1E+1000000"), Decimal("1E-1000000"), "", "1,000", "-1", "1e3", " 1", "1.", "١"),
]


@pytest.mark.parametrize(("amount", "stored"), RIGHT)
def test_an_amount_is_a_decimal_outside_and_whole_ten_thousandths_inside(amount: Any, stored: int) -> None:
    order = with_changes(WANTED, amount=amount, amount_type="RECEIVE", max_amount=amount, fee_limit=amount)
    assert (order.amount, type(order.amount)) == (Decimal(amount), Decimal)
    kept = stored_order(order)
    assert (kept.amount, kept.max_amount, kept.fee_limit) == (stored, stored, stored)
    terms = Terms(receive_amount=amount, fee=amount, commission=amount)
    assert {terms.receive_amount, terms.fee, terms.commission} == {Decimal(amount)}


@pytest.mark.parametrize("amount", WRONG)
def test_any_other_amount_is_refused(amount: Any) -> None:
    with pytest.raises(AmountError, match="amount: an amount must"):
        with_changes(WANTED, amount=amount)
    with pytest.raises(AmountError):
        Terms(receive_amount=amount)


def test_a_float_is_refused_with_the_remedy() -> None:
    with pytest.raises(AmountError, match=r'must be a Decimal, such as Decimal\("12.50"\), or a text, not float'):
        with_changes(WANTED, amount=0.1)
    with pytest.raises(AmountError, match=r"fee_limit: .* not float"):
        with_changes(WANTED, fee_limit=0.1)


def test_an_order_over_nothing_is_refused(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        with pytest.raises(AmountError, match="above 0"):
            await world.connector.pay(with_changes(WANTED, amount="0.00"))
        assert world.asked == []

    tell(tmp_path, story)


def test_a_payment_shows_decimals(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        payment = await world.connector.quote(WANTED)
        assert (payment.state, payment.waits_for, payment.is_ended) == (State.AGREED, "TERMS", False)
        assert (payment.order, payment.home_id) == (WANTED, "P1")
        assert (payment.transfer_amount, payment.fee) == (Decimal("100.5"), 0)
        assert isinstance(payment.transfer_amount, Decimal)
        assert payment.terms_expire_at is not None
        paying = asyncio.create_task(world.connector.confirm("P1"))
        await world.until("POST", "/transfers")
        (body,) = world.bodies("POST", "/transfers")
        assert body["amount"] == {"currency": "TZS", "amount": "100.5"}
        await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED"))
        paid = await paying
        assert (paid.state, paid.is_ended, paid.waits_for) == (State.COMMITTED, True, None)
        assert paid.changed_at > payment.changed_at
        assert await world.connector.payment("P1") == paid

    tell(tmp_path, story)


def test_every_field_of_an_order_is_stored() -> None:
    """Both forms have the same fields, except for those that only Mojaloop's SDK sets."""
    own, kept = set(Order.__struct_fields__), set(payment_order.Order.__struct_fields__)
    assert own <= kept
    assert kept - own == {
        *("needs_confirmation", "needs_payee_confirmation", "needs_conversion_confirmation", "agreed_transfer")
    }
    assert payment_of(_stored("P1", order=stored_order(WANTED)), 1.0).order == WANTED


WRONG_ORDERS: dict[str, dict[str, Any]] = {
    "no id": {"home_id": ""},
    "a long id": {"home_id": "x" * 129},
    "an id that is a number": {"home_id": 5},
    "a kind of alias that the API does not have": {"payee": PartyRef(id_type="PHONE", id_value="1")},  # type: ignore[arg-type]
    "no payee": {"payee": None},
    "an id that is not text": {"home_id": b"P1"},
    "half of a character": {"note": "\ud800"},
    "a slash in the identifier": {"payee": PartyRef(id_type="ALIAS", id_value="a/b")},
    "a password without a request": {"needs_password": True},
    "a largest amount for a payment that spends an amount": {"max_amount": "200"},
    "a largest amount below the amount": {"amount_type": "RECEIVE", "max_amount": "100"},
    "no lookup and no DFSP": {"skip_lookup": True},
}


@pytest.mark.parametrize("name", WRONG_ORDERS)
def test_an_order_that_cannot_be_stored_begins_nothing(tmp_path: Path, name: str) -> None:
    async def story(world: Scheme) -> None:
        for call in (world.connector.pay, world.connector.quote):
            with pytest.raises(InvalidRequest):
                await call(with_changes(WANTED, **WRONG_ORDERS[name]))
        assert world.asked == []
        assert [payment async for payment in world.connector.payments()] == []

    tell(tmp_path, story)


def test_a_stored_order_of_the_connector_itself_is_no_order(tmp_path: Path) -> None:
    """Its amount is in ten-thousandths."""

    async def story(world: Scheme) -> None:
        with pytest.raises(InvalidRequest, match=r"must be a kitovu_connector\.Order"):
            await world.connector.pay(stored_order(WANTED))  # type: ignore[arg-type]

    tell(tmp_path, story)


# --- lists ------------------------------------------------------------------------------------------------------------


def _stored(home_id: str, **changes: Any) -> StoredPayment:
    order = payment_order.Order(home_id=home_id, payer=PARTY, payee=PARTY, amount=10_000, currency="TZS")
    ids = {name: str(uuid.uuid4()) for name in ("transfer_id", "quote_id", "transaction_id")}
    return StoredPayment(**{"order": order, "created_at": 0.0} | ids | changes)


def test_payments_are_listed_page_by_page_in_the_order_of_their_change(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        connector, store = world.connector, world.connector._store
        names = [f"P{number:03}" for number in range(250)]
        for beginning in range(0, 250, 50):
            part = names[beginning : beginning + 50]
            await asyncio.gather(*(store.add_payment(_stored(name, state=State.ABORTED)) for name in part))
        found = [payment async for payment in connector.payments()]
        assert sorted(payment.home_id for payment in found) == names
        assert [payment.changed_at for payment in found] == sorted(payment.changed_at for payment in found)
        assert {len(page) for page in [page async for page in connector.payment_pages()]} == {100, 50}

        middle = found[120].changed_at
        later = [payment async for payment in connector.payments(since=middle)]
        assert later == [payment for payment in found if payment.changed_at >= middle]
        now = datetime.now(UTC)
        assert [payment async for payment in connector.payments(since=now)] == []
        await store.save_payment(_stored("P007"), _stored("P007", state=State.COMMITTED))
        changed = [payment async for payment in connector.payments(since=now)]
        assert [(payment.home_id, payment.state) for payment in changed] == [("P007", State.COMMITTED)]
        for state in ("COMMITTED", State.COMMITTED):
            assert [payment async for payment in connector.payments(state=state)] == changed
        assert len([payment async for payment in connector.payments(since=middle, state="ABORTED")]) == len(later)
        assert await connector.payment("P007") == changed[0]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "wrong",
    [{"since": datetime(2026, 1, 1)}, {"since": "2026-01-01"}, {"since": True}, {"state": "PAID"}],  # noqa: DTZ001
)
def test_a_list_that_cannot_be_selected_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async def story(world: Scheme) -> None:
        with pytest.raises(InvalidRequest, match=f"{next(iter(wrong))}: must"):
            [payment async for payment in world.connector.payments(**wrong)]

    tell(tmp_path, story)


# --- aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_is_registered_and_withdrawn(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.answers.add("aliases")
        await world.connector.register_alias("MSISDN", "255712001001", currency="TZS")
        await world.connector.register_alias("BUSINESS", "mkate", "till-4")
        await world.connector.withdraw_alias("BUSINESS", "mkate", "till-4")
        assert world.asked == [
            ("POST", "/participants/MSISDN/255712001001", {"fspId": "green", "currency": "TZS"}),
            ("POST", "/participants/BUSINESS/mkate/till-4", {"fspId": "green"}),
            ("DELETE", "/participants/BUSINESS/mkate/till-4", {}),
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("call", ["register_alias", "withdraw_alias"])
def test_the_hubs_refusal_of_an_alias_says_why(tmp_path: Path, call: str) -> None:
    async def story(world: Scheme) -> None:
        calling = asyncio.create_task(getattr(world.connector, call)("MSISDN", "255712001001"))
        method = "POST" if call == "register_alias" else "DELETE"
        await world.until(method, "/participants")
        await world.hub_says("PUT", "/participants/MSISDN/255712001001/error", error("3003"))
        with pytest.raises(AliasRefused) as caught:
            await calling
        assert (caught.value.hub_code, caught.value.hub_text) == ("3003", "no")
        world.refuses[f"{method} /participants"] = (400, "3101")
        with pytest.raises(AliasRefused) as caught:
            await getattr(world.connector, call)("MSISDN", "255712001001")
        assert caught.value.hub_code == "3101"
        world.refuses.clear()
        with pytest.raises(Unanswered, match="2004"):
            await getattr(world.connector, call)("MSISDN", "255712001001")

    tell(tmp_path, story, agree_s=0.5)


def test_many_aliases_are_registered_a_few_at_a_time_and_each_has_its_result(tmp_path: Path) -> None:
    aliases = [CustomerAlias("MSISDN", f"2557120010{number:02}", currency="TZS") for number in range(30)]
    aliases[3] = CustomerAlias("ALIAS", "a/b")
    aliases[4] = replace(aliases[4], currency="TSH")
    aliases[5] = CustomerAlias("PHONE", "1")  # type: ignore[arg-type]

    async def story(world: Scheme) -> None:
        registering = asyncio.create_task(world.connector.register_aliases(iter(aliases)))
        await world.until("POST", "/participants", AT_ONCE)
        await asyncio.sleep(0.3)
        assert world.count("POST", "/participants") == AT_ONCE  # the others wait until one of these has its answer
        world.answers.add("aliases")
        (first, *begun) = [path for _, path, _ in world.asked]
        await world.hub_says("PUT", first + "/error", error("3204"))
        for path in begun:
            await world.hub_says("PUT", path, {"fspId": "green"})
        results = await registering
        assert [result.alias for result in results] == aliases
        failed = {number: result.error for number, result in enumerate(results) if not result.is_registered}
        assert set(failed) == {aliases.index(_alias_at(first)), 3, 4, 5}
        refused = failed.pop(aliases.index(_alias_at(first)))
        assert isinstance(refused, AliasRefused)
        assert refused.hub_code == "3204"
        assert {type(fault) for fault in failed.values()} == {InvalidRequest}
        assert world.count("POST", "/participants") == 27

    tell(tmp_path, story)


def _alias_at(path: str) -> CustomerAlias:
    return CustomerAlias("MSISDN", path.rpartition("/")[2], currency="TZS")


def test_a_faulty_source_of_aliases_raises_its_own_error_and_registers_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        yield CustomerAlias("MSISDN", "255712001001")
        raise OSError("the file of customers cannot be read")

    async def story(world: Scheme) -> None:
        with pytest.raises(OSError, match="file of customers"):
            await world.connector.register_aliases(broken())
        assert world.asked == []

    tell(tmp_path, story)


def test_a_record_of_an_earlier_version_is_still_read() -> None:
    """Its order has the amount between the other fields."""
    raw = msgspec.json.encode(_stored("P1"))
    fields = msgspec.json.decode(raw)
    order = fields["order"]
    amount = order.pop("amount")
    fields["order"] = {"home_id": order.pop("home_id"), "amount": amount} | order
    assert msgspec.json.decode(msgspec.json.encode(fields), type=StoredPayment) == msgspec.json.decode(
        raw, type=StoredPayment
    )
