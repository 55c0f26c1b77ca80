"""The scheme's rules at the quote: refusals, what is kept for the transfer, and delays."""

import json
import uuid
from dataclasses import replace as replace_in
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from fspiop import base64url, bodies, ilp, iso20022
from fspiop.bodies.quotes import QuotePost
from fspiop.time import parse_datetime
from hub import agreement_engine
from hub.outbox.models import Message
from ledger.commands_and_outcomes import Refused
from quotes.commands_and_facts import AskTerms
from quotes.models import BulkQuote, FxQuote, Quote
from rules import kept_verdicts, refreshed_name_sets
from rules.alerts.models import SightingRow
from rules.facts import Facts
from rules.lists import loaded_names
from rules.lists import services as lists
from rules.party_keys import dfsp_key, key_of
from rules.rulesets import active_rules, services
from rules.rulesets.models import Decision
from tests.agreements import ask_terms
from tests.api import fx_messages, iso_messages, messages
from tests.api.caller import dfsp
from tests.api.test_fx_agreement import fx
from tests.directory.requests import counted_statements, last_callback
from tests.fx_world import open_kes
from tests.rules.rule_sets import above, activate, cap, hold, refuse, rule
from tests.rules.two_people import decide
from tests.world import World, fulfil, prepare, run


def ask(**changes: Any) -> str:
    body = messages.quote(**changes)
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    return str(body["quoteId"])


def tzs(text: str) -> dict[str, str]:
    return {"currency": "TZS", "amount": text}


def kept(quote_id: str) -> kept_verdicts.Kept:
    stored = Quote.objects.get(pk=quote_id).rule_facts
    assert stored is not None
    return kept_verdicts.from_bytes(bytes(stored))[quote_id]


def refusal() -> tuple[str, str, str, str]:
    to, path, body = last_callback()
    information = body["errorInformation"]
    return to, path, information["errorCode"], information["errorDescription"]


def test_a_quote_above_the_cap_is_refused_with_the_schemes_code_and_stored_with_the_refusal(world: World) -> None:
    version = activate(cap("100", code="3145"), rule("text", above("500"), refuse("3146", text="At most 500")))
    quote_id = ask(amount=tzs("101"))
    assert refusal() == ("green", f"/quotes/{quote_id}/error", "3145", "Generic validation error")
    stored = Quote.objects.get(pk=quote_id)
    assert (stored.state, stored.payer.name, stored.payee.name) == ("REJECTED", "green", "blue")
    assert json.loads(bytes(stored.response or b""))["errorInformation"]["errorCode"] == "3145"
    assert (stored.rule_facts, stored.packet_sha256) == (None, None)
    decision = Decision.objects.get()
    assert (decision.subject, decision.outcome, decision.code, decision.version_id) == (
        quote_id,
        "REFUSE",
        "3145",
        version,
    )
    (hit,) = decision.hits
    assert hit["rule"] == "cap-100"
    (reading,) = hit["readings"]
    assert (reading["fact"], reading["value"], reading["threshold"]) == ("amount", 1010000, 1000000)
    assert Message.objects.count() == 1


def test_a_refused_quote_stays_refused_and_its_payee_never_learns_of_it(world: World) -> None:
    activate(cap("100", code="3145"))
    body = messages.quote(amount=tzs("101"))
    quote_id = body["quoteId"]
    dfsp("POST", "/quotes", body, destination="blue")
    first = Message.objects.get()
    Message.objects.all().delete()
    activate()
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    again = Message.objects.get()
    assert (again.destination, again.path, bytes(again.body)) == (first.destination, first.path, bytes(first.body))
    assert Decision.objects.count() == 1
    Message.objects.all().delete()
    assert dfsp("GET", f"/quotes/{quote_id}").status_code == 202
    assert refusal()[:3] == ("green", f"/quotes/{quote_id}/error", "3145")
    Message.objects.all().delete()
    unknown = messages.quote()["quoteId"]
    for path in (f"/quotes/{quote_id}", f"/quotes/{quote_id}/error"):
        sent = messages.error("5103", "no") if path.endswith("error") else messages.terms()
        for source in ("blue", "green", "red"):
            if (source, path) == ("green", f"/quotes/{quote_id}"):
                continue
            answer = dfsp("PUT", path, sent, source=source)
            same = dfsp("PUT", path.replace(quote_id, unknown), sent, source=source)
            assert (answer.status_code, answer.content) == (same.status_code, same.content), (path, source)
    dfsp("GET", f"/quotes/{quote_id}", source="blue")
    assert refusal()[:3] == ("blue", f"/quotes/{quote_id}/error", "3205")
    dfsp("GET", f"/transactions/{body['transactionId']}", source="blue")
    assert not Message.objects.exclude(destination__name="blue").exists()
    assert Quote.objects.get(pk=quote_id).state == "REJECTED"


