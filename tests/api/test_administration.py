"""The administration API as its clients use and check it: provisioning from nothing, reading back, funds, refusals."""

import json
import uuid
from typing import Any

import pytest
from django.test import Client

from fspiop import base64url, ilp
from hub.audit.models import Entry as AuditEntry
from hub.participants import services as participants
from hub.participants.endpoint_types_and_urls import BASE_TYPES, EMAIL_TYPES, TEMPLATE_TYPES
from ledger.models import FundsMovement
from tests.api import messages
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.world import World, amount


@pytest.fixture
def empty_hub(db: None) -> None:
    participants.hub()


def provision(name: str, currency: str) -> None:
    """A participant as provisioning scripts make it; each call may be repeated."""
    for account_type in ("HUB_MULTILATERAL_SETTLEMENT", "HUB_RECONCILIATION"):
        answer = admin("POST", "/participants/Hub/accounts", {"type": account_type, "currency": currency})
        assert answer.status_code in (201, 400)
    assert admin("POST", "/participants", {"name": name, "currency": currency}).status_code in (201, 400)
    answer = admin("POST", f"/participants/{name}/initialPositionAndLimits", limits(currency, 1_000_000))
    assert answer.status_code in (201, 500)


def limits(currency: str, cap: Any, **changes: Any) -> dict[str, Any]:
    return {"currency": currency, "limit": {"type": "NET_DEBIT_CAP", "value": cap} | changes, "initialPosition": 0}


