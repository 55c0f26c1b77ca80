"""The checkers of a chaos run find what they are there for. One that never fails would prove nothing."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.faults.checkers import Findings, Row, _check_payment
from tests.faults.dfsps import Scheme
from tests.faults.history import Fault, History, Payment
from tests.faults.model import Account, Event, Model

GOOD = Payment(
    id="T",
    payer="green",
    payee="blue",
    amount=5,
    plan="pay",
    twist="",
    expires_at=0.0,
    request=b"",
    post_answers=[202],
    put_answers=[200],
    prepares=1,
    payer_heard=["COMMITTED"],
)
ROW = Row("T", "COMMITTED", "green", "blue", 50_000, True, False, None)


def found(payment: Payment, row: Row | None) -> dict[str, int]:
    findings = Findings()
    _check_payment(payment, row, findings)
    return {name: len(told) for name, told in vars(findings).items() if told}


def test_a_payment_that_all_agree_on_is_well() -> None:
    assert found(GOOD, ROW) == {}


@pytest.mark.parametrize(
    ("payment", "row", "kinds"),
    [
        (GOOD, None, {"lost"}),  # acknowledged, and not in the database
        (replace(GOOD, payer_heard=[]), ROW, {"lost"}),  # the payer was never told
        (replace(GOOD, payer_heard=["COMMITTED", "error 3303"]), ROW, {"doubled", "lost"}),
        (replace(GOOD, payer_heard=["error 3303"]), ROW, {"doubled", "lost"}),
        (replace(GOOD, prepares=0), ROW, {"lost"}),
        (replace(GOOD, put_answers=[0, 503]), ROW, {"lost"}),  # the payee does not know that it was paid
        (GOOD, replace(ROW, amount=60_000), {"broken"}),
        (GOOD, replace(ROW, payee="red"), {"broken"}),
        (GOOD, replace(ROW, state="RESERVED"), {"stuck"}),
        (replace(GOOD, plan="patch"), replace(ROW, wants_patch=True), {"lost"}),  # it waits for a PATCH
        (replace(GOOD, payer_heard=["error 3303"]), replace(ROW, state="ABORTED"), {"lost"}),  # payee not told
        (replace(GOOD, plan="silent", put_answers=[]), ROW, {"lost"}),  # nobody fulfilled it
    ],
)
def test_what_is_wrong_is_found(payment: Payment, row: Row | None, kinds: set[str]) -> None:
    assert set(found(payment, row)) == kinds


def test_a_refusal_of_a_changed_resend_is_no_second_end() -> None:
    assert found(replace(GOOD, payer_heard=["COMMITTED", "error 3106"]), ROW) == {}


def event(moment: int, state: str, transfer: str = "T", *, amount: int = 10, was_reserved: bool = True) -> Event:
    return Event(moment, transfer, state, "green", "blue", amount, was_reserved)


def replayed(*events: Event) -> Model:
    model = Model({"green": Account(15), "blue": Account(15)})
    model.replay(events)
    return model


def test_a_history_is_replayed_to_its_balances() -> None:
    model = replayed(event(1, "RESERVED"), event(2, "COMMITTED"), event(3, "ABORTED", "U", was_reserved=False))
    assert model.faults == []
    assert (model.accounts["green"].position, model.accounts["blue"].position) == (10, -10)


@pytest.mark.parametrize(
    "events",
    [
        [event(1, "RESERVED"), event(2, "RESERVED", "U")],  # above the limit
        [event(1, "RESERVED"), event(2, "RESERVED")],
        [event(1, "COMMITTED")],
        [event(1, "RESERVED"), event(2, "COMMITTED"), event(3, "COMMITTED")],
        [event(1, "RESERVED"), event(2, "COMMITTED"), event(3, "ABORTED")],
        [event(1, "ABORTED")],  # it says that it was reserved, and there is no reservation
    ],
)
def test_a_history_that_breaks_a_rule_is_found(events: list[Event]) -> None:
    assert replayed(*events).faults


def test_within_one_transaction_a_release_makes_room() -> None:
    events = [event(1, "RESERVED"), event(2, "RESERVED", "U"), event(2, "ABORTED")]
    assert replayed(*events).faults == []


def test_dfsps_are_through_only_when_what_they_began_meanwhile_is_done_too() -> None:
    scheme, done = Scheme(["green", "blue"], [1, 2], "127.0.0.1", 1, seed=1), []

    async def be_asked(times: int) -> None:
        await asyncio.sleep(0.05)
        done.append(times)
        if times > 1:
            scheme.start(be_asked(times - 1))

    async def begin() -> None:
        scheme.start(be_asked(3))

    scheme._thread.start()
    scheme.do(begin())
    assert scheme.do(scheme.settle_down(5))
    assert done == [3, 2, 1]
    scheme.do(begin())
    assert not scheme.do(scheme.settle_down(0.02))


def test_a_fault_is_over_when_a_request_is_taken_that_was_sent_after_it() -> None:
    history = History()
    history._taken = [(2.0, 1.0), (5.0, 0.5), (6.0, 5.5)]
    history.faults = [Fault("early", 0.5, 0.7), Fault("late", 3.0, 4.0), Fault("last", 7.0, 7.0)]
    assert history.recovery_times() == [pytest.approx(1.3), pytest.approx(2.0), float("inf")]


def test_a_lag_belongs_to_the_latest_fault_that_had_begun_or_was_about_to() -> None:
    history = History()
    history.faults = [Fault("early", 10.0, 11.0), Fault("late", 20.0, 21.0), Fault("last", 30.0, 30.0)]
    wall = time.time() - time.monotonic()
    asked = {9.0: 9.0, 9.8: 3.0, 12.0: 0.5, 19.7: 2.0, 25.0: 1.0}  # when there was a 202, and how much later
    for number, (at, lag) in enumerate(asked.items()):
        history.payments[str(number)] = replace(GOOD, acknowledged_at=wall + at, asked_at=wall + at + lag)
    assert history.prepare_lags() == [pytest.approx(3.0), pytest.approx(2.0), 0.0]
    history.payments = {
        "told": replace(GOOD, plan="silent", expires_at=wall + 22, told_at=wall + 22.7),
        "refused before": replace(GOOD, plan="silent", expires_at=wall + 32, told_at=wall + 31),
        "paid": replace(GOOD, expires_at=wall + 12, told_at=wall + 13),
    }
    assert history.expiry_lags() == [0.0, pytest.approx(0.7), 0.0]