def test_a_quote_at_the_cap_goes_on_with_its_facts(world: World) -> None:
    version = activate(cap("100"))
    quote_id = ask(
        amount=tzs("100"), extensionList={"extension": [{"key": "kycTier", "value": "2"}, {"key": "a", "value": "b"}]}
    )
    assert Message.objects.get().destination.name == "blue"
    found = kept(quote_id)
    assert found.version == version
    assert (found.hold_for_s, found.hold_until, found.refusal) == (None, None, None)
    facts = found.facts
    assert (facts.payer_dfsp, facts.payee_dfsp, facts.amount, facts.currency) == ("green", "blue", 1000000, "TZS")
    assert facts.payer == key_of("MSISDN", "255712001001")
    assert facts.payee == facts.payee_alias == key_of("MSISDN", "+255655001001")
    assert (facts.scenario, facts.initiator, facts.payer_type) == ("TRANSFER", "PAYER", "CONSUMER")
    assert (facts.kyc_tier, facts.extensions) == ("2", {"kycTier": "2", "a": "b"})
    assert {"payee.partyIdInfo.fspId", "amount", "transactionType.scenario"} <= facts.present
    assert not {"note", "geoCode", "payee.personalInfo"} & facts.present


def test_the_number_of_statements_does_not_grow_and_without_rules_none_is_added(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshed_name_sets, "FRESH_S", 1000)  # copies of lists, which are read twice a second
    ask()
    with counted_statements() as without:
        ask()
    assert not Quote.objects.exclude(rule_facts=None).exists()
    activate(cap("100"))
    ask()
    with counted_statements() as with_rules:
        ask()
    assert len(with_rules) == len(without) + 1


def test_plain_and_iso_20022_messages_give_the_same_facts(world: World) -> None:
    activate(cap("1000"))
    body = iso_messages.quote()
    assert iso_messages.iso("POST", "/quotes", body, destination="blue").status_code == 202
    typed = iso20022.read(QuotePost, json.dumps(body).encode(), "quotes")
    plain = replace(typed, quote_id=str(uuid.uuid4()))
    dfsp("POST", "/quotes", bodies.write(plain), destination="blue", version="2.0")
    in_iso, in_plain = kept(typed.quote_id).facts, kept(plain.quote_id).facts
    assert in_iso.payer is not None
    assert _comparable(in_iso) == _comparable(in_plain)


def _comparable(facts: Facts) -> Any:
    return [getattr(facts, name) for name in facts.__struct_fields__ if name not in ("now", "expires_in_s")]


def test_a_hold_is_kept_for_the_transfer(world: World) -> None:
    activate(hold("PT1H"))
    quote_id = ask(amount=tzs("11"))
    assert kept(quote_id).hold_for_s == 3600
    assert Decision.objects.get(subject=quote_id).outcome == "HOLD"
    assert kept(ask(amount=tzs("10"))).hold_for_s is None


def test_a_delay_beyond_the_expiration_is_refused_with_the_earliest_time(world: World) -> None:
    activate(hold("PT1H"))
    quote_id = ask(amount=tzs("11"), expiration=messages.moment(3600))
    to, path, code, text = refusal()
    assert (to, path, code) == ("green", f"/quotes/{quote_id}/error", "3142")
    earliest = parse_datetime(text.rsplit(" ", 1)[1])
    assert (Decision.objects.get().outcome, Decision.objects.get().code) == ("REFUSE", "3142")
    assert timedelta(seconds=3600) < earliest - datetime.now(UTC) < timedelta(seconds=3610)
    quote_id = ask(amount=tzs("11"), expiration=messages.moment(3620))
    assert kept(quote_id).hold_for_s == 3600


