"""The kinds of change for net debit caps."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds
from ledger.models import Account
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def _describe(payload: Payload) -> list[Line]:
    currency = payload["currency"]
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Cap before"), payload["ndc_before"], currency),
        Line(_("Cap after"), payload["ndc"], currency),
        Line(_("Alarm at"), f"{payload['alarm_percentage']} %"),
    ]


def _perform(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    position = Account.objects.select_for_update(no_key=True).get(
        participant=participant, currency=payload["currency"], type=Account.Type.POSITION
    )
    must_still_be(position.net_debit_cap, payload["ndc_before"])
    accounts_and_funds.change_ndc(
        participant,
        currency=payload["currency"],
        ndc=payload["ndc"],
        alarm_percentage=payload["alarm_percentage"],
        actor=actor,
    )


KINDS = [
    Kind(
        "change_cap", gettext_lazy("Change a net debit cap"), Right.ASK_LIMITS, Right.CHECK_LIMITS, _describe, _perform
    )
]
