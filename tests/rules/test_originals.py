"""Refunds name their original by its transfer id or its transaction id. Each original has one sum of refunds."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from fspiop import base64url, ilp
from ledger import engine, quoted_facts
from ledger.commands_and_outcomes import Prepare
from ledger.models import Transfer
from ledger.quoted_facts import QuotedFacts
from ledger.rule_history import rebuild
from rules import originals
from rules.profiles.models import CountedTransfer
from tests.api import messages
from tests.api.caller import dfsp
from tests.rules.limits import activate, facts_in, pay, quoted
from tests.sweeps.statements import all_statements
from tests.world import World, fulfil, prepare, run

BACK = ("blue", "green")


def refunds(fact: str) -> dict[str, Any]:
    return {
        "id": fact.partition(".")[2].replace("_", "-"),
        "title": "Refunds",
        "kind": "scheme",
        "gate": "transfer",
        "when": {"scenarios": ["REFUND"]},
        "if": {"fact": fact, "is": "false"},
        "then": {"action": "refuse", "code": "3141"},
    }


WITHIN, SWAPPED, FOUND = map(refunds, ("refund.within_original", "refund.parties_swapped", "refund.original_found"))


class Quotes:
    """Stands for the quotes of transfers whose ids name two customers."""

    def __init__(self) -> None:
        self.transaction_ids: dict[str, str] = {}
        self.named: dict[str, str] = {}  # the original that each refund names

    def of(self, prepares: list[Prepare]) -> Mapping[bytes, QuotedFacts]:
        found = {}
        for each in prepares:
            named = self.named.get(each.transfer_id)
            more = {"scenario": "REFUND", "refund_of": named} if named else {}
            transaction_id = self.transaction_ids.get(each.transfer_id, each.transfer_id)
            found[each.digest] = quoted(facts_in(each, **more), transaction_id)
        return found

    def paid(self, world: World, payer: int, payee: int, text: int, *, transaction_id: str | None = None) -> str:
        """A committed payment. Returns the transfer's id."""
        command = pay(world, payer, payee, text)
        if transaction_id is not None:
            self.transaction_ids[command.transfer_id] = transaction_id
        run(command)
        run(fulfil(world, "blue", command.transfer_id))
        return command.transfer_id

    def refund(self, world: World, payer: int, payee: int, text: int, original: str) -> Prepare:
        command = pay(world, payer, payee, text, dfsps=BACK)
        self.named[command.transfer_id] = original
        return command


@pytest.fixture
def quotes(monkeypatch: pytest.MonkeyPatch) -> Quotes:
    found = Quotes()
    monkeypatch.setattr(quoted_facts, "of", found.of)
    return found


def new_id() -> str:
    return str(uuid.uuid4())


def kinds(*commands: Prepare) -> list[str]:
    return [type(outcome).__name__ for outcome in engine.run(list(commands))]


def differences(world: World) -> list[str]:
    return [*(each.text for each in rebuild.compare_now().differences), *world.breaks()]


@pytest.mark.parametrize("in_one_group", [True, False])
@pytest.mark.parametrize("first_by_transfer", [True, False])
def test_an_original_is_refunded_once_whichever_of_its_two_ids_the_refunds_name(
    world: World, quotes: Quotes, first_by_transfer: bool, in_one_group: bool
) -> None:
    activate(WITHIN)
    transaction_id = new_id()
    transfer_id = quotes.paid(world, 1, 2, 10, transaction_id=transaction_id)
    names = [transfer_id, transaction_id] if first_by_transfer else [transaction_id, transfer_id]
    both = [quotes.refund(world, 2, 1, text, name) for text, name in zip((6, 5), names, strict=True)]
    if in_one_group:
        assert kinds(*both) == ["Reserved", "Refused"]
    else:
        assert [kinds(each)[0] for each in both] == ["Reserved", "Refused"]
    for name in names:
        assert kinds(quotes.refund(world, 2, 1, 2, name)) == ["Reserved"]
        assert kinds(quotes.refund(world, 2, 1, 3, name)) == ["Refused"]
    assert CountedTransfer.objects.filter(is_refund=True).values("original_key").distinct().count() == 1
    assert differences(world) == []


