"""Names are screened when DFSPs send them: the payee's in an answer to a lookup, the payer's in a request for terms."""

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection

from rules import refreshed_name_sets
from rules.lists import dfsp_corridor_and_name_keys, matches, screening
from rules.lists.models import NamedParty
from rules.lists.screening import Named
from rules.party_keys import key_of
from tests.api import messages
from tests.api.caller import dfsp
from tests.directory.requests import last_callback, register
from tests.rules.rule_sets import activate, refuse, rule
from tests.rules.test_screening import LISTED, sanction
from tests.world import World

PARTY = "/parties/MSISDN/255655001001"
PAYER, PAYEE = key_of("MSISDN", "255712001001"), key_of("MSISDN", "255655001001")
AT_GREEN, AT_BLUE = (
    dfsp_corridor_and_name_keys.served(PAYER, "green"),
    dfsp_corridor_and_name_keys.served(PAYEE, "blue"),
)


def nobody_listed(side: str, gate: str) -> dict[str, Any]:
    condition = {"fact": f"{side}.lists", "is": "has_any", "value": ["sanctions"]}
    return rule(f"{side}-listed", condition, refuse("3145"), gate=gate)


@pytest.fixture
def open_transactions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a transaction was open each time that names were screened. Lists are read again at once."""
    monkeypatch.setattr(refreshed_name_sets, "FRESH_S", 0)
    found = []
    see = screening.see

    def watched(parties: Sequence[Named]) -> None:
        found.append(connection.in_atomic_block)
        see(parties)

    monkeypatch.setattr(screening, "see", watched)
    return found


def look_up(name: str) -> None:
    """Green asks for the payee, and blue answers with this name."""
    assert dfsp("GET", PARTY, source="green").status_code == 202
    answer = {"party": messages.party("blue", "255655001001", name=name)}
    assert dfsp("PUT", PARTY, answer, source="blue", destination="green").status_code == 200


def ask_terms(**changes: Any) -> str:
    body = messages.quote(**changes)
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    return str(body["quoteId"])


def test_a_listed_payee_is_found_by_its_own_dfsp_s_answer_and_refused_at_the_quote(
    committed_world: World, open_transactions: list[bool]
) -> None:
    sanction("Joseph Kony")
    activate(nobody_listed("payee", "quote"))
    register("MSISDN/255655001001", "blue")
    look_up("Josef Kony")
    assert matches.matches([AT_BLUE]) == {AT_BLUE: LISTED}
    assert open_transactions == [False]
    ask_terms()
    _, path, body = last_callback()
    assert path.endswith("/error")
    assert body["errorInformation"]["errorCode"] == "3145"


def test_a_listed_payer_is_refused_at_its_first_quote_in_either_form(
    committed_world: World, open_transactions: list[bool]
) -> None:
    sanction("Joseph Kony")
    activate(nobody_listed("payer", "quote"))
    ask_terms(payer=messages.party("green", "255712001001", name="Josef Kony"))
    assert last_callback()[2]["errorInformation"]["errorCode"] == "3145"
    assert matches.matches([AT_GREEN]) == {AT_GREEN: LISTED}
    body = messages.bulk_quote(payer=messages.party("green", "255712001002", name="Joseph Kony"))
    assert dfsp("POST", "/bulkQuotes", body, destination="blue").status_code == 202
    assert last_callback()[2]["errorInformation"]["errorCode"] == "3145"
    assert open_transactions == [False, False]


def test_what_the_payer_dfsp_calls_its_payee_is_not_screened(world: World) -> None:
    sanction("Joseph Kony")
    activate(nobody_listed("payee", "quote"))
    ask_terms(payee=messages.party("blue", "255655001001", name="Joseph Kony"))
    assert not NamedParty.objects.exists()
    assert last_callback()[0] == "blue"


def test_an_answer_that_no_lookup_asked_for_is_not_screened(world: World) -> None:
    sanction("Joseph Kony")
    activate(nobody_listed("payee", "quote"))
    answer = {"party": messages.party("blue", "255655001001", name="Joseph Kony")}
    assert dfsp("PUT", PARTY, answer, source="blue", destination="green").status_code == 400
    assert not NamedParty.objects.exists()


def test_without_rules_no_name_is_stored(world: World) -> None:
    sanction("Joseph Kony")
    register("MSISDN/255655001001", "blue")
    look_up("Joseph Kony")
    ask_terms(payer=messages.party("green", "255712001001", name="Joseph Kony"))
    assert not NamedParty.objects.exists()
    assert last_callback()[0] == "blue"
