"""The kinds of change for credentials: to sign a certificate, to register a certificate or key, and to revoke a
credential."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import keys_and_certificates, time
from hub.participants import certificate_authority, credentials
from hub.participants.models import Credential
from portal.changes.change_kind import (
    Kind,
    Line,
    Outdated,
    Payload,
    must_still_be,
    must_still_be_open,
    participant_named,
)
from portal.invalid_value_texts import text_of
from portal.permissions import Right

EXPIRES_SOON = timedelta(days=30)  # when a credential expires within this time, the hub warns the participant's users
KIND_NAMES = {
    Credential.Kind.CERTIFICATE: gettext_lazy("certificate"),
    Credential.Kind.SIGNING_KEY: gettext_lazy("signing key"),
    Credential.Kind.CLIENT: gettext_lazy("OAuth2 client"),
}


def described_request(csr: str, *, name: str, days: int) -> list[Line]:
    """Returns the lines that describe the change.

    The lines show the data that the authority will sign. This data comes from the signing request.
    """
    try:
        request = certificate_authority.read_request(csr, name=name)
    except ValueError as error:  # an earlier, less strict check may have accepted this signing request
        return [Line(_("Signing request"), text_of(error))]
    return [
        Line(_("Certificate subject"), request.subject),
        Line(_("Key"), request.key),
        Line(_("SHA-256 of the key"), request.key_sha256),
        Line(_("Validity in days"), days),
    ]


def _describe_request(payload: Payload) -> list[Line]:
    name = payload["participant"]
    return [Line(_("Participant"), name), *described_request(payload["csr"], name=name, days=payload["days"])]


def _check_open(payload: Payload) -> None:
    must_still_be_open(payload)


def _sign(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    credentials.issue_certificate(participant, csr=payload["csr"], days=payload["days"], actor=actor)


def read(kind: str, text: str) -> keys_and_certificates.PublicPart:
    """Reads a certificate or a signing key. If the text cannot be registered, raises ValueError with the fault."""
    return (
        keys_and_certificates.read_certificate(text)
        if kind == Credential.Kind.CERTIFICATE
        else keys_and_certificates.read_signing_key(text)
    )


def described_key(kind: str, text: str) -> list[Line]:
    try:
        part = read(kind, text)
    except ValueError as error:
        return [Line(_("Public key or certificate"), text_of(error))]
    return [
        Line(_("Kind"), KIND_NAMES[Credential.Kind(kind)]),
        Line(_("Label"), part.label),
        Line("SHA-256", part.sha256),
    ]


def _moment(payload: Payload, name: str) -> datetime | None:
    """Returns a time from a program's request, or None.

    Requests from the portal have no time, because the form has no field for a time.
    """
    text = payload.get(name)
    return time.parse_datetime(text) if text else None


def _times(payload: Payload) -> list[Line]:
    given = ((_("Valid from"), payload.get("valid_from")), (_("Valid until"), payload.get("valid_until")))
    return [Line(label, moment) for label, moment in given if moment]


def _describe_new(payload: Payload) -> list[Line]:
    key = described_key(payload["kind"], payload["text"])
    return [Line(_("Participant"), payload["participant"]), *key, *_times(payload)]


def _check_new_still(payload: Payload) -> None:
    """Raises Outdated if the credential can never be registered: another request has registered it, or it has
    expired."""
    must_still_be_open(payload)
    try:
        part = read(payload["kind"], payload["text"])
    except ValueError:  # an earlier, less strict check may have accepted this text
        raise Outdated from None
    must_still_be(Credential.objects.filter(sha256=part.sha256).exists(), False)
    ends = (part.valid_until, _moment(payload, "valid_until"))
    must_still_be(any(end is not None and end <= timezone.now() for end in ends), False)


def _add(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    if payload["kind"] == Credential.Kind.CERTIFICATE:
        credentials.add_certificate(participant, pem=payload["text"], actor=actor)
    else:
        credentials.add_signing_key(
            participant,
            key=payload["text"],
            valid_from=_moment(payload, "valid_from"),
            valid_until=_moment(payload, "valid_until"),
            actor=actor,
        )


def _describe_client(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Kind"), KIND_NAMES[Credential.Kind.CLIENT]),
        Line(_("Label"), payload["label"]),
        *_times(payload),
    ]


def _check_client_still(payload: Payload) -> None:
    must_still_be_open(payload)
    must_still_be(Credential.objects.filter(sha256=payload["secret_sha256"]).exists(), False)
    end = _moment(payload, "valid_until")
    must_still_be(end is not None and end <= timezone.now(), False)


def _add_client(payload: Payload, actor: str) -> None:
    credentials.register_client(
        participant_named(payload["participant"]),
        client_key=payload["label"],
        sha256=payload["secret_sha256"],
        valid_until=_moment(payload, "valid_until"),
        actor=actor,
    )


def _describe_compat(payload: Payload) -> list[Line]:
    after = (
        _("signatures over the received bytes, or over the JSON serialised again")
        if payload["jws_compat"]
        else _("only signatures over the received bytes")
    )
    return [Line(_("Participant"), payload["participant"]), Line(_("Accepted signatures"), after)]


def _check_compat_still(payload: Payload) -> None:
    must_still_be(participant_named(payload["participant"]).jws_compat, payload["before"])


def _set_compat(payload: Payload, actor: str) -> None:
    _check_compat_still(payload)
    participant = participant_named(payload["participant"])
    credentials.set_jws_compat(participant, jws_compat=payload["jws_compat"], actor=actor)


def _describe_end(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Kind"), KIND_NAMES[Credential.Kind(payload["kind"])]),
        Line(_("Label"), payload["label"]),
        Line("SHA-256", payload["sha256"] or "–"),
        Line(_("After"), _("permanently revoked: the hub rejects this credential within seconds")),
    ]


def _check_not_revoked(payload: Payload) -> None:
    must_still_be(Credential.objects.filter(pk=payload["id"], revoked_at=None).exists(), True)


def _revoke(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    credentials.revoke(participant, credential_id=payload["id"], actor=actor)


_RIGHTS = (Right.ASK_TECHNICAL, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "sign_certificate",
        gettext_lazy("Sign a certificate"),
        *_RIGHTS,
        _describe_request,
        _sign,
        check_still=_check_open,
    ),
    Kind(
        "add_credential",
        gettext_lazy("Register a certificate or a key"),
        *_RIGHTS,
        _describe_new,
        _add,
        check_still=_check_new_still,
    ),
    Kind(
        "add_client",
        gettext_lazy("Register an OAuth2 client"),
        *_RIGHTS,
        _describe_client,
        _add_client,
        check_still=_check_client_still,
    ),
    Kind(
        "set_jws_compat",
        gettext_lazy("Change which signatures are accepted"),
        *_RIGHTS,
        _describe_compat,
        _set_compat,
        check_still=_check_compat_still,
    ),
    Kind(
        "revoke_credential",
        gettext_lazy("Revoke a certificate, key or client"),
        *_RIGHTS,
        _describe_end,
        _revoke,
        check_still=_check_not_revoked,
    ),
]