def test_an_exception_for_one_dfsp_lets_its_payments_through(world: World) -> None:
    activate(cap("10"))
    until = datetime.now(UTC) + timedelta(days=1)
    services.grant_variance("cap-10", "green", until=until, reason="agreed", actor="asha")
    quote_id = ask(amount=tzs("11"))
    assert Quote.objects.filter(pk=quote_id).exists()
    (hit,) = Decision.objects.get().hits
    assert hit["excused"]
    services.grant_variance("cap-10", "green", until=datetime.now(UTC), reason="over", actor="asha")
    ask(amount=tzs("11"))
    assert refusal()[2] == "3140"


def test_a_shadow_rule_refuses_nothing_and_is_stored(world: World) -> None:
    activate(cap("10", mode="shadow"))
    ask(amount=tzs("11"))
    decision = Decision.objects.get()
    assert (decision.outcome, decision.code) == ("ALLOW", None)
    assert decision.hits[0]["shadow"]
    assert Quote.objects.count() == 1


def test_a_repeated_request_is_not_judged_again(world: World) -> None:
    body = messages.quote(amount=tzs("50"))
    dfsp("POST", "/quotes", body, destination="blue")
    activate(cap("10"))
    Message.objects.all().delete()
    dfsp("POST", "/quotes", body, destination="blue")
    assert Message.objects.get().destination.name == "blue"  # it was accepted before the rule
    assert not Decision.objects.exists()


def test_a_bulk_goes_on_with_the_payments_that_are_allowed(world: World) -> None:
    activate(cap("10"))
    body = messages.bulk_quote(2)
    body["individualQuotes"][0]["amount"] = tzs("11")
    dfsp("POST", "/bulkQuotes", body, destination="blue")
    stored = BulkQuote.objects.get().rule_facts
    assert stored is not None
    found = kept_verdicts.from_bytes(bytes(stored))
    first, second = (found[each["quoteId"]] for each in body["individualQuotes"])
    assert (first.refusal, second.refusal) == (("3140", "Payment is not allowed by the scheme"), None)
    assert first.facts.bulk
    assert "individualQuotes" not in first.facts.present
    body = messages.bulk_quote(2)
    for each in body["individualQuotes"]:
        each["amount"] = tzs("11")
    dfsp("POST", "/bulkQuotes", body, destination="blue")
    assert refusal()[1:3] == (f"/bulkQuotes/{body['bulkQuoteId']}/error", "3140")


def test_a_refused_quote_is_refused_at_its_transfer_whatever_another_dfsp_sends_under_its_id(world: World) -> None:
    """A payee that gives terms for a refused quote gains nothing by a refused quote of its own with the same id."""
    open_kes(world, "blue", "red")
    activate(cap("10", code="3145"))
    quote_id = ask(amount=tzs("11"))

    def paid() -> str | None:
        command = prepare(world, "green", "blue", 1)
        data = base64url.encode(json.dumps({"quoteId": quote_id}).encode()).encode()
        command.ilp_packet = ilp.encode_payment(ilp.IlpPayment(100, "g.blue.msisdn.1", data))
        outcome = run(command)
        return outcome.transfer.error_code if isinstance(outcome, Refused) else None

    assert paid() == "3145"
    asked = fx_messages.fx_quote(initiatingFsp="red", counterPartyFsp="blue") | {"conversionRequestId": quote_id}
    for _ in range(2):  # the hub stores no refused FX quote, so each of them is judged
        assert fx("POST", "/fxQuotes", asked, source="red", destination="blue").status_code == 202
    assert Decision.objects.filter(subject=quote_id, payer_dfsp="red", outcome="REFUSE").count() == 2
    assert paid() == "3145"


