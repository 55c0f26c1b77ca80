"""Continues and aborts settlements, and releases cover on hold."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds as ledger
from ledger.models import Account, CoverHold
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right
from settlement import services
from settlement.change_request_terms import evidence_of, wishes_of
from settlement.decide import Answer
from settlement.models import Settlement, StatementLine
from settlement.states import State


def _locked(payload: Payload) -> Settlement:
    found = Settlement.objects.select_for_update(no_key=True).filter(pk=payload["settlement"]).first()
    if found is None:
        raise CanNotBeDone(_("This settlement does not exist."))
    must_still_be(found.state, payload["before"])
    return found


def _evidence(payload: Payload) -> list[Line]:
    if payload["to"] != State.SETTLED:
        return []
    found = payload.get("statement")
    if found is None:
        return [
            Line(_("Bank's statement"), _("none uploaded")),
            Line(_("Reason for settling without a statement"), payload.get("without_statement") or "–"),
        ]
    told = (
        _("statement %(number)s, and every line matches")
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
        Line(_("Before"), payload["before"]),
        Line(_("After"), payload["to"]),
        *(Line(_("Net senders pay"), amount, currency) for currency, amount in payload["owed"]),
    ]


def _references(statement: dict[str, Any] | None) -> dict[int, str]:
    """Returns the bank's reference for each account. Raises CanNotBeDone if the statement does not match the
    settlement.
    """
    if statement is None:
        return {}  # two people confirmed that the bank statement is missing, and for which reason
    if not statement["is_exact"]:
        raise CanNotBeDone(_("The bank's last statement does not match this settlement."))
    lines = StatementLine.objects.filter(statement_id=statement["id"], account__isnull=False)
    return {
        account: bank_reference or reference
        for account, bank_reference, reference in lines.values_list("account_id", "bank_reference", "reference")
    }


def _checked_references(payload: Payload, settlement: Settlement) -> dict[int, str]:
    """Returns the bank's references for a change to SETTLED. Raises CanNotBeDone if the statement does not match."""
    if payload["to"] != State.SETTLED:
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
    """Raises CanNotBeDone if one of the steps was refused, because the approver approved the change as a whole."""
    for answer in answers:
        if answer.refusal:
            raise CanNotBeDone(answer.refusal.value[1])


def _describe_steps(payload: Payload) -> list[Line]:
    numbers = [account for _participant, account, *_rest in payload["steps"]]
    accounts = Account.objects.select_related("participant").in_bulk(numbers)
    steps = []
    for _participant, number, state, reason, reference in payload["steps"]:
        found = accounts.get(number)
        who = f"{found.participant.name} {found.currency}" if found else str(number)
        steps.append(Line(who, ", ".join(said for said in (state, reason, reference) if said)))
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
    Kind("advance_settlement", gettext_lazy("Continue a settlement"), *_RIGHTS, _describe, _advance),
    Kind(
        "move_settlement",
        gettext_lazy("Change the state of accounts in a settlement"),
        *_RIGHTS,
        _describe_steps,
        _move,
    ),
    Kind("release_hold", gettext_lazy("Release cover on hold"), *_RIGHTS, _describe_hold, _release),
    Kind("abort_settlement", gettext_lazy("Abort a settlement"), *_RIGHTS, _describe, _abort),
]
