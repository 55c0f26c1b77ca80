"""The instrument's messages are ones that the hub's own readers take."""

import re
from itertools import islice
from typing import TypeVar

import pytest

from bench import messages
from bench.http_parser import Reader, header
from bench.iso20022_messages import ISO20022
from bench.load import CALM_S, Load, pairs
from bench.messages import PLAIN, Form
from bench.simulated_dfsps import Dfsps
from fspiop import bodies, correlation_ids, ilp, strictjson, time, versions
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.iso20022 import reading as iso20022_reading

T = TypeVar("T")

ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"


def clock() -> messages.Clock:
    found = messages.Clock()
    found.tick()
    return found


def test_a_prepare_is_one_that_the_hub_reads() -> None:
    packet = messages.pool("green", "blue")[3]
    (request,) = Reader().feed(messages.prepare(b"hub:80", b"green", b"blue", packet, ID.encode(), clock()))

    assert request.start == b"POST /transfers HTTP/1.1"
    assert header(request.head, b"fspiop-source") == b"green"
    assert header(request.head, b"content-type") == b"application/vnd.interoperability.transfers+json;version=1.1"
    assert header(request.head, b"accept") == b"application/vnd.interoperability.transfers+json;version=1"
    time.parse_http_date((header(request.head, b"date") or b"").decode())
    body = bodies.read(TransferPost, request.body)
    assert (body.transfer_id, body.payer_fsp, body.payee_fsp, body.amount.amount) == (ID, "green", "blue", "1")
    assert correlation_ids.is_correlation_id(body.transfer_id)
    assert ilp.decode_payment(body.ilp_packet).amount == 100
    assert request.body == strictjson.canonical(strictjson.loads(request.body))


def test_the_fulfilment_that_a_payee_finds_by_the_condition_fulfils() -> None:
    payers, payees = messages.pool("green", "blue"), messages.pool("green", "blue")
    assert payers == payees
    assert len({packet.condition for packet in payers}) == len(payers)
    for packet in payees:
        assert ilp.fulfils(packet.fulfilment.decode(), packet.condition.decode())


def test_a_fulfil_is_one_that_the_hub_reads() -> None:
    packet = messages.pool("green", "blue")[0]
    (request,) = Reader().feed(messages.fulfil(b"hub:80", b"blue", b"green", packet.fulfilment, ID.encode(), clock()))

    assert request.start == f"PUT /transfers/{ID} HTTP/1.1".encode()
    assert header(request.head, b"accept") is None
    body = bodies.read(TransferPut, request.body)
    assert (body.fulfilment, body.transfer_state) == (packet.fulfilment.decode(), "COMMITTED")
    assert body.completed_timestamp is not None
    time.parse_datetime(body.completed_timestamp)
    assert request.body == strictjson.canonical(strictjson.loads(request.body))


def test_a_text_is_found_by_its_key_with_or_without_blanks() -> None:
    assert messages.text_of(b'{"a":"1","transferId":"x"}', b"transferId") == b"x"
    assert messages.text_of(b'{"a": "1", "transferId" : "x"}', b"transferId") == b"x"
    assert messages.text_of(b'{"a":"1"}', b"transferId") == b""


def test_every_pair_pays_in_turn_and_a_hot_dfsp_more() -> None:
    assert list(islice(pairs(["a", "b"], 0), 3)) == [("a", "b"), ("b", "a"), ("a", "b")]
    hot = list(islice(pairs(["a", "b", "c"], 0.5), 600))
    assert sum(payer == "a" for payer, _ in hot) == 300 + 100
    assert all(payer != payee for payer, payee in hot)


def test_after_the_load_proper_comes_the_calm_for_its_time() -> None:
    load = Load("127.0.0.1", 80, 50.0, 2.0, 10.0, 4.0, ["a", "b"], 0.0, {}, "x")
    moments = list(load.moments())
    assert moments == sorted(moments)
    assert moments[:2] == [10.0, 10.02]
    assert len([moment for moment in moments if moment < 12.0]) == 100
    assert [moment for moment in moments if moment >= 12.0] == [12.0 + number / 4 for number in range(4 * CALM_S)]