def test_a_conversion_is_judged_at_its_quote(world: World) -> None:
    open_kes(world, "blue")
    activate(rule("no-fx", {"fact": "fx", "is": "true"}, refuse("3147")))
    body = fx_messages.fx_quote(counterPartyFsp="blue")
    fx("POST", "/fxQuotes", body)
    assert refusal()[1:3] == (f"/fxQuotes/{body['conversionRequestId']}/error", "3147")
    assert not FxQuote.objects.exists()
    ask()
    assert Quote.objects.count() == 1


def test_a_rule_that_reads_counters_reads_them_once_for_a_group(world: World) -> None:
    limit = {"fact": "payer.sent_value", "window": "PT24H", **{k: v for k, v in above("10").items() if k != "fact"}}
    activate(rule("daily", limit, refuse("4241")))
    ask(amount=tzs("11"))
    assert refusal()[2] == "4241"


def test_alerts_of_rules_and_of_skipped_checks_go_to_the_party_that_they_are_about(world: World) -> None:
    watch = rule("watch", above("50"), {"action": "alert"}, kind="fraud")
    stop = rule("stop", above("90"), refuse("5540"), kind="fraud")
    activate(watch, stop, cap("95"))
    ask(amount=tzs("60"))
    ask(amount=tzs("91"))
    run(prepare(world, "green", "blue", 60))  # of which this hub has seen no quote
    deposit = rule("deposit", {"fact": "scenario", "is": "in", "value": ["DEPOSIT"]}, refuse("3140"), gate="transfer")
    activate(deposit)
    run(prepare(world, "green", "blue", 1))
    payer, payee = key_of("MSISDN", "255712001001"), key_of("MSISDN", "255655001001")
    raised = SightingRow.objects.order_by("id").values_list("rule", "kind", "key", "gate", "amount")
    assert list(raised) == [
        ("watch", "RULE", payer, "quote", 600000),
        ("watch", "RULE", payer, "quote", 910000),
        ("stop", "RULE", payee, "quote", 910000),
        ("watch", "RULE", dfsp_key("green"), "transfer", 600000),
        ("deposit", "SKIPPED", dfsp_key("green"), "transfer", 10000),
    ]
    refused = Message.objects.get(method="PUT", path__startswith="/quotes/")  # no word of the rule
    error = json.loads(bytes(refused.body))["errorInformation"]
    assert error == {"errorCode": "5540", "errorDescription": "Payee may not receive"}
    decision = Decision.objects.filter(outcome="ALERT").earliest("id")
    assert [hit["rule"] for hit in decision.hits] == ["watch"]


def test_lists_markers_and_kill_switches_refuse_at_the_quote(world: World) -> None:
    blocked = {"fact": "payee.lists", "is": "has_any", "value": ["blocked"]}
    mule = {"fact": "payee.markers", "is": "has_any", "value": ["MULE_ACCOUNT"]}
    activate(rule("blocked", blocked, refuse("5541")), rule("mule", mule, refuse("5542"), kind="fraud"))
    payees = [messages.party("blue", f"25565500100{number}") for number in range(1, 5)]
    listed, marked, switched, other = (key_of("MSISDN", f"25565500100{number}") for number in range(1, 5))
    lists.create(name="blocked", kind="BLOCK", actor="mary")
    decide("block_party", {"list": "blocked", "party": listed})
    decide("file_marker", {"party": marked, "kind": "MULE_ACCOUNT", "reason": "seen"})
    decide("kill_switch", {"kind": "ALIAS", "on": True, "party": switched, "reason": "fraud"})
    assert other
    codes = []
    for payee in payees:
        Message.objects.all().delete()
        ask(payee=payee)
        message = Message.objects.get()
        codes.append(refusal()[2] if message.method == "PUT" else message.destination.name)
    assert codes == ["5541", "5542", "5540", "blue"]
    stopped = Decision.objects.get(code="5540")
    assert (stopped.outcome, stopped.hits) == ("REFUSE", [])


def test_a_kill_switch_stops_quotes_without_any_rules(world: World) -> None:
    decide("kill_switch", {"kind": "DFSP", "on": True, "payer_dfsp": "green", "reason": "fraud"})
    active_rules.forget()
    quote_id = ask()
    assert refusal()[1:3] == (f"/quotes/{quote_id}/error", "3140")
    decision = Decision.objects.get()
    assert (decision.version, decision.outcome, decision.code) == (None, "REFUSE", "3140")