def accounts(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = admin("GET", f"/participants/{name}/accounts")
    assert found.status_code == 200
    return {(account["ledgerAccountType"], account["currency"]): account for account in found.json()}


def funds(action: str, text: Any, currency: str = "XXX", **changes: Any) -> dict[str, Any]:
    return {
        "transferId": str(uuid.uuid4()),
        "externalReference": "string",
        "action": action,
        "reason": "string",
        "amount": {"amount": text, "currency": currency},
        "extensionList": {"extension": [{"key": "string", "value": "string"}]},
    } | changes


def test_a_hub_is_provisioned_from_nothing_and_again_without_harm(empty_hub: None) -> None:
    for _ in range(2):
        provision("testfsp1", "XXX")
        provision("testfsp1", "XTS")
    assert [position["currency"] for position in admin("GET", "/participants/testfsp1/positions").json()] == [
        "XXX",
        "XTS",
    ]
    assert {key: account["isActive"] for key, account in accounts("testfsp1").items()} == {
        ("POSITION", "XXX"): 1,
        ("SETTLEMENT", "XXX"): 1,
        ("POSITION", "XTS"): 1,
        ("SETTLEMENT", "XTS"): 1,
    }
    assert set(accounts("Hub")) >= {("HUB_RECONCILIATION", "XXX"), ("HUB_MULTILATERAL_SETTLEMENT", "XTS")}
    for account in accounts("testfsp1").values():
        assert set(account) == {
            *("id", "ledgerAccountType", "currency", "isActive", "value", "reservedValue", "changedDate")
        }
        assert type(account["value"]) is int


def test_what_is_there_already_is_refused_in_the_words_that_scripts_look_for(empty_hub: None) -> None:
    provision("testfsp1", "XXX")
    again = admin("POST", "/participants", {"name": "testfsp1", "currency": "XXX"})
    assert error_of(again) == (400, "3000")
    assert description_of(again).startswith("Generic client error - ")
    assert description_of(again).endswith("already been registered")
    again = admin("POST", "/participants/testfsp1/initialPositionAndLimits", limits("XXX", 5))
    assert error_of(again) == (500, "2001")
    assert "already set" in description_of(again)
    again = admin("POST", "/participants/Hub/accounts", {"type": "HUB_RECONCILIATION", "currency": "XXX"})
    assert error_of(again)[0] == 400


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"name": "testfsp2", "currency": "XOF"}, "3003", "Add Party information error - "),
        ({"name": "testfsp2", "currency": "A#"}, "3101", "Malformed syntax - currency"),
        ({"name": "testfsp2", "currency": "ZZZ"}, "3101", "Malformed syntax - currency"),
        ({"name": "x", "currency": "XXX"}, "3100", "Generic validation error - name"),
        ({"name": "x" * 31, "currency": "XXX"}, "3100", "Generic validation error - name"),
        ({"name": "a/b", "currency": "XXX"}, "3100", "Generic validation error - name"),
        ({"name": "Hub", "currency": "XXX"}, "3100", "Generic validation error - name"),
        ({"currency": "XXX"}, "3102", "Missing mandatory element - name"),
        ({"name": "testfsp2"}, "3102", "Missing mandatory element - currency"),
        ({"name": 1, "currency": "XXX"}, "3101", "Malformed syntax - name"),
        ({"name": "testfsp2", "currency": "XXX", "isProxy": "yes"}, "3101", "Malformed syntax - isProxy"),
    ],
)
def test_a_participant_that_can_not_be_is_refused(empty_hub: None, body: dict[str, Any], code: str, words: str) -> None:
    provision("testfsp1", "XXX")
    refused = admin("POST", "/participants", body)
    assert error_of(refused) == (400, code)
    assert description_of(refused).startswith(words)
    assert [participant["name"] for participant in admin("GET", "/participants").json()] == ["Hub", "testfsp1"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/participants/nobody", None),
        ("PUT", "/participants/nobody", {"isActive": True}),
        ("GET", "/participants/nobody/accounts", None),
        ("POST", "/participants/nobody/accounts", {"type": "HUB_RECONCILIATION", "currency": "TZS"}),
        ("GET", "/participants/nobody/endpoints", None),
        ("POST", "/participants/nobody/endpoints", {"type": "FSPIOP_CALLBACK_URL_QUOTES", "value": "http://a.example"}),
        ("GET", "/participants/nobody/limits", None),
        ("PUT", "/participants/nobody/limits", limits("TZS", 5, alarmPercentage=10)),
        ("GET", "/participants/nobody/positions", None),
        ("POST", "/participants/nobody/initialPositionAndLimits", limits("TZS", 5)),
        ("PUT", "/participants/nobody/accounts/1", {"isActive": True}),
        ("POST", "/participants/nobody/accounts/1", funds("recordFundsIn", 1)),
        ("PUT", f"/participants/nobody/accounts/1/transfers/{uuid.UUID(int=5)}", {"action": "recordFundsOutAbort"}),
        ("GET", "/participants/%00", None),
        ("GET", f"/transactions/{uuid.UUID(int=5)}", None),
        ("GET", "/transactions/%00", None),
        ("PUT", "/participants/green/accounts/99999999999999999999", {"isActive": True}),
        ("POST", "/participants/green/accounts/0", funds("recordFundsIn", 1, "TZS")),
        ("POST", "/participants/green/initialPositionAndLimits", limits("XOF", 5)),
    ],
)
def test_who_or_what_is_not_there_is_not_found_by_400_3200(
    world: World, method: str, path: str, body: dict[str, Any] | None
) -> None:
    if body and "action" in body:
        body.setdefault("reason", "test")
    refused = admin(method, path, body)
    assert error_of(refused) == (400, "3200")
    assert description_of(refused).startswith("Generic ID not found - ")


def test_every_endpoint_type_is_taken_shown_and_replaced_at_once(world: World) -> None:
    for endpoint_type in sorted(BASE_TYPES | TEMPLATE_TYPES):
        names = "/{{partyIdType}}/{{partyIdentifier}}" if endpoint_type in TEMPLATE_TYPES else ""
        value = f"http://blue.example:4000{names}"
        body = {"type": endpoint_type, "value": value}
        assert admin("POST", "/participants/blue/endpoints", body).status_code == 201
    for endpoint_type in sorted(EMAIL_TYPES):
        body = {"type": endpoint_type, "value": "some.email@blue.example"}
        assert admin("POST", "/participants/blue/endpoints", body).status_code == 201
        assert admin("POST", "/participants/Hub/endpoints", body).status_code == 201
    replaced = {"type": "FSPIOP_CALLBACK_URL_QUOTES", "value": "http://blue.example:5000"}
    assert admin("POST", "/participants/blue/endpoints", replaced).status_code == 201
    shown = {each["type"]: each["value"] for each in admin("GET", "/participants/blue/endpoints").json()}
    assert set(shown) == {"FSPIOP_CALLBACK_URL"} | BASE_TYPES | TEMPLATE_TYPES | EMAIL_TYPES
    assert shown["FSPIOP_CALLBACK_URL_QUOTES"] == "http://blue.example:5000"
    assert admin("GET", "/participants/blue/endpoints?type=FSPIOP_CALLBACK_URL_QUOTES").json() == replaced
    assert admin("GET", "/participants/blue/endpoints?type=none").json() == {}
    assert error_of(admin("POST", "/participants/blue/endpoints", {"type": "ELSEWHERE", "value": "http://a"}))[0] == 400


