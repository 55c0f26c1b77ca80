"""Oracles that others run: asked over real sockets, with answers of every kind."""

import json
import time
import unicodedata
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

from directory import oracle_client, oracles
from directory.models import Oracle, PartyIdentifier
from hub.participants import services as participants
from hub.participants.models import Participant
from tests.api.caller import dfsp
from tests.concurrency.together import together
from tests.directory.oracle import RunningOracle, hang
from tests.directory.requests import last_callback, owner, refusal, register
from tests.world import World


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    cache.clear()


@pytest.fixture
def oracle(committed_world: World) -> Iterator[RunningOracle]:
    """The oracle for MSISDN in TZS, and the default one."""
    running = RunningOracle()
    add(running, currency="TZS", is_default=True)
    yield running
    running.server.shutdown()


def add(running: RunningOracle, *, currency: str = "", is_default: bool = False) -> Oracle:
    return oracles.add(
        alias_type="MSISDN", endpoint=running.url, currency=currency, is_default=is_default, actor="test"
    )


def answering(running: RunningOracle, *parties: dict[str, Any]) -> None:
    body = json.dumps({"partyList": parties}).encode()
    running.misbehave = lambda method, path: (200, body) if method == "GET" else None


def test_a_registered_oracle_answers_for_its_type_and_currency(oracle: RunningOracle) -> None:
    register("MSISDN/+255 1", "blue")  # no MSISDN: refused before anybody is asked
    assert oracle.asked == []
    register("MSISDN/+2551", "blue", currency="TZS")
    assert last_callback()[2]["partyList"][0]["fspId"] == "blue"
    assert oracle.asked[-1] == (
        "POST",
        "/oracle/participants/MSISDN/+2551?currency=TZS",
        {"fspId": "blue", "currency": "TZS"},
    )
    assert not PartyIdentifier.objects.exists()
    assert owner("MSISDN/+2551?currency=TZS") == "blue"
    assert dfsp("GET", "/parties/MSISDN/+2551").status_code == 202
    assert last_callback()[0] == "blue"
    dfsp("DELETE", "/participants/MSISDN/+2551?currency=TZS", source="blue")
    assert last_callback() == ("blue", "/participants/MSISDN/+2551", {"fspId": "blue"})
    assert owner("MSISDN/+2551") is None
    assert refusal()[1:] == ("3204", "Party not found")


def test_in_other_currencies_and_types_the_hubs_own_oracle_answers(oracle: RunningOracle) -> None:
    register("MSISDN/1", "red", currency="KES")
    register("ALIAS/1", "green", currency="TZS")
    assert oracle.asked == []
    assert owner("MSISDN/1?currency=KES") == "red"
    assert owner("ALIAS/1") == "green"
    # Without a currency each of them may know, the default one first.
    assert owner("MSISDN/1") == "red"
    register("MSISDN/1", "blue")
    assert owner("MSISDN/1") == "blue"
    assert oracle.known == {("MSISDN", "1"): [{"fspId": "blue", "currency": "", "partySubIdOrType": ""}]}


def test_sub_ids_go_to_the_oracle_and_come_back(oracle: RunningOracle) -> None:
    register("MSISDN/1/home", "blue", currency="TZS")
    assert oracle.asked[-1][1:] == (
        "/oracle/participants/MSISDN/1/home?currency=TZS",
        {"fspId": "blue", "currency": "TZS", "partySubIdOrType": "home"},
    )
    assert owner("MSISDN/1/home") == "blue"
    assert owner("MSISDN/1") is None
    assert owner("MSISDN/1/till") is None
    assert refusal()[:2] == ("/participants/MSISDN/1/till/error", "3200")


def test_of_several_lines_the_one_that_fits_is_taken(oracle: RunningOracle) -> None:
    answering(
        oracle,
        {"fspId": "nobody", "currency": "TZS"},
        {"fspId": "red", "currency": "KES"},
        {"fspId": "grey", "partySubIdOrType": "home"},
        {"fspId": "green"},
        {"fspId": "blue", "currency": "TZS"},
    )
    assert owner("MSISDN/1?currency=TZS") == "blue"
    assert owner("MSISDN/2") == "red"
    assert owner("MSISDN/3/home") == "grey"
    participants.set_active(Participant.objects.get(name="blue"), is_active=False, actor="test")
    assert owner("MSISDN/1?currency=TZS") == "green"  # though the oracle's answer is remembered


