"""Requests, downloads and revokes a participant's certificates, keys and clients."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.participants import certificate_authority
from hub.participants.models import Credential, Participant
from portal import change_request_forms
from portal.changes import Line
from portal.changes.credentials import KIND_NAMES
from portal.views.request_change import AskForm, asking
from portal.visitor import participant_of


def sign(request: HttpRequest, name: str) -> HttpResponse:
    """Requests a certificate. At the approval, the scheme's certificate authority signs the signing request."""
    participant_of(request, name)
    if not certificate_authority.is_set_up():
        return render(request, "portal/no_authority.html", {"name": name}, status=200)
    days = settings.CLIENT_CERTIFICATE_DAYS
    return asking(
        request,
        "sign_certificate",
        form=change_request_forms.SigningRequest(request.POST or None, participant=name),
        subject=name,
        payload=lambda said: {"participant": name, "csr": said["csr"], "days": days},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name), Line(_("Validity in days"), days)],
    )


def add(request: HttpRequest, name: str) -> HttpResponse:
    """Requests the registration of a certificate of another authority, or of a public signing key."""
    participant_of(request, name)
    return asking(
        request,
        "add_credential",
        form=change_request_forms.NewCredential(request.POST or None),
        subject=name,
        payload=lambda said: {"participant": name, "kind": said["kind"], "text": said["text"]},
        back=reverse("participant", args=[name]),
        facts=[Line(_("Participant"), name)],
    )


def revoke(request: HttpRequest, name: str, credential_id: int) -> HttpResponse:
    found = _credential(participant_of(request, name), credential_id)
    if found.revoked_at is not None:
        raise Http404
    # Many users read this page. So the page does not show the hash of a secret, although an attacker cannot use the
    # hash.
    sha256 = "" if found.kind == Credential.Kind.CLIENT else found.sha256
    return asking(
        request,
        "revoke_credential",
        form=AskForm(request.POST or None),
        subject=name,
        payload=lambda _said: {
            "participant": name,
            "id": found.pk,
            "kind": found.kind,
            "label": found.label,
            "sha256": sha256,
        },
        back=reverse("participant", args=[name]),
        facts=[
            Line(_("Participant"), name),
            Line(_("Kind"), KIND_NAMES[Credential.Kind(found.kind)]),
            Line(_("Label"), found.label),
        ],
    )


def download(request: HttpRequest, name: str, credential_id: int) -> HttpResponse:
    """Returns the public part of a certificate or key as a file."""
    found = _credential(participant_of(request, name), credential_id)
    if not found.pem:
        raise Http404
    disposition = f'attachment; filename="{name}-{found.pk}.pem"'
    return HttpResponse(found.pem, content_type="application/x-pem-file", headers={"Content-Disposition": disposition})


def _credential(participant: Participant, credential_id: int) -> Credential:
    found = participant.credentials.filter(pk=credential_id).first()
    if found is None:
        raise Http404
    return found