def test_another_payment_with_this_transaction_id_takes_no_refund_from_its_original(
    world: World, quotes: Quotes
) -> None:
    activate(FOUND, SWAPPED, WITHIN)
    original = quotes.paid(world, 1, 2, 10)
    other = quotes.paid(world, 3, 4, 10, transaction_id=original)
    assert kinds(quotes.refund(world, 2, 1, 10, original)) == ["Reserved"]
    assert kinds(quotes.refund(world, 2, 1, 1, original)) == ["Refused"]
    assert kinds(quotes.refund(world, 4, 3, 1, other)) == ["Refused"]  # both had one sum in an earlier release

    # And a transfer whose transfer id is the transaction id of the original.
    transaction_id = new_id()
    quotes.paid(world, 1, 2, 10, transaction_id=transaction_id)
    run(prepare(world, "green", "blue", 10, transfer_id=transaction_id))
    run(fulfil(world, "blue", transaction_id))
    assert Transfer.objects.get(pk=transaction_id).state == "COMMITTED"
    assert kinds(quotes.refund(world, 2, 1, 10, transaction_id)) == ["Reserved"]
    assert kinds(quotes.refund(world, 5, 6, 10, transaction_id)) == ["Refused"]


def test_by_its_transaction_id_an_original_is_found_only_for_the_same_two_parties(world: World, quotes: Quotes) -> None:
    activate(FOUND)
    transaction_id = new_id()
    transfer_id = quotes.paid(world, 1, 2, 10, transaction_id=transaction_id)
    assert kinds(quotes.refund(world, 2, 3, 1, transaction_id)) == ["Refused"]
    assert kinds(quotes.refund(world, 2, 1, 1, transaction_id)) == ["Reserved"]
    assert kinds(quotes.refund(world, 2, 3, 1, transfer_id)) == ["Reserved"]  # only the rule about parties refuses this
    activate(FOUND, SWAPPED)
    assert kinds(quotes.refund(world, 2, 3, 1, transfer_id)) == ["Refused"]


