"""The rules for a prepare have a fixed order. If two rules refuse it, the earlier one is reported and recorded."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from ledger.commands_and_outcomes import PaymentMessage, Prepare, Refusal, Refused, Reserved
from ledger.decide import PREPARE_IS_REFUSED_BY, decide
from ledger.fx.snapshot import ConversionState, Side
from ledger.fx.states import FxState
from ledger.snapshot import AccountState, ParticipantState, Snapshot
from rules.decide import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAYER, PAYEE, FXP = 1, 2, 3
DIGEST = b"digest"


def prepare() -> Prepare:
    """Green pays blue; nothing stands against it."""
    return Prepare(
        "T", PAYER, "green", "blue", "TZS", 10, "c", NOW + timedelta(seconds=9), DIGEST, PaymentMessage(b"", {}, "1.1")
    )


def snapshot() -> Snapshot:
    """Where nothing stands against the prepare, whether green pays it or an FXP in its stead."""
    accounts = {number: AccountState(number, number, "TZS", True, 0, 0, 100, 100) for number in (PAYER, PAYEE, FXP)}
    participants = {
        name: ParticipantState(number, name, True, {"TZS": (number, True)})
        for name, number in (("green", PAYER), ("blue", PAYEE))
    }
    return Snapshot(NOW, 1, "Hub", NOW + timedelta(hours=1), participants, accounts, {})


def conversion(p: Prepare, s: Snapshot) -> ConversionState:
    """The one by which the FXP pays in green's stead; made where there is none yet."""
    return s.conversions.setdefault(
        "C",
        ConversionState(
            commit_request_id="C",
            determining_transfer_id=p.transfer_id,
            side=Side.PAYER,
            initiator_id=PAYER,
            fxp_id=FXP,
            initiator="green",
            fxp="fxp",
            source_currency="KES",
            source_amount=1,
            target_currency="TZS",
            target_amount=10,
            state=FxState.AGREED,
            condition="c",
            expires_at=NOW + timedelta(seconds=9),
            held_until=NOW + timedelta(seconds=9),
            digest=b"",
            version="2.0",
            debit_account_id=PAYER,
            bridge_account_id=FXP,
        ),
    )


def id_of_both(p: Prepare, s: Snapshot) -> None:
    other = conversion(p, Snapshot(NOW, 1, "Hub", NOW, {}, {}, {}))
    other.determining_transfer_id = "another"
    s.conversions[p.transfer_id] = other


def payer_inactive(p: Prepare, s: Snapshot) -> None:
    s.participants["green"].is_active = False


def payer_may_not_send(p: Prepare, s: Snapshot) -> None:
    s.participants["green"].may_send = False


def payee_unknown(p: Prepare, s: Snapshot) -> None:
    s.participants.pop(p.payee)


def payee_inactive(p: Prepare, s: Snapshot) -> None:
    s.participants[p.payee].is_active = False


def payee_may_not_receive(p: Prepare, s: Snapshot) -> None:
    s.participants[p.payee].may_receive = False


def same_party(p: Prepare, s: Snapshot) -> None:
    s.participants[p.payee].id = PAYER


def other_destination(p: Prepare, s: Snapshot) -> None:
    p.destination = "red"


def expired(p: Prepare, s: Snapshot) -> None:
    p.expires_at = NOW


def too_late(p: Prepare, s: Snapshot) -> None:
    s.latest_expiry = NOW - timedelta(seconds=1)


def not_as_quoted(p: Prepare, s: Snapshot) -> None:
    s.not_as_quoted = frozenset({DIGEST})


def payee_account_inactive(p: Prepare, s: Snapshot) -> None:
    s.participants[p.payee].accounts["TZS"] = (PAYEE, False)


def conversion_ended(p: Prepare, s: Snapshot) -> None:
    conversion(p, s).state = FxState.ABORTED


def conversion_not_agreed(p: Prepare, s: Snapshot) -> None:
    conversion(p, s).state = FxState.RESERVED


