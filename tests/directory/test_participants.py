"""/participants with the hub's own oracle (FSPIOP API v1.1, section 6.2)."""

import time
import unicodedata
import uuid
from typing import Any

import pytest

from directory.models import PartyIdentifier
from hub import pauses_in_long_work
from tests.api.caller import ABSENT, dfsp, error_of
from tests.directory.requests import counted_statements, last_callback, owner, refusal, register
from tests.sweeps.poison import poisoned

pytestmark = pytest.mark.usefixtures("world")


def batch(parties: list[dict[str, Any]], source: str = "blue", **more: Any) -> tuple[str, dict[str, Any]]:
    """Registers many; (the callback's path after the request's id, its body)."""
    request_id = str(uuid.uuid4())
    response = dfsp("POST", "/participants", {"requestId": request_id, "partyList": parties} | more, source=source)
    assert (response.status_code, response.content, response.reason_phrase) == (200, b"", "OK")
    to, path, body = last_callback()
    assert to == source
    assert path.startswith(f"/participants/{request_id}")
    return path.removeprefix(f"/participants/{request_id}"), body


def party(identifier: str, fsp: str = "blue", party_type: str = "MSISDN", **more: str) -> dict[str, str]:
    return {"partyIdType": party_type, "partyIdentifier": identifier, "fspId": fsp} | more


def test_who_registers_is_told_what_it_registered() -> None:
    register("MSISDN/255655001001", "blue", currency="TZS")
    assert last_callback() == (
        "blue",
        "/participants/MSISDN/255655001001",
        {
            "partyList": [{"partyIdType": "MSISDN", "partyIdentifier": "255655001001", "fspId": "blue"}],
            "currency": "TZS",
        },
    )
    register("BUSINESS/shop/till 1", "blue")
    _, path, body = last_callback()
    assert path == "/participants/BUSINESS/shop/till%201"
    assert body == {
        "partyList": [
            {"partyIdType": "BUSINESS", "partyIdentifier": "shop", "partySubIdOrType": "till 1", "fspId": "blue"}
        ]
    }


def test_an_alias_has_an_owner_in_each_currency_and_the_first_where_none_is_named() -> None:
    register("MSISDN/1", "blue", currency="TZS")
    register("MSISDN/1", "red", currency="KES")
    assert owner("MSISDN/1") == "blue"
    assert owner("MSISDN/1?currency=TZS") == "blue"
    assert owner("MSISDN/1?currency=KES") == "red"
    assert owner("MSISDN/1?currency=USD") is None
    register("MSISDN/1", "green")  # in any currency that has no owner of its own
    assert owner("MSISDN/1?currency=USD") == "green"
    assert owner("MSISDN/1?currency=KES") == "red"


def test_a_customer_whose_dfsp_has_it_in_all_currencies_is_not_taken_over_in_one() -> None:
    register("MSISDN/1", "green")
    register("MSISDN/1", "red", currency="TZS")
    assert refusal()[1] == "3003"
    assert [owner("MSISDN/1"), owner("MSISDN/1?currency=TZS"), owner("MSISDN/1?currency=KES")] == ["green"] * 3
    register("MSISDN/1", "green", currency="TZS")
    assert owner("MSISDN/1?currency=TZS") == "green"
    register("MSISDN/1", "green", currency="TZS")  # the same again
    assert last_callback()[2].get("errorInformation") is None


def test_types_and_sub_ids_do_not_answer_for_each_other() -> None:
    register("ALIAS/ada", "blue")
    register("ALIAS/ada/home", "red")
    assert owner("ALIAS/ada") == "blue"
    assert owner("ALIAS/ada/home") == "red"
    assert owner("BUSINESS/ada") is None
    assert refusal() == ("/participants/BUSINESS/ada/error", "3204", "Party not found")
    assert owner("ALIAS/ada/till") is None
    assert refusal() == ("/participants/ALIAS/ada/till/error", "3200", "Generic ID not found")


def test_an_alias_stays_with_its_dfsp_until_that_one_withdraws_it() -> None:
    register("MSISDN/1", "blue")
    register("MSISDN/1", "blue")  # again
    register("MSISDN/1", "red")
    assert refusal()[1] == "3003"
    assert dfsp("PUT", "/participants/MSISDN/1", {"fspId": "red"}, source="red").status_code == 200
    assert refusal()[1] == "3003"
    assert dfsp("DELETE", "/participants/MSISDN/1", source="red").status_code == 202
    assert refusal() == ("/participants/MSISDN/1/error", "3204", "Party not found")
    assert owner("MSISDN/1") == "blue"
    assert dfsp("DELETE", "/participants/MSISDN/1", source="blue").status_code == 202
    assert last_callback() == ("blue", "/participants/MSISDN/1", {"fspId": "blue"})
    register("MSISDN/1", "red")
    assert owner("MSISDN/1") == "red"


