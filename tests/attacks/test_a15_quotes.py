"""A15 and I24: transfers that come with other terms than their payee gave, where the hub saw the quote answered.

A payer that changes what was agreed names its quote all the same by one of five things; each must give it away.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from fspiop import base64url, correlation_ids, ilp
from fspiop.iso20022 import ilp4
from hub.outbox.models import Message
from ledger import engine, invariants
from ledger.commands_and_outcomes import NotObeyed, Prepare, Refused, Repeated, Reserved, Terms
from ledger.models import Transfer
from tests.api import iso_messages, messages
from tests.api.caller import dfsp
from tests.api.iso_messages import iso
from tests.bulks import bulk_prepare, run_bulk
from tests.keys import CONDITION
from tests.statements import statements_of
from tests.world import World, amount, prepare

pytestmark = pytest.mark.usefixtures("_looking")


@pytest.fixture
def _looking(committed_world: World) -> Iterator[None]:
    """A hub that looks; every story ends with sound books."""
    with override_settings(CHECK_ILP_PACKETS=True):
        yield
    assert invariants.find_breaks() == []


def packet(*, minor: int = 10_000, **transaction: Any) -> str:
    """One of these terms alone, with a Transaction object of these parts."""
    transaction |= {"note": str(uuid.uuid4())}
    data = base64url.encode(json.dumps(transaction).encode()).encode()
    return ilp.encode_payment(ilp.IlpPayment(minor, "g.blue.msisdn.255655001001", data))


def condition_of(text: str) -> str:
    return ilp.condition_for(ilp.fulfilment_for(text, b"a secret of blue's"))


@dataclass(frozen=True)
class Agreed:
    """What blue answered to green: by its ids, and its terms."""

    quote_id: str
    transaction_id: str
    packet: str
    condition: str

    def transfer(self, **changes: Any) -> dict[str, Any]:
        return messages.transfer(ilpPacket=self.packet, condition=self.condition) | changes


def agree(text: str | None = None, *, payer: str = "green", transaction_id: str | None = None) -> Agreed:
    """A quote that blue has answered, with a packet that says which quote it is of unless another is given."""
    info = messages.party(payer, "255712001001")
    asked = messages.quote(payer=info, transactionId=transaction_id or str(uuid.uuid4()))
    assert dfsp("POST", "/quotes", asked, source=payer, destination="blue").status_code == 202
    text = text or packet(quoteId=asked["quoteId"], transactionId=asked["transactionId"])
    given = messages.terms(ilpPacket=text, condition=condition_of(text))
    path = f"/quotes/{asked['quoteId']}"
    assert dfsp("PUT", path, given, source="blue", destination=payer).status_code == 200
    return Agreed(asked["quoteId"], asked["transactionId"], text, given["condition"])


def state_of(body: dict[str, Any], *, version: str = "1.1") -> str:
    """What came of a transfer that green sends."""
    answer = dfsp("POST", "/transfers", body, destination=body["payeeFsp"], version=version)
    assert answer.status_code == 202, answer.content
    found = Transfer.objects.get(pk=body["transferId"])
    return found.reason or found.state


REFUSED = "TERMS_ARE_NOT_THOSE_OF_THE_QUOTE"
OPAQUE = ilp.encode_payment(ilp.IlpPayment(10_000, "g.blue.msisdn.255655001001", b"\xff"))


def tampered(kind: str) -> dict[str, Any]:
    """A transfer whose payer changed the terms; it names its quote by the one thing that is said here."""
    match kind:
        case "by its condition":
            return agree().transfer(ilpPacket=OPAQUE)
        case "by its packet":
            return agree(packet()).transfer(condition=CONDITION)
        case "by the quote in the packet":
            text = packet(quoteId=agree().quote_id)
        case "by the transaction in the packet":
            text = packet(transactionId=agree().transaction_id)
        case _:
            return messages.transfer(ilpPacket=OPAQUE, transferId=agree().transaction_id)
    return messages.transfer(ilpPacket=text, condition=condition_of(text))


KINDS = (
    "by its condition",
    "by its packet",
    "by the quote in the packet",
    "by the transaction in the packet",
    "by its own id",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a15_terms_that_were_changed_are_refused_and_the_payee_is_not_asked(committed_world: World, kind: str) -> None:
    body = tampered(kind)
    told = Message.objects.count()
    assert state_of(body) == REFUSED
    (message,) = Message.objects.order_by("id")[told:]
    assert (message.destination.name, message.path) == ("green", f"/transfers/{body['transferId']}/error")
    assert json.loads(bytes(message.body))["errorInformation"] == {
        "errorCode": "3100",
        "errorDescription": "Generic validation error - ilpPacket and condition are not those of the quote",
    }
    assert committed_world.position("green") == 0
    assert state_of(body) == REFUSED  # and a resend alike


def test_a15_the_terms_of_another_payee_are_refused(committed_world: World) -> None:
    # Version 4 has no address of the payee's that the packet itself could be held against.
    moment = datetime.now(UTC) + timedelta(minutes=1)
    text = ilp4.encode_prepare(ilp4.IlpPrepare(10_000, moment, b"\1" * 32, "g.mojaloop", b""))
    assert state_of(agree(text).transfer(payeeFsp="red")) == REFUSED


def test_a15_terms_as_they_were_given_are_taken_by_whatever_id(committed_world: World) -> None:
    agreed = agree()
    assert state_of(agreed.transfer()) == "RESERVED"
    assert state_of(agreed.transfer(transferId=agreed.transaction_id, ilpPacket=agreed.packet)) == "RESERVED"
    opaque = agree(OPAQUE)
    assert state_of(opaque.transfer()) == "RESERVED"


def test_a15_padding_is_no_change_of_terms(committed_world: World) -> None:
    text = next(text for text in iter(packet, None) if len(text) % 4)
    agreed = agree(text)
    assert state_of(agreed.transfer(ilpPacket=text + "=" * (-len(text) % 4))) == "RESERVED"


def test_a15_of_two_answers_about_one_transaction_either_may_be_taken(committed_world: World) -> None:
    first = agree()
    second = agree(transaction_id=first.transaction_id)
    assert state_of(first.transfer()) == "RESERVED"
    assert state_of(second.transfer(transferId=first.transaction_id)) == "RESERVED"
    assert state_of(first.transfer(condition=second.condition)) == REFUSED


def test_a15_what_no_quote_of_this_payer_is_about_is_judged_by_itself(committed_world: World) -> None:
    others = agree(payer="red")
    assert state_of(others.transfer(condition=CONDITION)) == "RESERVED"
    text = packet(quoteId=str(uuid.uuid4()), transactionId="no id", amount="no money")
    assert state_of(messages.transfer(ilpPacket=text)) == "RESERVED"


def test_a15_a_quote_without_an_answer_binds_nobody(committed_world: World) -> None:
    asked = messages.quote()
    dfsp("POST", "/quotes", asked, destination="blue")
    text = packet(quoteId=asked["quoteId"], transactionId=asked["transactionId"])
    assert state_of(messages.transfer(ilpPacket=text)) == "RESERVED"
    dfsp("PUT", f"/quotes/{asked['quoteId']}/error", messages.error(), source="blue", destination="green")
    assert state_of(messages.transfer(ilpPacket=text)) == "RESERVED"


def test_a15_a_payer_that_takes_its_quote_back_is_held_to_the_terms_all_the_same(committed_world: World) -> None:
    agreed = agree()
    path = f"/quotes/{agreed.quote_id}/error"
    assert dfsp("PUT", path, messages.error(), source="green", destination="blue").status_code == 200
    assert state_of(agreed.transfer(condition=CONDITION)) == REFUSED


def test_a15_a_hub_that_does_not_look_takes_what_is_not_of_the_quote(committed_world: World) -> None:
    with override_settings(CHECK_ILP_PACKETS=False):
        assert [state_of(tampered(kind)) for kind in KINDS] == ["RESERVED"] * len(KINDS)


def test_a15_in_iso_20022_too(committed_world: World) -> None:
    asked = iso_messages.quote()
    assert iso("POST", "/quotes", asked, source="green", destination="blue").status_code == 202
    path = f"/quotes/{id_of_quote(asked)}"
    assert iso("PUT", path, iso_messages.terms(asked), source="blue", destination="green").status_code == 200
    good, bad = iso_messages.transfer(), iso_messages.transfer()
    lock = bad["CdtTrfTxInf"]["VrfctnOfTerms"]
    octets = ilp4.decode_prepare(lock["IlpV4PrepPacket"])
    lock["IlpV4PrepPacket"] = ilp4.encode_prepare(replace(octets, data=b"eyJub3RlIjoiIn0"))
    for body, came in ((good, "RESERVED"), (bad, REFUSED)):
        assert iso("POST", "/transfers", body, source="green", destination="blue").status_code == 202
        found = Transfer.objects.get(pk=iso_messages.id_of(body))
        assert (found.reason or found.state) == came


def id_of_quote(asked: dict[str, Any]) -> str:
    return iso_messages.id_of(asked)


# --- bulk -----------------------------------------------------------------------------------------------------------


def agree_on_bulk(count: int = 3, *, payer: str = "green") -> tuple[str, list[dict[str, Any]]]:
    """A bulk quote that blue has answered: its id, and the items of a bulk on these terms."""
    asked = messages.bulk_quote(count, payer=messages.party(payer, "255712001001"))
    assert dfsp("POST", "/bulkQuotes", asked, source=payer, destination="blue").status_code == 202
    given = messages.bulk_terms(asked)
    for result in given["individualQuoteResults"]:
        result["ilpPacket"] = packet(minor=100)
        result["condition"] = condition_of(result["ilpPacket"])
    path = f"/bulkQuotes/{asked['bulkQuoteId']}"
    assert dfsp("PUT", path, given, source="blue", destination=payer).status_code == 200
    terms = given["individualQuoteResults"]
    items = [messages.item(ilpPacket=each["ilpPacket"], condition=each["condition"]) for each in terms]
    return asked["bulkQuoteId"], items


def states_of(bulk_quote_id: str, items: list[dict[str, Any]], **changes: Any) -> list[str]:
    body = messages.bulk_transfer(bulkQuoteId=bulk_quote_id, individualTransfers=items) | changes
    assert dfsp("POST", "/bulkTransfers", body, destination=body["payeeFsp"]).status_code == 202
    found = {row.pk: row.reason or row.state for row in Transfer.objects.filter(bulk_id=body["bulkTransferId"])}
    return [found[item["transferId"]] for item in items]


def test_a15_of_a_bulk_each_item_is_held_against_the_bulk_quote(committed_world: World) -> None:
    bulk_quote_id, items = agree_on_bulk(4)
    items[1]["condition"] = CONDITION
    items[2]["ilpPacket"] = packet(minor=100)
    items[3] |= {"ilpPacket": items[0]["ilpPacket"]}  # of the same answer, but of another payment
    assert states_of(bulk_quote_id, items) == ["RESERVED", REFUSED, REFUSED, REFUSED]
    assert committed_world.position("green") == amount(1)


def test_a15_what_stands_in_no_answer_is_in_no_bulk_of_it(committed_world: World) -> None:
    bulk_quote_id, items = agree_on_bulk()
    strange = messages.item(ilpPacket=packet(minor=100))
    assert states_of(bulk_quote_id, [*items, strange]) == ["RESERVED"] * 3 + [REFUSED]


def test_a15_a_bulk_on_a_quote_that_the_hub_never_saw_is_held_against_single_quotes(committed_world: World) -> None:
    agreed = agree()
    good = messages.item("100", ilpPacket=agreed.packet, condition=agreed.condition)
    bad = messages.item("100", ilpPacket=agreed.packet)
    unknown = messages.item("100", ilpPacket=packet())
    assert states_of(str(uuid.uuid4()), [good, bad, unknown]) == ["RESERVED", REFUSED, "RESERVED"]
    others, items = agree_on_bulk(payer="red")
    assert states_of(others, [messages.item(ilpPacket=packet(minor=100)), items[0]]) == ["RESERVED", "RESERVED"]


def test_a15_a_payer_that_takes_its_bulk_quote_back_is_held_to_it_all_the_same(committed_world: World) -> None:
    bulk_quote_id, items = agree_on_bulk(1)
    path = f"/bulkQuotes/{bulk_quote_id}/error"
    assert dfsp("PUT", path, messages.error(), source="green", destination="blue").status_code == 200
    assert states_of(bulk_quote_id, [items[0] | {"condition": CONDITION}]) == [REFUSED]


# --- what it costs, and in company ----------------------------------------------------------------------------------


def with_terms(p: Prepare, text: str, **more: Any) -> Prepare:
    return replace(p, terms=Terms(ilp.packet_digest(text), **more))


def test_a15_a_changed_message_of_the_same_id_does_not_take_the_true_one_with_it(committed_world: World) -> None:
    agreed = agree(packet())
    transfer_id = str(uuid.uuid4())
    true = prepare(committed_world, "green", "blue", 100, transfer_id=transfer_id, condition=agreed.condition)
    false = prepare(committed_world, "green", "blue", 100, transfer_id=transfer_id)
    batch = [with_terms(true, agreed.packet), with_terms(false, agreed.packet)]
    outcomes = engine.run([*batch, with_terms(true, agreed.packet)])
    assert [type(outcome) for outcome in outcomes] == [Reserved, NotObeyed, Repeated]
    # Whichever comes first.
    other_id = str(uuid.uuid4())
    true = prepare(committed_world, "green", "blue", 100, transfer_id=other_id, condition=agreed.condition)
    false = prepare(committed_world, "green", "blue", 100, transfer_id=other_id)
    outcomes = engine.run([with_terms(false, agreed.packet), with_terms(true, agreed.packet)])
    assert [type(outcome) for outcome in outcomes] == [Refused, NotObeyed]


def test_a15_a_batch_asks_once_about_all_its_quotes_and_not_at_all_where_nothing_is_to_be_held_against_one(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(size: int, *, looks: bool) -> list[str]:
        batch = [prepare(committed_world, "green", "blue", "0.1") for _ in range(size)]
        if looks:
            batch = [with_terms(p, OPAQUE, quote_id=correlation_ids.new_ulid()) for p in batch]
        with statements_of(monkeypatch) as statements:
            engine.run(batch)
        return statements

    plain = taken(1, looks=False)
    assert len(taken(50, looks=False)) == len(plain)
    assert not any("quotes_" in statement for statement in plain)
    for size in (1, 50):
        statements = taken(size, looks=True)
        assert len(statements) == len(plain) + 1
        assert sum("quotes_" in statement for statement in statements) == 1


def test_a15_a_bulk_asks_once_about_its_quote_and_not_at_all_where_it_is_not_held_against_one(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_quote_id, _ = agree_on_bulk(1)

    def taken(size: int, terms: Terms | None) -> int:
        bulk = bulk_prepare(committed_world, "green", "blue", ["0.1"] * size)
        bulk.items = [replace(item, terms=terms) for item in bulk.items]
        with statements_of(monkeypatch) as statements:
            run_bulk(bulk)
        return sum("quotes_" in statement for statement in statements)

    assert taken(3, None) == 0
    seen = Terms(b"\1" * 32, bulk_quote_id=bulk_quote_id)
    assert (taken(1, seen), taken(100, seen)) == (1, 1)
    unseen = replace(seen, bulk_quote_id=str(uuid.uuid4()))
    assert (taken(1, unseen), taken(100, unseen)) == (2, 2)