def test_a_refund_is_compared_with_its_original(committed_world: World) -> None:
    unknown = {"fact": "refund.original_found", "is": "false"}
    activate(rule("refunds", unknown, refuse("3141"), when=REFUNDS))
    transfer_id = committed(committed_world)
    back = {"payer": messages.party("blue", "255655001001"), "payee": messages.party("green", "255712001001")}
    for original, is_refused in ((str(uuid.uuid4()), True), (transfer_id, False)):
        Message.objects.all().delete()
        kind = {
            **messages.TRANSACTION_TYPE,
            "scenario": "REFUND",
            "refundInfo": {"originalTransactionId": original},
        }
        body = messages.quote(**back, transactionType=kind)
        assert dfsp("POST", "/quotes", body, source="blue", destination="green").status_code == 202
        assert (Message.objects.get().method == "PUT") is is_refused


def committed(world: World) -> str:
    command = prepare(world, "green", "blue", 100)
    run(command)
    run(fulfil(world, "blue", command.transfer_id))
    return command.transfer_id


REFUNDS = {"scenarios": ["REFUND"]}


def group_of(world: World, size: int) -> list[AskTerms]:
    """Requests of green to blue as they are behind the doorway, of different payers."""
    found = []
    for number in range(size):
        payer = messages.party("green", f"2557120{number:05}")
        details = bodies.convert(QuotePost, messages.quote(payer=payer, amount=tzs("20")))
        found.append(
            replace_in(ask_terms(world.ids, quote_id=details.quote_id, content=details.quote_id), details=details)
        )
    return found


def test_a_group_of_any_size_takes_as_many_statements_and_is_judged_by_one_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshed_name_sets, "FRESH_S", 1000)
    daily = {"fact": "payer.sent_count", "window": "PT24H", "is": "above", "value": 5}
    activate(rule("daily", daily, refuse("4240")), rule("watch", above("10"), {"action": "alert"}))
    agreement_engine.run(group_of(world, 1))
    counts = []
    for size in (1, 25):
        with counted_statements() as sent:
            agreement_engine.run(group_of(world, size))
        counts.append(len(sent))
    assert counts[0] == counts[1]
    assert Decision.objects.count() == 27
    assert Decision.objects.values("version").distinct().count() == 1


def test_what_cannot_be_judged_is_refused_as_faulty_and_harms_no_other(world: World) -> None:
    activate(cap("1000"))
    ask(amount=tzs("9" * 18))  # fifteen digits and more fit into no account
    assert refusal()[2:] == ("3100", "Generic validation error - amount: " + TOO_LARGE)
    body = messages.bulk_quote(2)
    body["individualQuotes"][1]["quoteId"] = body["individualQuotes"][0]["quoteId"]
    dfsp("POST", "/bulkQuotes", body, destination="blue")
    assert refusal()[2] == "3100"
    assert not Quote.objects.exists()
    assert not BulkQuote.objects.exists()


TOO_LARGE = "an amount must have at most 14 digits before the point"


def test_a_payer_whose_name_is_listed_is_stopped_at_its_first_quote(world: World) -> None:
    listed = {"fact": "payer.lists", "is": "has_any", "value": ["sanctions"]}
    activate(rule("sanctions", listed, refuse("4541")))
    lists.create(name="sanctions", kind="SANCTIONS", actor="mary")
    raw = b"type,identifier,name\n,,Juma Hamisi Mwinyi\n"
    staged = lists.stage("sanctions", file_name="a.csv", raw=raw, actor="mary")
    decide("activate_list", {"list": "sanctions", "file": staged.pk, "sha256": staged.sha256})
    loaded_names.latest()
    ask(payer=messages.party("green", "255712001001", name="Juma Hamisi Mwinyi"))
    assert refusal()[2] == "4541"
    Message.objects.all().delete()
    ask(payer=messages.party("green", "255712001002", name="Neema Kimaro"))
    assert Message.objects.get().destination.name == "blue"
