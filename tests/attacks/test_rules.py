"""A hostile DFSP against the scheme's rules: what it could pass by, and what it could turn against others."""

import json
from typing import Any

import pytest

from fspiop import base64url, ilp
from ledger.models import HeldTransfer, Transfer
from ledger.rule_history import replay, replayed_rules
from rules.alerts.models import SightingRow
from rules.lists import kill_switches
from rules.lists import matches as lists
from rules.lists.kill_switches import Payment, Stopped
from rules.markers import matches as markers_of
from rules.party_keys import key_of
from rules.profiles import folding
from rules.rulesets.models import Decision
from tests.api import messages
from tests.api.caller import dfsp
from tests.rules.limits import limit
from tests.rules.rule_sets import activate, cap, hold, refuse, rule
from tests.rules.two_people import decide
from tests.world import World, fulfil, run

DAY = 24 * 3600.0
VICTIM = "255655001009"
NEW_PAYEE = rule(
    "new-payee", {"fact": "pair.paid_before", "is": "false"}, {"action": "hold", "for": "PT1H"}, kind="fraud"
)
MOVED = rule("moved", {"fact": "payee.moved", "window": "P7D", "is": "true"}, {"action": "hold", "for": "PT1H"})


def tzs(text: str) -> dict[str, str]:
    return {"currency": "TZS", "amount": text}


def condition_of(quote: dict[str, Any]) -> str:
    return ilp.condition_for(ilp.fulfilment_for(messages.PACKET, quote["quoteId"].encode()))


def ask(text: str = "20", **changes: Any) -> dict[str, Any]:
    quote = messages.quote(amount=tzs(text), **changes)
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    return quote


def answer(quote: dict[str, Any], text: str = "20") -> int:
    terms = messages.terms(transferAmount=tzs(text), expiration=messages.moment(DAY), condition=condition_of(quote))
    path = f"/quotes/{quote['quoteId']}"
    return int(dfsp("PUT", path, terms, source="blue", destination="green").status_code)


def send(quote: dict[str, Any], text: str = "20", *, seconds: float = DAY / 2) -> Transfer:
    body = messages.transfer(amount=tzs(text), condition=condition_of(quote), expiration=messages.moment(seconds))
    assert dfsp("POST", "/transfers", body).status_code == 202
    folding.fold()
    return Transfer.objects.get(pk=body["transferId"])


def pay(text: str = "20", **changes: Any) -> Transfer:
    quote = ask(text, **changes)
    assert answer(quote, text) == 200
    return send(quote, text)


def outcome(transfer: Transfer) -> tuple[str, str | None]:
    return transfer.state, transfer.error_code


# --- what was judged is not what is paid ------------------------------------------------------------------------------


def test_terms_above_the_cap_do_not_pass_because_less_was_asked_for(committed_world: World) -> None:
    activate(cap("100"), hold("PT1H", over="60"))
    far_above, above, as_asked = (ask("50") for _ in range(3))
    assert [answer(far_above, "500"), answer(above, "70"), answer(as_asked, "50")] == [200] * 3
    assert outcome(send(far_above, "500")) == ("ABORTED", "3140")
    assert outcome(send(as_asked, "50")) == ("RESERVED", None)
    assert not HeldTransfer.objects.exists()
    delayed = send(above, "70")
    assert HeldTransfer.objects.get().pk == delayed.pk
    assert committed_world.breaks() == []


def test_quotes_from_before_a_rule_are_no_stock_for_after_it(committed_world: World, settings: Any) -> None:
    settings.RULES_COUNT = True
    unjudged = ask("500")
    assert answer(unjudged, "500") == 200
    activate(cap("1000"))
    judged = ask("500")
    assert answer(judged, "500") == 200
    activate(cap("100"))
    assert [outcome(send(each, "500")) for each in (unjudged, judged)] == [("ABORTED", "3140")] * 2
    assert Decision.objects.filter(gate="transfer", outcome="REFUSE").count() == 2


def test_the_expiration_of_a_quote_is_not_judged_at_the_transfer(committed_world: World) -> None:
    short = rule("short", {"fact": "expires_in", "is": "below", "value": "PT1H"}, refuse("3142"))
    activate(short)
    quote = ask("50", expiration=messages.moment(2 * DAY))
    assert answer(quote, "51") == 200
    assert outcome(send(quote, "51", seconds=60)) == ("RESERVED", None)