def conversion_expired(p: Prepare, s: Snapshot) -> None:
    conversion(p, s).held_until = NOW


def conversion_of_other_money(p: Prepare, s: Snapshot) -> None:
    conversion(p, s).target_amount = 11


def fxp_is_payee(p: Prepare, s: Snapshot) -> None:
    conversion(p, s).fxp_id = s.participants[p.payee].id


def fxp_may_not_send(p: Prepare, s: Snapshot) -> None:
    conversion(p, s)
    s.accounts[FXP].may_send = False


def fxp_account_inactive(p: Prepare, s: Snapshot) -> None:
    conversion(p, s)
    s.accounts[FXP].is_active = False


def payer_account_inactive(p: Prepare, s: Snapshot) -> None:
    s.accounts[PAYER].is_active = False


class Refusing:
    """A gate whose rules refuse every transfer."""

    def judge(self, digest: bytes, now: datetime) -> Verdict:
        return Verdict(outcome="REFUSE", code="4240", text="too many")

    def count(self, digest: bytes, now: datetime) -> None:
        raise AssertionError("it was refused")

    def uncount(self, transfer_id: str) -> None:
        raise AssertionError("nothing was aborted")

    def save(self) -> None:
        raise AssertionError("deciding is pure")


def rule_refuses(p: Prepare, s: Snapshot) -> None:
    s.gate = Refusing()


def cover_too_low(p: Prepare, s: Snapshot) -> None:
    for account in s.accounts.values():
        account.cover = 9


def cap_too_low(p: Prepare, s: Snapshot) -> None:
    for account in s.accounts.values():
        account.ndc = 9


CAUSES: dict[Refusal, Callable[[Prepare, Snapshot], None]] = {
    Refusal.ID_IS_OF_BOTH: id_of_both,
    Refusal.PAYER_IS_NOT_ACTIVE: payer_inactive,
    Refusal.PAYER_MAY_NOT_SEND: payer_may_not_send,
    Refusal.PAYEE_IS_UNKNOWN: payee_unknown,
    Refusal.PAYEE_IS_NOT_ACTIVE: payee_inactive,
    Refusal.PAYEE_MAY_NOT_RECEIVE: payee_may_not_receive,
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME: same_party,
    Refusal.DESTINATION_IS_NOT_THE_PAYEE: other_destination,
    Refusal.EXPIRED_ON_ARRIVAL: expired,
    Refusal.EXPIRES_TOO_LATE: too_late,
    Refusal.TERMS_ARE_NOT_THOSE_OF_THE_QUOTE: not_as_quoted,
    Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT: payee_account_inactive,
    Refusal.CONVERSION_HAS_ENDED: conversion_ended,
    Refusal.CONVERSION_IS_NOT_AGREED: conversion_not_agreed,
    Refusal.CONVERSION_EXPIRED: conversion_expired,
    Refusal.CONVERSION_IS_OF_OTHER_MONEY: conversion_of_other_money,
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER: fxp_is_payee,
    Refusal.FXP_MAY_NOT_CONVERT: fxp_may_not_send,
    Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT: fxp_account_inactive,
    Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT: payer_account_inactive,
    Refusal.REFUSED_BY_RULE: rule_refuses,
    Refusal.LIQUIDITY: cover_too_low,
    Refusal.NDC: cap_too_low,
}
# A payee that is not known is neither inactive nor the payer, and lacks a right, an account, or an FXP that it is; a
# conversion is in one state; who pays is either the payer or an FXP.
OF_THE_PAYEE = {
    Refusal.PAYEE_IS_NOT_ACTIVE,
    Refusal.PAYEE_MAY_NOT_RECEIVE,
    Refusal.PAYER_AND_PAYEE_ARE_THE_SAME,
    Refusal.PAYEE_HAS_NO_ACTIVE_ACCOUNT,
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER,
}
OF_A_CONVERSION = {
    Refusal.CONVERSION_HAS_ENDED,
    Refusal.CONVERSION_IS_NOT_AGREED,
    Refusal.CONVERSION_EXPIRED,
    Refusal.CONVERSION_IS_OF_OTHER_MONEY,
    Refusal.FXP_IS_PARTY_OF_THE_TRANSFER,
    Refusal.FXP_MAY_NOT_CONVERT,
    Refusal.FXP_HAS_NO_ACTIVE_ACCOUNT,
}