def test_refunds_that_were_counted_under_the_transaction_id_still_count(
    world: World, quotes: Quotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(SWAPPED)
    transaction_id = new_id()
    transfer_id = quotes.paid(world, 1, 2, 10, transaction_id=transaction_id)
    activate({**SWAPPED, "mode": "shadow"})
    with monkeypatch.context() as patched:  # as in an earlier release, and for an original that is not committed yet
        patched.setattr(originals, "_readers", [lambda refunds, until=None: [None] * len(refunds)])
        assert kinds(quotes.refund(world, 2, 1, 6, transaction_id)) == ["Reserved"]
    activate(WITHIN)
    for name in (transaction_id, transfer_id):
        assert kinds(quotes.refund(world, 2, 1, 5, name)) == ["Refused"]
    assert kinds(quotes.refund(world, 2, 1, 4, transfer_id)) == ["Reserved"]
    assert kinds(quotes.refund(world, 2, 1, 1, transaction_id)) == ["Refused"]
    assert differences(world) == []


def test_the_originals_of_a_group_are_read_by_one_statement_and_only_for_refunds(
    world: World, quotes: Quotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate(WITHIN)
    paid = [quotes.paid(world, 1, 2, 1) for _ in range(6)]

    def read(*commands: Prepare) -> int:
        with all_statements(monkeypatch) as statements:
            assert set(kinds(*commands)) == {"Reserved"}
        return sum("named_by" in str(each) for each in statements)

    assert read(*(pay(world, 1, 2) for _ in range(3))) == 0
    assert read(quotes.refund(world, 2, 1, 1, paid[0])) == 1
    assert read(*(quotes.refund(world, 2, 1, 1, each) for each in paid[1:])) == 1


def test_a_payment_of_a_bulk_is_found_by_its_transaction_id(committed_world: World) -> None:
    activate(FOUND, SWAPPED, WITHIN)
    asked = messages.bulk_quote(2)
    assert dfsp("POST", "/bulkQuotes", asked, destination="blue").status_code == 202
    terms = messages.bulk_terms(asked)
    items, fulfilments = [], []
    for result in terms["individualQuoteResults"]:
        fulfilment = ilp.fulfilment_for(messages.PACKET, result["quoteId"].encode())
        result["condition"] = ilp.condition_for(fulfilment)
        items.append(messages.item(condition=result["condition"]))
        fulfilments.append({"transferId": items[-1]["transferId"], "fulfilment": fulfilment})
    path = f"/bulkQuotes/{asked['bulkQuoteId']}"
    assert dfsp("PUT", path, terms, source="blue", destination="green").status_code == 200
    bulk = messages.bulk_transfer(bulkQuoteId=asked["bulkQuoteId"], individualTransfers=items)
    assert dfsp("POST", "/bulkTransfers", bulk).status_code == 202
    sent = messages.bulk_results(bulk, individualTransferResults=fulfilments)
    path = f"/bulkTransfers/{bulk['bulkTransferId']}"
    assert dfsp("PUT", path, sent, source="blue", destination="green").status_code == 200
    ids = [each["transactionId"] for each in asked["individualQuotes"]]
    counted = dict(CountedTransfer.objects.values_list("transfer_id", "transaction_id"))
    assert [counted[each["transferId"]] for each in items] == ids
    assert refunded_through_the_api(ids[1], "255655001001") == "RESERVED"
    assert refunded_through_the_api(ids[1], "255655001001") == "ABORTED"
    assert refunded_through_the_api(items[1]["transferId"], "255655001001") == "ABORTED"
    assert refunded_through_the_api(new_id(), "255655001001") == "ABORTED"


def test_a_payment_without_a_quote_is_found_by_the_transaction_id_in_its_packet(committed_world: World) -> None:
    activate(FOUND, SWAPPED, WITHIN)
    transaction_id = new_id()
    agreed = {
        "transactionId": transaction_id,
        "payer": messages.party("green", "255712001001"),
        "payee": messages.party("blue", "255655001001"),
    }
    command = prepare(committed_world, "green", "blue", 1)
    data = base64url.encode(json.dumps(agreed).encode()).encode()
    command.ilp_packet = ilp.encode_payment(ilp.IlpPayment(100, "g.blue.msisdn.1", data))
    run(command)
    run(fulfil(committed_world, "blue", command.transfer_id))
    assert refunded_through_the_api(transaction_id, "255655001001") == "RESERVED"
    assert refunded_through_the_api(command.transfer_id, "255655001001") == "ABORTED"


def refunded_through_the_api(original: str, payer: str) -> str:
    """A refund of 1 TZS by blue's customer. Returns the state of its transfer."""
    money = {"currency": "TZS", "amount": "1"}
    kind = {**messages.TRANSACTION_TYPE, "scenario": "REFUND", "refundInfo": {"originalTransactionId": original}}
    quote = messages.quote(
        amount=money,
        payer=messages.party("blue", payer),
        payee=messages.party("green", "255712001001"),
        transactionType=kind,
    )
    assert dfsp("POST", "/quotes", quote, source="blue", destination="green").status_code == 202
    condition = ilp.condition_for(ilp.fulfilment_for(messages.PACKET, quote["quoteId"].encode()))
    terms = messages.terms(transferAmount=money, condition=condition)
    assert dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="green", destination="blue").status_code == 200
    transfer = messages.transfer(payerFsp="blue", payeeFsp="green", amount=money, condition=condition)
    assert dfsp("POST", "/transfers", transfer, source="blue").status_code == 202
    return Transfer.objects.get(pk=transfer["transferId"]).state
