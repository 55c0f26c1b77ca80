"""A08 and A09: whatever differs from what was signed is refused, at the doorway itself, over the real path.

ATTACK_MUTANTS says how many altered requests are tried; the default keeps the test short.
"""

import json
import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding
from django.http import HttpResponse
from django.test import Client, override_settings

from fspiop import base64url, jws
from hub.outbox.models import Message
from tests import proofs
from tests.api.caller import error_of
from tests.proofs import key_of
from tests.world import World

MUTANTS = int(os.environ.get("ATTACK_MUTANTS", "3000"))
SEED = int(os.environ.get("ATTACK_SEED", "20261124"))
CLIENT = Client(raise_request_exception=False)  # one for all: each new one loads the middleware anew
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"
PATH = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
OTHER_PATH = "/transfers/0a1b2c3d-ee48-4575-b6a9-ead2955b8069"
# A state that a hub does not act on: what gets through the door is answered 200 and changes nothing.
BODY = '{"transferState": "ABORTED", "extensionList": {"extension": [{"key": "note", "value": "Zoë"}]}}'.encode()


@cache
def signed_by(signer: str, source: str = "green", body: bytes = BODY) -> str:
    return jws.sign(body, key=key_of(signer), method="PUT", uri=PATH, source=source, destination="blue", date=DATE)


@dataclass(frozen=True)
class Sent:
    """A request as an attacker may change it."""

    method: str = "PUT"
    path: str = PATH
    body: bytes = BODY
    headers: dict[str, str] = field(
        default_factory=lambda: {
            "date": DATE,
            "fspiop-source": "green",
            "fspiop-destination": "blue",
            "fspiop-uri": PATH,
            "fspiop-http-method": "PUT",
            "fspiop-signature": signed_by("green"),
        }
    )

    def having(self, **headers: str) -> "Sent":
        return replace(self, headers=self.headers | {name.replace("_", "-"): text for name, text in headers.items()})

    def without(self, *names: str) -> "Sent":
        return replace(self, headers={name: text for name, text in self.headers.items() if name not in names})

    def send(self) -> HttpResponse:
        headers = dict(self.headers)
        if self.method in ("POST", "GET", "DELETE"):
            headers["accept"] = "application/vnd.interoperability.transfers+json;version=1"
        return CLIENT.generic(
            self.method,
            self.path,
            self.body,
            content_type="application/vnd.interoperability.transfers+json;version=1.1",
            headers=headers,
        )


def parts(sent: Sent) -> tuple[str, str]:
    found = json.loads(sent.headers["fspiop-signature"])
    return found["signature"], found["protectedHeader"]


def with_parts(sent: Sent, signature: str, protected: str) -> Sent:
    return sent.having(fspiop_signature=json.dumps({"signature": signature, "protectedHeader": protected}))


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def changed_text(text: str, draw: random.Random) -> str:
    """The text with one character other, more or less; or two that changed places."""
    at = draw.randrange(len(text))
    other = draw.choice([c for c in ALPHABET + "=+/ .\t%" if c != text[at]])
    swapped = text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
    choices = [text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + other + text[at:]]
    return draw.choice([*choices, swapped] if swapped != text else choices)


def body_byte(sent: Sent, draw: random.Random) -> Sent:
    at = draw.randrange(len(sent.body))
    other = bytes([sent.body[at] ^ draw.randrange(1, 256)])
    some = bytes([draw.randrange(256)])
    return replace(
        sent,
        body=draw.choice(
            [
                sent.body[:at] + other + sent.body[at + 1 :],
                sent.body[:at] + sent.body[at + 1 :],
                sent.body[:at] + some + sent.body[at:],
            ]
        ),
    )


def body_rewritten(sent: Sent, draw: random.Random) -> Sent:
    value = json.loads(sent.body)
    forms = [
        json.dumps(value, indent=draw.randrange(1, 9)),
        json.dumps(value, separators=(",", ":")),
        json.dumps(value, sort_keys=True, ensure_ascii=False),
        json.dumps(value | {"transferState": "COMMITTED"}),
        json.dumps(value | {"x": draw.random()}),
        sent.body.decode() + draw.choice([" ", "\n", "\r\n", "\t"]) * draw.randrange(1, 9),
        "",
    ]
    return replace(sent, body=draw.choice(forms).encode())