def test_a_limit_is_changed_with_its_alarm_and_shown(world: World) -> None:
    changed = limits("TZS", "20.5", alarmPercentage=25)
    answer = admin("PUT", "/participants/green/limits", changed)
    expected = {"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": 20.5, "alarmPercentage": 25}}
    assert (answer.status_code, answer.json()) == (200, expected)
    assert admin("GET", "/participants/green/limits").json() == [expected]
    assert admin("GET", "/participants/green/limits?currency=TZS&type=NET_DEBIT_CAP").json() == [expected]
    assert admin("GET", "/participants/green/limits?type=OTHER").json() == []
    assert admin("GET", "/participants/green/limits?currency=XXX").json() == []
    everyone = admin("GET", "/participants/limits").json()
    assert {each["name"] for each in everyone} == {"green", "blue", "red", "grey"}
    assert everyone[0] == {"name": "green", **expected}
    assert error_of(admin("GET", "/participants/limits?currency=A%23")) == (400, "3101")


def test_a_number_that_would_be_rounded_is_refused_and_the_same_as_text_is_taken(world: World, settings: Any) -> None:
    settings.MINOR_UNITS_ONLY = False
    exact = "12345678901234.5678"
    body = json.dumps(limits("TZS", exact, alarmPercentage=10)).encode()
    as_number = body.replace(f'"{exact}"'.encode(), exact.encode())
    assert error_of(admin("PUT", "/participants/green/limits", as_number)) == (400, "3101")
    assert world.account("green").net_debit_cap == amount(1000)
    assert admin("PUT", "/participants/green/limits", body).status_code == 200
    assert world.account("green").net_debit_cap == amount(exact)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": -1}, "3100"),
        ({"value": "1.00001"}, "3100"),
        ({"value": 1e30}, "3100"),
        ({"value": None}, "3101"),
        ({"type": "OTHER"}, "3101"),
        ({"alarmPercentage": 101}, "3100"),
        ({"alarmPercentage": "101"}, "3100"),
        ({"alarmPercentage": "ten"}, "3101"),
        ({"alarmPercentage": "1e1"}, "3101"),
        ({"alarmPercentage": 10.5}, "3101"),
        ({"alarmPercentage": True}, "3101"),
        ({"alarmPercentage": None}, "3101"),
    ],
)
def test_a_limit_that_is_none_is_refused_and_changes_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    body = limits("TZS", 5, **{"alarmPercentage": 10} | changes)
    assert error_of(admin("PUT", "/participants/green/limits", body)) == (400, code)
    assert world.account("green").net_debit_cap == amount(1000)


@pytest.mark.parametrize("value", ["10", 10.0, "10.0", "010"])
def test_a_whole_number_is_taken_as_text_and_with_a_fraction_of_zero(world: World, value: Any) -> None:
    changed = limits("TZS", "20.50", alarmPercentage=value)
    assert admin("PUT", "/participants/green/limits", changed).json()["limit"] == {
        "type": "NET_DEBIT_CAP",
        "value": 20.5,
        "alarmPercentage": 10,
    }
    assert world.account("green").alarm_percentage == 10