def test_a_currency_alone_can_be_withdrawn() -> None:
    for currency in ("TZS", "KES"):
        register("MSISDN/1", "blue", currency=currency)
    dfsp("DELETE", "/participants/MSISDN/1?currency=KES", source="blue")
    assert owner("MSISDN/1?currency=KES") is None
    assert owner("MSISDN/1?currency=TZS") == "blue"


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("MSISDN/+255655001001", "MSISDN/255655001001"),
        ("EMAIL/Ada@Example.org", "EMAIL/ada@example.org"),
        ("IBAN/se4550000000058398257466", "IBAN/SE4550000000058398257466"),
        (f"ALIAS/{unicodedata.normalize('NFC', 'Zoë')}", f"ALIAS/{unicodedata.normalize('NFD', 'Zoë')}"),
    ],
)
def test_two_spellings_of_one_alias_are_one_alias(one: str, another: str) -> None:
    register(one, "blue")
    register(another, "red")
    assert refusal()[1] == "3003"
    assert owner(another) == "blue"
    assert owner(one) == "blue"


def test_only_who_serves_a_party_registers_it() -> None:
    dfsp("POST", "/participants/MSISDN/1", {"fspId": "blue"}, source="red")
    assert refusal()[1] == "3003"
    assert not PartyIdentifier.objects.exists()


@pytest.mark.parametrize("path", ["MSISDN/abc", "MSISDN/1234567890123456", "EMAIL/ada", "IBAN/12"])
def test_what_is_no_identifier_of_its_type_is_not_registered_and_just_not_found(path: str) -> None:
    register(path, "blue")
    assert refusal()[1] == "3100"
    assert owner(path) is None
    assert refusal()[1] == "3204"


def test_a_type_without_an_oracle_is_told_in_the_words_that_clients_know() -> None:
    sentence = "Add Party information error - Oracle type: ACCOUNT_ID not found"
    register("ACCOUNT_ID/1", "blue", currency="TZS")
    assert refusal() == ("/participants/ACCOUNT_ID/1/error", "3003", sentence)
    for method in ("GET", "DELETE"):
        assert dfsp(method, "/participants/ACCOUNT_ID/1").status_code == 202
        assert refusal() == ("/participants/ACCOUNT_ID/1/error", "3003", sentence)
    assert dfsp("GET", "/parties/ACCOUNT_ID/1").status_code == 202
    assert refusal() == ("/parties/ACCOUNT_ID/1/error", "3003", sentence)


def test_a_source_that_nobody_can_call_back_is_taken_and_changes_nothing() -> None:
    body = {"fspId": "blue", "currency": "TZS"}
    response = dfsp("POST", "/participants/MSISDN/1/100", body, source="NOT_APPLICABLE")
    assert (response.status_code, response.content) == (202, b"")
    assert not PartyIdentifier.objects.exists()
    assert error_of(dfsp("GET", "/participants/MSISDN/1", source="NOT_APPLICABLE")) == (400, "3200")


def test_many_are_registered_at_once_each_with_its_own_result() -> None:
    register("MSISDN/3", "red", currency="TZS")
    end, body = batch(
        [party("1"), party("2", "red"), party("3"), party("4", party_type="ACCOUNT_ID"), party("x"), party("1")],
        currency="TZS",
    )
    assert (end, body["currency"]) == ("", "TZS")
    results = [
        (result["partyId"]["partyIdentifier"], result.get("errorInformation", {}).get("errorCode"))
        for result in body["partyList"]
    ]
    assert results == [("1", None), ("2", "3204"), ("3", "3003"), ("4", "3003"), ("x", "3100"), ("1", None)]
    assert owner("MSISDN/1?currency=TZS") == "blue"
    assert owner("MSISDN/2") is None
    assert owner("MSISDN/3") == "red"


def test_a_batch_of_which_nothing_came_is_one_error() -> None:
    end, body = batch([party(number, party_type="ACCOUNT_ID") for number in "12"], currency="TZS")
    assert end == "/error"
    assert body["errorInformation"]["errorCode"] == "3003"
    assert "Oracle type:ACCOUNT_ID not found" in body["errorInformation"]["errorDescription"]


