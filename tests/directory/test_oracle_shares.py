"""What DFSPs share of an oracle that others run: its places, what speaks against it, what is remembered of it."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

from directory import oracles
from hub.outbox.models import Message
from ledger.models import Transfer
from tests.api.caller import dfsp
from tests.concurrency.together import together
from tests.directory.oracle import Answer, RunningOracle
from tests.directory.requests import owner
from tests.world import World

TIMEOUT_S = 1.2


@pytest.fixture
def oracle(committed_world: World) -> Iterator[RunningOracle]:
    """The oracle for MSISDN, which knows that blue serves 255; it answers in time, or not at all."""
    cache.clear()
    running = RunningOracle()
    oracles.add(alias_type="MSISDN", endpoint=running.url, currency="", is_default=True, actor="test")
    running.known["MSISDN", "255"] = [{"fspId": "blue", "currency": "", "partySubIdOrType": ""}]
    with override_settings(ORACLE_TIMEOUT_S=TIMEOUT_S, ORACLE_CACHE_S=0):
        yield running
    running.server.shutdown()


def failing(path: str) -> bool:
    """Aliases that begin with 9: the oracle has no answer about them, whoever asks."""
    return "/MSISDN/9" in path


def fails(method: str, path: str) -> Answer | None:
    return (500, b"{}") if failing(path) else None


def hangs(method: str, path: str) -> Answer | None:
    if failing(path):
        time.sleep(2 * TIMEOUT_S)
    return None


def lookups(source: str, count: int, prefix: str = "9") -> list[Callable[[], int]]:
    return [
        lambda number=number: dfsp("GET", f"/participants/MSISDN/{prefix}{number}", source=source).status_code
        for number in range(count)
    ]


def meanwhile(calls: list[Callable[[], int]]) -> threading.Thread:
    thread = threading.Thread(target=together, args=(calls,))
    thread.start()
    return thread


def batch(source: str, *identifiers: str) -> int:
    parties = [{"partyIdType": "MSISDN", "partyIdentifier": each, "fspId": source} for each in identifiers]
    body = {"requestId": str(uuid.uuid4()), "partyList": parties}
    return dfsp("POST", "/participants", body, source=source).status_code


def serving(asker: str, path: str = "MSISDN/255") -> str | None:
    """As `owner`, while others ask too."""
    assert dfsp("GET", f"/participants/{path}", source=asker).status_code == 202
    last = Message.objects.filter(destination__name=asker, path__startswith=f"/participants/{path}").latest("id")
    found: dict[str, str] = json.loads(bytes(last.body))
    return found.get("fspId")


def told(name: str) -> list[str]:
    """The error codes that this DFSP was sent."""
    bodies = Message.objects.filter(destination__name=name).order_by("id").values_list("body", flat=True)
    found: list[dict[str, Any]] = [json.loads(bytes(body)) for body in bodies]
    return [body["errorInformation"]["errorCode"] for body in found if "errorInformation" in body]


def test_lookups_that_fail_for_one_dfsp_close_the_oracle_for_nobody_else(oracle: RunningOracle) -> None:
    oracle.misbehave = fails
    for look_up in lookups("green", 12):
        assert look_up() == 202
    assert told("green") == ["2003"] * 12
    assert owner("MSISDN/255", asker="red") == "blue"


def test_one_alias_that_fails_for_all_closes_the_oracle_for_no_other_alias(oracle: RunningOracle) -> None:
    oracle.misbehave = fails
    for source in ("green", "red", "blue", "grey") * 4:
        dfsp("GET", "/participants/MSISDN/9", source=source)
    for source in ("green", "red", "blue", "grey"):
        assert owner("MSISDN/255", asker=source) == "blue"


def test_lookups_that_hang_for_one_dfsp_leave_every_other_a_place(oracle: RunningOracle) -> None:
    oracle.misbehave = hangs
    with override_settings(ORACLE_CONCURRENCY=4):
        thread = meanwhile(lookups("green", 12))
        time.sleep(TIMEOUT_S / 3)
        assert [serving(source) for source in ("red", "blue", "grey")] == ["blue"] * 3
        thread.join()


@pytest.mark.slow
def test_batches_take_no_lookups_place(oracle: RunningOracle) -> None:
    oracle.misbehave = hangs
    with override_settings(ORACLE_BATCH_TIMEOUT_S=4.0):
        identifiers = [f"9{number}" for number in range(30)]
        thread = meanwhile([lambda: batch("green", *identifiers) for _ in range(20)])
        time.sleep(TIMEOUT_S / 3)
        for source in ("red", "green"):
            assert serving(source) == "blue"
        thread.join()
    # They failed, and that speaks against nobody's lookups.
    for source in ("red", "green"):
        assert owner("MSISDN/255", asker=source) == "blue"


def test_a_dfsp_has_one_batch_at_a_time_and_others_have_theirs(oracle: RunningOracle) -> None:
    oracle.misbehave = hangs
    with override_settings(ORACLE_BATCH_TIMEOUT_S=4.0):
        thread = meanwhile([lambda: batch("green", "9")])
        time.sleep(TIMEOUT_S / 3)
        began = time.monotonic()
        assert batch("green", "1", "2") == 200
        assert time.monotonic() - began < TIMEOUT_S / 2
        assert told("green") == ["2005"]
        assert batch("red", "1", "2") == 200
        assert told("red") == []
        thread.join()
    assert batch("green", "3") == 200
    assert told("green")[-1] in ("2003", "2005")  # of the first two
    assert ("MSISDN", "3") in oracle.known


def test_who_waits_for_an_oracle_holds_no_connection_to_the_database(
    oracle: RunningOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle.misbehave = hangs
    options = connection.settings_dict["OPTIONS"] | {"pool": {"min_size": 1, "max_size": 2, "timeout": 0.2}}
    monkeypatch.setattr("django.conf.settings.DATABASE_POOL_PATIENCE_S", 0.2)
    seconds: list[float] = []

    def query() -> int:
        time.sleep(TIMEOUT_S / 3)
        began = time.monotonic()
        count = Transfer.objects.count()
        seconds.append(time.monotonic() - began)
        return count

    connection.close()
    with monkeypatch.context() as pooled:
        pooled.setitem(connection.settings_dict, "OPTIONS", options)
        pooled.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
        threads = [
            threading.Thread(target=look_up) for source in ("green", "red", "grey") for look_up in lookups(source, 2)
        ]
        for thread in threads:
            thread.start()
        try:
            assert query() == 0
        finally:
            connection.close()
            for thread in threads:
                thread.join()
            connection.close_pool()
    assert seconds[0] < 0.2


# --- what speaks against an oracle ------------------------------------------------------------------------------------


def test_an_oracle_that_cannot_be_reached_is_left_alone_by_all_and_asked_again(oracle: RunningOracle) -> None:
    port = oracle.server.server_port
    oracle.server.shutdown()
    oracle.server.server_close()
    for look_up in lookups("green", 5):
        look_up()
    assert owner("MSISDN/255", asker="red") is None
    back = RunningOracle(port)
    back.known = oracle.known
    assert owner("MSISDN/255", asker="red") is None  # for a second nobody asks
    assert back.asked == []
    time.sleep(1.1)
    assert owner("MSISDN/255", asker="red") == "blue"
    assert owner("MSISDN/255", asker="green") == "blue"
    back.server.shutdown()


def test_an_oracle_that_fails_for_several_dfsps_is_left_alone_by_all(oracle: RunningOracle) -> None:
    oracle.misbehave = lambda method, path: (503, b"")
    for number, source in enumerate(("green", "red", "grey")):
        for look_up in lookups(source, 2, prefix=f"9{number}"):
            look_up()
    asked = len(oracle.asked)
    assert owner("MSISDN/255", asker="blue") is None
    assert len(oracle.asked) == asked


def test_a_hopeless_question_of_one_dfsp_does_not_keep_an_oracle_closed(oracle: RunningOracle) -> None:
    oracle.misbehave = lambda method, path: (503, b"")
    for number, source in enumerate(("green", "red", "grey")):
        for look_up in lookups(source, 2, prefix=f"9{number}"):
            look_up()
    oracle.misbehave = fails
    time.sleep(1.1)
    for look_up in lookups("green", 4):
        look_up()  # the first questions after the pause, none of them with an answer
    assert owner("MSISDN/255", asker="red") == "blue"


def test_a_dfsp_whose_lookups_fail_again_and_again_is_slow_for_nobody_and_comes_back(oracle: RunningOracle) -> None:
    oracle.misbehave = fails
    for look_up in lookups("green", 5):
        look_up()
    asked = len(oracle.asked)
    assert owner("MSISDN/255", asker="green") is None  # its own questions wait a second
    assert len(oracle.asked) == asked
    assert owner("MSISDN/255", asker="red") == "blue"
    assert owner("MSISDN/255", asker="green") == "blue"  # another's answer shows that it is worth asking


# --- what is remembered -----------------------------------------------------------------------------------------------


def serve(oracle: RunningOracle, identifier: str, fsp: str) -> None:
    oracle.misbehave = lambda method, path: (200, json.dumps({"partyList": [{"fspId": fsp}]}).encode())


@pytest.mark.slow
def test_a_former_owner_does_not_stay_remembered_by_asking(oracle: RunningOracle) -> None:
    serve(oracle, "255", "green")
    with override_settings(ORACLE_CACHE_S=2):
        assert owner("MSISDN/255") == "green"
        serve(oracle, "255", "blue")  # at the oracle, which tells nobody
        end = time.monotonic() + 3
        number = 0
        while time.monotonic() < end:
            dfsp("GET", f"/participants/MSISDN/255/S{number}", source="green")
            number += 1
            time.sleep(0.1)
        assert owner("MSISDN/255") == "blue"


def test_what_is_remembered_of_one_alias_does_not_grow_with_what_is_asked_about_it(oracle: RunningOracle) -> None:
    body = json.dumps({"partyList": [{"fspId": "blue", "partySubIdOrType": f"S{n}"} for n in range(40)]}).encode()
    oracle.misbehave = lambda method, path: (200, body)
    client = cache._cache.get_client()  # type: ignore[attr-defined]
    largest: list[int] = []
    with override_settings(ORACLE_CACHE_S=30):
        for number in range(40):
            assert owner(f"MSISDN/255/S{number}") == "blue"
            largest.append(max(len(client.get(key)) for key in client.keys("*oracles:*")))
    assert largest[-1] < 1.5 * largest[0]


def test_an_answer_that_was_fetched_before_a_change_is_not_remembered_after_it(oracle: RunningOracle) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(method: str, path: str) -> Answer | None:
        if method != "GET" or began.is_set():
            return None
        answer = oracle.answer(method, path, None)
        began.set()
        go_on.wait(5)
        return answer

    with override_settings(ORACLE_CACHE_S=30, ORACLE_TIMEOUT_S=5.0):
        oracle.misbehave = slow
        thread = meanwhile([lambda: dfsp("GET", "/participants/MSISDN/255").status_code])
        assert began.wait(5)
        dfsp("DELETE", "/participants/MSISDN/255", source="blue")
        go_on.set()
        thread.join()
        assert owner("MSISDN/255") is None