def never_both(one: Refusal, other: Refusal) -> bool:
    pair = {one, other}
    return (
        (Refusal.PAYEE_IS_UNKNOWN in pair and bool(pair & OF_THE_PAYEE))
        or pair == {Refusal.CONVERSION_HAS_ENDED, Refusal.CONVERSION_IS_NOT_AGREED}
        or (Refusal.PAYER_HAS_NO_ACTIVE_ACCOUNT in pair and bool(pair & OF_A_CONVERSION))
    )


def told(*causes: Refusal) -> Refusal | None:
    """By which rule a prepare is refused that all of these stand against."""
    p, s = prepare(), snapshot()
    for cause in causes:
        CAUSES[cause](p, s)
    (outcome,) = decide([p], s)
    if isinstance(outcome, Reserved):
        return None
    assert isinstance(outcome, Refused)
    return Refusal(outcome.transfer.reason)


def test_nothing_stands_against_a_good_prepare() -> None:
    assert told() is None
    p, s = prepare(), snapshot()
    conversion(p, s)
    assert isinstance(decide([p], s)[0], Reserved)


@pytest.mark.parametrize("rule", PREPARE_IS_REFUSED_BY, ids=lambda rule: rule.value)
def test_each_rule_refuses_by_itself(rule: Refusal) -> None:
    assert told(rule) is rule


PAIRS = [pair for pair in combinations(PREPARE_IS_REFUSED_BY, 2) if not never_both(*pair)]


@pytest.mark.parametrize(("earlier", "later"), PAIRS, ids=lambda rule: rule.value)
def test_of_two_rules_the_earlier_refuses(earlier: Refusal, later: Refusal) -> None:
    assert told(earlier, later) is earlier


# Said of other messages, or of a prepare whose id is taken.
OF_OTHERS = {
    Refusal.ID_WAS_USED_WITH_OTHER_CONTENT,
    Refusal.EXPIRED,
    Refusal.REJECTED_BY_PAYEE,
    Refusal.FULFILMENT_DOES_NOT_MATCH,
    Refusal.FULFILMENT_NAMES_ANOTHER_PAYER,
    Refusal.REFUSED_WHILE_HELD,
    Refusal.ALREADY_ENDED,
    Refusal.ENDS_WITH_ITS_BULK,
    Refusal.NO_ITEM_WAS_RESERVED,
    Refusal.INITIATOR_IS_NOT_ACTIVE,
    Refusal.FXP_IS_UNKNOWN,
    Refusal.FXP_IS_NOT_ACTIVE,
    Refusal.INITIATOR_MAY_NOT_SEND,
    Refusal.INITIATOR_AND_FXP_ARE_THE_SAME,
    Refusal.INITIATOR_HAS_NO_ACTIVE_ACCOUNT,
    Refusal.DESTINATION_IS_NOT_THE_FXP,
    Refusal.TRANSFER_IS_NOT_OPEN,
    Refusal.TRANSFER_IS_OF_OTHER_MONEY,
    Refusal.TRANSFER_IS_CONVERTED_ALREADY,
    Refusal.REJECTED_BY_FXP,
    Refusal.TRANSFER_DID_NOT_COME,
    Refusal.TRANSFER_WAS_ABORTED,
}


def test_every_refusal_is_by_one_of_these_rules_or_about_something_else() -> None:
    assert set(PREPARE_IS_REFUSED_BY) == set(CAUSES)
    assert len(PREPARE_IS_REFUSED_BY) == len(CAUSES)
    assert set(Refusal) - set(PREPARE_IS_REFUSED_BY) == OF_OTHERS