def test_a_first_position_other_than_nothing_is_refused(empty_hub: None) -> None:
    provision("testfsp1", "XXX")
    admin("POST", "/participants/Hub/accounts", {"type": "HUB_RECONCILIATION", "currency": "XTS"})
    admin("POST", "/participants/Hub/accounts", {"type": "HUB_MULTILATERAL_SETTLEMENT", "currency": "XTS"})
    admin("POST", "/participants", {"name": "testfsp1", "currency": "XTS"})
    body = limits("XTS", 5) | {"initialPosition": 1}
    assert error_of(admin("POST", "/participants/testfsp1/initialPositionAndLimits", body)) == (400, "3100")
    assert accounts("testfsp1")["POSITION", "XTS"]["isActive"] == 0


def test_positions_are_numbers_of_all_currencies_or_of_one(world: World) -> None:
    (shown,) = admin("GET", "/participants/green/positions").json()
    assert set(shown) == {"currency", "value", "changedDate"}
    assert (shown["currency"], shown["value"]) == ("TZS", 0)
    assert admin("GET", "/participants/green/positions?currency=TZS").json() == shown
    assert admin("GET", "/participants/green/positions?currency=XXX").json() == {}
    assert admin("GET", "/participants/Hub/positions").json() == []


def test_participants_and_their_position_accounts_are_disabled_and_enabled(world: World) -> None:
    for is_active in (False, True):
        answer = admin("PUT", "/participants/green", {"isActive": is_active})
        assert (answer.status_code, answer.json()["isActive"]) == (200, int(is_active))
        path = f"/participants/green/accounts/{accounts('green')['POSITION', 'TZS']['id']}"
        assert admin("PUT", path, {"isActive": is_active}).status_code == 200
        assert accounts("green")["POSITION", "TZS"]["isActive"] == int(is_active)
    path = f"/participants/green/accounts/{accounts('green')['SETTLEMENT', 'TZS']['id']}"
    refused = admin("PUT", path, {"isActive": False})
    assert error_of(refused) == (400, "3000")
    assert description_of(refused) == "Generic client error - Only position account update is permitted"
    assert error_of(admin("PUT", path, {})) == (400, "3102")


def test_proxies_are_shown_apart(world: World) -> None:
    assert admin("POST", "/participants", {"name": "bridge", "currency": "TZS", "isProxy": True}).status_code == 201
    for yes in ("true", "1"):
        assert [each["name"] for each in admin("GET", f"/participants?isProxy={yes}").json()] == ["bridge"]
    for no in ("false", "0", ""):
        assert len(admin("GET", f"/participants?isProxy={no}").json()) == 6
    assert error_of(admin("GET", "/participants?isProxy=maybe")) == (400, "3101")


@pytest.mark.parametrize("text", ["5000", 5000, 5000.0, "5000.00"])
def test_funds_in_move_the_settlement_account_down_and_the_hubs_up(world: World, text: Any) -> None:
    before, hub_before = accounts("green")["SETTLEMENT", "TZS"], accounts("Hub")["HUB_RECONCILIATION", "TZS"]
    path = f"/participants/green/accounts/{before['id']}"
    body = funds("recordFundsIn", text, "TZS")
    for _ in range(2):  # the same again is the same money
        assert admin("POST", path, body).status_code == 202
    assert accounts("green")["SETTLEMENT", "TZS"]["value"] == before["value"] - 5000
    assert accounts("Hub")["HUB_RECONCILIATION", "TZS"]["value"] == hub_before["value"] + 5000
    after = AuditEntry.objects.filter(action="funds_in").latest("id").after
    assert after["extensions"] == [["string", "string"]]
    changed = body | {"amount": {"amount": "1", "currency": "TZS"}}
    assert error_of(admin("POST", path, changed)) == (400, "3106")


