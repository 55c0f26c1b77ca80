"""POST /token: OAuth2 client credentials (RFC 6749, section 4.4), with responses and errors in OAuth's own form.

A DFSP can present a client certificate with its request for a token. The certificate must belong to the same
participant as the OAuth2 client, and the hub binds the token to the certificate. The hub's operators have separate
clients (`hub.administration`). Tokens of operators' clients contain permissions (`scope`). A process issues tokens only
for the APIs that it serves. The hub does not lock a client after wrong secrets. If it did, any stranger could lock the
client. Nobody can guess a secret. The process compares secrets with hashes in its memory. So wrong secrets cause few
database queries. The process reads the hashes of operators' clients at most once a second, and the hashes of DFSPs'
clients at most every `CREDENTIALS_REFRESH_S` seconds.
"""

import base64
from typing import NoReturn
from urllib.parse import parse_qs, unquote_plus

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from hub import client_secrets
from hub.administration import secret_hash_cache
from hub.administration import services as administration
from hub.administration.models import SCOPES
from hub.api import authentication, dfsp_limits, errors, tokens
from hub.api.views import PlainView
from hub.participants import credential_cache, queries

log = structlog.get_logger("security")

_MOST_BYTES = 4096
_FORM = "application/x-www-form-urlencoded"


class OAuthError(Exception):
    """Raised if the hub refuses to issue a token. The exception contains an error code from RFC 6749, section 5.2."""

    def __init__(self, word: str, why: str, *, status: int = 400) -> None:
        self.word, self.why, self.status = word, why, status
        super().__init__(word, why)


class TokenView(PlainView):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        tags=["OAuth2"],
        summary="Request an access token for a client of a DFSP or of the hub's operators",
        description="HTTP Basic with client key and client secret. The form has grant_type=client_credentials. An"
        " administration client may request some of its scopes in the form.",
        request={
            _FORM: {"type": "object", "properties": {"grant_type": {"type": "string"}, "scope": {"type": "string"}}}
        },
        responses={
            200: OpenApiResponse({"type": "object"}, description="access_token, token_type and expires_in"),
            401: OpenApiResponse({"type": "object"}, description="invalid_client"),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        http = request._request
        _check_head(http)
        client_key, secret = _basic(http)
        if client_key.startswith(administration.KEY_PREFIX):
            given = _operators_token(http, client_key, secret)
        else:
            given = {"access_token": _token_for(http, client_key, secret)}
        return _answer({"token_type": "Bearer", "expires_in": settings.TOKEN_LIFETIME_S} | given, 200)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        if not isinstance(exc, OAuthError):
            return errors.response_for(errors.as_fspiop(exc))
        response = _answer({"error": exc.word, "error_description": exc.why}, exc.status)
        if exc.status == 401:
            response["WWW-Authenticate"] = f'Basic realm="{settings.TOKEN_ISSUER}"'
        return response


def _answer(body: dict[str, object], status: int) -> HttpResponse:
    response = JsonResponse(body, status=status)
    response["Cache-Control"] = "no-store"
    response["Pragma"] = "no-cache"
    return response


def _check_head(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdecimal()) or len(length) > 18 or int(length) > _MOST_BYTES:
        raise OAuthError("invalid_request", "the form is too long", status=413)
    if request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != _FORM:
        raise OAuthError("invalid_request", f"the body must be {_FORM}")


def _scopes_asked_for(request: HttpRequest) -> list[str]:
    """Reads and checks the form in the body of a token request. Returns the requested scopes. The result can be empty.
    Authenticate the client before this call, because a slow body occupies a thread.
    """
    try:
        form = parse_qs(request.body.decode("ascii"), strict_parsing=True, max_num_fields=20)
    except ValueError:
        raise OAuthError("invalid_request", "the form cannot be read") from None
    grants = form.get("grant_type", [])
    if len(grants) != 1:
        raise OAuthError("invalid_request", "grant_type must be given once")
    if grants != ["client_credentials"]:
        raise OAuthError("unsupported_grant_type", "must be client_credentials")
    return " ".join(form.get("scope", [])).split()


def _basic(request: HttpRequest) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        _refuse("", "no HTTP Basic")
    try:
        client_key, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:
        _refuse("", "unreadable HTTP Basic")
    if not colon:
        _refuse("", "no secret")
    return unquote_plus(client_key), unquote_plus(secret)  # RFC 6749, section 2.3.1


def _operators_token(request: HttpRequest, client_key: str, secret: str) -> dict[str, object]:
    if "administration" not in settings.SERVES:
        _refuse(client_key, "this process does not serve administration clients")
    sha256 = secret_hash_cache.of(client_key)
    if sha256 is None:
        _refuse(client_key, "the client does not exist, is revoked or has expired")
    if not client_secrets.is_it(secret, sha256):
        _refuse(client_key, "wrong secret")
    client = administration.valid(client_key)  # the hash in the process's memory can be a second old
    if client is None or client.sha256 != sha256:
        _refuse(client_key, "the client is revoked or has expired")
    scopes = _scopes_asked_for(request)
    if not set(scopes) <= set(client.scopes):
        raise OAuthError("invalid_scope", f"this client only has {' '.join(client.scopes)}")
    granted = [scope for scope in client.scopes if scope in scopes] or client.scopes
    administration.note_use(client)
    token = tokens.issue_to_operators(client_key=client_key, scopes=granted)
    return {"access_token": token, "scope": " ".join(granted)}


def _token_for(request: HttpRequest, client_key: str, secret: str) -> str:
    if "fspiop" not in settings.SERVES:
        _refuse(client_key, "this process does not serve DFSPs")
    known = credential_cache.current().by_client(client_key)
    if known is None:
        _refuse(client_key, "the client does not exist, is revoked or has expired")
    if not client_secrets.is_it(secret, known.sha256):
        _refuse(client_key, "wrong secret")
    certificate = authentication.presented_certificate(request)
    if authentication.CERTIFICATE in settings.PARTICIPANT_AUTH or certificate is not None:
        holder = credential_cache.current().by_certificate(certificate) if certificate is not None else None
        if holder is None or holder.participant_id != known.participant_id:
            _refuse(client_key, "the client certificate is not this participant's")
    if not authentication.calls_from_its_network(request, known.participant_id):
        _refuse(client_key, "the participant is not allowed to use this address")
    name = queries.name_of(known.participant_id)
    # counts the request before it reads the form: while a form arrives slowly, the request occupies a thread
    dfsp_limits.enter(known.participant_id, name)
    try:
        scopes = _scopes_asked_for(request)
    finally:
        dfsp_limits.leave(known.participant_id)
    if set(scopes) & set(SCOPES):
        raise OAuthError("invalid_scope", "a DFSP's client cannot have administration scopes")
    return tokens.issue(
        client_key=client_key,
        participant=name,
        certificate_sha256=certificate,
    )


def _refuse(client_key: str, why: str) -> NoReturn:
    log.warning("token_refused", client=client_key[:64], why=why)
    raise OAuthError("invalid_client", "not authenticated", status=401)