def test_no_dfsp_changes_what_the_oracle_shows_as_anothers(oracle: RunningOracle) -> None:
    register("MSISDN/1", "blue", currency="TZS")
    before = dict(oracle.known)
    register("MSISDN/1", "red", currency="TZS")
    assert refusal()[1] == "3003"
    dfsp("DELETE", "/participants/MSISDN/1", source="red")
    assert refusal()[1] == "3204"
    request = {"requestId": str(uuid.uuid4()), "currency": "TZS"}
    party = {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "red"}
    dfsp("POST", "/participants", request | {"partyList": [party]}, source="red")
    assert refusal()[1] == "3003"
    assert oracle.known == before
    register("MSISDN/1", "blue", currency="TZS")  # again: nothing more is sent
    assert oracle.methods().count("POST") == 1


def test_a_deletion_takes_nothing_of_anothers_with_it(oracle: RunningOracle) -> None:
    oracle.known["MSISDN", "1"] = [
        {"fspId": "blue", "currency": "TZS", "partySubIdOrType": ""},
        {"fspId": "red", "currency": "KES", "partySubIdOrType": ""},
    ]
    dfsp("DELETE", "/participants/MSISDN/1", source="blue")
    assert [path for method, path, _ in oracle.asked if method == "DELETE"] == [
        "/oracle/participants/MSISDN/1?currency=TZS"
    ]
    assert owner("MSISDN/1") == "red"
    oracle.known["MSISDN", "2"] = [
        {"fspId": "blue", "currency": "", "partySubIdOrType": ""},
        {"fspId": "red", "currency": "KES", "partySubIdOrType": ""},
    ]
    dfsp("DELETE", "/participants/MSISDN/2", source="blue")
    assert refusal()[1] == "3040"
    assert len(oracle.known["MSISDN", "2"]) == 2


def test_a_batch_is_one_registration_request(oracle: RunningOracle) -> None:
    oracle.known["MSISDN", "2"] = [{"fspId": "red", "currency": "TZS", "partySubIdOrType": ""}]
    parties = [{"partyIdType": "MSISDN", "partyIdentifier": str(number), "fspId": "blue"} for number in range(30)]
    dfsp(
        "POST",
        "/participants",
        {"requestId": str(uuid.uuid4()), "partyList": parties, "currency": "TZS"},
        source="blue",
    )
    results = last_callback()[2]["partyList"]
    assert [result["partyId"]["partyIdentifier"] for result in results if "errorInformation" in result] == ["2"]
    posts = [(path, body) for method, path, body in oracle.asked if method == "POST"]
    assert [path for path, _ in posts] == ["/oracle/participants"]
    assert len(posts[0][1]["partyList"]) == 29
    assert owner("MSISDN/29?currency=TZS") == "blue"


UNUSABLE = {
    "a server error": (500, b"{}"),
    "a refusal": (400, b'{"errorInformation":{}}'),
    "a redirect": (302, b""),
    "nothing": (200, b""),
    "no JSON": (200, b"<html>"),
    "another form": (200, b'{"partyList":{"fspId":"red"}}'),
    "a key twice": (200, b'{"partyList":[{"fspId":"blue","fspId":"red"}]}'),
    "too many lines": (200, json.dumps({"partyList": [{"fspId": "red"}] * 10_001}).encode()),
    "too much": (200, b'{"partyList":[]' + b" " * 2_000_000 + b"}"),
    "a name too long": (200, json.dumps({"partyList": [{"fspId": "r" * 33}]}).encode()),
    "NUL": (200, b'{"partyList":[{"fspId":"re\\u0000d"}]}'),
}


def test_in_a_batch_the_oracle_refuses_one_and_two_spellings_are_registered_once(oracle: RunningOracle) -> None:
    oracle.misbehave = lambda method, path: (400, b"") if "/3" in path else None
    spellings = [("1", "Zoë"), ("1", unicodedata.normalize("NFD", "Zoë")), ("2", "home"), ("2", "HOME"), ("3", "")]
    parties = [
        {"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": "blue"}
        | ({"partySubIdOrType": sub_id} if sub_id else {})
        for number, sub_id in spellings
    ]
    body = {"requestId": str(uuid.uuid4()), "partyList": parties, "currency": "TZS"}
    dfsp("POST", "/participants", body, source="blue")
    results = last_callback()[2]["partyList"]
    assert [result.get("errorInformation", {}).get("errorCode") for result in results] == [None] * 4 + ["3003"]
    assert [method for method in oracle.methods() if method == "POST"] == ["POST"]
    assert {alias: [row["partySubIdOrType"] for row in rows] for alias, rows in oracle.known.items() if rows} == {
        ("MSISDN", "1"): ["Zoë"],
        ("MSISDN", "2"): ["home"],
    }


def _register_three() -> list[tuple[str, str]]:
    """The identifiers and error codes of the answer to a batch of three aliases."""
    parties = [{"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": "blue"} for number in "123"]
    body = {"requestId": str(uuid.uuid4()), "partyList": parties, "currency": "TZS"}
    dfsp("POST", "/participants", body, source="blue")
    results = last_callback()[2].get("partyList", [])
    return [
        (result["partyId"]["partyIdentifier"], result.get("errorInformation", {}).get("errorCode", ""))
        for result in results
    ]


