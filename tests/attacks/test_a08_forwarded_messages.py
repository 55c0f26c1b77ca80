"""A08: whatever a DFSP signs and however it spells it, what the hub passes on is what its receiver can believe.

The receiver compares as the API says: the signature over the octets, the path under which it was asked, the method and
the headers that came with it, and FSPIOP-Destination with its own name. A message that would not stand there is refused
at the hub's door, or told by the hub itself; above all no transfer commits by it.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings

from fspiop import base64url, jws
from fspiop.errors import FspiopError
from fspiop.time import http_date
from hub.outbox.models import Message
from ledger import invariants
from ledger.models import Transfer
from tests import proofs
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.fx_messages import fx_fulfilment, fx_quote, fx_terms, fx_transfer, money
from tests.api.test_transaction_requests import QUERY, request_to_pay
from tests.attacks.web import head, send, served
from tests.fx_world import open_scheme
from tests.proofs import key_of
from tests.world import World

NAMES = ("green", "blue", "red", "fxp")


@dataclass(frozen=True)
class Sent:
    """A message that one DFSP signs for another."""

    method: str
    path: str
    body: Any
    source: str
    receiver: str
    version: str = "1.1"


@pytest.fixture
def scheme(committed_world: World) -> World:
    open_scheme(committed_world)
    for name in NAMES:
        proofs.register_key(name)
    return committed_world


def unsigned(method: str, path: str, body: Any, **more: Any) -> None:
    """What came before, in a scheme that does not look at signatures."""
    with override_settings(SIGNATURES="ignored"):
        major = more.get("version", "1.1")[0]
        accept = {"accept": f"application/vnd.interoperability.{path.split('/')[1]}+json;version={major}"}
        answer = dfsp(method, path, body, headers=accept if method == "POST" else None, **more)
    assert answer.status_code in (200, 202), answer.content


def unsigned_get(path: str, **more: Any) -> None:
    assert dfsp("GET", path, **more).status_code == 202


def transfer() -> dict[str, Any]:
    return messages.transfer(amount={"currency": "TZS", "amount": "1"})


def prepare() -> Sent:
    return Sent("POST", "/transfers", transfer(), "green", "blue")


def fulfil(state: str = "COMMITTED") -> Sent:
    body = transfer()
    unsigned("POST", "/transfers", body, destination="blue")
    return Sent("PUT", f"/transfers/{body['transferId']}", messages.fulfilment(transferState=state), "blue", "green")


def reject() -> Sent:
    found = fulfil()
    return Sent("PUT", found.path + "/error", messages.error(), "blue", "green")


def quote() -> Sent:
    return Sent("POST", "/quotes", messages.quote(), "green", "blue")


def quote_answer(ending: str = "") -> Sent:
    body = messages.quote()
    unsigned("POST", "/quotes", body, destination="blue")
    answer = messages.error() if ending else messages.terms()
    return Sent("PUT", f"/quotes/{body['quoteId']}{ending}", answer, "blue", "green")


def bulk_quote() -> Sent:
    return Sent("POST", "/bulkQuotes", messages.bulk_quote(), "green", "blue")


def bulk_quote_answer() -> Sent:
    body = messages.bulk_quote()
    unsigned("POST", "/bulkQuotes", body, destination="blue")
    return Sent("PUT", f"/bulkQuotes/{body['bulkQuoteId']}", messages.bulk_terms(body), "blue", "green")


def bulk_prepare() -> Sent:
    return Sent("POST", "/bulkTransfers", messages.bulk_transfer("1", "2"), "green", "blue")


def bulk_fulfil() -> Sent:
    body = messages.bulk_transfer("1", "2")
    unsigned("POST", "/bulkTransfers", body, destination="blue")
    return Sent("PUT", f"/bulkTransfers/{body['bulkTransferId']}", messages.bulk_results(body), "blue", "green")


def bulk_reject() -> Sent:
    found = bulk_fulfil()
    return Sent("PUT", found.path + "/error", messages.error(), "blue", "green")


def conversion_terms() -> Sent:
    return Sent("POST", "/fxQuotes", fx_quote(), "green", "fxp", "2.0")


def conversion_terms_answer() -> Sent:
    asked = fx_quote()
    unsigned("POST", "/fxQuotes", asked, destination="fxp", version="2.0")
    return Sent("PUT", f"/fxQuotes/{asked['conversionRequestId']}", fx_terms(asked), "fxp", "green", "2.0")


def conversion() -> Sent:
    return Sent("POST", "/fxTransfers", fx_transfer(sourceAmount=money("1", "TZS")), "green", "fxp", "2.0")


def conversion_answer(ending: str = "") -> Sent:
    body = fx_transfer(sourceAmount=money("1", "TZS"))
    unsigned("POST", "/fxTransfers", body, destination="fxp", version="2.0")
    answer = messages.error() if ending else fx_fulfilment()
    return Sent("PUT", f"/fxTransfers/{body['commitRequestId']}{ending}", answer, "fxp", "green", "2.0")


def request() -> Sent:
    return Sent("POST", "/transactionRequests", request_to_pay(), "blue", "green")


def request_answer(ending: str = "") -> Sent:
    body = request_to_pay()
    unsigned("POST", "/transactionRequests", body, source="blue", destination="green")
    answer = messages.error() if ending else {"transactionRequestState": "RECEIVED"}
    return Sent("PUT", f"/transactionRequests/{body['transactionRequestId']}{ending}", answer, "green", "blue")


def authorization() -> Sent:
    asked = request_answer()
    unsigned_get(f"/authorizations/{asked.path.rpartition('/')[2]}?{QUERY}", source="blue", destination="green")
    answer = {"responseType": "ENTERED", "authenticationInfo": {"authentication": "OTP", "authenticationValue": "1"}}
    return Sent("PUT", f"/authorizations/{asked.path.rpartition('/')[2]}", answer, "green", "blue")


def transaction() -> Sent:
    body = messages.quote()
    unsigned("POST", "/quotes", body, destination="blue")
    unsigned_get(f"/transactions/{body['transactionId']}", destination="blue")
    return Sent("PUT", f"/transactions/{body['transactionId']}", {"transactionState": "COMPLETED"}, "blue", "green")


def party(ending: str = "", written: str = "EMAIL/zo%C3%AB%40example.org") -> Sent:
    unsigned("POST", f"/participants/{written}", {"fspId": "blue"}, source="blue")
    unsigned_get(f"/parties/{written}")
    answer = messages.error("3204") if ending else {"party": messages.party("blue", "1")}
    return Sent("PUT", f"/parties/{written}{ending}", answer, "blue", "green")


EXCHANGES: dict[str, Callable[[], Sent]] = {
    "a prepare": prepare,
    "a fulfilment": fulfil,
    "a fulfilment that is RESERVED": lambda: fulfil("RESERVED"),
    "a rejection": reject,
    "a quote": quote,
    "terms": quote_answer,
    "a refusal of terms": lambda: quote_answer("/error"),
    "a bulk quote": bulk_quote,
    "terms of a bulk": bulk_quote_answer,
    "a bulk": bulk_prepare,
    "the answer to a bulk": bulk_fulfil,
    "the refusal of a bulk": bulk_reject,
    "an fxQuote": conversion_terms,
    "terms of a conversion": conversion_terms_answer,
    "a conversion": conversion,
    "the answer to a conversion": conversion_answer,
    "the refusal of a conversion": lambda: conversion_answer("/error"),
    "a request to pay": request,
    "the answer to a request to pay": request_answer,
    "the refusal of a request to pay": lambda: request_answer("/error"),
    "an authorization": authorization,
    "what became of a transaction": transaction,
    "a party": party,
    "a party in JavaScript's spelling": lambda: party(written="ALIAS/o'brien%20(1)!*%2B"),
    "no party": lambda: party("/error"),
}


@dataclass(frozen=True)
class Oddity:
    """How a message is sent otherwise than it should be; what is not named is right."""

    path: Callable[[str], str] = str
    destination: Callable[[str], str | None] = str
    more: dict[str, str] = field(default_factory=dict)  # further headers, which are protected too
    protects_destination: bool = True


def escaped(path: str) -> str:
    """The last character written as its octet."""
    return f"{path[:-1]}%{ord(path[-1]):02x}"


ODDITIES = {
    "nothing odd": Oddity(),
    "a path in another spelling": Oddity(path=escaped),
    "a resource in another spelling": Oddity(path=lambda path: path[:-7] + escaped(path[-7:-5]) + path[-5:]),
    "an escaped slash": Oddity(path=lambda path: "/" + path[1:].replace("/", "%2F", 1)),
    "a query": Oddity(path=lambda path: path + "?x=1"),
    "a currency": Oddity(path=lambda path: path + "?currency=TZS"),
    "capital letters in the destination": Oddity(destination=str.upper),
    "another destination": Oddity(destination=lambda name: "red"),
    "the hub as destination": Oddity(destination=lambda name: "Hub"),
    "no destination": Oddity(destination=lambda name: None),
    "an empty destination": Oddity(destination=lambda name: ""),
    "an empty destination that is not protected": Oddity(destination=lambda name: "", protects_destination=False),
    "a header that goes no further": Oddity(more={"X-Note": "1"}),
    "the hub's address": Oddity(more={"Host": "hub.example"}),
    "who wrote it": Oddity(more={"User-Agent": "a DFSP's own"}),
    "an Accept": Oddity(more={"Accept": "*/*"}),
    "an empty header": Oddity(more={"FSPIOP-Encryption": ""}),
    "a trace": Oddity(more={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
    "its length": Oddity(more={"Content-Length": ""}),
}


def deliver(sent: Sent, odd: Oddity) -> HttpResponse:
    """Sends it signed, oddly."""
    raw = json.dumps(sent.body, indent=1).encode()
    path, destination = odd.path(sent.path), odd.destination(sent.receiver)
    date = http_date(datetime.now(UTC))
    resource = sent.path.split("/")[1]
    accept = f"application/vnd.interoperability.{resource}+json;version={sent.version[0]}"
    more = {name: str(len(raw)) if name == "Content-Length" else value for name, value in odd.more.items()}
    if sent.method == "POST" and "Accept" in more:
        more["Accept"] = accept
    protected = {"alg": "RS256", "FSPIOP-URI": path, "FSPIOP-HTTP-Method": sent.method, "FSPIOP-Source": sent.source}
    if destination is not None and odd.protects_destination:
        protected["FSPIOP-Destination"] = destination
    protected |= {"Date": date, **more}
    headers: dict[str, str | None] = {
        "date": date,
        "fspiop-uri": path,
        "fspiop-http-method": sent.method,
        "fspiop-signature": _signed(protected, raw, sent.source),
    }
    if sent.method == "POST":
        headers["accept"] = accept
    headers |= {name.lower(): value for name, value in more.items() if name != "Content-Length"}
    return dfsp(
        sent.method,
        path,
        raw,
        source=sent.source,
        destination=destination,
        version=sent.version,
        headers=headers,
    )


def _signed(protected: dict[str, str], raw: bytes, signer: str) -> str:
    header = base64url.encode(json.dumps(protected).encode())
    made = key_of(signer).sign(f"{header}.{base64url.encode(raw)}".encode(), jws.PKCS1v15(), jws._HASHES["RS256"])
    return json.dumps({"signature": base64url.encode(made), "protectedHeader": header})


def why_refused(message: Message) -> str | None:
    """Why the receiver of what the hub passes on must refuse it, or None. An empty header does not reach it."""
    headers = {name: value for name, value in message.headers.items() if value}
    headers["content-length"] = str(len(message.body))
    if headers.get("fspiop-destination", message.destination.name) != message.destination.name:
        return "another destination"
    if message.signed_by_hub:
        return None  # it is signed as it leaves, over the path that it takes
    keys = [key_of(headers["fspiop-source"]).public_key()]
    try:
        jws.verify(
            headers["fspiop-signature"],
            bytes(message.body),
            keys=keys,
            method=message.method,
            uri=message.path,
            headers=headers,
        )
    except FspiopError as error:
        return error.description
    return None


@override_settings(**proofs.SIGNED)
def test_a08_nothing_is_passed_on_that_its_receiver_must_refuse(scheme: World) -> None:
    found, passed = [], Counter[str]()
    for oddity, name in product(ODDITIES, EXCHANGES):
        sent = EXCHANGES[name]()
        before = Message.objects.order_by("-id").values_list("id", flat=True).first() or 0
        answer = deliver(sent, ODDITIES[oddity])
        if answer.status_code >= 400:
            assert error_of(answer)[0] == 400, (oddity, name)
            assert not Message.objects.filter(id__gt=before).exists(), (oddity, name)
            continue
        news = list(Message.objects.select_related("destination").filter(id__gt=before))
        assert news, (oddity, name)
        passed[oddity] += 1
        found += [(oddity, name, why) for message in news if (why := why_refused(message))]
    assert found == []
    for harmless in ("nothing odd", "no destination", "a trace", "its length"):
        # Who is asked for terms must be named, and so must who asked for a party.
        assert passed[harmless] >= len(EXCHANGES) - (harmless == "no destination") * 5, (harmless, passed)
    assert invariants.find_breaks() == []


@override_settings(**proofs.SIGNED)
@pytest.mark.parametrize("state", ["COMMITTED", "RESERVED"])
def test_a08_a_fulfilment_signed_over_another_uri_is_refused_and_leaves_the_transfer_open(
    scheme: World, state: str
) -> None:
    sent = fulfil(state)
    for oddity in ("a path in another spelling", "a resource in another spelling", "an escaped slash", "a query"):
        assert error_of(deliver(sent, ODDITIES[oddity]))[0] in (400, 404), oddity
        assert Transfer.objects.get().state == "RESERVED"
    assert deliver(sent, ODDITIES["nothing odd"]).status_code == 200
    assert Transfer.objects.get().state == "COMMITTED"


SPELLINGS = ["EMAIL/zo%C3%AB@example.org", "EMAIL/zo%C3%AB%40example.org", "ALIAS/a%2Bb", "ALIAS/a+b"]


@override_settings(**proofs.SIGNED)
def test_a08_an_alias_goes_on_as_its_signer_spelled_it(scheme: World) -> None:
    for written in SPELLINGS:
        assert deliver(party(written=written), ODDITIES["nothing odd"]).status_code == 200
        assert Message.objects.latest("id").path == f"/parties/{written}"


@override_settings(**proofs.SIGNED)
def test_a08_a_lookup_is_answered_in_whatever_spelling(scheme: World) -> None:
    with override_settings(SIGNATURES="ignored"):
        assert dfsp("GET", "/parties/EMAIL/zoe@example.org", destination="blue").status_code == 202
    intruder = party(written="EMAIL/zoe%40example.org")
    assert error_of(deliver(Sent("PUT", intruder.path, intruder.body, "red", "green"), Oddity())) == (400, "3000")
    assert deliver(intruder, Oddity()).status_code == 200
    assert Message.objects.latest("id").path == "/parties/EMAIL/zoe%40example.org"


def test_a08_the_real_web_server_tells_no_other_path(scheme: World) -> None:
    sent = fulfil()
    raw = json.dumps(sent.body).encode()
    with served(SIGNATURES="required") as port:
        for path, status in ((escaped(sent.path), 400), (sent.path + "?x=1", 400), (sent.path, 200)):
            date = http_date(datetime.now(UTC))
            signing = proofs.signature(
                "PUT", path, raw, source="blue", destination="green", key=key_of("blue"), date=date
            )
            lines = [f"{name}: {value}" for name, value in signing.items() if name != "date"]
            lines += ["FSPIOP-Destination: green", f"Content-Length: {len(raw)}"]
            lines += [f"Date: {date}", "Connection: close"]
            begin = head("PUT", path, *lines, source="blue")
            answer = send(port, begin.replace(b"\r\nDate: ", b"\r\nX-Date: ", 1) + b"\r\n\r\n" + raw)
            assert answer.status == status, (path, answer.rest)
            assert Transfer.objects.get().state == ("COMMITTED" if status == 200 else "RESERVED")


@override_settings(**proofs.SIGNED)
@pytest.mark.parametrize("destination", ["GREEN", "red"])
def test_a08_a_rejection_that_names_another_payer_is_told_by_the_hub(scheme: World, destination: str) -> None:
    sent = reject()
    assert deliver(sent, Oddity(destination=lambda _: destination)).status_code == 200
    told = Message.objects.select_related("destination").latest("id")
    assert (told.destination.name, told.signed_by_hub, told.headers["fspiop-destination"]) == ("green", True, "green")
    assert json.loads(bytes(told.body))["errorInformation"]["errorCode"] == "5104"
    assert Transfer.objects.get().state == "ABORTED"


def test_a08_a_prepare_that_names_another_payee_is_refused(scheme: World) -> None:
    for destination in ("BLUE", "red", "Hub"):
        body = messages.transfer()
        assert dfsp("POST", "/transfers", body, destination=destination).status_code == 202
        told = Message.objects.select_related("destination").latest("id")
        assert (told.destination.name, told.path) == ("green", f"/transfers/{body['transferId']}/error")
        assert json.loads(bytes(told.body))["errorInformation"]["errorCode"] == "3100"
        assert Transfer.objects.get(pk=body["transferId"]).state == "ABORTED"
    assert scheme.position("green") == 0


def test_a08_a_fulfilment_in_another_spelling_of_its_payer_commits_nothing(scheme: World) -> None:
    for destination in ("GREEN", "Green", "red"):
        sent = fulfil()
        assert dfsp("PUT", sent.path, sent.body, source="blue", destination=destination).status_code == 200
        assert Transfer.objects.get(pk=sent.path.rpartition("/")[2]).state == "ABORTED"
    assert scheme.position("green") == 0


def test_a08_a_question_goes_to_whom_it_names(scheme: World) -> None:
    body = request_to_pay()
    unsigned("POST", "/transactionRequests", body, source="blue", destination="green")
    path = f"/authorizations/{body['transactionRequestId']}?{QUERY}"
    assert dfsp("GET", path, source="blue", destination="GREEN").status_code == 202
    told = Message.objects.select_related("destination").latest("id")
    assert (told.destination.name, told.method) == ("blue", "PUT")
