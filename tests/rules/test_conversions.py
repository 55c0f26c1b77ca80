"""Conversions are judged by the rules of both gates, and never by rules about parties."""

from typing import Any

import pytest

from hub.outbox.models import Message
from ledger import quoted_facts
from ledger.fx.commands_and_outcomes import FxOutcome, FxRefused, FxReserved
from quotes.models import FxQuote
from rules import kept_verdicts
from rules.alerts.models import SightingRow
from rules.lists import services as lists
from rules.rulesets.models import Decision
from tests.api import fx_messages
from tests.api.fx_messages import money
from tests.api.test_fx_agreement import fx
from tests.directory.requests import last_callback
from tests.fx_world import agreed, fx_prepare, open_scheme, run
from tests.rules.limits import facts_of_quotes, pay
from tests.rules.rule_sets import above, activate, cap, refuse, rule
from tests.world import World


@pytest.fixture(autouse=True)
def scheme(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    return open_scheme(world)


def ask(**changes: Any) -> tuple[str, str]:
    """POST /fxQuotes. Returns the ids of the quote and of the conversion."""
    asked = fx_messages.fx_quote(**changes)
    assert fx("POST", "/fxQuotes", asked, destination="fxp").status_code == 202
    return asked["conversionRequestId"], asked["conversionTerms"]["conversionId"]


def quoted(**changes: Any) -> str:
    """An FX quote with the FXP's terms. Returns the conversion's id."""
    asked = fx_messages.fx_quote(**changes)
    assert fx("POST", "/fxQuotes", asked, destination="fxp").status_code == 202
    terms = fx_messages.fx_terms(asked, sourceAmount=money("100", "TZS"))
    path = f"/fxQuotes/{asked['conversionRequestId']}"
    assert fx("PUT", path, terms, source="fxp", destination="green").status_code == 200
    return str(asked["conversionTerms"]["conversionId"])


def convert(world: World, commit_request_id: str | None = None, **more: Any) -> FxOutcome:
    determining = pay(world, 1, 2).transfer_id
    outcome = run(fx_prepare(world, determining, commit_request_id=commit_request_id, **more))
    assert isinstance(outcome, FxOutcome)
    return outcome


def code_of(outcome: FxOutcome) -> str | None:
    if isinstance(outcome, FxReserved):
        return None
    assert isinstance(outcome, FxRefused)
    return outcome.conversion.error_code


def refusal() -> str:
    code: str = last_callback()[2]["errorInformation"]["errorCode"]
    return code


def test_a_conversion_without_an_fx_quote_is_judged_by_the_rules_of_quotes(world: World) -> None:
    activate(cap("90", code="3145"))
    assert code_of(convert(world)) == "3145"
    assert code_of(convert(world, source=("TZS", 90))) is None
    refused = Decision.objects.get(outcome="REFUSE")
    assert (refused.gate, refused.outcome, refused.code) == ("transfer", "REFUSE", "3145")


def test_a_conversion_whose_fx_quote_was_refused_is_refused(world: World) -> None:
    activate(cap("90", code="3145"))
    quote_id, conversion_id = ask()
    assert refusal() == "3145"
    assert not FxQuote.objects.filter(pk=quote_id).exists()
    assert code_of(convert(world, conversion_id)) == "3145"


def test_the_source_amount_is_judged_although_the_fx_quote_names_only_the_target_amount(world: World) -> None:
    activate(cap("90", code="3145"))
    target_only = {"amountType": "RECEIVE", "sourceAmount": {"currency": "TZS"}, "targetAmount": money("5", "KES")}
    conversion_id = quoted(**target_only)
    assert code_of(convert(world, conversion_id)) == "3145"


def test_an_fx_quote_is_judged_by_each_amount_that_it_names(world: World) -> None:
    in_kes = rule("kes", above("4", currency="KES"), refuse("3146"))
    activate(cap("200", code="3145"), in_kes)
    target = {"targetAmount": money("5", "KES")}
    for changes, code in (
        ({}, None),
        ({"sourceAmount": money("201", "TZS")}, "3145"),
        (target, "3146"),
        ({**target, "amountType": "RECEIVE", "sourceAmount": {"currency": "TZS"}}, "3146"),
    ):
        Message.objects.all().delete()
        quote_id, _ = ask(**changes)
        stored = FxQuote.objects.filter(pk=quote_id).first()
        if code is None:
            assert stored is not None
            kept = kept_verdicts.from_bytes(bytes(stored.rule_facts or b""))[quote_id]
            assert (kept.facts.currency, kept.facts.amount) == ("TZS", 100_0000)
        else:
            assert (stored, refusal()) == (None, code)


def test_a_new_version_judges_the_conversions_of_earlier_fx_quotes(world: World) -> None:
    activate(cap("1000"))
    first, second = quoted(), quoted()
    assert code_of(convert(world, first)) is None
    activate(cap("90", code="3145"))
    assert code_of(convert(world, second)) == "3145"
    third = quoted(sourceAmount=money("80", "TZS"))
    assert code_of(convert(world, third, source=("TZS", 80))) is None
    assert code_of(convert(world, quoted(sourceAmount=money("80", "TZS")), source=("TZS", 91))) == "3145"


def test_the_payees_conversion_is_judged_by_what_its_fxp_pays(world: World) -> None:
    activate(rule("kes", above("4", currency="KES"), refuse("3146")))
    transfer = pay(world, 1, 2)
    run(transfer)
    of_blue = fx_prepare(world, transfer.transfer_id, initiator="blue", source=("TZS", 1), target=("KES", 5))
    outcome = run(of_blue)
    assert isinstance(outcome, FxRefused)
    assert outcome.conversion.error_code == "3146"


def test_rules_about_the_expiration_of_quotes_do_not_judge_conversions_without_a_quote(world: World) -> None:
    early = rule("early", {"fact": "expires_in", "is": "below", "value": "PT5M"}, refuse("3142"))
    activate(early)
    assert code_of(convert(world)) is None
    ask()
    assert refusal() == "3142"


ABOUT_PARTIES = {
    "excluded": {"fact": "payer.lists", "is": "has_any", "value": ["sanctions"]},
    "type": {"fact": "payer.id_type", "is": "not_in", "value": ["MSISDN"]},
    "tier": {"fact": "payer.kyc_tier", "is": "absent"},
    "elements": {"fact": "elements", "is": "lacks_any", "value": ["payee.personalInfo.dateOfBirth"]},
    "scenario": {"fact": "scenario", "is": "not_in", "value": ["TRANSFER"]},
    "count": {"fact": "payer.sent_count", "window": "PT1H", "is": "above", "value": 1},
}


@pytest.mark.parametrize("gate", ["quote", "transfer"])
@pytest.mark.parametrize("name", ABOUT_PARTIES)
def test_rules_about_parties_judge_no_conversion(world: World, name: str, gate: str) -> None:
    lists.create(name="sanctions", kind="SANCTIONS", actor="mary")
    activate(rule("parties", ABOUT_PARTIES[name], refuse("4540"), gate=gate, on_missing="closed"))
    conversion_id = quoted()
    assert code_of(convert(world, conversion_id)) is None
    assert code_of(convert(world)) is None  # without an FX quote
    assert not Decision.objects.exclude(hits=[]).exists()
    assert not SightingRow.objects.exists()


def test_a_rule_that_is_only_partly_about_parties_judges_a_conversion_by_the_other_part(world: World) -> None:
    either = {"any": [above("90"), ABOUT_PARTIES["tier"]]}
    activate(rule("either", either, refuse("3145"), on_missing="closed"))
    ask()
    assert refusal() == "3145"
    conversion_id = quoted(sourceAmount=money("80", "TZS"))
    assert code_of(convert(world, conversion_id, source=("TZS", 80))) is None


def test_extensions_of_an_unknown_fx_quote_are_missing(world: World) -> None:
    tier = rule("tier", {"fact": "extension", "key": "tier", "is": "absent"}, refuse("3143"), on_missing="closed")
    activate(tier)
    ask()
    assert refusal() == "3143"
    assert code_of(convert(world)) == "3143"
    conversion_id = quoted(extensionList={"extension": [{"key": "tier", "value": "1"}]})
    assert code_of(convert(world, conversion_id)) is None


def test_only_the_conversion_itself_is_a_conversion(world: World) -> None:
    activate(rule("no-fx", {"fact": "fx", "is": "true"}, refuse("3147"), gate="transfer"))
    assert code_of(convert(world)) == "3147"
    activate(rule("no-payments", {"fact": "fx", "is": "false"}, refuse("3148"), gate="transfer"))
    conversion = agreed(world, pay(world, 1, 2).transfer_id)
    transfer = pay(world, 1, 2, 5, currency="KES")
    transfer.transfer_id = conversion.determining_transfer_id
    outcome: Any = run(transfer)
    assert outcome.transfer.error_code == "3148"
