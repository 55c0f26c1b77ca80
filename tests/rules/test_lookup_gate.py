"""The scheme's rules at the lookup: corridors, lists and markers stop a payment before its quote."""

import hashlib

import pytest

from directory.models import PartyLookup
from hub.outbox.store import kept_subject
from rules import refreshed_name_sets
from rules.facts import from_bytes
from rules.party_keys import key_of
from rules.rulesets import active_rules
from rules.rulesets.models import Decision
from tests.api.caller import dfsp
from tests.directory.requests import counted_statements, last_callback, register
from tests.rules.rule_sets import activate, cap, refuse, rule
from tests.rules.two_people import decide
from tests.world import World

PARTY = "/parties/MSISDN/255655001001"


def closed(payer: str, payee: str, code: str = "3140") -> dict[str, object]:
    """No payments from this DFSP to that one."""
    return rule("corridor", None, refuse(code), gate="lookup", when={"payer_dfsps": [payer], "payee_dfsps": [payee]})


def test_a_lookup_in_a_closed_corridor_is_refused_and_the_dfsp_is_not_asked(world: World) -> None:
    register("MSISDN/255655001001", "blue")
    activate(closed("green", "blue"))
    assert dfsp("GET", PARTY).status_code == 202
    to, path, body = last_callback()
    assert (to, path, body["errorInformation"]["errorCode"]) == ("green", PARTY + "/error", "3140")
    assert not PartyLookup.objects.exists()
    decision = Decision.objects.get()
    assert (decision.gate, decision.outcome, decision.payer_dfsp, decision.payee_dfsp) == (
        "lookup",
        "REFUSE",
        "green",
        "blue",
    )
    plain = hashlib.sha256(f"{PARTY} for green".encode()).hexdigest()
    assert decision.subject == kept_subject(plain) != plain  # nobody can find the number by trying numbers
    facts = from_bytes(bytes(decision.facts or b""))
    assert facts.payee == decision.payee_key == key_of("MSISDN", "+255655001001")

    for source, destination in (("red", None), ("green", "red")):
        assert dfsp("GET", PARTY, source=source, destination=destination).status_code == 202
    assert PartyLookup.objects.count() == 2


def test_a_kill_switch_stops_lookups_without_any_rules(world: World) -> None:
    register("MSISDN/255655001001", "blue")
    decide("kill_switch", {"kind": "ALIAS", "on": True, "party": key_of("MSISDN", "255655001001"), "reason": "fraud"})
    active_rules.forget()
    assert dfsp("GET", PARTY).status_code == 202
    to, path, body = last_callback()
    assert (to, path, body["errorInformation"]["errorCode"]) == ("green", PARTY + "/error", "5540")
    assert Decision.objects.get().version is None


def test_without_rules_of_the_lookup_one_statement_is_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshed_name_sets, "FRESH_S", 1000)  # copies of lists, which are read twice a second
    register("MSISDN/255655001001", "blue")
    dfsp("GET", PARTY)
    with counted_statements() as without:
        dfsp("GET", PARTY)
    activate(cap("100"))
    dfsp("GET", PARTY)
    with counted_statements() as with_rules:
        dfsp("GET", PARTY)
    assert len(with_rules) == len(without) + 1
    assert not Decision.objects.exclude(is_sampled=True).exists()
