"""Lists, markers and kill switches in the portal's requests: described, approved by another risk officer, and made."""

import pytest
from django.contrib.auth.models import User

from portal import changes
from portal.changes import NotApproved
from portal.permissions import Role
from portal.visitor import visitor_for
from rules.alerts.requested_changes import PERFORM, Payload, subject_of
from rules.lists import loaded_names, matches, screening, services
from rules.lists.models import NameMatch
from rules.lists.screening import Named
from rules.markers import matches as marked
from rules.markers.matches import markers
from rules.markers.models import Appeal
from rules.party_keys import key_of
from tests.portal.people import person
from tests.rules.rule_sets import activate, refuse, rule
from tests.rules.test_markers import appeal, file
from tests.world import World

ADA = key_of("MSISDN", "255712001001")


@pytest.fixture
def officers(world: World) -> tuple[User, User]:
    return person(Role.RISK, name="rita"), person(Role.RISK, name="ron")


def decide(officers: tuple[User, User], kind: str, payload: Payload) -> list[str]:
    """One officer requests, the other approves; the lines that the approver sees."""
    rita, ron = map(visitor_for, officers)
    request = changes.ask(rita, kind, subject=subject_of(kind, payload), payload=payload, reason="why")
    lines = [str(line.text) for line in changes.KINDS[kind].describe(payload)]
    with pytest.raises(NotApproved):
        changes.approve(rita, request.pk)
    changes.approve(ron, request.pk)
    matches.forget()
    marked.forget()
    return lines


def test_each_action_is_a_kind_of_change() -> None:
    assert changes.KINDS.keys() >= PERFORM.keys()


def test_every_change_is_described_and_made(officers: tuple[User, User]) -> None:
    number = "255712001001"
    services.create(name="watched", kind="SANCTIONS", actor="rita")
    staged = services.stage(
        "watched", file_name="a.csv", raw=f"type,identifier,name\nMSISDN,{number},\n,,Joseph Kony\n".encode(), actor="x"
    )
    payload = {"list": "watched", "file": staged.pk, "sha256": staged.sha256}
    stops_none = "none: the list stops no payments. A kill switch stops a party without any rule."
    assert decide(officers, "activate_list", payload) == ["watched", staged.sha256, stops_none]
    assert matches.matches([ADA]) == {ADA: frozenset({"watched"})}
    on_list = {"list": "watched", "party": ADA}
    assert decide(officers, "unblock_party", on_list) == ["watched", f"{ADA:016x}", stops_none]
    seen = {"fact": "payer.lists", "is": "has_any", "value": ["watched"]}
    told = {"fact": "payer.markers", "is": "has_any", "value": ["OTHER"]}
    activate(rule("seen", seen, refuse()), rule("told", told, refuse()), rule("s", seen, refuse(), mode="shadow"))
    assert decide(officers, "block_party", on_list) == ["watched", f"{ADA:016x}", "seen"]

    loaded_names.latest()
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    match = NameMatch.objects.get()
    lines = decide(officers, "clear_name_match", {"match": match.pk})
    assert lines == [f"{match.key:016x}", "watched", "Joseph Kony", "100 %"]

    switch = {"kind": "CORRIDOR", "payer_dfsp": "green", "payee_dfsp": "blue", "on": True, "reason": "fraud"}
    assert decide(officers, "kill_switch", switch) == ["on: payments are stopped", "green", "blue"]
    assert decide(officers, "kill_switch", switch | {"on": False}) == ["off", "green", "blue"]
    of_dfsp = {"kind": "DFSP", "payer_dfsp": "red", "on": True, "reason": "fraud"}
    assert decide(officers, "kill_switch", of_dfsp) == ["on: payments are stopped", "red"]
    of_alias = {"kind": "ALIAS", "party": ADA, "on": True, "reason": "fraud"}
    assert decide(officers, "kill_switch", of_alias) == ["on: payments are stopped", f"{ADA:016x}"]

    filed = {"party": ADA, "kind": "OTHER", "reason": "a court's order"}
    assert decide(officers, "file_marker", filed) == [f"{ADA:016x}", "Other", "told"]
    marker = file(reason="a mule")["number"]
    appeal(marker, "robbed")
    of_marker = [f"{ADA:016x}", "Mule account", "green", "a mule"]
    rejected = {"appeal": Appeal.objects.get().pk, "reason": "no"}
    assert decide(officers, "reject_appeal", rejected) == [
        *of_marker,
        "blue: the hub knows no DFSP of the party",
        "robbed",
        "no",
    ]
    assert decide(officers, "lift_marker", {"marker": marker, "reason": "yes"}) == [*of_marker, "yes"]
    assert markers([ADA]) == {ADA: frozenset({"OTHER", "CONFIRMED"})}


def test_what_cannot_be_done_any_more_is_not_approved(officers: tuple[User, User]) -> None:
    services.create(name="watched", kind="BLOCK", actor="rita")
    decide(officers, "block_party", {"list": "watched", "party": ADA})
    with pytest.raises(NotApproved, match="The data has changed"):
        decide(officers, "block_party", {"list": "watched", "party": ADA})
