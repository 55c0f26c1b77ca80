"""Continues settlements, aborts settlements, and ends holds on liquidity cover."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from ledger import accounts_and_funds as ledger
from ledger.models import Account, CoverHold
from ledger.settlement_funds_in_and_out import TooLittle
from portal.changes.change_kind import (
    CanNotBeDone,
    Kind,
    Line,
    Outdated,
    Payload,
    must_still_be,
    participant_named,
    told_amount,
)
from portal.permissions import Right
from portal.queries.positions import standings
from portal.words import states
from settlement import services
from settlement.change_request_terms import evidence_of, is_any_owed, terms, wishes_of
from settlement.decide import Answer, Refusal
from settlement.models import Settlement, SettlementAccount, Statement, StatementLine
from settlement.services import bank_payments
from settlement.states import State

_CAN_NOT = {
    Refusal.NO_STEP: gettext_lazy("The accounts of this settlement cannot take this step in their present state."),
    Refusal.ABOVE_CAP: gettext_lazy(
        "%(name)s has already spent the amount that it receives in this settlement. Its position would exceed its net "
        "debit cap, so raise the cap first."
    ),
    Refusal.ABOVE_COVER: gettext_lazy(
        "%(name)s has already spent the amount that it receives in this settlement. Its position would exceed its "
        "cover, so record its funds in first."
    ),
}
_MOST_SHOWN = 20


def _locked(payload: Payload) -> Settlement:
    found = Settlement.objects.select_for_update(no_key=True).filter(pk=payload["settlement"]).first()
    if found is None:
        raise CanNotBeDone(_("This settlement does not exist."))
    must_still_be(found.state, payload["before"])
    return found


def _evidence(payload: Payload) -> list[Line]:
    if payload["to"] != State.SETTLED:
        return []
    if not any(amount for _currency, amount in payload["owed"]):
        return [Line(_("Bank's statement"), _("none needed: all net amounts are zero"))]
    found = payload.get("statement")
    if found is None:
        return [
            Line(_("Bank's statement"), _("none uploaded")),
            Line(_("Reason for settling without a statement"), payload.get("without_statement") or "–"),
        ]
    told = (
        _("statement %(number)s; every line matches an expected payment")
        if found["is_exact"]
        else _("statement %(number)s, which does not match")
    )
    return [Line(_("Bank's statement"), told % {"number": found["id"]}), Line("SHA-256", found["sha256"])]


def _describe(payload: Payload) -> list[Line]:
    return [
        *_terms(payload),
        *_evidence(payload),
    ]


def _terms(payload: Payload) -> list[Line]:
    return [
        Line(_("Settlement"), payload["settlement"]),
        Line(_("Windows"), ", ".join(str(window) for window in payload["windows"])),
        Line(_("Before"), states.word_of(payload["before"])),
        Line(_("After"), states.word_of(payload["to"])),
        *(Line(_("Net senders pay"), amount, currency) for currency, amount in payload["owed"]),
    ]


def _references(statement: dict[str, Any] | None) -> dict[int, str]:
    """Returns the bank's reference for each account. Raises CanNotBeDone if the statement does not match the
    settlement.
    """
    if statement is None:
        return {}  # two people confirmed that the bank statement is missing, and confirmed the reason
    if not statement["is_exact"]:
        raise CanNotBeDone(_("The bank's last statement does not match this settlement."))
    lines = StatementLine.objects.filter(statement_id=statement["id"], account__isnull=False)
    return {
        account: bank_reference or reference
        for account, bank_reference, reference in lines.values_list("account_id", "bank_reference", "reference")
    }


def _checked_references(payload: Payload, settlement: Settlement) -> dict[int, str]:
    """If the settlement changes to SETTLED and the bank must move money, returns the bank's references. Raises
    CanNotBeDone if the statement does not match."""
    if payload["to"] != State.SETTLED or not is_any_owed(settlement):
        return {}
    must_still_be(evidence_of(settlement), payload.get("statement"))
    if payload.get("statement") is None and not payload.get("without_statement"):
        raise CanNotBeDone(
            _("There is no bank statement and no reason for its absence. Reject this request and submit a new one.")
        )
    return _references(payload.get("statement"))


def _advance(payload: Payload, actor: str) -> None:
    settlement = _locked(payload)
    references = _checked_references(payload, settlement)
    _all_or_none(
        services.advance(
            settlement.pk, to=State(payload["to"]), reason=payload["reason"], actor=actor, references=references
        )
    )


def _all_or_none(answers: list[Answer]) -> None:
    """Raises CanNotBeDone if the hub refused one of the steps. The approver approved all steps together, and not a part
    of the steps."""
    for answer in answers:
        if answer.refusal:
            name = Participant.objects.filter(pk=answer.wish.participant_id).values_list("name", flat=True).first()
            raise CanNotBeDone(str(_CAN_NOT.get(answer.refusal, answer.refusal.value[1])) % {"name": name})


def payment_terms(settlement: Settlement, statement: Statement, reason: str) -> Payload:
    """Returns the payload of a request to settle and to record the bank's payments."""
    proposals = bank_payments.proposed(settlement, statement)
    return terms(settlement, State.SETTLED.value, reason) | {"payments": [each.terms() for each in proposals]}


