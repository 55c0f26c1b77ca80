"""Certificates and keys that a DFSP submits. Two people at the hub approve each certificate and each key.

A submission is a request for approval (`hub.audit.approvals`), and the kind of this request is KIND. When the first
person approves the submission, the hub creates a change request in this person's name. When the second person approves
the change request, the hub makes the change.
"""

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from django.utils import timezone

from fspiop import keys_and_certificates, time
from fspiop.errors import ErrorCode, FspiopError
from hub.audit import program_change_requests
from hub.audit.models import Approval
from hub.audit.program_change_requests import Program
from hub.dfsp_api import bodies
from hub.dfsp_api.bodies import Submission
from hub.participants import certificate_authority
from hub.participants.models import Credential, Participant

KIND = "submission"
MOST_WAITING = 4  # the largest number of submissions of one DFSP that can wait for the first person
_LATEST = 20
_CHANGES = {"sign_certificate": "signCertificate", "add_credential": "addSigningKey"}


def program_of(participant: Participant) -> Program:
    """Returns the `Program` that stands for this participant when the participant submits a certificate or a key."""
    return Program(f"DFSP {participant.name}")


def submit(participant: Participant, change: str, payload: dict[str, Any], *, reason: str) -> Submission:
    """Stores a DFSP's submission and returns it. Call this function only with a valid submission. If the same
    submission already waits for approval, the function returns the waiting submission instead.

    Raises FspiopError 2005 (429) if too many submissions of this participant wait for approval.
    """
    wanted = {"change": change, "payload": payload}
    mine = _of(participant).filter(payload=wanted)
    for known in shown(participant, list(mine[:1])):
        if known.state == "PENDING":
            return known
    approval = program_change_requests.ask(
        KIND,
        program=program_of(participant),
        subject=participant.name,
        payload=wanted,
        reason=reason or f"submitted by {participant.name}",
        most_waiting=MOST_WAITING,
        is_checked=True,
    )
    return shown(participant, [approval])[0]


def latest(participant: Participant) -> list[Submission]:
    """Returns the latest submissions of a participant, the newest first."""
    return shown(participant, list(_of(participant)[:_LATEST]))


def numbered(participant: Participant, number: int) -> Submission:
    """Returns the participant's submission with this id. Raises FspiopError 3200 (404) if the participant has no such
    submission."""
    for found in shown(participant, list(_of(participant).filter(pk=number))):
        return found
    raise FspiopError(ErrorCode.ID_NOT_FOUND, "you have no such submission", http_status=404)


def shown(participant: Participant, approvals: Sequence[Approval]) -> list[Submission]:
    """Returns submissions in the form of the hub's own API for DFSPs. The number of SQL statements does not depend on
    the number of submissions."""
    if not approvals:
        return []
    first = min(approval.pk for approval in approvals)
    second = Approval.objects.filter(subject=participant.name, kind__in=_CHANGES, pk__gt=first).order_by("pk")
    requested = list(second)
    certificates = participant.credentials.filter(kind=Credential.Kind.CERTIFICATE).order_by("-pk")
    by_key = {_key_id(each.pem): each for each in reversed(certificates) if each.pem}
    return [_shown(approval, _request_of(approval, requested), by_key) for approval in approvals]


def _of(participant: Participant) -> Any:
    client = program_of(participant).name
    return Approval.objects.filter(kind=KIND, client=client, subject=participant.name).order_by("-pk")


def _request_of(approval: Approval, requested: Sequence[Approval]) -> Approval | None:
    """Returns the change request that the hub created after the first person's approval of this submission, or None."""
    wanted = approval.payload
    for found in requested:
        if found.pk > approval.pk and (found.kind, found.payload) == (wanted["change"], wanted["payload"]):
            return found
    return None


def _shown(approval: Approval, request: Approval | None, certificates: dict[str, Credential]) -> Submission:
    decisive = request if approval.state == Approval.State.APPROVED and request is not None else approval
    change, payload = approval.payload["change"], approval.payload["payload"]
    key_id = _key_id_in(change, payload)
    state = _state(decisive)
    approvals = {"PENDING": 1, "APPROVED": 2}.get(state, 1) if decisive is request else 0
    if decisive is approval and state == "APPROVED":
        # impossible: one database transaction stores both the first approval and the change request
        state, approvals = "PENDING", 1
    certificate = certificates.get(key_id) if (change, state) == ("sign_certificate", "APPROVED") else None
    return Submission(
        id=approval.pk,
        change=_CHANGES[change],  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        approvals=approvals,
        submitted_date=time.format_datetime(approval.asked_at),
        expiration_date=time.format_datetime(decisive.expires_at),
        key_id=key_id,
        decision=decisive.decision or None,
        certificate=certificate_shown(certificate) if certificate is not None else None,
    )


def _state(approval: Approval) -> str:
    if approval.state == Approval.State.PENDING and approval.expires_at <= timezone.now():
        return "EXPIRED"
    return "REFUSED" if approval.state == Approval.State.WITHDRAWN else approval.state


def certificate_shown(credential: Credential) -> bodies.Certificate:
    """Returns a certificate in the form of the hub's own API for DFSPs."""
    return bodies.Certificate(
        id=credential.pk,
        subject=credential.label,
        sha256=credential.sha256,
        valid_from=time.format_datetime(credential.valid_from),
        valid_until=time.format_datetime(credential.valid_until),
        revoked_at=time.format_datetime(credential.revoked_at) if credential.revoked_at else None,
        pem=credential.pem,
    )


def _key_id_in(change: str, payload: dict[str, Any]) -> str:
    if change == "sign_certificate":
        return certificate_authority.key_sha256_of(x509.load_pem_x509_csr(payload["csr"].strip().encode()))
    return keys_and_certificates.read_signing_key(payload["text"]).sha256


def _key_id(pem: str) -> str:
    return certificate_authority.key_sha256_of(x509.load_pem_x509_certificate(pem.encode()))