@pytest.mark.parametrize("name", [*UNUSABLE, "silence"])
def test_an_alias_without_a_usable_answer_costs_its_batch_nothing(oracle: RunningOracle, name: str) -> None:
    def misbehave(method: str, path: str) -> tuple[int, bytes] | None:
        if "/MSISDN/2" not in path:
            return None
        return hang(method, path) if name == "silence" else UNUSABLE[name]

    oracle.misbehave = misbehave
    with override_settings(ORACLE_TIMEOUT_S=0.5):
        assert _register_three() == [("1", ""), ("2", "3003"), ("3", "")]
    assert {identifier for (_, identifier), rows in oracle.known.items() if rows} == {"1", "3"}


def refusing(*parties: dict[str, str]) -> bytes:
    """An oracle's answer to a batch, with an error for each of these parties."""
    error = {"errorCode": "3003", "errorDescription": "no"}
    return json.dumps({"partyList": [{"partyId": each, "errorInformation": error} for each in parties]}).encode()


def _register_with_sub_ids() -> list[str | None]:
    """The error codes of the answer to a batch of 1/home, 1/till and 2."""
    parties = [
        {"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": "blue"}
        | ({"partySubIdOrType": sub_id} if sub_id else {})
        for number, sub_id in (("1", "home"), ("1", "till"), ("2", ""))
    ]
    body = {"requestId": str(uuid.uuid4()), "partyList": parties, "currency": "TZS"}
    dfsp("POST", "/participants", body, source="blue")
    (_, path, answer) = last_callback()
    if path.endswith("/error"):
        return [answer["errorInformation"]["errorCode"]]
    return [result.get("errorInformation", {}).get("errorCode") for result in answer["partyList"]]


ONE = {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "blue"}


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (b"", [None] * 3),  # an oracle need not say anything
        (b" \r\n", [None] * 3),
        (b'{"partyList":[]}', [None] * 3),
        (refusing(ONE | {"partySubIdOrType": "HOME"}), ["3003", None, None]),
        (refusing(ONE), ["3003", "3003", None]),  # an error without a sub-id may be about each of them
        (refusing(ONE | {"partyIdentifier": "3"}), ["2003"]),  # nobody knows which alias is refused
        (refusing(ONE | {"partySubIdOrType": "office"}), ["2003"]),
        (b"{}", ["2003"]),
        (b"<html>", ["2003"]),
        (b'{"errorInformation":{"errorCode":"3003","errorDescription":"no"}}', ["2003"]),
        (b'{"partyList":[{"errorInformation":{"errorCode":"3003","errorDescription":"no"}}]}', ["2003"]),
    ],
)
def test_only_what_an_oracle_surely_registered_counts_as_registered(
    oracle: RunningOracle, answer: bytes, codes: list[str | None]
) -> None:
    oracle.misbehave = lambda method, path: (201, answer) if method == "POST" else None
    assert _register_with_sub_ids() == codes


def test_an_unusable_answer_to_a_registration_costs_nothing_that_was_registered_before(oracle: RunningOracle) -> None:
    oracle.known["MSISDN", "2"] = [{"fspId": "blue", "currency": "TZS", "partySubIdOrType": ""}]
    oracle.misbehave = lambda method, path: (201, b"<html>") if method == "POST" else None
    assert _register_three() == [("1", "3003"), ("2", ""), ("3", "3003")]


def test_an_oracle_that_fails_for_a_whole_batch_is_asked_a_few_times(oracle: RunningOracle) -> None:
    oracle.misbehave = lambda method, path: UNUSABLE["a server error"]
    parties = [{"partyIdType": "MSISDN", "partyIdentifier": str(n), "fspId": "blue"} for n in range(200)]
    dfsp("POST", "/participants", {"requestId": str(uuid.uuid4()), "partyList": parties}, source="blue")
    assert refusal()[1] == "2003"
    assert len(oracle.asked) < 40


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_answer_that_can_not_be_used_is_told_to_who_asks(oracle: RunningOracle, name: str) -> None:
    oracle.misbehave = lambda method, path: UNUSABLE[name]
    sentence = "Service currently unavailable - the oracle for MSISDN gives no answer"
    assert owner("MSISDN/1") is None
    assert refusal() == ("/participants/MSISDN/1/error", "2003", sentence)
    dfsp("GET", "/parties/MSISDN/1")
    assert refusal() == ("/parties/MSISDN/1/error", "2003", sentence)
    register("MSISDN/1", "blue", currency="TZS")
    assert refusal()[1] in ("2003", "3003")
    assert all("/elsewhere" not in path for _, path, _ in oracle.asked)


