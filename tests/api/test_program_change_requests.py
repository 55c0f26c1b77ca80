"""TWO_PEOPLE=everywhere: what an API client asks for waits for a person, and is then done exactly as it was asked for.

Each change of each administration API is asked for here.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import override_settings

from directory.models import Oracle
from hub.administration.models import READ
from hub.api import access_rule_check
from hub.audit import program_change_requests, trail
from hub.audit.models import Approval, Entry
from hub.list_of_urls import urls_below
from hub.participants.models import Credential, CurrencyPair, Participant
from ledger import accounts_and_funds
from ledger.models import Account, FundsMovement
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from settlement import services as settling
from settlement.models import LedgerAccountType, Settlement, SettlementModel
from tests import operators, proofs
from tests.api.caller import description_of, error_of
from tests.portal.people import person
from tests.settlement import operator_steps
from tests.world import World, amount

LEDGER, DIRECTORY, SETTLEMENT = "/api/ledger/v1", "/api/directory/v1", "/api/settlement/v2"
EVERYWHERE = {"TWO_PEOPLE": "everywhere", **operators.OAUTH2}
ROLES = (Role.RISK, Role.SETTLEMENT, Role.OPERATOR, Role.ADMINISTRATOR)
SCHEME = proofs.Authority("scheme")


@pytest.fixture
def checker(world: World) -> User:
    """Somebody who may approve whatever there is."""
    user = person(Role.RISK, name="juma")
    changes.users.users.set_roles(user, roles=frozenset(ROLES), actor="test")
    return user


@pytest.fixture
def by(world: World) -> dict[str, str]:
    return operators.bearer()


@pytest.fixture
def _everywhere() -> Iterator[None]:
    with override_settings(**EVERYWHERE):
        yield


def approve(number: int, checker: User) -> None:
    changes.approve(visitor_for(User.objects.get(pk=checker.pk)), number)


def waits(answer: HttpResponse, kind: str) -> int:
    """The number of the request that this answer is about."""
    assert answer.status_code == 202, answer.content
    shown = answer.json()
    assert (shown["state"], shown["change"]) == ("PENDING", kind)
    assert answer["Location"] == f"{LEDGER}/approvals/{shown['approvalId']}"
    number: int = shown["approvalId"]
    return number


def out(world: World, text: str = "7") -> str:
    """A withdrawal of green's that is reserved."""
    number = str(uuid.uuid4())
    accounts_and_funds.prepare_funds_out(
        world.account("green", "SETTLEMENT"),
        transfer_id=number,
        amount=amount(text),
        reason="test",
        external_reference="",
        actor="test",
    )
    return number


def settlement_of(world: World) -> Settlement:
    with override_settings(TWO_PEOPLE="portal", ADMINISTRATION_AUTH="none"):
        operator_steps.add_model()
        operator_steps.pay(world, "green", "blue", 30)
        made = operator_steps.settle(operator_steps.close())
    return Settlement.objects.get(pk=made["id"])


def moves(settlement: Settlement, state: str, reason: str = "the bank says so") -> dict[str, Any]:
    by_participant: dict[int, list[dict[str, Any]]] = {}
    for row in settlement.accounts.select_related("account"):
        step = {"id": row.account_id, "state": state, "reason": reason}
        by_participant.setdefault(row.account.participant_id, []).append(step)
    return {"participants": [{"id": number, "accounts": rows} for number, rows in by_participant.items()]}


