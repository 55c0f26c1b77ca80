"""A09 for access tokens: the token does not choose how it is checked, by whom it was made, or for whom."""

import base64
import json
import time

import pytest
from django.conf import settings
from django.test import override_settings
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from hub.api import tokens
from tests import proofs
from tests.api.caller import dfsp, error_of
from tests.world import World


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def is_refused(token: str) -> bool:
    return error_of(dfsp("GET", "/parties/MSISDN/1", headers=proofs.bearer(token))) == (401, "3000")


@override_settings(**proofs.TOKEN)
def test_a09_a_token_of_another_make_is_refused(world: World) -> None:
    client = proofs.register_client("green")
    good = proofs.token_of(client)
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    ours = tokens._key(settings.SECRET_KEY, tokens._DFSPS)
    operators = tokens._key(settings.SECRET_KEY, tokens._OPERATORS)
    theirs = OctKey.import_key(b"k" * 32)
    rsa = RSAKey.import_key(proofs.private_pem(proofs.key_of("green")))
    forged = [
        f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.",
        f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.{signature}",
        f"{part({'alg': 'HS512', 'typ': 'at+jwt'})}.{payload}.{signature}",
        f"{header}.{part(claims | {'sub': 'blue'})}.{signature}",
        f"{header}.{part(claims | {'exp': claims['exp'] + 9999})}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, theirs),
        jwt.encode({"alg": "RS256", "typ": "at+jwt"}, claims, rsa),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, operators),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims | {"aud": "elsewhere"}, ours),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims | {"iss": "somebody"}, ours),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims | {"exp": int(time.time()) - 1}, ours),
        jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, ours),
        jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims | {"client_id": "green.unknown"}, ours),
        "",
        "....",
        "\u00e9" * 10,
    ]
    assert dfsp("GET", "/parties/MSISDN/1", headers=proofs.bearer(good)).status_code == 202
    assert [token for token in forged if not is_refused(token)] == []


@override_settings(**proofs.TOKEN)
@pytest.mark.parametrize("value", ["", "Bearer", "Basic Z3JlZW46eA==", "Token x", "Bearer  ", "bearer a b"])
def test_a09_what_is_no_bearer_token_is_refused(world: World, value: str) -> None:
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers={"Authorization": value})) == (401, "3000")
