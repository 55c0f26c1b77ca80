"""Settlements: going on, and being taken back."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.changes.kind import CanNotBeDone, Kind, Line, Payload, must_still_be
from portal.permissions import Right
from settlement import services
from settlement.models import Settlement, StatementLine
from settlement.states import State


def _locked(payload: Payload) -> Settlement:
    found = Settlement.objects.select_for_update(no_key=True).filter(pk=payload["settlement"]).first()
    if found is None:
        raise CanNotBeDone(_("There is no such settlement."))
    must_still_be(found.state, payload["before"])
    return found


def evidence_of(settlement: Settlement) -> dict[str, Any] | None:
    """The settlement bank's latest statement: what marking a settlement as settled is based on."""
    found = settlement.statements.order_by("-id").values("id", "sha256", "is_exact").first()
    return dict(found) if found else None


def _evidence(payload: Payload) -> list[Line]:
    if payload["to"] != State.SETTLED:
        return []
    found = payload.get("statement")
    if found is None:
        return [
            Line(_("Bank's statement"), _("none was taken in")),
            Line(_("Settled without one, because"), payload.get("without_statement") or "–"),
        ]
    told = (
        _("number %(number)s, which agrees to the last line")
        if found["is_exact"]
        else _("number %(number)s, which does not agree")
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
    """The bank's word for each account; a statement that does not agree is a reason not to go on."""
    if statement is None:
        return {}  # two people said that there is none, and why
    if not statement["is_exact"]:
        raise CanNotBeDone(_("The bank's last statement does not agree with this settlement."))
    lines = StatementLine.objects.filter(statement_id=statement["id"], account__isnull=False)
    return {
        account: bank_reference or reference
        for account, bank_reference, reference in lines.values_list("account_id", "bank_reference", "reference")
    }


def _advance(payload: Payload, actor: str) -> None:
    settlement = _locked(payload)
    references: dict[int, str] = {}
    if payload["to"] == State.SETTLED:
        must_still_be(evidence_of(settlement), payload.get("statement"))
        if payload.get("statement") is None and not payload.get("without_statement"):
            raise CanNotBeDone(_("There is no bank's statement, and nobody said why. Refuse it, and ask again."))
        references = _references(payload.get("statement"))
    refused = services.advance(
        settlement.pk, to=State(payload["to"]), reason=payload["reason"], actor=actor, references=references
    )
    if refused:
        assert refused[0].refusal is not None
        raise CanNotBeDone(refused[0].refusal.value[1])


def _abort(payload: Payload, actor: str) -> None:
    services.abort(_locked(payload).pk, reason=payload["reason"], actor=actor)


_RIGHTS = (Right.ASK_SETTLEMENT, Right.CHECK_SETTLEMENT)
KINDS = [
    Kind("advance_settlement", gettext_lazy("Take a settlement further"), *_RIGHTS, _describe, _advance),
    Kind("abort_settlement", gettext_lazy("Take a settlement back"), *_RIGHTS, _describe, _abort),
]