def described_payments(said: Sequence[Sequence[Any]]) -> list[Line]:
    """Returns one line for each payment, and lines with the totals."""
    lines: list[Line] = []
    totals: dict[tuple[str, bool], int] = {}
    for _account, name, currency, is_out, amount, otherwise in said:
        totals[currency, is_out] = totals.get((currency, is_out), 0) + amount
        label = _("%(name)s, funds out") if is_out else _("%(name)s, funds in")
        lines.append(Line(label % {"name": name}, amount, currency))
        if otherwise:
            label = _("%(name)s, recorded or released before")
            lines.append(Line(label % {"name": name}, otherwise, currency))
    for (currency, is_out), amount in sorted(totals.items()):
        lines.append(Line(_("Total of funds out") if is_out else _("Total of funds in"), amount, currency))
    return lines


def _describe_payments(payload: Payload) -> list[Line]:
    return [*_describe(payload), *described_payments(payload["payments"])]


def _settle(payload: Payload, actor: str) -> None:
    settlement = _locked(payload)
    references = _checked_references(payload, settlement)
    with _payment_reasons():
        bank_payments.settle(
            settlement.pk,
            statement_id=_statement_id(payload),
            agreed=payload["payments"],
            reason=payload["reason"],
            actor=actor,
            references=references,
        )


def _check_payments(payload: Payload) -> None:
    settlement = Settlement.objects.select_related("model").filter(pk=payload["settlement"]).first()
    if settlement is None:
        raise CanNotBeDone(_("This settlement does not exist."))
    must_still_be(settlement.state, payload["before"])
    _checked_references(payload, settlement)
    with _payment_reasons():
        bank_payments.check_agreed(settlement, statement_id=_statement_id(payload), agreed=payload["payments"])


def _statement_id(payload: Payload) -> int:
    found: int = (payload["statement"] or {}).get("id", 0)
    return found


@contextmanager
def _payment_reasons() -> Iterator[None]:
    """Converts the errors of the settlement's payments to the errors of a change."""
    try:
        yield
    except bank_payments.NotPaid as reason:
        raise CanNotBeDone(str(reason)) from None
    except TooLittle as short:
        told = {"name": short.name, "most": told_amount(short.most, short.currency)}
        raise CanNotBeDone(
            _("%(name)s has only %(most)s for its payment: the rest of its money is in use or on hold.") % told
        ) from None
    except bank_payments.Differs:
        raise Outdated from None


def _check_still(payload: Payload) -> None:
    found = Settlement.objects.filter(pk=payload["settlement"]).first()
    must_still_be(found.state if found else None, payload["before"])
    if found is not None and payload["to"] == State.SETTLED:
        must_still_be(evidence_of(found), payload.get("statement"))