def test_an_oracle_that_is_away_does_not_let_the_next_one_answer(oracle: RunningOracle) -> None:
    register("MSISDN/1", "red", currency="KES")
    assert owner("MSISDN/1") == "red"
    oracle.misbehave = lambda method, path: (503, b"")
    assert owner("MSISDN/1") is None
    assert refusal()[1] == "2003"
    assert owner("MSISDN/1?currency=KES") == "red"


def _look_up(number: int) -> int:
    return dfsp("GET", f"/participants/MSISDN/{number}").status_code


@pytest.mark.slow
def test_an_oracle_that_hangs_holds_few_requests_and_not_for_long(oracle: RunningOracle) -> None:
    oracle.misbehave = hang
    with override_settings(ORACLE_TIMEOUT_S=0.5, ORACLE_CONCURRENCY=3):
        began = time.monotonic()
        answers = together([partial(_look_up, number) for number in range(12)])
        assert answers == [202] * 12
        assert time.monotonic() - began < 3
        assert len(oracle.asked) <= 4
        for number in range(5):
            owner(f"MSISDN/{number}", asker="green")
        asked = len(oracle.asked)
        began = time.monotonic()
        for number in range(20):
            owner(f"MSISDN/{number}", asker="green")  # it failed again and again: left alone now
        assert len(oracle.asked) <= asked + 1  # once in a while
        assert time.monotonic() - began < 2
        assert refusal()[1] == "2003"
    oracle.misbehave = lambda method, path: None
    time.sleep(2.1)
    assert owner("MSISDN/1", asker="green") is None
    assert refusal()[1] == "3204"


def test_an_answer_is_remembered_until_the_hub_changes_it(oracle: RunningOracle) -> None:
    register("MSISDN/1", "blue", currency="TZS")
    for _ in range(3):
        assert owner("MSISDN/1?currency=TZS") == "blue"
    assert len(oracle.asked) == 3  # registering asked who holds it, and told; one lookup asked
    dfsp("DELETE", "/participants/MSISDN/1", source="blue")
    assert owner("MSISDN/1?currency=TZS") is None
    register("MSISDN/1", "red", currency="TZS")
    assert owner("MSISDN/1?currency=TZS") == "red"
    # Another address is another oracle.
    second = RunningOracle()
    known = Oracle.objects.get()
    oracles.change(
        str(known.pk), alias_type="MSISDN", endpoint=second.url, currency="TZS", is_default=True, actor="test"
    )
    assert owner("MSISDN/1?currency=TZS") is None
    second.server.shutdown()


def test_what_somebody_else_wrote_to_redis_decides_nothing(oracle: RunningOracle) -> None:
    register("MSISDN/1", "blue", currency="TZS")
    assert owner("MSISDN/1") == "blue"
    client = cache._cache.get_client()  # type: ignore[attr-defined]
    (key,) = client.keys("*oracles:answer:*")
    name = key.decode().split(":", 2)[2]
    assert b"MSISDN" not in key
    assert "MSISDN" not in str(cache.get(name))
    register("MSISDN/2", "red", currency="TZS")
    assert owner("MSISDN/2") == "red"
    (other,) = [found for found in client.keys("*oracles:answer:*") if found != key]
    client.set(key, client.get(other))  # another alias's answer, rightly signed
    assert owner("MSISDN/1") == "blue"
    for forged in (b"forged", b'"forged"', b"{}", b"7"):
        client.set(key, forged)
        assert owner("MSISDN/1") == "blue"


def test_a_lost_cache_costs_a_question(oracle: RunningOracle) -> None:
    register("MSISDN/1", "blue", currency="TZS")
    broken = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}}
    with override_settings(CACHES=broken):
        assert owner("MSISDN/1") == "blue"
        assert owner("MSISDN/1") == "blue"


def test_no_oracle_is_asked_inside_a_transaction(oracle: RunningOracle, monkeypatch: pytest.MonkeyPatch) -> None:
    in_transaction: list[bool] = []

    def watched(ask: Any) -> Any:
        def asked(*args: Any, **kwargs: Any) -> Any:
            in_transaction.append(connection.in_atomic_block)
            return ask(*args, **kwargs)

        return asked

    for name in ("ask", "ask_many"):
        monkeypatch.setattr(oracle_client, name, watched(getattr(oracle_client, name)))
    register("MSISDN/1", "blue", currency="TZS")
    owner("MSISDN/1")
    dfsp("GET", "/parties/MSISDN/1")
    party = {"partyIdType": "MSISDN", "partyIdentifier": "2", "fspId": "blue"}
    dfsp(
        "POST",
        "/participants",
        {"requestId": str(uuid.uuid4()), "partyList": [party], "currency": "TZS"},
        source="blue",
    )
    dfsp("DELETE", "/participants/MSISDN/1", source="blue")
    assert len(in_transaction) >= 7
    assert not any(in_transaction)
