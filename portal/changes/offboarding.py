"""The kinds of change for off-boarding, in the order of the steps.

The services refuse a step if an earlier step is not done.
"""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import offboarding
from hub.participants.models import Participant
from portal import users
from portal.changes.change_kind import Kind, Line, Payload, must_still_be, must_still_be_open, participant_named
from portal.permissions import Right
from settlement.services import closing_participants

AFTER = {
    "begin_leaving": gettext_lazy("no new payments; reserved payments are still fulfilled, rejected or expire"),
    "stay": gettext_lazy("may send and receive as before the off-boarding; revoked credentials stay revoked"),
    "revoke_all": gettext_lazy("all certificates, keys and clients are permanently revoked, and their tokens end"),
    "close_participant": gettext_lazy(
        "the participant and its accounts are permanently closed, and its users can no longer sign in"
    ),
}


def _kind(name: str, title: object, perform: object, *, is_leaving: bool) -> Kind:
    """Returns a step's kind of change. `is_leaving` is true if the step comes after the beginning of the
    off-boarding."""

    def describe(payload: Payload) -> list[Line]:
        return [Line(_("Participant"), payload["participant"]), Line(_("After"), AFTER[name])]

    def do(payload: Payload, actor: str) -> None:
        perform(participant_named(payload["participant"]), actor=actor)  # type: ignore[operator]

    def check_still(payload: Payload) -> None:
        must_still_be(must_still_be_open(payload).leaving_since is not None, is_leaving)

    rights = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
    return Kind(name, title, *rights, describe, do, check_still=check_still)  # type: ignore[arg-type]


def _close(participant: Participant, *, actor: str) -> None:
    closing_participants.close(participant, actor=actor)
    users.end_all_of(participant, actor=actor)


KINDS = [
    _kind(
        "begin_leaving",
        gettext_lazy("Begin the off-boarding of a participant"),
        offboarding.begin,
        is_leaving=False,
    ),
    _kind("stay", gettext_lazy("Cancel the off-boarding of a participant"), offboarding.stay, is_leaving=True),
    _kind(
        "revoke_all",
        gettext_lazy("Revoke all of a participant's credentials"),
        closing_participants.revoke_all,
        is_leaving=True,
    ),
    _kind("close_participant", gettext_lazy("Close a participant permanently"), _close, is_leaving=True),
]