def _circumstances(payload: Payload) -> list[Line]:
    """For each net receiver, returns the position after the reset and the limit of this position. The receiver whose
    position is nearest to the limit comes first."""
    if payload["before"] not in (State.PENDING_SETTLEMENT, State.PS_TRANSFERS_RECORDED) or payload["to"] in (
        State.PS_TRANSFERS_RECORDED,
        State.ABORTED,
    ):
        return []
    rows = SettlementAccount.objects.filter(settlement_id=payload["settlement"], net__lt=0)
    due = dict(rows.values_list("account_id", "net"))
    shown = []
    for standing in standings():
        if standing.position_account.pk in due:
            after = standing.used - int(due[standing.position_account.pk])
            shown.append((standing.limit - after, standing, after))
    shown.sort(key=lambda each: each[0])
    return [
        Line(
            _("%(name)s: position after its reset, and limit") % {"name": standing.participant.name},
            f"{told_amount(after, standing.currency)} / {told_amount(standing.limit, standing.currency)}",
        )
        for _room, standing, after in shown[:_MOST_SHOWN]
    ]


def _describe_steps(payload: Payload) -> list[Line]:
    numbers = [account for _participant, account, *_rest in payload["steps"]]
    accounts = Account.objects.select_related("participant").in_bulk(numbers)
    steps = []
    for _participant, number, state, reason, reference in payload["steps"]:
        found = accounts.get(number)
        who = f"{found.participant.name} {found.currency}" if found else str(number)
        steps.append(Line(who, ", ".join(said for said in (states.word_of(state), reason, reference) if said)))
    return [*_describe(payload), *steps]


def _move(payload: Payload, actor: str) -> None:
    settlement = _locked(payload)
    _checked_references(payload, settlement)
    _all_or_none(services.move(settlement.pk, wishes_of(payload), actor=actor))


def _abort(payload: Payload, actor: str) -> None:
    services.abort(_locked(payload).pk, reason=payload["reason"], actor=actor)


def hold_terms(hold: CoverHold) -> Payload:
    """Returns the payload of a request to release a hold."""
    return {
        "settlement": hold.settlement_number,
        "participant": hold.account.participant.name,
        "currency": hold.account.currency,
        "amount": hold.remaining,
    }


def _describe_hold(payload: Payload) -> list[Line]:
    return [
        Line(_("Settlement"), payload["settlement"]),
        Line(_("Participant"), payload["participant"]),
        Line(_("On hold until the bank has moved the money"), payload["amount"], payload["currency"]),
        Line(_("After"), _("the money is part of the cover again, although the hub has no report from the bank")),
    ]


def _check_hold_still(payload: Payload) -> None:
    holds = CoverHold.objects.filter(
        account__participant__name=payload["participant"],
        account__currency=payload["currency"],
        settlement_number=payload["settlement"],
    )
    must_still_be(holds.values_list("remaining", flat=True).first() or 0, payload["amount"])


def _release(payload: Payload, actor: str) -> None:
    account = Account.objects.select_related("participant").get(
        participant=participant_named(payload["participant"]),
        currency=payload["currency"],
        type=Account.Type.SETTLEMENT,
    )
    holds = CoverHold.objects.select_for_update(no_key=True)
    hold = holds.filter(account=account, settlement_number=payload["settlement"]).first()
    must_still_be(hold.remaining if hold else 0, payload["amount"])
    ledger.release_hold(account, settlement_number=payload["settlement"], reason=payload["reason"], actor=actor)


_RIGHTS = (Right.ASK_SETTLEMENT, Right.CHECK_SETTLEMENT)
KINDS = [
    Kind(
        "advance_settlement",
        gettext_lazy("Continue a settlement"),
        *_RIGHTS,
        _describe,
        _advance,
        circumstances=_circumstances,
        check_still=_check_still,
    ),
    Kind(
        "settle_with_payments",
        gettext_lazy("Record the bank's payments and settle"),
        *_RIGHTS,
        _describe_payments,
        _settle,
        check_still=_check_payments,
        is_tried_out=False,
        check_asked=_check_payments,
    ),
    Kind(
        "move_settlement",
        gettext_lazy("Change the state of accounts in a settlement"),
        *_RIGHTS,
        _describe_steps,
        _move,
        circumstances=_circumstances,
        check_still=_check_still,
    ),
    Kind(
        "release_hold",
        gettext_lazy("Release cover on hold"),
        *_RIGHTS,
        _describe_hold,
        _release,
        check_still=_check_hold_still,
    ),
    Kind(
        "abort_settlement",
        gettext_lazy("Abort a settlement"),
        *_RIGHTS,
        _describe,
        _abort,
        check_still=_check_still,
    ),
]
