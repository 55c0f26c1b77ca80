"""Conversions of payers and payees: carried out together with their determining transfers, or not at all.

Invariants I5 to I8, I11 to I13 and I26.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from hub.outbox.models import Message
from ledger import accounts_and_funds, engine, tasks
from ledger.commands_and_outcomes import (
    WIRE,
    Aborted,
    Committed,
    Expire,
    NotObeyed,
    Refusal,
    Refused,
    Repeated,
    Reserved,
)
from ledger.fx.commands_and_outcomes import (
    FxAborted,
    FxAgreed,
    FxIgnored,
    FxNotObeyed,
    FxPrepare,
    FxRefused,
    FxRepeated,
    FxReserved,
    FxUnknown,
)
from ledger.fx.states import API_STATE, FX_NEXT, FX_TERMINAL, LIVE, FxState
from ledger.models import Account, Entry, FxTransfer, FxTransferEvent, Transfer
from tests.fx_world import (
    agreed,
    fx_expire,
    fx_fulfil,
    fx_prepare,
    fx_reject,
    fx_state_of,
    open_scheme,
    positions,
    run,
    told,
)
from tests.keys import OTHER_FULFILMENT
from tests.outbox.messages import deliver_all
from tests.world import World, fulfil, prepare, reject, state_of

NOTHING: dict[str, int] = {}
PAID = {"green TZS": 100, "fxp TZS": -100, "fxp KES": 5, "blue KES": -5}


@pytest.fixture
def scheme(world: World) -> World:
    return open_scheme(world)


def sleep(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def dependent(world: World, conversion: FxPrepare, text: int = 5, **more: Any) -> Any:
    transfer_id = conversion.determining_transfer_id
    return prepare(world, "green", "blue", text, currency="KES", transfer_id=transfer_id, **more)


def refusal_of(conversion: FxPrepare) -> str | None:
    return FxTransfer.objects.values_list("reason", flat=True).get(pk=conversion.commit_request_id)


def test_every_state_of_a_conversion_has_a_word_in_the_api_and_an_end() -> None:
    assert set(API_STATE) == set(FxState)
    for state in LIVE:
        assert {after for (before, _), after in FX_NEXT.items() if before is state} & FX_TERMINAL


# --- the payer converts ---------------------------------------------------------------------------------------------


def test_both_legs_commit_in_one_transaction_and_each_currency_sums_to_zero(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    assert isinstance(run(c), FxReserved)
    assert positions(scheme) == {"green TZS": 100}
    assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxAgreed)
    assert positions(scheme) == {"green TZS": 100}
    t = dependent(scheme, c)
    assert isinstance(run(t), Reserved)
    assert positions(scheme) == {"green TZS": 100, "fxp KES": 5}
    outcome = run(fulfil(scheme, "blue", t.transfer_id))
    assert isinstance(outcome, Committed)
    assert [conversion.commit_request_id for conversion in outcome.conversions] == [c.commit_request_id]
    assert positions(scheme) == PAID
    entries = Entry.objects.filter(window__isnull=False).values_list("kind", "currency", "amount", "transfer_id")
    assert set(entries) == {
        ("TRANSFER", "KES", 50_000, t.transfer_id),
        ("FX_TRANSFER", "TZS", 1_000_000, c.commit_request_id),
    }
    assert not Account.objects.filter(type="POSITION", pending_debits__gt=0).exists()
    assert fx_state_of(c.commit_request_id) == "COMMITTED"
    assert told(c.commit_request_id) == [
        ("fxp", "POST", "fx-prepare"),
        ("green", "PUT", "fx-answer"),
        ("fxp", "PATCH", "fx-end-to-fxp"),
    ]
    assert scheme.breaks() == []


def test_the_payers_limits_hold_for_its_conversions(scheme: World) -> None:
    scheme.onboard("poor", ndc=1000, cover=50)
    beyond_cover = fx_prepare(scheme, str(uuid.uuid4()), initiator="poor", source=("TZS", 51))
    assert isinstance(run(beyond_cover), FxRefused)
    beyond_cap = fx_prepare(scheme, str(uuid.uuid4()), source=("TZS", 1001))
    assert isinstance(run(beyond_cap), FxRefused)
    assert (refusal_of(beyond_cover), refusal_of(beyond_cap)) == ("LIQUIDITY", "NDC")
    codes = [FxTransfer.objects.get(pk=c.commit_request_id).error_code for c in (beyond_cover, beyond_cap)]
    assert codes == ["4001", "4200"]
    assert (told(beyond_cap.commit_request_id), positions(scheme)) == ([("green", "PUT", "fx-end-to-initiator")], {})
    outcomes = engine.run([fx_prepare(scheme, str(uuid.uuid4()), source=("TZS", 600)) for _ in range(2)])
    assert [type(outcome) for outcome in outcomes] == [FxReserved, FxRefused]
    assert scheme.breaks() == []


def test_the_fxps_limits_hold_for_what_it_pays_and_the_payers_money_comes_back(scheme: World) -> None:
    c = agreed(scheme, target=("KES", 1001))
    t = prepare(scheme, "green", "blue", 1001, currency="KES", transfer_id=c.determining_transfer_id)
    assert isinstance(run(t), Refused)
    assert Transfer.objects.get(pk=t.transfer_id).error_code == "4200"
    assert (fx_state_of(c.commit_request_id), refusal_of(c)) == ("ABORTED", "TRANSFER_WAS_ABORTED")
    assert told(c.commit_request_id)[-1] == ("fxp", "PATCH", "fx-end-to-fxp")
    assert positions(scheme) == NOTHING
    assert scheme.breaks() == []


@pytest.mark.parametrize("payee", ["blue", "nobody"])
def test_a_conversion_is_reverted_when_its_transfers_id_turns_out_to_be_anothers(scheme: World, payee: str) -> None:
    c = agreed(scheme)
    # Whoever knows the ID may use it first, for a transfer that is reserved or one that is refused.
    taken = prepare(scheme, "red", payee, 1, transfer_id=c.determining_transfer_id)
    assert isinstance(run(taken), Reserved if payee == "blue" else Refused)
    assert fx_state_of(c.commit_request_id) == "AGREED"
    answer = run(dependent(scheme, c))
    assert isinstance(answer, NotObeyed)
    assert answer.refusal is Refusal.ID_WAS_USED_WITH_OTHER_CONTENT
    assert (fx_state_of(c.commit_request_id), refusal_of(c)) == ("ABORTED", "TRANSFER_WAS_ABORTED")
    assert told(c.commit_request_id)[-1] == ("fxp", "PATCH", "fx-end-to-fxp")
    assert told(c.determining_transfer_id)[-1] == ("green", "PUT", "transfer-refusal")
    assert positions(scheme) == NOTHING
    assert scheme.breaks() == []


def test_a_changed_resend_of_the_payers_own_transfer_leaves_its_conversion_alone(scheme: World) -> None:
    c = agreed(scheme)
    t = dependent(scheme, c)
    assert isinstance(run(t), Reserved)
    assert isinstance(run(dependent(scheme, c, 5, expires_in=61)), NotObeyed)
    assert fx_state_of(c.commit_request_id) == "AGREED"
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == PAID


def ended_by_reject(scheme: World, t: Any) -> object:
    return run(reject(scheme, "blue", t.transfer_id))


def ended_by_misfit(scheme: World, t: Any) -> object:
    return run(fulfil(scheme, "blue", t.transfer_id, fulfilment=OTHER_FULFILMENT))


def ended_by_expiry(scheme: World, t: Any) -> object:
    sleep(0.5)
    return run(Expire(t.transfer_id))


def ended_by_a_late_fulfilment(scheme: World, t: Any) -> object:
    sleep(0.5)
    return run(fulfil(scheme, "blue", t.transfer_id))


@pytest.mark.parametrize("end", [ended_by_reject, ended_by_misfit, ended_by_expiry, ended_by_a_late_fulfilment])
def test_a_transfer_that_is_aborted_reverts_its_conversion(scheme: World, end: Callable[..., object]) -> None:
    c = agreed(scheme)
    t = dependent(scheme, c, expires_in=0.4)
    assert isinstance(run(t), Reserved)
    assert isinstance(end(scheme, t), Aborted)
    assert (state_of(t.transfer_id), fx_state_of(c.commit_request_id)) == ("ABORTED", "ABORTED")
    assert positions(scheme) == NOTHING
    assert told(c.commit_request_id)[-1] == ("fxp", "PATCH", "fx-end-to-fxp")
    last = Message.objects.filter(subject=c.commit_request_id).latest("created_at", "id")
    assert b'"conversionState":"ABORTED"' in bytes(last.body)
    assert scheme.breaks() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": 6}, Refusal.CONVERSION_IS_OF_OTHER_MONEY),
        ({"currency": "TZS", "text": 5}, Refusal.CONVERSION_IS_OF_OTHER_MONEY),
        ({"payee": "other"}, None),
        ({"payee": "fxp"}, Refusal.FXP_IS_PARTY_OF_THE_TRANSFER),
    ],
)
def test_a_conversion_pays_for_its_own_transfer_only(
    scheme: World, changes: dict[str, Any], reason: Refusal | None
) -> None:
    c = agreed(scheme)
    sent = {"payee": "blue", "text": 5, "currency": "KES"} | changes
    outcome = run(prepare(scheme, "green", transfer_id=c.determining_transfer_id, **sent))
    if reason is None:
        assert isinstance(outcome, Reserved)
    else:
        assert isinstance(outcome, Refused)
        assert outcome.transfer.reason == reason.value
        assert positions(scheme) == NOTHING
    assert scheme.breaks() == []


def test_a_transfer_before_its_conversion_is_agreed_is_refused(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    run(c)
    outcome = run(dependent(scheme, c))
    assert isinstance(outcome, Refused)
    assert outcome.transfer.reason == Refusal.CONVERSION_IS_NOT_AGREED.value
    assert positions(scheme) == NOTHING
    assert told(c.commit_request_id)[-1] == ("fxp", "PUT", "fx-end-to-fxp")  # it had not answered
    assert scheme.breaks() == []


@pytest.mark.parametrize("end", ["rejected", "released", "refused"])
def test_a_payer_whose_conversion_has_ended_is_not_charged_in_the_other_currency_instead(
    scheme: World, settings: Any, end: str
) -> None:
    settings.FX_TRANSFER_WAIT_S = 0
    scheme.onboard("green", ndc=1000, cover=1000, currency="KES")
    determining = str(uuid.uuid4())
    if end == "released":
        c = agreed(scheme, determining, expires_in=0.3)
        sleep(0.4)
        assert tasks.expire_transfers() == 1
    else:
        c = fx_prepare(scheme, determining, source=("TZS", 1001 if end == "refused" else 100))
        run(c)
        run(fx_reject(scheme, c.commit_request_id))
    assert fx_state_of(c.commit_request_id) == "ABORTED"
    outcome = run(dependent(scheme, c))
    assert isinstance(outcome, Refused)
    assert outcome.transfer.reason == Refusal.CONVERSION_HAS_ENDED.value
    assert (scheme.position("green", "KES"), positions(scheme)) == (0, NOTHING)
    assert scheme.breaks() == []


def test_anothers_transfer_of_the_same_id_neither_uses_nor_ends_a_conversion(scheme: World) -> None:
    c = agreed(scheme)
    t = prepare(scheme, "red", "blue", 5, transfer_id=c.determining_transfer_id)
    assert isinstance(run(t), Reserved)
    assert positions(scheme) == {"green TZS": 100}
    run(reject(scheme, "blue", t.transfer_id))
    assert fx_state_of(c.commit_request_id) == "AGREED"
    assert scheme.breaks() == []


def test_one_live_conversion_for_a_transfer_and_another_after_it_failed(scheme: World) -> None:
    determining = str(uuid.uuid4())
    first = fx_prepare(scheme, determining)
    run(first)
    second = fx_prepare(scheme, determining, fxp="other")
    assert isinstance(run(second), FxRefused)
    assert refusal_of(second) == Refusal.TRANSFER_IS_CONVERTED_ALREADY.value
    run(fx_reject(scheme, first.commit_request_id))
    third = agreed(scheme, determining, fxp="other")
    t = dependent(scheme, third)
    run(t)
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == {"green TZS": 100, "other TZS": -100, "other KES": 5, "blue KES": -5}
    assert scheme.breaks() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fxp": "grey"}, Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT),
        ({"fxp": "green"}, Refusal.INITIATOR_AND_FXP_ARE_THE_SAME),
        ({"source": ("KES", 5), "target": ("TZS", 100)}, Refusal.INITIATOR_HAS_NO_ACTIVE_ACCOUNT),
        ({"expires_in": -1}, Refusal.EXPIRED_ON_ARRIVAL),
        ({"expires_in": 8 * 24 * 3600}, Refusal.EXPIRES_TOO_LATE),
    ],
)
def test_a_conversion_that_can_not_be_is_refused_and_refused_again(
    scheme: World, changes: dict[str, Any], reason: Refusal
) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()), **changes)
    assert isinstance(run(c), FxRefused)
    assert refusal_of(c) == reason.value
    assert isinstance(run(c), FxRepeated)
    assert (positions(scheme), told(c.commit_request_id)[-1]) == (NOTHING, ("green", "PUT", "fx-end-to-initiator"))
    assert scheme.breaks() == []


def test_an_unknown_or_inactive_fxp_is_refused(scheme: World) -> None:
    from hub.participants import services as participants
    from hub.participants.models import Participant

    unknown = fx_prepare(scheme, str(uuid.uuid4()), fxp="nobody")
    run(unknown)
    participants.set_active(Participant.objects.get(name="fxp"), is_active=False, actor="test")
    inactive = fx_prepare(scheme, str(uuid.uuid4()))
    run(inactive)
    assert refusal_of(unknown) == Refusal.FXP_IS_UNKNOWN.value
    assert refusal_of(inactive) == Refusal.FXP_IS_NOT_ACTIVE.value
    assert scheme.breaks() == []


# --- who is heard, and what comes again -----------------------------------------------------------------------------


def prepared(scheme: World) -> FxPrepare:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    run(c)
    return c


def committed(scheme: World) -> FxPrepare:
    c = agreed(scheme)
    t = dependent(scheme, c)
    run(t)
    run(fulfil(scheme, "blue", t.transfer_id))
    return c


def rejected(scheme: World) -> FxPrepare:
    c = prepared(scheme)
    run(fx_reject(scheme, c.commit_request_id))
    return c


STATES: dict[str, tuple[Callable[[World], FxPrepare], str, dict[str, int]]] = {
    "reserved": (prepared, "RESERVED", {"green TZS": 100}),
    "agreed": (agreed, "AGREED", {"green TZS": 100}),
    "committed": (committed, "COMMITTED", PAID),
    "rejected": (rejected, "ABORTED", NOTHING),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("sender", ["green", "blue", "other", "grey"])
@pytest.mark.parametrize("message", [fx_fulfil, fx_reject])
def test_nobody_but_the_fxp_ends_a_conversion_in_any_state(
    scheme: World, state: str, sender: str, message: Callable[..., Any]
) -> None:
    make, word, where = STATES[state]
    c = make(scheme)
    before = told(c.commit_request_id)
    assert isinstance(run(message(scheme, c.commit_request_id, fxp=sender)), FxUnknown)
    assert (fx_state_of(c.commit_request_id), positions(scheme)) == (word, where)
    assert told(c.commit_request_id) == before


@pytest.mark.parametrize("state", ["agreed", "committed", "rejected"])
def test_what_the_fxp_has_said_it_does_not_unsay(scheme: World, state: str) -> None:
    make, word, where = STATES[state]
    c = make(scheme)
    events = FxTransferEvent.objects.count()
    for other in (
        fx_fulfil(scheme, c.commit_request_id, fulfilment=OTHER_FULFILMENT),
        fx_reject(scheme, c.commit_request_id, text="otherwise"),
    ):
        outcome = run(other)
        assert isinstance(outcome, FxNotObeyed)
        assert WIRE[outcome.refusal][0].code == "3106"
        assert ("fxp", "PUT", "fx-refusal") in told(c.commit_request_id)
    assert (fx_state_of(c.commit_request_id), positions(scheme)) == (word, where)
    assert FxTransferEvent.objects.count() == events
    assert scheme.breaks() == []


@pytest.mark.parametrize("state", STATES)
def test_a_resent_conversion_is_told_its_state_and_not_forwarded_again(scheme: World, state: str) -> None:
    c = STATES[state][0](scheme)
    assert isinstance(run(c), FxRepeated)
    sent = told(c.commit_request_id)
    assert (sent[-1][:2], [kind for _, _, kind in sent].count("fx-prepare")) == (("green", "PUT"), 1)
    assert positions(scheme) == STATES[state][2]


def test_a_repeated_fulfilment_is_taken_and_told_the_end_once_there_is_one(scheme: World) -> None:
    c = agreed(scheme)
    before = told(c.commit_request_id)
    assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxRepeated)
    assert told(c.commit_request_id) == before
    t = dependent(scheme, c)
    run(t)
    run(fulfil(scheme, "blue", t.transfer_id))
    for _ in range(2):  # the end that waits is enough; after it was delivered, it is sent again
        assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxRepeated)
        ends = [sent for sent in told(c.commit_request_id) if sent[0] == "fxp"]
        assert ends.count(("fxp", "PATCH", "fx-end-to-fxp")) == 1
        deliver_all()


@pytest.mark.parametrize("wrong", [{"fulfilment": OTHER_FULFILMENT}, {"fulfilment": None}, {"destination": "blue"}])
def test_a_fulfilment_that_does_not_fit_aborts_and_releases(scheme: World, wrong: dict[str, Any]) -> None:
    c = prepared(scheme)
    assert isinstance(run(fx_fulfil(scheme, c.commit_request_id, **wrong)), FxAborted)
    assert positions(scheme) == NOTHING
    assert told(c.commit_request_id)[1:] == [
        ("green", "PUT", "fx-end-to-initiator"),
        ("fxp", "PATCH", "fx-end-to-fxp"),
    ]
    assert scheme.breaks() == []


# --- time -----------------------------------------------------------------------------------------------------------


def test_a_conversion_without_an_answer_expires_and_both_are_told_3303(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()), expires_in=0.15)
    run(c)
    assert isinstance(run(fx_expire(c.commit_request_id)), FxIgnored)
    sleep(0.2)
    assert tasks.expire_transfers() == 1
    assert (fx_state_of(c.commit_request_id), positions(scheme)) == ("ABORTED", NOTHING)
    assert told(c.commit_request_id)[1:] == [("green", "PUT", "fx-end-to-initiator"), ("fxp", "PUT", "fx-end-to-fxp")]
    for message in Message.objects.filter(subject=c.commit_request_id).exclude(kind="fx-prepare"):
        assert b'"errorCode":"3303"' in bytes(message.body)
    assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxNotObeyed)
    assert told(c.commit_request_id)[-1] == ("fxp", "PATCH", "fx-end-to-fxp")
    assert scheme.breaks() == []


def test_a_late_fulfilment_agrees_to_nothing_whether_or_not_the_sweeper_ran(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()), expires_in=0.15)
    run(c)
    sleep(0.2)
    assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxAborted)
    assert positions(scheme) == NOTHING
    assert scheme.breaks() == []


def test_an_agreed_conversion_waits_past_its_expiration_for_its_transfer(scheme: World) -> None:
    c = agreed(scheme, expires_in=0.3)
    sleep(0.4)
    assert tasks.expire_transfers() == 0
    t = dependent(scheme, c)
    assert isinstance(run(t), Reserved)
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == PAID
    assert scheme.breaks() == []


def test_an_agreed_conversion_is_not_held_for_ever(scheme: World, settings: Any) -> None:
    settings.FX_TRANSFER_WAIT_S = 0
    c, spent = agreed(scheme, expires_in=0.3), agreed(scheme, expires_in=0.3)
    sleep(0.4)
    # What is over is over, whether or not the sweeper ran.
    outcome = run(dependent(scheme, spent))
    assert isinstance(outcome, Refused)
    assert outcome.transfer.reason == Refusal.CONVERSION_EXPIRED.value
    assert tasks.expire_transfers() == 1
    assert (fx_state_of(c.commit_request_id), refusal_of(c)) == ("ABORTED", "TRANSFER_DID_NOT_COME")
    assert told(c.commit_request_id)[-2:] == [
        ("green", "PUT", "fx-end-to-initiator"),
        ("fxp", "PATCH", "fx-end-to-fxp"),
    ]
    assert positions(scheme) == NOTHING
    assert scheme.breaks() == []


def test_an_agreed_conversion_whose_transfer_is_under_way_ends_with_that(scheme: World, settings: Any) -> None:
    settings.FX_TRANSFER_WAIT_S = 0
    c = agreed(scheme, expires_in=0.3)
    t = dependent(scheme, c)
    run(t)
    sleep(0.4)
    assert tasks.expire_transfers() == 0
    assert isinstance(run(fx_expire(c.commit_request_id)), FxIgnored)
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == PAID
    assert scheme.breaks() == []


def test_a_hub_that_holds_a_conversion_for_ever_is_found(scheme: World) -> None:
    agreed(scheme)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE ledger_fxtransfer DISABLE TRIGGER USER")
        cursor.execute("UPDATE ledger_fxtransfer SET held_until = now() - interval '1 minute'")
        cursor.execute("ALTER TABLE ledger_fxtransfer ENABLE TRIGGER USER")
    assert scheme.breaks() == ["no_conversion_is_held_for_ever"]
    assert tasks.expire_transfers() == 1
    assert scheme.breaks() == []


# --- the payee converts ---------------------------------------------------------------------------------------------


def paid_in_tzs(scheme: World, **more: Any) -> Any:
    t = prepare(scheme, "green", "blue", 100, **more)
    run(t)
    return t


def test_a_payee_converts_what_it_is_paid(scheme: World) -> None:
    t = paid_in_tzs(scheme)
    c = fx_prepare(scheme, t.transfer_id, initiator="blue")
    assert isinstance(run(c), FxReserved)
    assert positions(scheme) == {"green TZS": 100, "fxp KES": 5}
    run(fx_fulfil(scheme, c.commit_request_id))
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == PAID
    assert told(c.commit_request_id)[-1] == ("fxp", "PATCH", "fx-end-to-fxp")
    assert scheme.breaks() == []


def test_a_transfer_is_not_fulfilled_before_its_payees_conversion_is_agreed(scheme: World) -> None:
    t = paid_in_tzs(scheme)
    c = fx_prepare(scheme, t.transfer_id, initiator="blue")
    run(c)
    outcome = run(fulfil(scheme, "blue", t.transfer_id))
    assert isinstance(outcome, NotObeyed)
    assert outcome.refusal is Refusal.CONVERSION_IS_NOT_AGREED
    assert (state_of(t.transfer_id), positions(scheme)) == ("RESERVED", {"green TZS": 100, "fxp KES": 5})
    run(fx_fulfil(scheme, c.commit_request_id))
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert scheme.breaks() == []


def test_a_payee_whose_fxp_refuses_may_ask_another_or_take_what_it_is_paid(scheme: World) -> None:
    t = paid_in_tzs(scheme)
    first = fx_prepare(scheme, t.transfer_id, initiator="blue")
    run(first)
    run(fx_reject(scheme, first.commit_request_id))
    assert state_of(t.transfer_id) == "RESERVED"
    second = fx_prepare(scheme, t.transfer_id, initiator="blue", fxp="other")
    assert isinstance(run(second), FxReserved)
    run(fx_reject(scheme, second.commit_request_id, fxp="other"))
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == {"green TZS": 100, "blue TZS": -100}
    assert scheme.breaks() == []


def test_a_payees_conversion_is_reverted_with_its_transfer(scheme: World) -> None:
    for answer in (True, False):
        t = paid_in_tzs(scheme)
        c = fx_prepare(scheme, t.transfer_id, initiator="blue")
        run(c)
        if answer:
            run(fx_fulfil(scheme, c.commit_request_id))
        run(reject(scheme, "blue", t.transfer_id))
        assert (fx_state_of(c.commit_request_id), positions(scheme)) == ("ABORTED", NOTHING)
        assert told(c.commit_request_id)[-1] == ("fxp", "PATCH" if answer else "PUT", "fx-end-to-fxp")
    assert scheme.breaks() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"initiator": "other"}, Refusal.TRANSFER_IS_NOT_OPEN),
        ({"initiator": "green"}, Refusal.TRANSFER_IS_NOT_OPEN),
        ({"source": ("TZS", 99)}, Refusal.TRANSFER_IS_OF_OTHER_MONEY),
        ({"fxp": "green"}, Refusal.FXP_IS_PARTY_OF_THE_TRANSFER),
    ],
)
def test_a_transfer_that_is_there_is_converted_by_its_payee_only(
    scheme: World, changes: dict[str, Any], reason: Refusal
) -> None:
    t = paid_in_tzs(scheme)
    c = fx_prepare(scheme, t.transfer_id, **({"initiator": "blue"} | changes))
    assert isinstance(run(c), FxRefused)
    assert refusal_of(c) == reason.value
    assert positions(scheme) == {"green TZS": 100}
    assert scheme.breaks() == []


def test_a_transfer_that_has_ended_is_not_converted(scheme: World) -> None:
    t = paid_in_tzs(scheme)
    run(fulfil(scheme, "blue", t.transfer_id))
    c = fx_prepare(scheme, t.transfer_id, initiator="blue")
    assert isinstance(run(c), FxRefused)
    assert refusal_of(c) == Refusal.TRANSFER_IS_NOT_OPEN.value


def test_both_sides_convert_through_a_currency_between_them(scheme: World) -> None:
    """The payer's FXP gives KES for TZS, and the payee's gives USD for KES."""
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=account_type, currency="USD", actor="test")
    for name in ("other", "blue"):
        scheme.onboard(name, ndc=1000, cover=1000, currency="USD")
    mine = agreed(scheme)
    t = dependent(scheme, mine)
    run(t)
    theirs = fx_prepare(scheme, t.transfer_id, initiator="blue", fxp="other", source=("KES", 5), target=("USD", 1))
    assert isinstance(run(theirs), FxReserved)
    run(fx_fulfil(scheme, theirs.commit_request_id, fxp="other"))
    assert isinstance(run(fulfil(scheme, "blue", t.transfer_id)), Committed)
    assert positions(scheme) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 5, "other KES": -5}
    assert (scheme.position("other", "USD"), scheme.position("blue", "USD")) == (10_000, -10_000)
    assert scheme.breaks() == []


# --- ids, groups, statements ----------------------------------------------------------------------------------------


def test_a_transfer_and_a_conversion_never_have_the_same_id(scheme: World) -> None:
    c = prepared(scheme)
    outcome = run(prepare(scheme, "green", "blue", 1, transfer_id=c.commit_request_id))
    assert isinstance(outcome, Refused)
    assert outcome.transfer.reason == Refusal.ID_IS_OF_BOTH.value
    t = paid_in_tzs(scheme)
    second = fx_prepare(scheme, str(uuid.uuid4()), commit_request_id=t.transfer_id)
    assert isinstance(run(second), FxRefused)
    assert refusal_of(second) == Refusal.ID_IS_OF_BOTH.value


def test_equal_conversions_in_one_group_have_one_effect(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    outcomes = engine.run([c, c, c])
    assert [type(outcome) for outcome in outcomes] == [FxReserved, FxRepeated, FxRepeated]
    assert positions(scheme) == {"green TZS": 100}


def test_an_answer_and_the_transfer_that_waited_for_it_may_be_one_group(scheme: World) -> None:
    for misfit in (False, True):
        c = prepared(scheme)
        t = dependent(scheme, c, 5 + misfit)
        outcomes = engine.run([fx_fulfil(scheme, c.commit_request_id), t])
        assert [type(outcome) for outcome in outcomes] == [FxAgreed, Refused if misfit else Reserved]
        assert scheme.breaks() == []


@pytest.mark.parametrize("size", [1, 5, 40])
def test_the_number_of_statements_about_conversions_does_not_depend_on_the_size_of_the_group(
    scheme: World, size: int
) -> None:
    import hub.sql_execution
    from ledger import store
    from ledger.fx import store as fx_store

    statements: list[str] = []

    def counting(statement: str, parameters: Any = ()) -> Any:
        statements.append(statement)
        return hub.sql_execution.execute(statement, parameters)

    def cost(commands: list[Any]) -> int:
        statements.clear()
        engine.run(commands)
        return len(statements)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "execute", counting)
        patched.setattr(fx_store, "execute", counting)
        conversions = [fx_prepare(scheme, str(uuid.uuid4()), source=("TZS", 1), target=("KES", 1)) for _ in range(size)]
        transfers = [
            prepare(scheme, "green", "blue", 1, currency="KES", transfer_id=c.determining_transfer_id)
            for c in conversions
        ]
        assert cost(list(conversions)) == 11
        assert cost([fx_fulfil(scheme, c.commit_request_id) for c in conversions]) == 5
        assert cost(list(transfers)) == 9
        assert cost([fulfil(scheme, "blue", t.transfer_id) for t in transfers]) == 12
    assert Transfer.objects.filter(state="COMMITTED").count() == size


def test_a_resent_transfer_that_depends_on_a_conversion_is_told_its_state(scheme: World) -> None:
    c = agreed(scheme)
    t = dependent(scheme, c)
    run(t)
    assert isinstance(run(t), Repeated)
    run(fulfil(scheme, "blue", t.transfer_id))
    assert isinstance(run(t), Repeated)
    assert positions(scheme) == PAID


def test_time_is_the_databases(scheme: World) -> None:
    import time_machine

    c = fx_prepare(scheme, str(uuid.uuid4()), expires_in=5)
    with time_machine.travel(time.time() + 600, tick=True):
        assert isinstance(run(c), FxReserved)
        assert tasks.expire_transfers() == 0
        assert isinstance(run(fx_fulfil(scheme, c.commit_request_id)), FxAgreed)
