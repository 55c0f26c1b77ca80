"""Off-boarding of a participant: blocks new payments, revokes credentials, and marks the participant as closed.

Before each step, `settlement.services.closing_participants` checks that the necessary amounts are settled.
"""

from django.db import transaction
from django.utils import timezone

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from hub.participants import credentials
from hub.participants.models import Credential, Participant
from hub.participants.services import lock_open


@transaction.atomic
def begin(participant: Participant, *, actor: str) -> None:
    """Begins the off-boarding: blocks new payments with this participant. Payments that are already reserved still
    commit or abort."""
    participant = lock_open(participant)
    if participant.leaving_since is not None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is leaving already")
    before = {"maySend": participant.may_send, "mayReceive": participant.may_receive}
    participant.could_send, participant.could_receive = participant.may_send, participant.may_receive
    participant.may_send = participant.may_receive = False
    participant.leaving_since = timezone.now()
    participant.tested_by = None
    participant.save(
        update_fields=["may_send", "may_receive", "could_send", "could_receive", "leaving_since", "tested_by"]
    )
    record("leaving_begun", subject=participant.name, actor=actor, before=before)


@transaction.atomic
def stay(participant: Participant, *, actor: str) -> None:
    """Cancels the off-boarding. The participant can send and receive payments again, if this was possible before the
    off-boarding.

    Revoked credentials stay revoked.
    """
    participant = lock_open(participant)
    if participant.leaving_since is None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is not leaving")
    participant.may_send, participant.may_receive = bool(participant.could_send), bool(participant.could_receive)
    participant.could_send = participant.could_receive = participant.leaving_since = None
    participant.save(update_fields=["may_send", "may_receive", "could_send", "could_receive", "leaving_since"])
    after = {"maySend": participant.may_send, "mayReceive": participant.may_receive}
    record("leaving_taken_back", subject=participant.name, actor=actor, after=after)


@transaction.atomic
def revoke_all(participant: Participant, *, actor: str) -> None:
    """Revokes every certificate, signing key and OAuth2 client of the participant. The tokens of the revoked clients
    also become invalid."""
    live = Credential.objects.filter(participant=participant, revoked_at__isnull=True).order_by("id")
    for credential_id in live.values_list("id", flat=True):
        credentials.revoke(participant, credential_id=credential_id, actor=actor)


@transaction.atomic
def mark_closed(participant: Participant, *, actor: str) -> None:
    participant = lock_open(participant)
    participant.is_active, participant.closed_at = False, timezone.now()
    participant.save(update_fields=["is_active", "closed_at"])
    record("participant_closed", subject=participant.name, actor=actor)
