"""Who takes part: onboarding, pausing, endpoints."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import services as participants
from hub.participants.endpoints import BASE
from hub.participants.models import Endpoint
from ledger import services
from ledger.models import Account
from portal.changes.kind import Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def _describe_onboarding(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Currency"), payload["currency"]),
        Line(_("Net debit cap"), payload["ndc"], payload["currency"]),
        Line(_("Callbacks go to"), payload["endpoint"] or "–"),
    ]


def _onboard(payload: Payload, actor: str) -> None:
    currency = payload["currency"]
    held = set(Account.objects.filter(participant__is_hub=True, currency=currency).values_list("type", flat=True))
    for account_type in (Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT):
        if account_type not in held:
            services.open_hub_account(account_type=account_type, currency=currency, actor=actor)
    participant = services.register_participant(
        name=payload["participant"], currency=currency, is_proxy=False, actor=actor
    )
    services.set_initial_limit(participant, currency=currency, ndc=payload["ndc"], actor=actor)
    if payload["endpoint"]:
        participants.set_endpoint(participant, endpoint_type=BASE, value=payload["endpoint"], actor=actor)


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active") if payload["is_active"] else _("paused: it can neither pay nor be paid")
    return [Line(_("Participant"), payload["participant"]), Line(_("After"), after)]


def _set_active(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    must_still_be(participant.is_active, not payload["is_active"])
    participants.set_active(participant, is_active=payload["is_active"], actor=actor)


def _describe_endpoint(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Type"), payload["type"]),
        Line(_("Before"), payload["before"] or "–"),
        Line(_("After"), payload["value"]),
    ]


def _set_endpoint(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    now = Endpoint.objects.filter(participant=participant, type=payload["type"]).values_list("value", flat=True).first()
    must_still_be(now or "", payload["before"])
    participants.set_endpoint(participant, endpoint_type=payload["type"], value=payload["value"], actor=actor)


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind("onboard", gettext_lazy("Onboard a participant"), *_RIGHTS, _describe_onboarding, _onboard),
    Kind("set_active", gettext_lazy("Pause or resume a participant"), *_RIGHTS, _describe_activity, _set_active),
    Kind("set_endpoint", gettext_lazy("Change an endpoint"), *_RIGHTS, _describe_endpoint, _set_endpoint),
]
