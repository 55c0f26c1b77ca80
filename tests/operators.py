"""Administration clients in the tests' world, their tokens, and what they send."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from fspiop.time import http_date
from hub.administration import services
from hub.administration.models import READ, WRITE, AdministrationClient
from portal.permissions import Role
from tests import proofs
from tests.portal.people import person

OAUTH2 = {"ADMINISTRATION_AUTH": "oauth2", **proofs.TOKEN}
BOTH = [READ, WRITE]
_CLIENT = Client()  # one for all programs: each new one loads the middleware anew


def holder(name: str = "hodari") -> User:
    """One of the hub's people, to whom a client's secret is given."""
    return User.objects.filter(username=name).first() or person(Role.VIEWER, name=name)


def make_client(
    scopes: list[str] | None = None, *, name: str = "provisioning", of: User | None = None, days: int = 30
) -> tuple[AdministrationClient, str]:
    """A client and its secret."""
    person = of or holder()
    made = services.add(name=name, scopes=scopes or BOTH, days=days, holder=person, actor="test")
    return services.give_secret(made.pk, to=person)


def token_of(client: AdministrationClient, secret: str, scope: str = "") -> str:
    form = "grant_type=client_credentials" + (f"&scope={scope}" if scope else "")
    answer = proofs.ask_token(client.key, secret, form=form)
    assert answer.status_code == 200, answer.content
    token: str = json.loads(answer.content)["access_token"]
    return token


def bearer(scopes: list[str] | None = None, **kwargs: Any) -> dict[str, str]:
    """The header of a new client's token."""
    return proofs.bearer(token_of(*make_client(scopes, **kwargs)))


def send(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, browser: Client | None = None
) -> HttpResponse:
    """One request to any of the administration APIs, with the headers that one of them asks for."""
    usual = {"accept": "application/json", "date": http_date(datetime.now(UTC))}
    raw = json.dumps({} if body is None else body)
    return (browser or _CLIENT).generic(
        method, path, raw, content_type="application/json", headers=usual | (headers or {})
    )