def signature_text(sent: Sent, draw: random.Random) -> Sent:
    signature, protected = parts(sent)
    return with_parts(sent, changed_text(signature, draw), protected)


def protected_text(sent: Sent, draw: random.Random) -> Sent:
    signature, protected = parts(sent)
    return with_parts(sent, signature, changed_text(protected, draw))


def other_form_of_base64(sent: Sent, draw: random.Random) -> Sent:
    signature, protected = parts(sent)
    last = ALPHABET.index(signature[-1])
    twins = [signature[:-1] + ALPHABET[last ^ bit] for bit in (1, 2, 3)]  # the same octets, where bits are ignored
    forms = [*twins, signature + "=", signature + "==", signature + "\n", " " + signature, signature + "A"]
    forms += [signature.replace("-", "+", 1) if "-" in signature else signature + "/", quote(signature) + "%3D"]
    return with_parts(sent, draw.choice(forms), draw.choice([protected, protected + "=", protected]))


def protected_value(sent: Sent, draw: random.Random) -> Sent:
    signature, protected = parts(sent)
    value = json.loads(base64url.decode(protected))
    name = draw.choice(list(value))
    changes = [value | {name: changed_text(value[name], draw)}, {n: v for n, v in value.items() if n != name}]
    changes.append(value | {draw.choice(["kid", "jku", "crit", "x", "B64"]): "x"})
    return with_parts(sent, signature, base64url.encode(json.dumps(draw.choice(changes)).encode()))


def header_value(sent: Sent, draw: random.Random) -> Sent:
    name = draw.choice(["date", "fspiop-source", "fspiop-destination", "fspiop-uri", "fspiop-http-method"])
    values = {
        "date": ["Tue, 24 Nov 2026 08:00:01 GMT", "Wed, 25 Nov 2026 08:00:00 GMT"],
        "fspiop-source": ["red", "blue", "GREEN", "green "],
        "fspiop-destination": ["red", "grey", "green", "BLUE"],
        "fspiop-uri": [OTHER_PATH, PATH + "/error", PATH.upper(), PATH + "?", PATH + "/", "/fspiop" + PATH, "*"],
        "fspiop-http-method": ["POST", "put", "PATCH", "GET"],
    }
    return sent.having(**{name.replace("-", "_"): draw.choice([*values[name], changed_text(sent.headers[name], draw)])})


def header_left_out(sent: Sent, draw: random.Random) -> Sent:
    return sent.without(draw.choice(list(sent.headers)))


def moved(sent: Sent, draw: random.Random) -> Sent:
    # Not PATH + "?" nor another spelling of the same octets: they name the same resource, and WSGI does not tell.
    paths = [OTHER_PATH, PATH + "/error", PATH + "?a=b", PATH + "/", PATH.upper(), "/quotes/" + PATH.split("/")[2]]
    path = draw.choice(paths)
    method = draw.choice(["PUT", "POST", "PATCH", "GET"])
    there = replace(sent, path=path, method=method)
    return draw.choice([there, there.having(fspiop_uri=path, fspiop_http_method=method)])


def signature_header(sent: Sent, draw: random.Random) -> Sent:
    text = sent.headers["fspiop-signature"]
    forms = ["", " ", "null", "[]", "{}", "x", text + "," + text, text + text, text[:-1], "[" + text + "]", text + " x"]
    forms.append(text.replace('"signature"', '"Signature"'))
    forms.append(text[:-1] + ',"signature":"AAAA"}')
    return sent.having(fspiop_signature=draw.choice(forms))


def another_key(sent: Sent, draw: random.Random) -> Sent:
    body = draw.choice([BODY, b"{}", BODY + b" "])
    text = signed_by(draw.choice(["red", "blue", "nobody"]), draw.choice(["green", "red"]), body)
    return replace(sent, body=body).having(fspiop_signature=text)


