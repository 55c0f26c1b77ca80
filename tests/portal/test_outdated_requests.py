"""For each kind of request: what makes its change impossible for ever, and that the hub then withdraws the request."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from directory import builtin_oracle, oracles
from directory.aliases import Alias
from directory.models import PartyIdentifier
from hub.administration import services as administration
from hub.administration.models import READ
from hub.audit import approvals
from hub.audit.models import Approval
from hub.participants import credentials, networks_and_contacts, offboarding
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import accounts_and_funds
from ledger.models import CoverHold
from portal import changes, users
from portal.changes.settlements_and_cover_holds import hold_terms, payment_terms
from portal.permissions import HUB_ROLES, Role
from portal.visitor import visitor_for
from rules.alerts.requested_changes import PERFORM, subject_of
from rules.lists import loaded_names, screening
from rules.lists import services as lists
from rules.lists.models import NameMatch
from rules.lists.party_files import Line
from rules.lists.screening import Named
from rules.markers.models import Appeal
from rules.party_keys import key_of as party_key
from rules.rulesets import queries as rulesets
from rules.rulesets import services as rules
from settlement import change_request_terms, services
from settlement.decide import Wish
from settlement.models import Settlement
from settlement.services import bank_payments, closing_participants
from settlement.states import State
from tests import proofs, signing
from tests.portal.people import person
from tests.rules.rule_sets import activate, cap, create, hold
from tests.rules.test_markers import appeal, file
from tests.settlement.operator_steps import add_model, close, pay
from tests.settlement.test_bank_payments import settle, settlement_with_statement, withdraw
from tests.settlement.test_closing_participants import pay_out
from tests.world import World, amount, prepare, run

Payload = dict[str, Any]
ADA = party_key("MSISDN", "255712001001")
GREEN = {"participant": "green"}
GREEN_TZS = GREEN | {"currency": "TZS"}
PAIR = GREEN | {"source": "TZS", "target": "KES"}
ORACLE = {"type": "MSISDN", "endpoint": "http://oracle.example", "currency": "", "is_default": True}
MODEL = {
    "name": "NEW",
    "granularity": "NET",
    "interchange": "MULTILATERAL",
    "delay": "DEFERRED",
    "currency": None,
    "require_liquidity_check": False,
    "auto_position_reset": True,
    "ledger_account_type": "POSITION",
    "settlement_account_type": "SETTLEMENT",
}


def green() -> Participant:
    return Participant.objects.get(name="green")


# --- the payloads of the requests --------------------------------------------------------------------------------


def cap_change(_world: World) -> Payload:
    return GREEN_TZS | {"ndc_before": amount(1000), "ndc": amount(2000), "alarm_percentage": 10}


def outcome(world: World) -> Payload:
    said = {"amount": amount(5), "reference": "", "reason": "r", "commits": True}
    return GREEN_TZS | said | {"transfer_id": withdraw(world, "green", 5, "x", ends=False)}


def new_bank(_world: World) -> Payload:
    currencies = [{"currency": "TZS", "ndc": amount(10)}]
    return {"participant": "newbank", "currencies": currencies, "endpoint": "", "networks": []}


def new_key(_world: World) -> Payload:
    return GREEN | {"kind": "signingKey", "text": proofs.public_pem(proofs.key_of("green's new key"))}


def known_key(_world: World) -> Payload:
    text = proofs.public_pem(proofs.key_of("green's old key"))
    return dict(credentials.named(credentials.add_signing_key(green(), key=text, actor="test")))


def contact(_world: World) -> Payload:
    said = {"role": "operations", "name": "Neema", "email": "neema@green.example", "phone": ""}
    return GREEN | {"id": networks_and_contacts.add_contact(green(), **said, actor="test").pk, "contact": said}


def leaving(_world: World) -> Payload:
    offboarding.begin(green(), actor="test")
    return GREEN


def emptied(world: World) -> Payload:
    pay_out(world)
    return leaving(world)


def of_user(**said: Any) -> Callable[[World], Payload]:
    def payload(_world: World) -> Payload:
        person(Role.VIEWER, name="neema")
        return {"username": "neema"} | said

    return payload


def steps(to: State, reached: State | None = None) -> Callable[[World], Payload]:
    def payload(world: World) -> Payload:
        return change_request_terms.terms(settlement(world, reached), to.value, "r")

    return payload


def settlement(world: World, reached: State | None = None) -> Settlement:
    add_model()
    pay(world, "green", "blue", 100)
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="r", actor="test")
    if reached is not None:
        services.advance(made.pk, to=reached, reason="r", actor="test")
    return Settlement.objects.get(pk=made.pk)


def single_steps(world: World) -> Payload:
    found = settlement(world)
    wishes = [
        Wish(each.account.participant_id, each.account_id, State.PS_TRANSFERS_RECORDED, "r")
        for each in found.accounts.select_related("account")
    ]
    return change_request_terms.terms_of_steps(found, wishes)


def payments(world: World) -> Payload:
    found = settlement_with_statement(world)
    statement = bank_payments.evidence(found)
    assert statement is not None
    return payment_terms(found, statement, "r")


def amount_on_hold(world: World) -> Payload:
    settlement(world, State.PS_TRANSFERS_COMMITTED)
    return hold_terms(CoverHold.objects.get()) | {"reason": "r"}


def known_oracle(**said: Any) -> Callable[[World], Payload]:
    def payload(_world: World) -> Payload:
        made = oracles.add(alias_type="MSISDN", endpoint="http://o.example", currency="", is_default=True, actor="t")
        return {"oracle": made.pk, "before": oracles.terms_of(made)} | said

    return payload


def alias(_world: World) -> Payload:
    builtin_oracle.register([Alias("MSISDN", "255655001005")], green())
    found = PartyIdentifier.objects.get()
    return {"registration": found.pk, "type": "MSISDN", "before": "green", "to": "blue"}


def without_cap(_world: World) -> Payload:
    accounts_and_funds.register_participant(name="newbank", currency="TZS", is_proxy=False, actor="test")
    return {"participant": "newbank", "currency": "TZS", "ndc": amount(10)}


def account(world: World) -> Payload:
    said = {"type": "POSITION", "before": True, "is_active": False}
    return GREEN_TZS | said | {"account": world.account("green").pk}


def offered(_world: World) -> Payload:
    participants.offer_pair(green(), source_currency="TZS", target_currency="KES", actor="test")
    return PAIR


def known_model(_world: World) -> Payload:
    add_model()
    return {"name": "DEFERREDNET", "is_active": False}


def client(_world: World) -> Payload:
    holder = person(Role.OPERATOR, name="holder")
    return {"key": administration.add(name="core", scopes=[READ], days=9, holder=holder, actor="test").key}


def version(_world: World) -> Payload:
    activate(cap("9"))
    return rules.activation_terms(create(cap("5")).pk, reason="r")


def planned(_world: World) -> Payload:
    activate(cap("9"), valid_from=datetime.now(UTC) + timedelta(days=1))
    found = rulesets.planned().get()
    return {
        "activation": found.pk,
        "version": found.version_id,
        "from": found.valid_from.isoformat(),
        "reason": "r",
    }


def held(**said: Any) -> Callable[[World], Payload]:
    def payload(world: World) -> Payload:
        activate(hold("PT1H", gate="transfer"))
        command = prepare(world, "green", "blue", 20, expires_in=86_400)
        run(command)
        return {"transfer": command.transfer_id, "reason": "r"} | said

    return payload


def staged(_world: World) -> Payload:
    lists.create(name="watched", kind="BLOCK", actor="test")
    made = lists.stage("watched", file_name="a", raw=b"type,identifier\nMSISDN,255712001001\n", actor="test")
    return {"list": "watched", "file": made.pk, "sha256": made.sha256}


def not_listed(_world: World) -> Payload:
    lists.create(name="watched", kind="BLOCK", actor="test")
    return {"list": "watched", "party": ADA}


def listed(world: World) -> Payload:
    payload = not_listed(world)
    lists.add_entry("watched", Line(ADA, "", "", ""), actor="test")
    return payload


def name_match(_world: World) -> Payload:
    lists.create(name="watched", kind="SANCTIONS", actor="test")
    made = lists.stage("watched", file_name="a", raw=b"name\nJoseph Kony\n", actor="test")
    lists.activate(made.pk, sha256=made.sha256, actor="test")
    loaded_names.latest()
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    return {"match": NameMatch.objects.get().pk}


def switch(_world: World) -> Payload:
    return {"kind": "DFSP", "payer_dfsp": "red", "on": True, "reason": "r"}


def marker(_world: World) -> Payload:
    return {"marker": file()["number"], "reason": "r"}


def open_appeal(_world: World) -> Payload:
    appeal(file()["number"], "robbed")
    return {"appeal": Appeal.objects.get().pk, "reason": "r"}


def always(payload: Payload) -> Callable[[World], Payload]:
    return lambda _world: payload


# After the approval of one of two equal requests, the other can never hold.
TWINS: dict[str, Callable[[World], Payload]] = {
    "change_cap": cap_change,
    "end_funds_out": outcome,
    "onboard": new_bank,
    "add_currency": always(GREEN | {"currency": "KES", "ndc": amount(10)}),
    "set_active": always(GREEN | {"is_active": False}),
    "set_directions": always(GREEN | {"before": [True, True], "direction": "send"}),
    "set_endpoint": always(
        GREEN | {"type": "FSPIOP_CALLBACK_URL", "before": "http://green.example", "value": "http://new.example"}
    ),
    "add_credential": new_key,
    "add_client": always(GREEN | {"label": "green.1", "secret_sha256": "ab" * 32}),
    "set_jws_compat": always(GREEN | {"before": False, "jws_compat": True}),
    "revoke_credential": known_key,
    "set_networks": always(GREEN | {"before": [], "networks": ["192.0.2.0/24"]}),
    "remove_contact": contact,
    "begin_leaving": always(GREEN),
    "stay": leaving,
    "close_participant": emptied,
    "create_user": always({"username": "neema", "email": "n@example.org", "roles": ["viewer"], "participant": ""}),
    "set_roles": of_user(before=["viewer"], roles=["auditor"]),
    "set_user_active": of_user(is_active=False),
    "set_admin_reader": of_user(may_read=True),
    "change_email": of_user(before="neema@example.org", email="new@example.org"),
    "advance_settlement": steps(State.PS_TRANSFERS_RECORDED),
    "settle_with_payments": payments,
    "move_settlement": single_steps,
    "release_hold": amount_on_hold,
    "abort_settlement": steps(State.ABORTED),
    "add_oracle": always({"after": ORACLE}),
    "change_oracle": known_oracle(after=ORACLE),
    "remove_oracle": known_oracle(),
    "port_alias": alias,
    "open_hub_account": always({"type": "HUB_RECONCILIATION", "currency": "KES"}),
    "register_participant": always({"participant": "newbank", "currency": "TZS", "is_proxy": False}),
    "set_initial_limit": without_cap,
    "set_account_active": account,
    "offer_pair": always(PAIR),
    "withdraw_pair": offered,
    "create_settlement_model": always(MODEL),
    "set_settlement_model_active": known_model,
    "create_account_type": always({"name": "FEES", "description": "d", "is_active": True, "is_settleable": True}),
    "revoke_administration_client": client,
    "activate_rules": version,
    "cancel_rules": planned,
    "release_held": held(),
    "refuse_held": held(code="3140"),
    "activate_list": staged,
    "block_party": not_listed,
    "unblock_party": listed,
    "clear_name_match": name_match,
    "kill_switch": switch,
    "lift_marker": marker,
    "reject_appeal": open_appeal,
}


def close_green(world: World) -> None:
    offboarding.begin(green(), actor="test")
    pay_out(world)
    closing_participants.close(green(), actor="test")


def movement(world: World, name: str) -> Payload:
    number = str(settlement_with_statement(world).pk)
    said = {"amount": amount(10), "reference": number, "reason": "r", "transfer_id": str(uuid.uuid4())}
    return {"participant": name, "currency": "TZS"} | said


def settle_all(_world: World) -> None:
    settle(Settlement.objects.select_related("model").get())


def not_live(_world: World) -> Payload:
    accounts_and_funds.register_participant(name="newbank", currency="TZS", is_proxy=False, is_live=False, actor="test")
    return {"participant": "newbank"}


def go_live(_world: World) -> None:
    participants.go_live(Participant.objects.get(name="newbank"), actor="test")


def submission(world: World) -> Payload:
    return {"change": "add_credential", "payload": new_key(world)}


def register_key(world: World) -> None:
    credentials.add_signing_key(green(), key=new_key(world)["text"], actor="test")


def close_leaving(world: World) -> None:
    pay_out(world)
    closing_participants.close(green(), actor="test")


# What else makes a request of the kind impossible: the payload, and what happens after the request.
EVENTS: list[tuple[str, Callable[[World], Payload], Callable[[World], None]]] = [
    ("funds_in", lambda world: movement(world, "blue"), settle_all),
    ("funds_in", always(GREEN_TZS | {"amount": 1, "reference": "", "reason": "r", "transfer_id": "x"}), close_green),
    ("funds_out", lambda world: movement(world, "green"), settle_all),
    ("go_live", not_live, go_live),
    ("sign_certificate", lambda _world: GREEN | {"csr": signing.csr("green"), "days": 9}, close_green),
    ("revoke_all", leaving, close_leaving),
    ("submission", submission, register_key),
    ("change_cap", cap_change, close_green),
    ("add_currency", always(GREEN | {"currency": "KES", "ndc": amount(10)}), close_green),
]
# A change of these kinds can be made any number of times. `grant_variance` with an end in the past ends an exception.
ALWAYS_POSSIBLE = {
    "add_contact",
    "reset_second_factor",
    "add_administration_client",
    "grant_variance",
    "file_marker",
}


@pytest.fixture
def people(world: World) -> tuple[User, User]:
    """Two people with every right of the hub's people."""
    found = person(Role.OPERATOR, name="asha"), person(Role.OPERATOR, name="juma")
    for each in found:
        users.set_roles(each, roles=HUB_ROLES, actor="test")
    return found


