"""The kinds of change for the currency conversions that a participant offers."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import services as participants
from hub.participants.models import CurrencyPair
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def _describe(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Conversion"), f"{payload['source']} → {payload['target']}"),
    ]


def _is_offered(payload: Payload) -> bool:
    return CurrencyPair.objects.filter(
        participant=participant_named(payload["participant"]),
        source_currency=payload["source"],
        target_currency=payload["target"],
    ).exists()


def _check_not_offered(payload: Payload) -> None:
    must_still_be(_is_offered(payload), False)


def _check_offered(payload: Payload) -> None:
    must_still_be(_is_offered(payload), True)


def _offer(payload: Payload, actor: str) -> None:
    participants.offer_pair(
        participant_named(payload["participant"]),
        source_currency=payload["source"],
        target_currency=payload["target"],
        actor=actor,
    )


def _withdraw(payload: Payload, actor: str) -> None:
    participants.withdraw_pair(
        participant_named(payload["participant"]),
        source_currency=payload["source"],
        target_currency=payload["target"],
        actor=actor,
    )


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "offer_pair",
        gettext_lazy("Allow a participant to convert currencies"),
        *_RIGHTS,
        _describe,
        _offer,
        check_still=_check_not_offered,
    ),
    Kind(
        "withdraw_pair",
        gettext_lazy("Stop a participant's currency conversions"),
        *_RIGHTS,
        _describe,
        _withdraw,
        check_still=_check_offered,
    ),
]
