"""Payments are signed before the load, and a DFSP sends what it signed only where the hub delivers what it answers."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bench import messages, presign, presigned
from bench.client import Done
from bench.http_parser import Message, Reader, header
from bench.load import FirstMessages, Load
from bench.message_forms import form_of
from bench.run import PRESIGNED_S
from bench.signing import Signer, make_key
from bench.simulated_dfsps import Dfsp, Dfsps
from fspiop import ilp, jws, time
from tests.bench.test_signing import verify

GREEN, BLUE = "green", "blue"
ALIASES = {GREEN: ["441", "442"], BLUE: ["271", "272"]}


@dataclass
class Prepared:
    """A load of which three payments are signed, and the public keys of its DFSPs."""

    load: Load
    keys: dict[str, Any]
    firsts: list[tuple[str, bytes]] = field(init=False)
    answers: dict[str, dict[str, dict[str, bytes]]] = field(init=False)

    def __post_init__(self) -> None:
        self.firsts = presigned.firsts(self.load.keys)
        self.answers = {name: presigned.answers(self.load.keys, name) for name in self.keys}

    def all_answers(self) -> list[bytes]:
        return [each for found in self.answers.values() for payment in found.values() for each in payment.values()]


def load_of(folder: Path, aliases: dict[str, list[str]], *, iso20022: bool = False) -> Load:
    return Load("hub", 80, 50.0, 1.0, 0.0, 0.0, [GREEN, BLUE], 0.0, aliases, "x", str(folder), iso20022)


def public_keys(folder: Path) -> dict[str, Any]:
    return {name: jws.load_public_key(make_key(folder / name).encode()) for name in (GREEN, BLUE)}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "iso20022"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("keys")
    keys, load = public_keys(folder), load_of(folder, ALIASES, iso20022=request.param)
    presign.write(load, 3)
    return Prepared(load, keys)


class Hub:
    """The DFSPs of a run, and what they send."""

    def __init__(self, prepared: Prepared) -> None:
        clock, load = messages.Clock(), prepared.load
        clock.tick()
        signed = Signer(load.keys, load.dfsps)
        config = Dfsps({}, load.dfsps, load.host, load.port, "", load.keys, load.iso20022)
        self.dfsps = {name: Dfsp(name, config, self, clock, signed, prepared.answers[name]) for name in load.dfsps}
        self.sent: list[bytes] = []

    def send(self, request: bytes, done: Done) -> None:
        self.sent.append(request)

    def deliver(self, to: str, request: bytes) -> bytes:
        """What the DFSP sends when it has received the request; empty if it sends nothing."""
        self.sent.clear()
        self.dfsps[to].answer(read(request))
        assert len(self.sent) <= 1
        return self.sent[0] if self.sent else b""

    def altered(self) -> dict[str, str]:
        return self.dfsps[GREEN].notes.altered | self.dfsps[BLUE].notes.altered


def read(request: bytes) -> Message:
    (message,) = Reader().feed(request)
    return message


def value(message: Message, name: bytes) -> str:
    return (header(message.head, name) or b"").decode()


def check_signature(request: bytes, keys: dict[str, Any]) -> None:
    message = read(request)
    method, uri, _ = message.start.decode().split(" ")
    verify(request, keys[value(message, b"fspiop-source")], method=method, uri=uri)


def test_all_messages_of_each_payment_are_signed_by_their_senders(prepared: Prepared) -> None:
    parties = [(GREEN, BLUE, "271"), (BLUE, GREEN, "441"), (GREEN, BLUE, "272")]
    assert list(islice(prepared.load.parties(), 3)) == parties
    for (payer, payee, alias), (payment_id, first) in zip(parties, prepared.firsts, strict=True):
        lookup = read(first)
        assert lookup.start == f"GET /parties/MSISDN/{alias} HTTP/1.1".encode()
        assert value(lookup, b"fspiop-source") == payer
        assert messages.id_of_trace(value(lookup, b"traceparent").encode()) == payment_id
        of_payee, of_payer = (list(prepared.answers[name][payment_id].values()) for name in (payee, payer))
        starts = [read(each).start.decode().rpartition(" ")[0] for each in of_payee + of_payer]
        assert starts == [
            f"PUT /parties/MSISDN/{alias}",
            f"PUT /quotes/{payment_id}",
            f"PUT /transfers/{payment_id}",
            "POST /quotes",
            "POST /transfers",
        ]
    assert len(prepared.all_answers()) == 5 * len(parties)
    for each in prepared.all_answers():
        check_signature(each, prepared.keys)


def test_what_is_signed_is_valid_until_the_load_sends_it(prepared: Prepared) -> None:
    form = form_of(prepared.load.iso20022)
    key = b"PmtInstrXpryDtTm" if prepared.load.iso20022 else b"expiration"
    bodies = [read(each).body for each in prepared.all_answers()]
    ends = [text for body in bodies if (text := messages.text_of(body, key).decode())]
    assert len(ends) == 3 * len(prepared.firsts)  # of the quote, its terms and the transfer
    for end in ends:
        assert time.parse_datetime(end) > datetime.now(UTC) + timedelta(seconds=PRESIGNED_S + 120)
    fulfils = [body for body in bodies if messages.text_of(body, form.state) == form.committed]
    assert len(fulfils) == len(prepared.firsts)
    assert not any(b"completedTimestamp" in body or b"PrcgDt" in body for body in fulfils)


def test_the_dfsps_of_a_run_send_what_they_signed_before(prepared: Prepared) -> None:
    hub = Hub(prepared)
    payment_id, request = prepared.firsts[0]
    sent: list[bytes] = []
    receiver = BLUE
    while request := hub.deliver(receiver, request):
        sent.append(request)
        receiver = value(read(request), b"fspiop-destination")
    assert len(sent) == 5
    assert set(sent) == {each for name in (GREEN, BLUE) for each in prepared.answers[name][payment_id].values()}
    payer = hub.dfsps[GREEN].notes
    assert (payer.ends[payment_id][1], hub.altered()) == ("COMMITTED", {})


def sent_until(hub: Hub, payment: tuple[str, bytes], start: bytes) -> bytes:
    """The message of a payment by green that begins so."""
    receiver, request = BLUE, payment[1]
    while not request.startswith(start):
        request = hub.deliver(receiver, request)
        receiver = value(read(request), b"fspiop-destination")
    return request


def test_terms_that_the_hub_altered_get_no_transfer_that_was_signed_before(prepared: Prepared) -> None:
    hub, (payment_id, first) = Hub(prepared), prepared.firsts[0]
    terms = sent_until(hub, (payment_id, first), b"PUT /quotes/")
    form = form_of(prepared.load.iso20022)
    packet = messages.text_of(read(terms).body, form.packet)
    other = next(each for each in form.pool(GREEN, BLUE) if each.ilp_packet != packet)
    transfer = hub.deliver(GREEN, terms.replace(packet, other.ilp_packet))
    assert transfer.startswith(b"POST /transfers ")
    assert transfer not in prepared.all_answers()
    assert messages.text_of(read(transfer).body, form.packet) == other.ilp_packet
    check_signature(transfer, prepared.keys)
    assert hub.altered() == {payment_id: f"PUT /quotes/{payment_id} HTTP/1.1"}


def test_a_prepare_that_the_hub_altered_gets_no_fulfil_that_was_signed_before(prepared: Prepared) -> None:
    hub, (payment_id, first) = Hub(prepared), prepared.firsts[0]
    prepare = sent_until(hub, (payment_id, first), b"POST /transfers ")
    form = form_of(prepared.load.iso20022)
    lock = messages.text_of(read(prepare).body, form.lock)
    other = next(each for each in form.pool(GREEN, BLUE) if form.lock_of(each) != lock)
    fulfil = hub.deliver(BLUE, prepare.replace(lock, form.lock_of(other)))
    assert other.fulfilment in fulfil
    assert fulfil not in prepared.all_answers()
    assert hub.altered() == {payment_id: "POST /transfers HTTP/1.1"}


def test_an_error_ends_a_payment_that_was_signed_before(prepared: Prepared) -> None:
    hub, (payment_id, first) = Hub(prepared), prepared.firsts[0]
    party = sent_until(hub, (payment_id, first), b"PUT /parties/")
    start = read(party).start
    assert hub.deliver(GREEN, party.replace(start, start.replace(b" HTTP", b"/error HTTP"))) == b""
    notes = hub.dfsps[GREEN].notes
    assert (notes.ends[payment_id][1], hub.altered()) == ("error at parties", {})


def test_an_outcome_that_contradicts_the_first_one_is_noted(prepared: Prepared) -> None:
    hub, (payment_id, first) = Hub(prepared), prepared.firsts[0]
    fulfil = sent_until(hub, (payment_id, first), b"PUT /transfers/")
    start, notes = read(fulfil).start, hub.dfsps[GREEN].notes
    hub.deliver(GREEN, fulfil)
    hub.deliver(GREEN, fulfil)
    assert (notes.repeats, notes.contradicted) == (1, {})
    hub.deliver(GREEN, fulfil.replace(start, start.replace(b" HTTP", b"/error HTTP")))
    assert set(notes.contradicted) == {payment_id}


def test_a_payment_that_nobody_signed_before_is_signed_now(prepared: Prepared) -> None:
    hub, payment = Hub(prepared), FirstMessages(prepared.load).make((GREEN, BLUE, "271"))
    fulfil = sent_until(hub, payment, b"PUT /transfers/")
    check_signature(fulfil, prepared.keys)
    assert hub.deliver(GREEN, fulfil) == b""
    assert (hub.dfsps[GREEN].notes.ends[payment[0]][1], hub.altered()) == ("COMMITTED", {})


def test_a_load_of_transfers_is_signed_on_both_sides(tmp_path: Path) -> None:
    keys = public_keys(tmp_path)
    load = load_of(tmp_path, {})
    presign.write(load, 31)
    firsts = presigned.firsts(str(tmp_path))
    fulfils = {name: presigned.answers(str(tmp_path), name) for name in keys}
    assert len({transfer_id for transfer_id, _ in firsts}) == len(firsts) == sum(map(len, fulfils.values())) == 31
    for (payer, payee, _), (transfer_id, post) in zip(islice(load.parties(), 31), firsts, strict=True):
        told = json.loads(verify(post, keys[payer], method="POST", uri="/transfers"))
        ((answered, put),) = fulfils[payee][transfer_id].items()
        assert answered == presigned.digest(read(post))
        body = json.loads(verify(put, keys[payee], method="PUT", uri=f"/transfers/{transfer_id}"))
        assert (told["payerFsp"], told["payeeFsp"], told["transferId"]) == (payer, payee, transfer_id)
        assert ilp.condition_for(body["fulfilment"]) == told["condition"]


def test_without_keys_nothing_is_signed_before() -> None:
    assert presigned.firsts("") == []
    assert presigned.answers("", GREEN) == {}
