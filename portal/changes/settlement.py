"""Settlements: going on, and being taken back."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.changes.kind import CanNotBeDone, Kind, Line, Payload, must_still_be
from portal.permissions import Right
from settlement import services
from settlement.models import Settlement
from settlement.states import State


def _locked(payload: Payload) -> Settlement:
    found = Settlement.objects.select_for_update(no_key=True).filter(pk=payload["settlement"]).first()
    if found is None:
        raise CanNotBeDone(_("There is no such settlement."))
    must_still_be(found.state, payload["before"])
    return found


def _describe(payload: Payload) -> list[Line]:
    return [
        Line(_("Settlement"), payload["settlement"]),
        Line(_("Windows"), ", ".join(str(window) for window in payload["windows"])),
        Line(_("Before"), payload["before"]),
        Line(_("After"), payload["to"]),
        *(Line(_("Net senders pay"), amount, currency) for currency, amount in payload["owed"]),
    ]


def _advance(payload: Payload, actor: str) -> None:
    settlement = _locked(payload)
    refused = services.advance(settlement.pk, to=State(payload["to"]), reason=payload["reason"], actor=actor)
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
