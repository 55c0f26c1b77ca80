"""The kinds of change for a participant: to pause or resume the participant, and to change permissions and
endpoints."""

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import services as participants
from hub.participants.models import Endpoint, Participant
from ledger import accounts_and_funds
from portal.changes.change_kind import (
    CanNotBeDone,
    Kind,
    Line,
    Payload,
    must_still_be,
    must_still_be_open,
    participant_named,
)
from portal.may_send_or_receive_choices import Direction
from portal.permissions import Right


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active") if payload["is_active"] else _("paused: may neither send nor receive")
    return [Line(_("Participant"), payload["participant"]), Line(_("After"), after)]


def _set_active(payload: Payload, actor: str) -> None:
    _check_activity_still(payload)
    participant = participant_named(payload["participant"])
    try:
        accounts_and_funds.set_participant_active(participant, is_active=payload["is_active"], actor=actor)
    except accounts_and_funds.StillOwes as refusal:
        raise CanNotBeDone(
            _(
                "%(name)s still has reserved or owed amounts. This scheme disables a participant only when nothing "
                "is reserved or owed."
            )
            % {"name": participant.name},
            refusal=refusal,
        ) from None


def owed_lines(participant: Participant) -> list[Line]:
    """Returns the participant's reserved and owed amounts. People read these amounts before they decide whether to
    disable the participant."""
    lines = []
    for owing in accounts_and_funds.owing_of(participant):
        for label, amount in (
            (_("Reserved"), owing.reserved),
            (_("Owed for payments"), owing.owed),
            (_("Owed to the settlement bank"), owing.on_hold),
        ):
            if amount:
                lines.append(Line(label, amount, owing.currency))
    return lines or [Line(_("Reserved or owed"), _("nothing"))]


def _activity_circumstances(payload: Payload) -> list[Line]:
    return [] if payload["is_active"] else owed_lines(participant_named(payload["participant"]))


def _check_activity_still(payload: Payload) -> None:
    before = payload.get("before", not payload["is_active"])
    must_still_be(must_still_be_open(payload).is_active, before)


def _describe_directions(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Before"), Direction.of(*payload["before"]).label),
        Line(_("After"), Direction(payload["direction"]).label),
    ]


def _set_directions(payload: Payload, actor: str) -> None:
    _check_directions_still(payload)
    participant = participant_named(payload["participant"])
    may_send, may_receive = Direction(payload["direction"]).allows
    participants.set_directions(participant, may_send=may_send, may_receive=may_receive, actor=actor)


def _check_directions_still(payload: Payload) -> None:
    participant = must_still_be_open(payload)
    must_still_be([participant.may_send, participant.may_receive], payload["before"])


def _describe_endpoint(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Type"), payload["type"]),
        Line(_("Before"), payload["before"] or "–"),
        Line(_("After"), payload["value"]),
    ]


def _set_endpoint(payload: Payload, actor: str) -> None:
    _check_endpoint_still(payload)
    participants.set_endpoint(
        _owner_of_endpoint(payload), endpoint_type=payload["type"], value=payload["value"], actor=actor
    )


def _owner_of_endpoint(payload: Payload) -> Participant:
    # Programs can also set endpoints of the hub itself: the addresses to which the hub sends its own e-mails.
    is_hubs = payload["participant"] == settings.HUB_NAME
    return participants.hub() if is_hubs else participant_named(payload["participant"])


def _check_endpoint_still(payload: Payload) -> None:
    found = Endpoint.objects.filter(participant=_owner_of_endpoint(payload), type=payload["type"])
    must_still_be(found.values_list("value", flat=True).first() or "", payload["before"])


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "set_active",
        gettext_lazy("Pause or resume a participant"),
        *_RIGHTS,
        _describe_activity,
        _set_active,
        circumstances=_activity_circumstances,
        check_still=_check_activity_still,
    ),
    Kind(
        "set_directions",
        gettext_lazy("Change whether a participant may send and receive"),
        *_RIGHTS,
        _describe_directions,
        _set_directions,
        check_still=_check_directions_still,
    ),
    Kind(
        "set_endpoint",
        gettext_lazy("Change an endpoint"),
        Right.ASK_TECHNICAL,
        Right.CHECK_PARTICIPANTS,
        _describe_endpoint,
        _set_endpoint,
        check_still=_check_endpoint_still,
    ),
]
