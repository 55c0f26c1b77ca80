"""The views that do not use the ledger: clock, the caller's own data, certificates, signing keys, submissions, callback
check."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db.models.functions import Now
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import bodies as fspiop_bodies
from fspiop import time
from fspiop.errors import ErrorCode, FspiopError
from hub.api.openapi import dfsp_schema
from hub.dfsp_api import bodies, callback_check, public_signing_keys, submissions
from hub.dfsp_api.dfsp_view import DfspView, answer, plain_answer
from hub.participants import certificate_authority, credentials, queries
from hub.participants.models import Credential, Participant

TAG = "DFSP"
_LARGEST_ID = 2**63 - 1
_AT = "/dfsp/v1/submissions"


class ClockView(DfspView):
    """Accepts any time in the Date header, so that a DFSP can find out that its clock is wrong."""

    is_bulk = False

    def check_date(self) -> None:
        return

    @dfsp_schema(TAG, summary="Show the hub's time", answer=bodies.Clock)
    def get(self, request: Request) -> HttpResponse:
        return answer(bodies.Clock(time=time.format_datetime(datetime.now(UTC))))


class OwnParticipantView(DfspView):
    @dfsp_schema(TAG, summary="Show what the hub has registered about the caller", answer=bodies.OwnParticipant)
    def get(self, request: Request) -> HttpResponse:
        participant = self.participant
        return answer(
            bodies.OwnParticipant(
                name=participant.name,
                is_active=participant.is_active,
                may_send=participant.may_send,
                may_receive=participant.may_receive,
                is_leaving=participant.leaving_since is not None,
                signatures=settings.SIGNATURES,
                endpoints=queries.endpoints_of([participant.pk])[participant.pk],
                credentials=_summaries(participant),
            )
        )


class SubmissionsView(DfspView):
    @dfsp_schema(TAG, summary="List the latest submissions of the caller", answer=bodies.Submissions)
    def get(self, request: Request) -> HttpResponse:
        return answer(bodies.Submissions(submissions=submissions.latest(self.participant)))


class SubmissionView(DfspView):
    @dfsp_schema(
        TAG,
        summary="Show the state of a submission, and its certificate once two people have approved it",
        answer=bodies.Submission,
        further={404: "The caller has no such submission"},
    )
    def get(self, request: Request, number: int) -> HttpResponse:
        if number > _LARGEST_ID:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "you have no such submission", http_status=404)
        return answer(submissions.numbered(self.participant, number))


class SigningRequestsView(DfspView):
    @dfsp_schema(
        TAG,
        summary="Submit a signing request for a client certificate",
        request=bodies.NewSigningRequest,
        answer=bodies.Submission,
        status=202,
    )
    def post(self, request: Request) -> HttpResponse:
        wanted, participant = self.body(bodies.NewSigningRequest), self.participant
        # This process does not need the authority's key. After the approval, the operators' process signs the
        # certificate.
        credentials.check_signing_request(participant, csr=wanted.csr)
        payload = {"participant": participant.name, "csr": wanted.csr, "days": settings.CLIENT_CERTIFICATE_DAYS}
        return _waits(submissions.submit(participant, "sign_certificate", payload, reason=wanted.reason))


class CertificatesView(DfspView):
    @dfsp_schema(TAG, summary="List the caller's certificates, and the hub's authority", answer=bodies.Certificates)
    def get(self, request: Request) -> HttpResponse:
        """Returns the certificates. The response contains the authority's certificate only if this process has a
        setting for the certificate's file."""
        rows = Credential.objects.filter(participant_id=self.caller, kind=Credential.Kind.CERTIFICATE)
        found = [submissions.certificate_shown(credential) for credential in rows.order_by("pk")]
        return answer(bodies.Certificates(certificates=found, authority=_authority()))


class SigningKeysView(DfspView):
    @dfsp_schema(
        TAG,
        summary="List the valid public keys for signatures, of the hub and of all participants",
        query=bodies.KeysWanted,
        answer=bodies.SigningKeys,
        further={304: "No key has changed since the response with this ETag (If-None-Match)"},
    )
    def get(self, request: Request) -> HttpResponse:
        wanted = self.query(bodies.KeysWanted)
        found = public_signing_keys.signing_keys(caller=self.caller, participant=wanted.participant)
        raw = fspiop_bodies.write(bodies.SigningKeys(keys=found))
        tag = f'"{hashlib.sha256(raw).hexdigest()}"'
        if tag in _tags(request.headers.get("If-None-Match", "")):
            return plain_answer(b"", "application/json", status=304, further={"ETag": tag})
        return plain_answer(raw, "application/json", further={"ETag": tag})

    @dfsp_schema(
        TAG,
        summary="Submit a further public key for the caller's signatures; earlier keys stay valid",
        request=bodies.NewSigningKey,
        answer=bodies.Submission,
        status=202,
    )
    def post(self, request: Request) -> HttpResponse:
        wanted, participant = self.body(bodies.NewSigningKey), self.participant
        text = wanted.key if isinstance(wanted.key, str) else json.dumps(wanted.key)
        credentials.check_signing_key(participant, key=text)
        payload = {
            "participant": participant.name,
            "kind": Credential.Kind.SIGNING_KEY.value,
            "text": text,
            "valid_from": wanted.valid_from,
            "valid_until": None,
        }
        return _waits(submissions.submit(participant, "add_credential", payload, reason=wanted.reason))


class CallbackChecksView(DfspView):
    is_bulk = False  # the check has limits of its own, and mostly waits for the DFSP

    @dfsp_schema(
        TAG,
        summary="Make the hub send a test message to the caller's endpoint, and show the response",
        request=bodies.NewCallbackCheck,
        answer=bodies.CallbackCheck,
    )
    def post(self, request: Request) -> HttpResponse:
        self.body(bodies.NewCallbackCheck)
        return answer(callback_check.check(self.participant))


def _waits(found: bodies.Submission) -> HttpResponse:
    return answer(found, status=202, further={"Location": f"{_AT}/{found.id}"})


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _authority() -> str | None:
    if not certificate_authority.is_set_up():
        return None
    try:
        return Path(settings.HUB_CA_CERTIFICATE_FILE).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _summaries(participant: Participant) -> list[bodies.CredentialSummary]:
    rows = participant.credentials.filter(revoked_at__isnull=True, valid_until__gt=Now()).order_by("pk")
    return [
        bodies.CredentialSummary(
            id=credential.pk,
            kind=credential.kind,
            label=credential.label,
            # The response does not contain the hash of a client's secret, because the DFSP cannot use the hash.
            sha256=None if credential.kind == Credential.Kind.CLIENT else credential.sha256,
            valid_from=time.format_datetime(credential.valid_from),
            valid_until=time.format_datetime(credential.valid_until),
        )
        for credential in rows
    ]