WAYS: list[Callable[[Sent, random.Random], Sent]] = [
    body_byte,
    body_rewritten,
    signature_text,
    protected_text,
    other_form_of_base64,
    protected_value,
    header_value,
    header_left_out,
    moved,
    signature_header,
    another_key,
]


@pytest.fixture
def _keys(world: World) -> Iterator[None]:
    for name in ("green", "red", "blue"):
        proofs.register_key(name)
    logging.disable()  # thousands of refusals, each with its line
    yield
    logging.disable(logging.NOTSET)


@override_settings(**proofs.SIGNED)
@pytest.mark.usefixtures("_keys")
def test_a08_no_altered_request_passes_the_door() -> None:
    good = Sent()
    assert good.send().status_code == 200
    before = Message.objects.count()
    draw = random.Random(SEED)
    answers: Counter[str] = Counter()
    accepted = []
    for number in range(MUTANTS):
        way = WAYS[number % len(WAYS)]
        mutant = way(good, draw)
        if mutant == good:
            continue
        answer = mutant.send()
        if answer.status_code < 400 or answer.status_code >= 500:
            accepted.append((way.__name__, answer.status_code, mutant))
            continue
        answers[error_of(answer)[1]] += 1
    tried = sum(answers.values()) + len(accepted)
    print(f"\nA08: {tried} altered requests (seed {SEED}), accepted {len(accepted)}; refused {dict(answers)}")
    assert accepted == []
    assert tried > MUTANTS * 0.98
    assert answers["3105"] > tried * 0.7
    assert Message.objects.count() == before
    assert good.send().status_code == 200


def over(protected: dict[str, object], **changes: object) -> Sent:
    """Green's own signature, right in itself, over a protected header that must not be."""
    header = base64url.encode(json.dumps(protected | changes).encode())
    made = key_of("green").sign(f"{header}.{base64url.encode(BODY)}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return with_parts(Sent(), base64url.encode(made), header)


@override_settings(**proofs.SIGNED)
@pytest.mark.usefixtures("_keys")
def test_a09_the_message_chooses_neither_key_nor_algorithm() -> None:
    protected = json.loads(base64url.decode(parts(Sent())[1]))
    assert over(protected).send().status_code == 200
    header = base64url.encode(json.dumps(protected | {"alg": "HS256"}).encode())
    mac = hmac.HMAC(proofs.public_pem(key_of("green")).encode(), hashes.SHA256())
    mac.update(f"{header}.{base64url.encode(BODY)}".encode())
    attacks = {"HS256 with the public key": with_parts(Sent(), base64url.encode(mac.finalize()), header)}
    curve = ec.generate_private_key(ec.SECP256R1())
    header = base64url.encode(json.dumps(protected | {"alg": "ES256"}).encode())
    made = curve.sign(f"{header}.{base64url.encode(BODY)}".encode(), ec.ECDSA(hashes.SHA256()))
    attacks["ES256"] = with_parts(Sent(), base64url.encode(made), header)
    header = base64url.encode(json.dumps(protected | {"alg": "PS256"}).encode())
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
    made = key_of("green").sign(f"{header}.{base64url.encode(BODY)}".encode(), scheme, hashes.SHA256())
    attacks["PS256"] = with_parts(Sent(), base64url.encode(made), header)
    header = base64url.encode(json.dumps(protected | {"alg": "none"}).encode())
    attacks["none"] = with_parts(Sent(), "", header)
    for alg in ("none", "None", "rs256", "RS1", "HS256", "ES256", "PS256", "", None, 256, ["RS256"]):
        attacks[f"alg {alg!r}"] = over(protected, alg=alg)
    del (without := dict(protected))["alg"]
    attacks["no alg"] = over(without)
    for name, value in {
        "jwk": {"kty": "RSA"},
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/chain",
        "x5c": ["MII"],
        "kid": "../../etc/passwd",
        "crit": ["b64"],
        "b64": False,
    }.items():
        attacks[name] = over(protected, **{name: value})
        attacks[name + " as text"] = over(protected, **{name: "x"})
    answers = {name: error_of(sent.send()) for name, sent in attacks.items()}
    assert {name: answer for name, answer in answers.items() if answer != (400, "3105")} == {}