def test_funds_are_named_by_uuids_and_ulids(world: World) -> None:
    path = f"/participants/green/accounts/{accounts('green')['SETTLEMENT', 'TZS']['id']}"
    for transfer_id in (str(uuid.uuid4()), str(uuid.uuid4()).upper(), "01JDDD2VZ0ABCDEFGHJKMNPQRS"):
        body = funds("recordFundsOutPrepareReserve", 1, "TZS", transferId=transfer_id)
        assert admin("POST", path, body).status_code == 202
        end = {"action": "recordFundsOutAbort", "reason": "test"}
        assert admin("PUT", f"{path}/transfers/{transfer_id}", end).status_code == 202
        assert FundsMovement.objects.get(pk=transfer_id).state == "ABORTED"
    assert accounts("green")["SETTLEMENT", "TZS"]["value"] == -5000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"transferId": "42"}, "3100"),
        ({"transferId": None}, "3101"),
        ({"action": "recordFundsElsewhere"}, "3101"),
        ({"amount": {"amount": 0, "currency": "TZS"}}, "3100"),
        ({"amount": {"amount": -5, "currency": "TZS"}}, "3100"),
        ({"amount": {"amount": 1.00001, "currency": "TZS"}}, "3100"),
        ({"amount": {"amount": "1e3", "currency": "TZS"}}, "3100"),
        ({"amount": {"amount": True, "currency": "TZS"}}, "3101"),
        ({"amount": {"amount": "1", "currency": "XXX"}}, "3100"),
        ({"amount": {"currency": "TZS"}}, "3102"),
        ({"extensionList": {"extension": []}}, "3100"),
        ({"extensionList": {"extension": [{"key": "k", "value": "v"}] * 17}}, "3103"),
        ({"reason": "x" * 513}, "3100"),
    ],
)
def test_funds_that_are_none_are_refused_and_move_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    path = f"/participants/green/accounts/{accounts('green')['SETTLEMENT', 'TZS']['id']}"
    for action in ("recordFundsIn", "recordFundsOutPrepareReserve"):
        assert error_of(admin("POST", path, funds(action, 1, "TZS") | changes)) == (400, code)
    position = f"/participants/green/accounts/{accounts('green')['POSITION', 'TZS']['id']}"
    assert error_of(admin("POST", position, funds("recordFundsIn", 1, "TZS"))) == (400, "3100")
    assert accounts("green")["SETTLEMENT", "TZS"]["value"] == -5000


def test_the_transaction_that_a_transfer_pays_for_is_read_from_its_packet(committed_world: World) -> None:
    transaction = {"transactionId": str(uuid.uuid4()), "quoteId": str(uuid.uuid4()), "amount": {"amount": "1"}}
    octets = base64url.encode(json.dumps(transaction).encode()).encode()
    packet = ilp.encode_payment(ilp.IlpPayment(100, "g.blue.msisdn.1", octets))
    for body in (messages.transfer(ilpPacket=packet), messages.transfer(ilpPacket=packet, payeeFsp="nobody")):
        dfsp("POST", "/transfers", body, destination="blue")
        found = admin("GET", f"/transactions/{body['transferId']}")
        assert (found.status_code, found.json()) == (200, transaction)
    opaque = messages.transfer()
    dfsp("POST", "/transfers", opaque, destination="blue")
    assert error_of(admin("GET", f"/transactions/{opaque['transferId']}")) == (400, "3200")


def test_the_words_of_the_api_are_listed(world: World) -> None:
    found = admin("GET", "/enums").json()
    assert found["transferState"] == ["RECEIVED", "RESERVED", "COMMITTED", "ABORTED"]
    assert {"POSITION", "SETTLEMENT", "INTERCHANGE_FEE"} <= set(found["ledgerAccountType"])
    assert found["participantLimitType"] == ["NET_DEBIT_CAP"]


def test_health_has_the_parts_that_the_reference_has(world: World) -> None:
    found = Client().get("/api/ledger/v1/health")
    assert (found.status_code, found.json()["status"]) == (200, "OK")
    assert found.json()["services"] == [
        {"name": "datastore", "status": "OK"},
        {"name": "broker", "status": "OK"},
    ]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/participants/", (404, "3002")),
        ("GET", "/nothing", (404, "3002")),
        ("DELETE", "/participants/green", (405, "3000")),
        ("POST", "/participants/green/positions", (405, "3000")),
        ("PUT", "/participants/green/accounts/one", (404, "3002")),
    ],
)
def test_another_path_or_method_is_refused(world: World, method: str, path: str, expected: tuple[int, str]) -> None:
    assert error_of(admin(method, path, {})) == expected