def test_what_a_process_is_told_survives_its_command_line() -> None:
    load = Load("127.0.0.1", 80, 50.0, 3.5, 12.25, 10.0, ["a", "b"], 0.5, {"a": ["1"]}, "x")
    assert Load.from_text(load.as_text()) == load
    dfsps = Dfsps({"a": 1}, ["a", "b"], "127.0.0.1", 80, "x")
    assert Dfsps.from_text(dfsps.as_text()) == dfsps


@pytest.mark.parametrize("form", [PLAIN, ISO20022])
def test_the_messages_of_a_payment_are_ones_that_the_hub_reads(form: Form) -> None:
    host, green, blue, alias, now = b"hub:80", b"green", b"blue", b"27555", clock()
    packet = form.pool("green", "blue")[0]
    quote_body, terms_body = (
        form.quote(green, blue, alias, ID.encode(), now),
        form.terms(green, blue, ID.encode(), packet, now),
    )
    party_body = form.party(green, blue, alias)
    octets = b"".join(
        (
            messages.ask_party(host, green, alias, messages.trace_of(ID), now, form),
            messages.answer_party(host, blue, green, b"/parties/MSISDN/27555", b"", party_body, now, form),
            messages.ask_quote(host, green, blue, quote_body, now, form),
            messages.answer_quote(host, blue, green, ID.encode(), terms_body, now, form),
            messages.prepare(host, green, blue, packet, ID.encode(), now, form),
            messages.fulfil(host, blue, green, packet.fulfilment, ID.encode(), now, form=form),
        )
    )
    lookup, party, quote, terms, prepare, fulfil = Reader().feed(octets)
    assert lookup.start == b"GET /parties/MSISDN/27555 HTTP/1.1"
    assert (lookup.body, header(lookup.head, b"fspiop-destination")) == (b"", None)
    assert messages.id_of_trace(header(lookup.head, b"traceparent") or b"") == ID
    for message, resource in zip(
        (party, quote, terms, prepare), ("parties", "quotes", "quotes", "transfers"), strict=True
    ):
        content_type = (header(message.head, b"content-type") or b"").decode()
        assert versions.read_content_type(content_type, resource).is_iso20022 is (form is ISO20022)
        assert message.body == strictjson.canonical(strictjson.loads(message.body))
    assert read(form, PartyPut, party.body, "parties").party.party_id_info.fsp_id == "blue"
    asked = read(form, QuotePost, quote.body, "quotes")
    assert (asked.quote_id, asked.payee.party_id_info.party_identifier) == (ID, "27555")
    assert messages.text_of(quote.body, form.quote_id).decode() == ID
    offered = read(form, QuotePut, terms.body, "quotes")
    assert (offered.condition, offered.ilp_packet) == (packet.condition.decode(), packet.ilp_packet.decode())
    assert messages.text_of(terms.body, form.packet) == packet.ilp_packet
    paid = read(form, TransferPost, prepare.body, "transfers")
    assert (paid.transfer_id, paid.payer_fsp, paid.payee_fsp, paid.condition) == (
        ID,
        "green",
        "blue",
        offered.condition,
    )
    assert messages.text_of(prepare.body, form.transfer_id).decode() == ID
    assert messages.text_of(prepare.body, form.lock) == form.lock_of(packet)
    ended = read(form, TransferPut, fulfil.body, "transfers")
    assert ended.transfer_state == "COMMITTED"
    assert ilp.fulfils(ended.fulfilment or "", offered.condition)
    assert messages.text_of(fulfil.body, form.state) == form.committed


def read(form: Form, kind: type[T], body: bytes, resource: str) -> T:
    return iso20022_reading.read(kind, body, resource) if form is ISO20022 else bodies.read(kind, body)


def test_the_moments_are_as_the_api_writes_them() -> None:
    moments = clock()
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", moments.now)
    assert time.parse_datetime(moments.expiration.decode()) > time.parse_datetime(moments.now.decode())