def test_only_a_committed_payment_makes_its_payee_a_known_one(committed_world: World) -> None:
    world = committed_world
    activate(NEW_PAYEE)
    first = pay()
    pay()
    assert HeldTransfer.objects.count() == 2  # the first one waits too, and has moved no money
    activate(NEW_PAYEE | {"then": {"action": "alert"}})
    quote = ask()
    assert answer(quote) == 200
    reserved = send(quote)
    ask()
    assert alerts() == 2  # a payment that is under way has moved none either
    fulfilment = ilp.fulfilment_for(messages.PACKET, quote["quoteId"].encode())
    run(fulfil(world, "blue", reserved.pk, fulfilment=fulfilment))
    ask()
    assert alerts() == 2
    assert Transfer.objects.get(pk=first.pk).state == "RESERVED"
    assert world.breaks() == []


def alerts() -> int:
    return Decision.objects.filter(gate="quote", outcome="ALERT").count()


def test_a_payment_is_no_refund_because_it_names_an_original(committed_world: World) -> None:
    activate(limit(above=1))
    refund_info = {"originalTransactionId": "b51ec534-ee48-4575-b6a9-ead2955b8069"}
    kind = messages.TRANSACTION_TYPE | {"refundInfo": refund_info}
    assert [outcome(pay(transactionType=kind)) for _ in range(2)] == [("RESERVED", None), ("ABORTED", "4240")]
    assert committed_world.breaks() == []


@pytest.mark.parametrize("named", [None, "another"])
def test_a_payment_that_was_refused_in_a_bulk_quote_is_not_paid_another_way(
    committed_world: World, named: str | None
) -> None:
    no_agents = rule("no-agents", {"fact": "scenario", "is": "in", "value": ["DEPOSIT"]}, refuse("3146"))
    activate(no_agents)
    asked = messages.bulk_quote()
    refused = asked["individualQuotes"][0]
    refused["transactionType"] = messages.TRANSACTION_TYPE | {"scenario": "DEPOSIT"}
    assert dfsp("POST", "/bulkQuotes", asked, destination="blue").status_code == 202
    amounts = refused["amount"]
    terms = packet(100, quoteId=refused["quoteId"], payee=refused["payee"])
    condition = ilp.condition_for(ilp.fulfilment_for(terms, b"secret"))
    if named is None:
        body = messages.transfer(amount=amounts, ilpPacket=terms, condition=condition)
        assert dfsp("POST", "/transfers", body).status_code == 202
    else:
        item = messages.item(amounts["amount"], amounts["currency"], ilpPacket=terms, condition=condition)
        body = messages.bulk_transfer(individualTransfers=[item])
        assert dfsp("POST", "/bulkTransfers", body, destination="blue").status_code == 202
    found = Transfer.objects.get()
    assert (outcome(found), found.reason) == (("ABORTED", "3146"), "REFUSED_BY_RULE")
    version = Decision.objects.latest("pk").version_id
    assert version is not None
    assert replay.run(replayed_rules.of_version(version)).differences == []


# --- one party under two names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_type", "one", "other"),
    [
        ("MSISDN", "255712001001", "٢٥٥٧١٢٠٠١٠٠١"),
        ("MSISDN", "255712001001", "２５５７１２００１００１"),
        ("MSISDN", "255712001001", "+255 712-001 001"),
        ("MSISDN", "255712001001", "00255712001001"),
        ("MSISDN", "255712001001", "255\u200b712001001"),
        ("IBAN", "GB29NWBK60161331926819", "gb29 nwbk 6016 1331 9268 19"),
        ("EMAIL", "ada@example.org", "ＡＤＡ@example.org"),
        ("ACCOUNT_ID", "0123", "０１２３"),
        ("ACCOUNT_ID", "0123", " 0123\u00ad"),
    ],
)
def test_another_spelling_is_the_same_party(id_type: str, one: str, other: str) -> None:
    assert key_of(id_type, one) == key_of(id_type, other)


def test_other_parties_stay_apart() -> None:
    found = {
        key_of(*each)
        for each in [
            ("MSISDN", "255712001001"),
            ("MSISDN", "255712001002"),
            ("ACCOUNT_ID", "255712001001"),
            ("ACCOUNT_ID", "12-34"),
            ("ACCOUNT_ID", "1234"),
            ("ALIAS", "Ada"),
            ("ALIAS", "ada"),
            ("MSISDN", "+"),
            ("MSISDN", "-"),
            ("MSISDN", "255712001001", "SAVINGS"),
        ]
    }
    assert len(found) == 10