@pytest.mark.thorough
def test_ten_thousand_parties_take_three_statements_for_each_part() -> None:
    owner("MSISDN/0", asker="blue")  # the process knows blue from now on
    counts = {}
    for size in (10, 10_000):
        parties = [party(f"2556{size:05}{number:05}") for number in range(size)]
        with counted_statements() as sent:
            began = time.monotonic()
            end, body = batch(parties, currency="TZS")
            seconds = time.monotonic() - began
        assert (end, len(body["partyList"])) == ("", size)
        counts[size] = len(sent)
        print(f"{size} parties: {seconds:.2f} s")
    # who calls, is it active, which oracle; by indexes, register, who holds the rest; tell
    assert counts == {10: 7, 10_000: 7 + 3 * 39}
    assert PartyIdentifier.objects.count() == 10_010
    _, body = batch([party(str(number)) for number in range(9_999)] + [party("x")])
    assert [result["partyId"]["partyIdentifier"] for result in body["partyList"] if "errorInformation" in result] == [
        "x"
    ]
    request = {"requestId": str(uuid.uuid4()), "partyList": [party("1")] * 10_001}
    assert error_of(dfsp("POST", "/participants", request, source="blue")) == (400, "3103")


def test_a_batch_whose_turn_does_not_come_is_answered_with_2005(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("directory.builtin_oracle._AT_ONCE", 2)
    monkeypatch.setattr("directory.builtin_oracle._PATIENCE_S", 0.01)
    with pauses_in_long_work.turn("another batch", wait_s=0, pauses=False):
        end, body = batch([party(str(number)) for number in range(3)])
    assert (end, body["errorInformation"]["errorCode"]) == ("/error", "2005")
    assert not PartyIdentifier.objects.exists()


def test_a_batch_that_fails_in_the_middle_says_what_was_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("directory.builtin_oracle._AT_ONCE", 2)
    parties = [party(str(number)) for number in range(7)] + [party("shop", party_type="BUSINESS")]
    with poisoned("directory_partyidentifier", "identifier", "3", when="BEFORE INSERT"):
        end, body = batch(parties)
    results = [
        (result["partyId"]["partyIdentifier"], result.get("errorInformation", {}).get("errorCode"))
        for result in body["partyList"]
    ]
    failed = [(str(number), "2001") for number in range(2, 7)]
    assert (end, results) == ("", [("0", None), ("1", None), *failed, ("shop", None)])
    assert set(PartyIdentifier.objects.values_list("identifier", flat=True)) == {"0", "1", "shop"}
    end, body = batch(parties)  # the DFSP repeats its batch
    assert (end, [result for result in body["partyList"] if "errorInformation" in result]) == ("", [])


def test_a_batch_of_which_nothing_was_registered_gets_one_error() -> None:
    with poisoned("directory_partyidentifier", "identifier", "0", when="BEFORE INSERT"):
        end, body = batch([party("0"), party("1")])
    assert (end, body["errorInformation"]["errorCode"]) == ("/error", "2001")
    assert not PartyIdentifier.objects.exists()


def test_answers_to_nobody_are_taken() -> None:
    request_id = str(uuid.uuid4())
    error = {"errorInformation": {"errorCode": 5100, "errorDescription": "no"}}
    for path, body in (
        (f"/participants/{request_id}", {"partyList": [{"partyId": party("1")}], "currency": "TZS"}),
        (f"/participants/{request_id}/error", error),
        ("/participants/MSISDN/1", {"partyList": [party("1")], "currency": "TZS"}),
        ("/participants/MSISDN/1/error", error),
        ("/participants/MSISDN/1/2/error", error),
    ):
        response = dfsp("PUT", path, body, headers={"accept": ABSENT})
        assert (response.status_code, response.reason_phrase) == (200, "OK")
    assert not PartyIdentifier.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "ALIAS/%00",
        "ALIAS/a%0d%0aX-Evil:%201",
        "ALIAS/%ed%a0%80",
        "ALIAS/a%2Fb%2Fc%2Fd",
        "ALIAS/a/%00",
        "ALIAS/..%2f..",
        "ALIAS/" + "%F0%9F%90%98" * 129,
        "ALIAS/a?currency=%00",
        "ALIAS/a?currency=tzs",
        "ALIAS/error/error",
        "ALIAS/%20",
        "ALIAS/{{partyIdentifier}}",
        "ALIAS/<script>",
    ],
)
@pytest.mark.parametrize("resource", ["participants", "parties"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_no_alias_is_a_server_error(method: str, resource: str, path: str) -> None:
    response = dfsp(method, f"/{resource}/{path}", {"fspId": "green"})
    assert response.status_code < 500