def asked(kind: str, payload: Payload, maker: User) -> Approval:
    subject = subject_of(kind, payload) if kind in PERFORM else "the subject"
    return approvals.ask(kind=kind, subject=subject, payload=payload, reason="r", maker=maker)


def test_the_table_has_every_kind_that_can_become_impossible() -> None:
    assert set(TWINS) | {kind for kind, *_ in EVENTS} == set(changes.KINDS) - ALWAYS_POSSIBLE
    assert {name for name, kind in changes.KINDS.items() if kind.check_still is None} == ALWAYS_POSSIBLE


@pytest.mark.parametrize("kind", TWINS)
def test_of_two_equal_requests_the_second_is_withdrawn_after_the_first_is_approved(
    world: World, people: tuple[User, User], kind: str
) -> None:
    maker, checker = people
    payload = TWINS[kind](world)
    first, second = asked(kind, payload, maker), asked(kind, payload, maker)
    assert changes.withdraw_outdated() == 0
    changes.approve(visitor_for(checker), first.pk)
    assert changes.withdraw_outdated() == 1
    second.refresh_from_db()
    assert second.state == "WITHDRAWN"


@pytest.mark.parametrize(("kind", "payload", "event"), EVENTS)
def test_what_makes_a_change_impossible_withdraws_its_request(
    world: World,
    people: tuple[User, User],
    kind: str,
    payload: Callable[[World], Payload],
    event: Callable[[World], None],
) -> None:
    maker, checker = people
    request = asked(kind, payload(world), maker)
    event(world)
    with pytest.raises(changes.NotApproved, match="The hub has withdrawn this request"):
        changes.approve(visitor_for(checker), request.pk)
    request.refresh_from_db()
    assert request.state == "WITHDRAWN"


def test_what_is_impossible_only_for_now_keeps_its_request(world: World, people: tuple[User, User]) -> None:
    maker, _checker = people
    payload = payments(world)
    asked("settle_with_payments", payload, maker)
    account = world.account("green", "SETTLEMENT")
    type(account).objects.filter(pk=account.pk).update(is_active=False)
    assert changes.withdraw_outdated() == 0


pytestmark = pytest.mark.django_db