def funds(action: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: {
        "transferId": str(uuid.uuid4()),
        "externalReference": "bank 5",
        "action": action,
        "reason": "arrived",
        "amount": {"amount": "12.5", "currency": "TZS"},
        "extensionList": {"extension": [{"key": "k", "value": "v"}]},
    }


def oracle(**changed: Any) -> dict[str, Any]:
    endpoint = {"value": "http://oracle.example", "endpointType": "URL"}
    return {"oracleIdType": "ALIAS", "endpoint": endpoint, "currency": "TZS", "isDefault": False} | changed


def an_oracle() -> Oracle:
    return Oracle.objects.create(type="ALIAS", endpoint="http://before.example", currency="TZS")


def account(world: World, kind: str) -> str:
    return f"{LEDGER}/participants/green/accounts/{world.account('green', kind).pk}"


def credential_to_revoke(_world: World) -> str:
    return f"{LEDGER}/participants/green/credentials/{proofs.register_client('green').credential.pk}"


def account_step(world: World) -> tuple[str, dict[str, Any]]:
    settlement = settlement_of(world)
    row = settlement.accounts.select_related("account").order_by("id").first()
    assert row is not None
    path = f"{SETTLEMENT}/settlements/{settlement.pk}/participants/{row.account.participant_id}/accounts/"
    return path + str(row.account_id), {"state": "PS_TRANSFERS_RECORDED", "reason": "agreed"}


def participant_step(world: World) -> tuple[str, dict[str, Any]]:
    path, body = account_step(world)
    whole, _, number = path.rpartition("/accounts/")
    return whole, {"accounts": [body | {"id": int(number)}]}


@dataclass(frozen=True)
class Case:
    """One change: how it is asked for, and how to see whether it happened."""

    kind: str
    method: str
    at: Callable[[World], str | tuple[str, dict[str, Any]]]
    body: Callable[[World], dict[str, Any]]
    seen: Callable[[World], Any]
    before: Any
    after: Any


def case(
    kind: str,
    method: str,
    at: Callable[[World], str | tuple[str, dict[str, Any]]] | str,
    body: dict[str, Any] | Callable[[World], dict[str, Any]],
    seen: Callable[[World], Any],
    before: Any,
    after: Any,
) -> Any:
    where = at if callable(at) else lambda _world, at=at: at
    what = body if callable(body) else lambda _world, body=body: body
    return pytest.param(Case(kind, method, where, what, seen, before, after), id=f"{kind}-{method}")


GREEN = f"{LEDGER}/participants/green"
LIMIT = {"type": "NET_DEBIT_CAP", "value": "77"}
MODEL = {
    "name": "DEFERREDNET",
    "settlementGranularity": "NET",
    "settlementInterchange": "MULTILATERAL",
    "settlementDelay": "DEFERRED",
    "requireLiquidityCheck": True,
    "ledgerAccountType": "POSITION",
    "autoPositionReset": True,
    "settlementAccountType": "SETTLEMENT",
}


def green() -> Participant:
    return Participant.objects.get(name="green")


def without_cap(world: World) -> str:
    accounts_and_funds.register_participant(name="new", currency="TZS", is_proxy=False, actor="test")
    return f"{LEDGER}/participants/new/initialPositionAndLimits"


def a_pair(_world: World) -> str:
    CurrencyPair.objects.create(participant=green(), source_currency="TZS", target_currency="KES")
    return f"{GREEN}/currencyPairs/TZS/KES"


def a_model(_world: World) -> str:
    with override_settings(TWO_PEOPLE="portal", ADMINISTRATION_AUTH="none"):
        operator_steps.add_model()
    return f"{LEDGER}/settlementModels/DEFERREDNET"


def credentials(kind: str) -> Callable[[World], int]:
    return lambda _world: Credential.objects.filter(participant=green(), kind=kind, revoked_at=None).count()


def settlement_state(_world: World) -> str:
    return Settlement.objects.get().state


def account_states(_world: World) -> int:
    return Settlement.objects.get().accounts.filter(state="PS_TRANSFERS_RECORDED").count()


CASES = [
    case(
        "open_hub_account",
        "POST",
        f"{LEDGER}/participants/Hub/accounts",
        {"type": "HUB_RECONCILIATION", "currency": "KES"},
        lambda _: Account.objects.filter(participant__is_hub=True, currency="KES").count(),
        0,
        1,
    ),
    case(
        "register_participant",
        "POST",
        f"{LEDGER}/participants",
        {"name": "new", "currency": "TZS"},
        lambda _: Participant.objects.filter(name="new").count(),
        0,
        1,
    ),
    case("set_active", "PUT", GREEN, {"isActive": False}, lambda _: green().is_active, True, False),
    case(
        "set_endpoint",
        "POST",
        f"{GREEN}/endpoints",
        {"type": "FSPIOP_CALLBACK_URL", "value": "http://elsewhere.example"},
        lambda _: green().endpoints.get(type="FSPIOP_CALLBACK_URL").value,
        "http://green.example",
        "http://elsewhere.example",
    ),
    case(
        "set_endpoint",
        "POST",
        f"{LEDGER}/participants/Hub/endpoints",
        {"type": "NET_DEBIT_CAP_ADJUSTMENT_EMAIL", "value": "a@hub.example"},
        lambda _: Participant.objects.get(is_hub=True).endpoints.count(),
        0,
        1,
    ),
    case(
        "set_account_active",
        "PUT",
        lambda world: account(world, "POSITION"),
        {"isActive": False},
        lambda world: world.account("green").is_active,
        True,
        False,
    ),
    case(
        "funds_in",
        "POST",
        lambda world: account(world, "SETTLEMENT"),
        funds("recordFundsIn"),
        lambda world: world.account("green", "SETTLEMENT").posted_credits,
        amount(5000),
        amount("5012.5"),
    ),
    case(
        "funds_out",
        "POST",
        lambda world: account(world, "SETTLEMENT"),
        funds("recordFundsOutPrepareReserve"),
        lambda world: world.account("green", "SETTLEMENT").pending_debits,
        0,
        amount("12.5"),
    ),
    case(
        "end_funds_out",
        "PUT",
        lambda world: f"{account(world, 'SETTLEMENT')}/transfers/{out(world)}",
        {"action": "recordFundsOutCommit", "reason": "paid"},
        lambda world: world.account("green", "SETTLEMENT").posted_debits,
        0,
        amount(7),
    ),
    case(
        "offer_pair",
        "POST",
        f"{GREEN}/currencyPairs",
        {"sourceCurrency": "TZS", "targetCurrency": "KES"},
        lambda _: CurrencyPair.objects.count(),
        0,
        1,
    ),
    case("withdraw_pair", "DELETE", a_pair, {}, lambda _: CurrencyPair.objects.count(), 1, 0),
    case(
        "set_initial_limit",
        "POST",
        without_cap,
        {"currency": "TZS", "limit": LIMIT},
        lambda _: Account.objects.get(participant__name="new", type="POSITION").net_debit_cap,
        None,
        amount(77),
    ),
    case(
        "change_cap",
        "PUT",
        f"{GREEN}/limits",
        {"currency": "TZS", "limit": LIMIT | {"alarmPercentage": 20}},
        lambda world: world.account("green").net_debit_cap,
        amount(1000),
        amount(77),
    ),
    case(
        "add_credential",
        "POST",
        f"{GREEN}/credentials/certificates",
        {"pem": proofs.pem_of(SCHEME.issue("green"))},
        credentials("certificate"),
        0,
        1,
    ),
    case(
        "add_credential",
        "POST",
        f"{GREEN}/credentials/signingKeys",
        {"key": proofs.public_pem(proofs.key_of("green")), "validUntil": "2099-01-01T00:00:00.000Z"},
        credentials("signingKey"),
        0,
        1,
    ),
    case("add_client", "POST", f"{GREEN}/credentials/clients", {}, credentials("client"), 0, 1),
    case("revoke_credential", "DELETE", credential_to_revoke, {}, credentials("client"), 1, 0),
    case(
        "set_jws_compat",
        "PUT",
        f"{GREEN}/credentials/jwsCompat",
        {"jwsCompat": True},
        lambda _: green().jws_compat,
        False,
        True,
    ),
    case("add_oracle", "POST", f"{DIRECTORY}/oracles", oracle(), lambda _: Oracle.objects.count(), 0, 1),
    case(
        "change_oracle",
        "PUT",
        lambda _: f"{DIRECTORY}/oracles/{an_oracle().pk}",
        oracle(),
        lambda _: Oracle.objects.get().endpoint,
        "http://before.example",
        "http://oracle.example",
    ),
    case(
        "remove_oracle",
        "DELETE",
        lambda _: f"{DIRECTORY}/oracles/{an_oracle().pk}",
        {},
        lambda _: Oracle.objects.count(),
        1,
        0,
    ),
    case(
        "create_settlement_model",
        "POST",
        f"{LEDGER}/settlementModels",
        MODEL,
        lambda _: SettlementModel.objects.count(),
        0,
        1,
    ),
    case(
        "set_settlement_model_active",
        "PUT",
        a_model,
        {"isActive": False},
        lambda _: SettlementModel.objects.get().is_active,
        True,
        False,
    ),
    case(
        "create_account_type",
        "POST",
        f"{LEDGER}/ledgerAccountTypes",
        {"name": "FEES", "description": "fees", "isActive": True, "isSettleable": False},
        lambda _: LedgerAccountType.objects.filter(name="FEES").count(),
        0,
        1,
    ),
    case(
        "move_settlement",
        "PUT",
        lambda world: (lambda found: (f"{SETTLEMENT}/settlements/{found.pk}", moves(found, "PS_TRANSFERS_RECORDED")))(
            settlement_of(world)
        ),
        {},
        settlement_state,
        "PENDING_SETTLEMENT",
        "PS_TRANSFERS_RECORDED",
    ),
    case("move_settlement", "PUT", participant_step, {}, account_states, 0, 1),
    case("move_settlement", "PUT", account_step, {}, account_states, 0, 1),
    case(
        "abort_settlement",
        "PUT",
        lambda world: f"{SETTLEMENT}/settlements/{settlement_of(world).pk}",
        {"state": "ABORTED", "reason": "wrong window"},
        settlement_state,
        "PENDING_SETTLEMENT",
        "ABORTED",
    ),
]


def asked_of(found: Case, world: World, by: dict[str, str]) -> tuple[Callable[[], HttpResponse], str]:
    where, body = found.at(world), found.body(world)
    path, said = where if isinstance(where, tuple) else (where, body)
    return lambda: operators.send(found.method, path, said, by), path


@pytest.mark.usefixtures("_everywhere")
@pytest.mark.parametrize("found", CASES)
def test_a_change_waits_and_is_done_as_it_was_asked_for(
    world: World, by: dict[str, str], checker: User, found: Case
) -> None:
    ask, _ = asked_of(found, world, by)
    assert found.seen(world) == found.before
    number = waits(ask(), found.kind)
    assert found.seen(world) == found.before
    shown = operators.send("GET", f"{LEDGER}/approvals/{number}", None, by)
    assert (shown.status_code, shown.json()["state"]) == (200, "PENDING")
    approval = Approval.objects.get(pk=number)
    assert (approval.maker, approval.client.startswith("administration/provisioning."), approval.holder) == (
        None,
        True,
        operators.holder(),
    )
    # What an approver reads can be shown, and says more than the kind.
    assert changes.KINDS[found.kind].describe(approval.payload)
    approve(number, checker)
    assert found.seen(world) == found.after
    assert operators.send("GET", f"{LEDGER}/approvals/{number}", None, by).json()["state"] == "APPROVED"
    last = Entry.objects.exclude(action__startswith="approval_").order_by("-id").first()
    assert last is not None
    assert last.actor == f"{approval.client}, approved by juma"
    assert world.breaks() == []
    assert list(trail.broken_links()) == []


@pytest.mark.parametrize("found", CASES)
def test_in_the_portal_alone_means_that_a_program_acts_alone(world: World, by: dict[str, str], found: Case) -> None:
    with override_settings(TWO_PEOPLE="portal", **operators.OAUTH2):
        ask, _ = asked_of(found, world, operators.bearer(name="alone"))
        assert ask().status_code in (200, 201, 202, 204)
    assert found.seen(world) == found.after
    assert not Approval.objects.exists()


def test_every_change_that_needs_two_people_is_among_them() -> None:
    """By the views themselves: a new one is missed here until it is."""
    declared = set()
    alone = set()
    for _route, pattern in urls_below("api/"):
        view = access_rule_check.view_of(pattern)
        if view is None:
            continue
        for method in set(access_rule_check.methods_of(view)) - {"GET"}:
            kinds = getattr(view, method.lower()).two_people
            declared |= {(view.__name__, method, kind) for kind in kinds}
            if not kinds:
                alone.add((view.__name__, method))
    asked = {(param.values[0].kind, param.values[0].method) for param in CASES}
    assert {(kind, method) for _, method, kind in declared} == asked
    # One settlement officer does these in the portal too, and none of them moves money.
    assert alone == {("WindowView", "POST"), ("NoWindowView", "POST"), ("SettlementsView", "POST")}


CAP = {"currency": "TZS", "limit": LIMIT | {"alarmPercentage": 20}}


@pytest.mark.usefixtures("_everywhere")
def test_the_same_again_is_the_same_request_and_another_client_has_its_own(world: World, by: dict[str, str]) -> None:
    path = f"{GREEN}/limits"
    first = waits(operators.send("PUT", path, CAP, by), "change_cap")
    assert waits(operators.send("PUT", path, CAP, by), "change_cap") == first
    other = operators.bearer(name="other")
    assert waits(operators.send("PUT", path, CAP, other), "change_cap") != first
    different = {"currency": "TZS", "limit": LIMIT | {"alarmPercentage": 21}}
    assert waits(operators.send("PUT", path, different, by), "change_cap") != first


@pytest.mark.usefixtures("_everywhere")
def test_funds_that_were_recorded_are_not_asked_for_again(world: World, by: dict[str, str], checker: User) -> None:
    path, body = account(world, "SETTLEMENT"), funds("recordFundsIn")(world)
    number = waits(operators.send("POST", path, body, by), "funds_in")
    approve(number, checker)
    again = operators.send("POST", path, body, by)
    assert (again.status_code, again.json()["approvalId"], again.json()["state"]) == (202, number, "APPROVED")
    assert world.account("green", "SETTLEMENT").posted_credits == amount("5012.5")
    assert FundsMovement.objects.filter(kind="FUNDS_IN", reason="arrived").count() == 1
    other = body | {"amount": {"amount": "13", "currency": "TZS"}}
    assert error_of(operators.send("POST", path, other, by)) == (400, "3106")


@pytest.mark.usefixtures("_everywhere")
@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", f"{LEDGER}/participants", {"name": "green", "currency": "TZS"}, (400, "3000")),
        ("POST", f"{LEDGER}/participants", {"name": "new", "currency": "XOF"}, (400, "3003")),
        ("POST", f"{GREEN}/initialPositionAndLimits", {"currency": "TZS", "limit": LIMIT}, (500, "2001")),
        ("PUT", f"{GREEN}/limits", {"currency": "KES", "limit": LIMIT | {"alarmPercentage": 1}}, (400, "3200")),
        ("PUT", f"{LEDGER}/participants/nobody/limits", CAP, (400, "3200")),
        ("POST", f"{GREEN}/endpoints", {"type": "ELSEWHERE", "value": "http://a.example"}, (400, "3100")),
        ("POST", f"{GREEN}/credentials/signingKeys", {"key": "no key"}, (400, "3100")),
        ("DELETE", f"{GREEN}/credentials/999999", {}, (404, "3200")),
        ("DELETE", f"{GREEN}/currencyPairs/TZS/KES", {}, (400, "3200")),
        ("PUT", f"{DIRECTORY}/oracles/999999", oracle(), (400, "3003")),
        ("PUT", f"{SETTLEMENT}/settlements/999999", {"state": "ABORTED", "reason": "x"}, (400, "3100")),
        ("PUT", f"{LEDGER}/settlementModels/NONE", {"isActive": True}, (400, "3200")),
    ],
)
def test_what_would_be_refused_is_refused_at_once_and_nobody_is_asked(
    world: World, by: dict[str, str], method: str, path: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    before = Entry.objects.count()
    assert error_of(operators.send(method, path, body, by)) == expected
    assert not Approval.objects.exists()
    assert Entry.objects.count() == before


@pytest.mark.usefixtures("_everywhere")
def test_more_than_is_free_is_refused_before_anybody_is_asked(world: World, by: dict[str, str]) -> None:
    body = funds("recordFundsOutPrepareReserve")(world) | {"amount": {"amount": "5001", "currency": "TZS"}}
    refused = operators.send("POST", account(world, "SETTLEMENT"), body, by)
    assert error_of(refused) == (400, "4001")
    position = operators.send("POST", account(world, "POSITION"), funds("recordFundsIn")(world), by)
    assert error_of(position) == (400, "3100")
    assert "not a SETTLEMENT account" in description_of(position)
    assert not Approval.objects.exists()


@pytest.mark.usefixtures("_everywhere")
def test_an_oracle_that_is_not_there_is_as_good_as_removed(world: World, by: dict[str, str]) -> None:
    assert operators.send("DELETE", f"{DIRECTORY}/oracles/999999", {}, by).status_code == 204
    assert not Approval.objects.exists()


@pytest.mark.usefixtures("_everywhere")
def test_a_dfsps_secret_is_told_at_once_and_opens_nothing_before_the_approval(
    world: World, by: dict[str, str], checker: User
) -> None:
    answer = operators.send("POST", f"{GREEN}/credentials/clients", {}, by)
    number = waits(answer, "add_client")
    assert answer["Cache-Control"] == "no-store"
    key, secret = answer.json()["clientKey"], answer.json()["clientSecret"]
    assert proofs.ask_token(key, secret).status_code == 401
    approval = Approval.objects.get(pk=number)
    assert secret not in str(approval.payload)
    told = Entry.objects.get(action="approval_asked").after
    assert approval.payload["secret_sha256"] not in str(told)
    assert "clientSecret" not in operators.send("GET", f"{LEDGER}/approvals/{number}", None, by).json()
    approve(number, checker)
    assert proofs.ask_token(key, secret).status_code == 200


@pytest.mark.usefixtures("_everywhere")
def test_a_settlement_without_an_agreeing_statement_waits_and_says_why(
    world: World, by: dict[str, str], checker: User
) -> None:
    settlement = settlement_of(world)
    path = f"{SETTLEMENT}/settlements/{settlement.pk}"
    for state in operator_steps.STEPS[:3]:
        approve(waits(operators.send("PUT", path, moves(settlement, state), by), "move_settlement"), checker)
    silent = operators.send("PUT", path, moves(settlement, "SETTLED", reason=""), by)
    assert error_of(silent) == (400, "3000")
    assert "no reason for its absence" in description_of(silent)
    number = waits(operators.send("PUT", path, moves(settlement, "SETTLED"), by), "move_settlement")
    approval = Approval.objects.get(pk=number)
    lines = {str(line.label): line.text for line in changes.KINDS["move_settlement"].describe(approval.payload)}
    assert lines["Reason for settling without a statement"] == "the bank says so"
    assert "SETTLED, the bank says so" in lines.values()
    settlement.refresh_from_db()
    assert settlement.state == "PS_TRANSFERS_COMMITTED"
    # A statement that came meanwhile is looked at first.
    settling.take_in(settlement.pk, name="bank.csv", octets=_disagreeing(settlement), actor="test")
    with pytest.raises(changes.NotApproved, match="has changed"):
        approve(number, checker)
    refused = operators.send("PUT", path, moves(settlement, "SETTLED"), by)
    assert "does not match" in description_of(refused)
    settlement.refresh_from_db()
    assert settlement.state == "PS_TRANSFERS_COMMITTED"


def _disagreeing(settlement: Settlement) -> bytes:
    head = "settlement,reference,participant,currency,amount,direction\n"
    account = settlement.accounts.order_by("id")[0]
    return (head + f"{settlement.pk},{account.transfer_id},green,TZS,1,DEBIT\n").encode()


@pytest.mark.usefixtures("_everywhere")
def test_what_programs_asked_for_is_listed_by_its_state(world: World, by: dict[str, str], checker: User) -> None:
    number = waits(operators.send("PUT", f"{GREEN}/limits", CAP, by), "change_cap")
    # What people ask for is theirs, and is shown in the portal.
    payload = {"participant": "green", "is_active": False}
    changes.ask(visitor_for(person(Role.OPERATOR)), "set_active", subject="green", payload=payload, reason="r")

    def listed(query: str) -> list[int]:
        answer = operators.send("GET", f"{LEDGER}/approvals{query}", None, by)
        assert answer.status_code == 200
        return [row["approvalId"] for row in answer.json()]

    assert listed("") == listed("?state=PENDING") == [number]
    assert listed("?state=EXPIRED") == listed("?state=APPROVED") == []
    changes.refuse(visitor_for(User.objects.get(pk=checker.pk)), number, reason="too high")
    assert (listed("?state=PENDING"), listed("?state=REFUSED")) == ([], [number])
    shown = operators.send("GET", f"{LEDGER}/approvals/{number}", None, by).json()
    assert (shown["state"], shown["decision"]) == ("REFUSED", "too high")
    assert error_of(operators.send("GET", f"{LEDGER}/approvals?state=NONE", None, by)) == (400, "3101")
    persons = Approval.objects.get(client="")
    assert error_of(operators.send("GET", f"{LEDGER}/approvals/{persons.pk}", None, by)) == (400, "3200")
    reading = operators.bearer([READ], name="reading")
    assert operators.send("GET", f"{LEDGER}/approvals/{number}", None, reading).status_code == 200
    for number in (999999, 10**30):
        assert error_of(operators.send("GET", f"{LEDGER}/approvals/{number}", None, by)) == (400, "3200")


@pytest.mark.usefixtures("_everywhere")
def test_a_program_that_floods_the_approvers_is_stopped(
    world: World, by: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_change_requests, "MOST_WAITING", 2)
    path = f"{GREEN}/limits"
    for number in (1, 2):
        body = {"currency": "TZS", "limit": LIMIT | {"alarmPercentage": number}}
        waits(operators.send("PUT", path, body, by), "change_cap")
    third = {"currency": "TZS", "limit": LIMIT | {"alarmPercentage": 3}}
    refused = operators.send("PUT", path, third, by)
    assert error_of(refused) == (429, "2005")
    assert waits(operators.send("PUT", path, third, operators.bearer(name="other")), "change_cap")


@override_settings(TWO_PEOPLE="everywhere", ADMINISTRATION_AUTH="none")
def test_an_open_api_asks_too(world: World, checker: User) -> None:
    number = waits(operators.send("PUT", f"{GREEN}/limits", CAP), "change_cap")
    approval = Approval.objects.get(pk=number)
    assert (approval.client, approval.holder) == ("administration API", None)
    approve(number, checker)
    assert world.account("green").net_debit_cap == amount(77)
