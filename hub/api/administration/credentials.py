"""/participants/{name}/credentials: lists, registers and revokes a participant's credentials.

The Mojaloop API has no requests about credentials.

Only the response to the POST that creates a client contains the client's secret.
"""

import json
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.common import DateTime
from fspiop.errors import ErrorCode, FspiopError
from hub import client_secrets
from hub.api.administration.views import AdministrationView, Response, waits_response
from hub.api.openapi import administration_schema
from hub.audit import program_change_requests
from hub.participants import credentials
from hub.participants.models import Credential, Participant

TAG = "Credentials"
Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]


class NewCertificate(msgspec.Struct):
    pem: Pem


class NewSigningKey(msgspec.Struct, rename="camel"):
    """`key` is a public key in PEM, an X.509 certificate in PEM, or a JWK (an object, or the object's text)."""

    key: Pem | dict[str, Any]
    valid_from: DateTime | None = None
    valid_until: DateTime | None = None


class NewClient(msgspec.Struct, rename="camel"):
    valid_until: DateTime | None = None


class Compat(msgspec.Struct, rename="camel"):
    jws_compat: bool


def _dfsp(name: str) -> Participant:
    found = Participant.objects.filter(name=name, is_hub=False).first()
    if found is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "no such participant", http_status=404)
    return found


def _show(credential: Credential) -> dict[str, Any]:
    shown = {
        "id": credential.pk,
        "kind": credential.kind,
        "validFrom": time.format_datetime(credential.valid_from),
        "validUntil": time.format_datetime(credential.valid_until),
        "revokedAt": time.format_datetime(credential.revoked_at) if credential.revoked_at else None,
    }
    if credential.kind == Credential.Kind.CLIENT:
        return shown | {"clientKey": credential.label}
    return shown | {"subject": credential.label, "sha256": credential.sha256, "pem": credential.pem}


def _not_kept(response: HttpResponse) -> HttpResponse:
    """Forbids caches to store the response, because the response contains a secret."""
    response["Cache-Control"] = "no-store"
    return response


class CredentialsView(AdministrationView):
    @administration_schema(TAG, summary="List a participant's credentials, including revoked ones")
    def get(self, request: Request, name: str) -> Response:
        return Response([_show(credential) for credential in _dfsp(name).credentials.all()])


class CertificatesView(AdministrationView):
    @administration_schema(
        TAG,
        summary="Register a TLS client certificate",
        request=NewCertificate,
        answer=201,
        two_people=("add_credential",),
    )
    def post(self, request: Request, name: str) -> Response:
        body, dfsp = self.read(NewCertificate), _dfsp(name)
        self.needs_two(
            "add_credential",
            subject=name,
            payload=lambda: {"participant": name, "kind": Credential.Kind.CERTIFICATE.value, "text": body.pem},
        )
        return Response(_show(credentials.add_certificate(dfsp, pem=body.pem, actor=self.actor)), status=201)


class SigningKeysView(AdministrationView):
    @administration_schema(
        TAG,
        summary="Register a public key for signatures",
        request=NewSigningKey,
        answer=201,
        two_people=("add_credential",),
    )
    def post(self, request: Request, name: str) -> Response:
        body, dfsp = self.read(NewSigningKey), _dfsp(name)
        key = body.key if isinstance(body.key, str) else json.dumps(body.key)
        self.needs_two(
            "add_credential",
            subject=name,
            payload=lambda: {
                "participant": name,
                "kind": Credential.Kind.SIGNING_KEY.value,
                "text": key,
                "valid_from": body.valid_from,
                "valid_until": body.valid_until,
            },
        )
        credential = credentials.add_signing_key(
            dfsp,
            key=key,
            valid_from=time.parse_datetime(body.valid_from) if body.valid_from else None,
            valid_until=time.parse_datetime(body.valid_until) if body.valid_until else None,
            actor=self.actor,
        )
        return Response(_show(credential), status=201)


class ClientsView(AdministrationView):
    @administration_schema(
        TAG,
        summary="Create an OAuth2 client; only this response contains its secret",
        request=NewClient,
        answer=201,
        two_people=("add_client",),
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        """Creates a client. Returns the client's secret even if the client waits for approval, because no later
        response contains the secret."""
        body, dfsp = self.read(NewClient), _dfsp(name)
        client_key, secret = credentials.new_client_key(dfsp), client_secrets.make()
        try:
            self.needs_two(
                "add_client",
                subject=name,
                payload=lambda: {
                    "participant": name,
                    "label": client_key,
                    "secret_sha256": client_secrets.hash_of(secret),
                    "valid_until": body.valid_until,
                },
            )
        except program_change_requests.Waits as waits:
            return _not_kept(waits_response(waits.approval, clientKey=client_key, clientSecret=secret))
        credential = credentials.register_client(
            dfsp,
            client_key=client_key,
            sha256=client_secrets.hash_of(secret),
            valid_until=time.parse_datetime(body.valid_until) if body.valid_until else None,
            actor=self.actor,
        )
        return _not_kept(Response(_show(credential) | {"clientSecret": secret}, status=201))


class CredentialView(AdministrationView):
    @administration_schema(
        TAG, summary="Revoke a certificate, client or signing key permanently", two_people=("revoke_credential",)
    )
    def delete(self, request: Request, name: str, credential_id: int) -> Response:
        dfsp = _dfsp(name)
        credential = credentials.of_participant(dfsp, credential_id)
        if credential.revoked_at is None:
            self.needs_two("revoke_credential", subject=name, payload=lambda: credentials.named(credential))
        return Response(_show(credentials.revoke(dfsp, credential_id=credential.pk, actor=self.actor)))


class CompatView(AdministrationView):
    @administration_schema(
        TAG,
        summary="Set whether the hub accepts signatures over re-serialised JSON",
        request=Compat,
        two_people=("set_jws_compat",),
    )
    def put(self, request: Request, name: str) -> HttpResponse:
        body, dfsp = self.read(Compat), _dfsp(name)
        self.needs_two(
            "set_jws_compat",
            subject=name,
            payload=lambda: {"participant": name, "before": dfsp.jws_compat, "jws_compat": body.jws_compat},
        )
        credentials.set_jws_compat(dfsp, jws_compat=body.jws_compat, actor=self.actor)
        return HttpResponse(status=200, content_type="application/json")