def test_a_limit_counts_all_spellings_of_its_payer(committed_world: World) -> None:
    activate(limit(above=1))
    spellings = ["255712001001", "+255 712 001 001"]
    found = [outcome(pay(payer=messages.party("green", each))) for each in spellings]
    assert found == [("RESERVED", None), ("ABORTED", "4240")]


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_a_party_with_a_sub_identifier_is_stopped_blocked_and_marked(world: World, side: str) -> None:
    dfsp_of = {"payer": "green", "payee": "blue"}[side]
    account = messages.party(dfsp_of, VICTIM)
    account["partyIdInfo"]["partySubIdOrType"] = "Savings"
    key = key_of("MSISDN", VICTIM, "SAVINGS")
    refused = []
    marked = rule("marked", {"fact": f"{side}.markers", "is": "has_any", "value": ["OTHER"]}, refuse("5543"))
    activate(marked)
    ask(**{side: account})
    assert not Decision.objects.exclude(outcome="ALLOW").exists()
    decide("file_marker", {"party": key, "kind": "OTHER", "reason": "seen"})
    markers_of.forget()
    ask(**{side: account})
    decide("kill_switch", {"kind": "ALIAS", "on": True, "party": key, "reason": "fraud"})
    lists.forget()
    ask(**{side: account})
    ask(**{side: messages.party(dfsp_of, VICTIM)})  # the party's other account
    refused = list(Decision.objects.filter(outcome="REFUSE").order_by("id").values_list("code", flat=True))
    assert refused == ["5543", {"payer": "4540", "payee": "5540"}[side]]
    payment = Payment("green", "blue", **{side: 1, f"{side}_alias": key})
    assert kill_switches.stopped([payment]) == [Stopped(side)]


# --- harm to others ---------------------------------------------------------------------------------------------------


def test_a_transfer_that_claims_another_dfsp_s_customer_does_not_move_the_customer(committed_world: World) -> None:
    activate(MOVED, limit(above=50))
    victim = messages.party("blue", VICTIM)
    assert outcome(pay(payee=victim)) == ("RESERVED", None)
    # Red has never given terms for this customer.
    body = messages.transfer(
        payeeFsp="red", ilpPacket=packet(payee=messages.party("red", VICTIM)), expiration=messages.moment(DAY / 2)
    )
    assert dfsp("POST", "/transfers", body, destination="red").status_code == 202
    folding.fold()
    assert HeldTransfer.objects.get().pk == body["transferId"]
    assert outcome(pay(payee=victim)) == ("RESERVED", None)
    assert HeldTransfer.objects.count() == 1
    assert committed_world.breaks() == []


def test_transfers_without_quotes_cause_one_report_each_however_many_rules_there_are(committed_world: World) -> None:
    condition = {"fact": "scenario", "is": "in", "value": ["DEPOSIT"]}
    activate(*[rule(f"skipped-{number}", condition, refuse("3146")) for number in range(30)])
    for _ in range(2):
        assert dfsp("POST", "/transfers", messages.transfer()).status_code == 202
    reports = list(SightingRow.objects.all())
    assert [each.kind for each in reports] == ["SKIPPED"] * 2
    assert {each.rule for each in reports} | {*reports[0].details["also"]} == {f"skipped-{n}" for n in range(30)}


@pytest.mark.parametrize("quote_id", ["\0", "\ud800", "x" * 36, 7, {}])
def test_an_odd_quote_id_in_a_packet_is_no_quote_and_harms_no_group(committed_world: World, quote_id: object) -> None:
    activate(limit(above=50))
    body = messages.transfer(ilpPacket=packet(quoteId=quote_id))
    assert dfsp("POST", "/transfers", body).status_code == 202
    assert Transfer.objects.get(pk=body["transferId"]).state == "RESERVED"


def packet(minor_units: int = 10_000, **parties: Any) -> str:
    data = base64url.encode(json.dumps(parties).encode()).encode()
    return ilp.encode_payment(ilp.IlpPayment(minor_units, "g.red.msisdn.1", data))
