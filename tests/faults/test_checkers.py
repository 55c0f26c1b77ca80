"""The checkers of a chaos run find what they are there for. One that never fails would prove nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bench import messages
from bench.http_parser import Message, Reader, header
from rules.language.checks_of_well_formed_rules import accept
from rules.language.compile import compile_rules
from tests.faults import rules
from tests.faults.checkers import LATE_S, Findings, Row, _check_payment, harmed
from tests.faults.dfsps import Scheme
from tests.faults.history import Fault, History, Misbehaviour, Payment
from tests.faults.ledger_model import Account, Event, Model
from tests.faults.quotes import Quote, check_quote
from tests.faults.rules import Hold

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


def held(state: str, *, ended_s: float | None = 2.0) -> Row:
    """The transfer as the hub has it, and held for a time from moment 100 on."""
    began = datetime.fromtimestamp(100.0, UTC)
    hold = Hold(state, began, None if ended_s is None else began + timedelta(seconds=ended_s))
    is_released = state == "RELEASED"
    return replace(
        ROW, state="COMMITTED" if is_released else "ABORTED", reason="" if is_released else "EXPIRED", hold=hold
    )


NEVER_SENT = replace(GOOD, prepares=0, put_answers=[], payer_heard=["error 3303"])


@pytest.mark.parametrize(
    ("payment", "row", "kinds"),
    [
        (replace(GOOD, asked_at=102.1), held("RELEASED"), set()),
        (NEVER_SENT, held("ENDED"), set()),
        (replace(GOOD, asked_at=101.0), held("RELEASED"), {"broken"}),  # asked while it was held
        (replace(GOOD, prepares=0), held("RELEASED"), {"lost"}),
        (replace(NEVER_SENT, prepares=1), held("ENDED"), {"broken"}),
        (replace(NEVER_SENT, payee_heard=["error 3303"]), held("ENDED"), {"broken"}),
        (replace(GOOD, asked_at=102.1), held("HELD", ended_s=None), {"stuck", "lost", "doubled"}),
        (NEVER_SENT, replace(held("ENDED"), was_reserved=False), {"broken"}),
    ],
)
def test_a_held_transfer_reaches_its_payee_after_its_release_or_never(
    payment: Payment, row: Row, kinds: set[str]
) -> None:
    assert set(found(payment, row)) == kinds


def test_a_hold_is_no_harm() -> None:
    history = History()
    history.payments["T"] = replace(GOOD, begun_at=100.0, acknowledged_at=100.0, asked_at=100.0 + LATE_S + 1)
    history.misbehaviours.append(Misbehaviour("any", frozenset({"red"}), 90.0, 110.0))
    assert len(harmed(history)) == 1
    assert harmed(history, {"T": 2.0}) == []


@pytest.mark.parametrize("whole_payments", [False, True])
def test_the_rules_of_a_run_are_ones_that_the_hub_accepts(whole_payments: bool) -> None:
    rule_set = accept(rules.document(["hot", "blue", "red", "tight"], whole_payments=whole_payments))
    assert {type(rule.action).__name__ for rule in rule_set.rules} == {"Refuse", "Hold", "Alert"}
    assert any(need.exact for need in compile_rules(rule_set, "transfer").needs)


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


# --- one that misbehaves harms nobody else ----------------------------------------------------------------------------

WELL = replace(GOOD, begun_at=105.0, acknowledged_at=105.1, asked_at=105.2, told_at=105.3)


@pytest.mark.parametrize(
    ("payment", "said"),
    [
        (WELL, ""),
        (replace(WELL, post_answers=[503, 202]), "its POST was answered [503]"),
        (replace(WELL, post_answers=[429]), "its POST was answered [429]"),
        (replace(WELL, asked_at=105.1 + LATE_S + 1), "its payee was asked 6.0 s later"),
        (replace(WELL, told_at=105.1 + 2 * LATE_S + 1), "its payer was told 11.0 s later"),
        (replace(WELL, told_at=105.1 + 2 * LATE_S + 1, plan="late"), ""),  # that is what its payee does
        (replace(WELL, post_answers=[503, 202], payer="rogue"), ""),
        (replace(WELL, post_answers=[503, 202], payee="rogue"), ""),
        (replace(WELL, post_answers=[503, 202], begun_at=99.9), ""),
        (replace(WELL, post_answers=[503, 202], begun_at=110.0), ""),
        (replace(WELL, post_answers=[], begun_at=0.0), ""),  # its payee was not found
    ],
)
def test_a_payment_is_harmed_that_waits_or_is_refused_while_another_misbehaves(payment: Payment, said: str) -> None:
    history = History()
    history.misbehaviours = [Misbehaviour("a poisoned queue", frozenset({"rogue"}), 100.0, 110.0)]
    history.payments["T"] = payment
    assert harmed(history) == ([f"T of green and blue, a poisoned queue: {said}"] if said else [])


def callback(start: str, source: str) -> Message:
    return Message(start.encode(), b"FSPIOP-Source: " + source.encode(), b"{}")


def scheme_of_two() -> Scheme:
    return Scheme(["green", "blue"], [1, 2], "127.0.0.1", 1, seed=1, rogue_port=3)


@pytest.mark.parametrize(("liar", "said"), [("rogue", "found"), ("rogue", "refused"), ("green", "found")])
def test_a_payment_is_diverted_where_a_stranger_answers_its_lookup_first(liar: str, said: str) -> None:
    scheme = scheme_of_two()
    alias = scheme.aliases("blue")[0]
    payment = replace(GOOD, alias=alias)
    answers = [(liar, said), ("blue", "found")]

    def hub(request: bytes, answered: Callable[[int], None]) -> None:
        source, word = answers.pop(0)
        path = f"/parties/MSISDN/{alias}" + "/error" * (word == "refused")
        assert scheme.dfsps["green"].take(callback(f"PUT {path} HTTP/1.1", source)).startswith(b"HTTP/1.1 200")
        answered(202)

    scheme._send = hub  # type: ignore[method-assign]
    scheme._thread.start()
    assert scheme.do(scheme._find(payment))
    assert answers == []
    assert scheme.history.diverted == {"T": f"green was told {said} by {liar}"}


def test_a_lookup_that_only_the_payee_answers_diverts_nothing() -> None:
    scheme = scheme_of_two()
    payment = replace(GOOD, alias=scheme.aliases("blue")[0])

    def hub(request: bytes, answered: Callable[[int], None]) -> None:
        scheme.dfsps["green"].take(callback(f"PUT /parties/MSISDN/{payment.alias}/error HTTP/1.1", "Hub"))
        scheme.dfsps["green"].take(callback(f"PUT /parties/MSISDN/{payment.alias} HTTP/1.1", "rogue"))  # too late
        scheme._send = payee  # type: ignore[method-assign]
        answered(202)

    def payee(request: bytes, answered: Callable[[int], None]) -> None:
        scheme.dfsps["green"].take(callback(f"PUT /parties/MSISDN/{payment.alias} HTTP/1.1", "blue"))
        answered(202)

    scheme._send = hub  # type: ignore[method-assign]
    scheme._thread.start()
    assert scheme.do(scheme._find(payment))
    assert scheme.history.diverted == {}


@pytest.mark.parametrize("path", ["/transactions/T", "/transactions/T/error", "/authorizations/T"])
def test_a_payment_is_ended_by_a_stranger_who_answers_about_it(path: str) -> None:
    scheme = scheme_of_two()
    scheme.history.payments["T"] = GOOD
    green = scheme.dfsps["green"]
    green.take(callback(f"PUT {path} HTTP/1.1", "blue"))
    green.take(callback(f"PUT {path.replace('T', 'U')} HTTP/1.1", "rogue"))
    assert scheme.history.diverted == {}
    green.take(callback(f"PUT {path} HTTP/1.1", "rogue"))
    assert scheme.history.diverted == {"T": f"rogue ended it at green by PUT /{path.split('/')[1]}"}


def test_one_that_answers_501_takes_transfers_and_nothing_else() -> None:
    scheme = scheme_of_two()
    scheme.history.payments["T"] = replace(GOOD, payer_heard=[])
    green = scheme.dfsps["green"]
    green.temper = "501"
    assert b" 501 " in green.take(callback("GET /parties/MSISDN/1 HTTP/1.1", "blue"))
    assert b" 501 " in green.take(callback("GET /transactions/U HTTP/1.1", "rogue"))
    assert b" 200 " in green.take(Message(b"PUT /transfers/T HTTP/1.1", b"", b'{"transferState":"COMMITTED"}'))
    assert scheme.history.payments["T"].payer_heard == ["COMMITTED"]


def test_what_the_rogue_sends_is_what_the_hub_reads() -> None:
    scheme, seen = scheme_of_two(), []
    rogue = scheme.rogue
    assert rogue is not None
    scheme.history.payments["b51ec534-ee48-4575-b6a9-ead2955b8069"] = replace(
        GOOD, id="b51ec534-ee48-4575-b6a9-ead2955b8069", begun_at=1.0, payer_heard=[]
    )

    def hub(request: bytes, answered: Callable[[int], None]) -> None:
        (message,) = Reader().feed(request)
        seen.append((message.start.decode(), header(message.head, b"fspiop-destination")))
        answered(500 if b"/authorizations" in message.start else 202)

    scheme._send = hub  # type: ignore[method-assign]
    scheme._thread.start()
    scheme.do(rogue.answer_unasked())
    about_aliases = [to for start, to in seen if start.startswith("PUT /parties/")]
    assert Counter(about_aliases) == {b"green": 4, b"blue": 4}  # two aliases of the other, found and not found
    assert [to for start, to in seen if "b51ec534" in start] == [b"green"] * 4
    assert len(scheme.history.strange) == 2  # an answer that a hub must never give
    seen.clear()
    scheme.do(rogue.poll(5))
    assert len({start for start, _ in seen}) == 5
    scheme.do(rogue.poll(5, by="mute", of="b51ec534-ee48-4575-b6a9-ead2955b8069"))
    assert {start for start, _ in seen[5:]} == {"GET /transfers/b51ec534-ee48-4575-b6a9-ead2955b8069 HTTP/1.1"}


PACKETS = messages.pool("green", "blue")
CONDITION, OTHER = (packet.condition.decode() for packet in PACKETS[:2])
AGREED = Quote(
    "Q", "green", "blue", "terms", "", PACKETS[0], 100.0, [202], asked=1, answers=[(50.0, 200)], told=[CONDITION]
)
ACCEPTED, EXPIRED, REJECTED = ((state, "green", "blue") for state in ("ACCEPTED", "EXPIRED", "REJECTED"))


def found_in(quote: Quote, row: tuple[str, str, str] | None) -> dict[str, int]:
    findings = Findings()
    check_quote(quote, row, findings)
    return {name: len(told) for name, told in vars(findings).items() if told}


@pytest.mark.parametrize(
    ("quote", "row"),
    [
        (AGREED, ACCEPTED),
        (
            replace(AGREED, told=[CONDITION, CONDITION, "error 3106"]),
            ACCEPTED,
        ),  # a copy, and a changed resend's refusal
        (replace(AGREED, answers=[], told=["error 3302"]), EXPIRED),
        (replace(AGREED, answers=[(101.0, 400)], told=["error 3302"]), EXPIRED),  # it came too late
        (replace(AGREED, post_answers=[0, 503], asked=0, answers=[], told=[]), None),  # the hub never took it
    ],
)
def test_a_quote_that_all_agree_on_is_well(quote: Quote, row: tuple[str, str, str] | None) -> None:
    assert found_in(quote, row) == {}


@pytest.mark.parametrize(
    ("quote", "row", "kinds"),
    [
        (AGREED, None, {"lost"}),  # acknowledged, and not in the database
        (replace(AGREED, told=[]), ACCEPTED, {"lost"}),
        (replace(AGREED, told=[CONDITION, "error 3302"]), ACCEPTED, {"doubled"}),  # two answers to one question
        (replace(AGREED, told=[CONDITION, OTHER]), ACCEPTED, {"doubled"}),
        (replace(AGREED, told=[OTHER]), ACCEPTED, {"broken"}),
        (AGREED, REJECTED, {"doubled"}),
        (replace(AGREED, told=["error 3302"]), EXPIRED, {"lost"}),  # the payee's answer had been taken
        (replace(AGREED, answers=[(50.0, 400)], told=["error 3302"]), EXPIRED, {"broken"}),  # it came in time
        (AGREED, ("PENDING", "green", "blue"), {"stuck", "doubled", "lost"}),
        (AGREED, ("ACCEPTED", "green", "red"), {"broken"}),
    ],
)
def test_what_is_wrong_with_a_quote_is_found(quote: Quote, row: tuple[str, str, str] | None, kinds: set[str]) -> None:
    assert set(found_in(quote, row)) == kinds
