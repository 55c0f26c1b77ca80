"""The kinds of change for net debit caps."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds, position_limit
from ledger.models import Account
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, must_still_be_open, participant_named
from portal.permissions import Right
from portal.queries.positions import standings


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


def _circumstances(payload: Payload) -> list[Line]:
    """Returns the figures that show the effect of the new cap."""
    currency = payload["currency"]
    found = standings(participant_named(payload["participant"]))
    standing = next((standing for standing in found if standing.currency == currency), None)
    if standing is None:
        return []
    limit = position_limit.limit_of(payload["ndc"], standing.cover)
    return [
        Line(_("Position with reserved amounts"), standing.used, currency),
        Line(_("Cover now"), standing.cover, currency),
        Line(_("Limit after the change: the lower of cap and cover"), limit, currency),
        Line(_("Free after the change"), max(0, limit - standing.used), currency),
    ]


def _check_still(payload: Payload) -> None:
    accounts = Account.objects.filter(
        participant=must_still_be_open(payload), currency=payload["currency"], type=Account.Type.POSITION
    )
    must_still_be(accounts.values_list("net_debit_cap", flat=True).first(), payload["ndc_before"])


KINDS = [
    Kind(
        "change_cap",
        gettext_lazy("Change a net debit cap"),
        Right.ASK_LIMITS,
        Right.CHECK_LIMITS,
        _describe,
        _perform,
        circumstances=_circumstances,
        check_still=_check_still,
    )
]
