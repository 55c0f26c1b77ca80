"""Authenticates administration clients by a bearer token. The token names a client, and this client must be valid at
the time of the request."""

import time

import structlog
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from hub.administration import services as administration
from hub.administration.models import AdministrationClient
from hub.api import tokens

log = structlog.get_logger("security")


class ClientToken(BaseAuthentication):
    """Sets `request.auth` to the token's client.

    The request gets only the scopes that both the token and the client have.
    """

    def authenticate(self, request: Request) -> tuple[None, "Granted"] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            token = tokens.read_operators(text.strip())
        except tokens.BadToken:
            raise _refused("", "the token is not one that this hub issued to an operators' client") from None
        if token.expires_at <= time.time():
            raise _refused(token.client_key, "the token has expired")
        client = administration.valid(token.client_key)
        if client is None:
            raise _refused(token.client_key, "the token's client has been revoked or has expired")
        administration.note_use(client)
        return None, Granted(client, token.scopes & set(client.scopes))


class Granted:
    """A client, and the scopes of its present request."""

    def __init__(self, client: AdministrationClient, scopes: frozenset[str]) -> None:
        self.client, self.scopes = client, scopes


def _refused(client_key: str, why: str) -> exceptions.AuthenticationFailed:
    log.warning("administrator_refused", client=client_key[:64], why=why)
    return exceptions.AuthenticationFailed()
