"""Pauses and resumes participants, and changes their permissions and endpoints."""

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import services as participants
from hub.participants.models import Endpoint
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, participant_named
from portal.may_send_receive import Direction
from portal.permissions import Right


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active") if payload["is_active"] else _("paused: may neither send nor receive")
    return [Line(_("Participant"), payload["participant"]), Line(_("After"), after)]


def _set_active(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    must_still_be(participant.is_active, payload.get("before", not payload["is_active"]))
    participants.set_active(participant, is_active=payload["is_active"], actor=actor)


def _describe_directions(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Before"), Direction.of(*payload["before"]).label),
        Line(_("After"), Direction(payload["direction"]).label),
    ]


def _set_directions(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    must_still_be([participant.may_send, participant.may_receive], payload["before"])
    may_send, may_receive = Direction(payload["direction"]).allows
    participants.set_directions(participant, may_send=may_send, may_receive=may_receive, actor=actor)


def _describe_endpoint(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Type"), payload["type"]),
        Line(_("Before"), payload["before"] or "–"),
        Line(_("After"), payload["value"]),
    ]


def _set_endpoint(payload: Payload, actor: str) -> None:
    # Programs may also set endpoints of the hub itself: the addresses to which it sends its own e-mails.
    is_hubs = payload["participant"] == settings.HUB_NAME
    participant = participants.hub() if is_hubs else participant_named(payload["participant"])
    now = Endpoint.objects.filter(participant=participant, type=payload["type"]).values_list("value", flat=True).first()
    must_still_be(now or "", payload["before"])
    participants.set_endpoint(participant, endpoint_type=payload["type"], value=payload["value"], actor=actor)


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind("set_active", gettext_lazy("Pause or resume a participant"), *_RIGHTS, _describe_activity, _set_active),
    Kind(
        "set_directions",
        gettext_lazy("Change whether a participant may send and receive"),
        *_RIGHTS,
        _describe_directions,
        _set_directions,
    ),
    Kind(
        "set_endpoint",
        gettext_lazy("Change an endpoint"),
        Right.ASK_TECHNICAL,
        Right.CHECK_PARTICIPANTS,
        _describe_endpoint,
        _set_endpoint,
    ),
]
