"""/participants/{name}/credentials: what a participant proves itself with. Kitovu's own part of the administration API.

A client's secret is in the answer to its POST and never again.
"""

import json
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.common import DateTime
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration import AdministrationView, Response
from hub.api.docs import administration_schema
from hub.participants import credentials
from hub.participants.models import Credential, Participant

TAG = "Credentials"
Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]


class NewCertificate(msgspec.Struct):
    pem: Pem


class NewSigningKey(msgspec.Struct, rename="camel"):
    """`key` is PEM, an X.509 certificate in PEM, or a JWK (an object, or its text)."""

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


class CredentialsView(AdministrationView):
    @administration_schema(TAG, summary="A participant's certificates, clients and signing keys, also the revoked")
    def get(self, request: Request, name: str) -> Response:
        return Response([_show(credential) for credential in _dfsp(name).credentials.all()])


class CertificatesView(AdministrationView):
    @administration_schema(TAG, summary="Register a TLS client certificate", request=NewCertificate, answer=201)
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewCertificate)
        return Response(_show(credentials.add_certificate(_dfsp(name), pem=body.pem, actor=self.actor)), status=201)


class SigningKeysView(AdministrationView):
    @administration_schema(TAG, summary="Register a public key for signatures", request=NewSigningKey, answer=201)
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewSigningKey)
        credential = credentials.add_signing_key(
            _dfsp(name),
            key=body.key if isinstance(body.key, str) else json.dumps(body.key),
            valid_from=time.parse_datetime(body.valid_from) if body.valid_from else None,
            valid_until=time.parse_datetime(body.valid_until) if body.valid_until else None,
            actor=self.actor,
        )
        return Response(_show(credential), status=201)


class ClientsView(AdministrationView):
    @administration_schema(TAG, summary="A new OAuth2 client; its secret is told once", request=NewClient, answer=201)
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewClient)
        client = credentials.add_client(
            _dfsp(name),
            valid_until=time.parse_datetime(body.valid_until) if body.valid_until else None,
            actor=self.actor,
        )
        response = Response(_show(client.credential) | {"clientSecret": client.secret}, status=201)
        response["Cache-Control"] = "no-store"
        return response


class CredentialView(AdministrationView):
    @administration_schema(TAG, summary="Revoke a certificate, client or signing key for ever")
    def delete(self, request: Request, name: str, credential_id: int) -> Response:
        return Response(_show(credentials.revoke(_dfsp(name), credential_id=credential_id, actor=self.actor)))


class CompatView(AdministrationView):
    @administration_schema(TAG, summary="Whether signatures may be over the JSON written anew", request=Compat)
    def put(self, request: Request, name: str) -> HttpResponse:
        body = self.read(Compat)
        credentials.set_jws_compat(_dfsp(name), jws_compat=body.jws_compat, actor=self.actor)
        return HttpResponse(status=200, content_type="application/json")
