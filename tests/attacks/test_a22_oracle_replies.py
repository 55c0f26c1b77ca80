"""A22: what an oracle says is not believed. It names other participants, the hub, scripts; nothing comes of it."""

import json
from collections.abc import Iterator

import pytest
from django.core.cache import cache

from directory import oracles
from hub.outbox.models import Message
from hub.participants import services as participants
from hub.participants.models import Participant
from tests.api.caller import dfsp
from tests.directory.oracle import RunningOracle
from tests.directory.requests import last_callback, refusal
from tests.world import World

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def oracle(committed_world: World) -> Iterator[RunningOracle]:
    cache.clear()
    running = RunningOracle()
    oracles.add(alias_type="MSISDN", endpoint=running.url, currency="", is_default=True, actor="test")
    yield running
    running.server.shutdown()


@pytest.mark.parametrize("fsp", ["nobody", "Hub", "Green", "green ", "red", SCRIPT, "' OR 1=1 --", "..", "gre\u0435n"])
def test_a22_an_oracle_can_not_send_a_lookup_to_who_is_no_active_participant(oracle: RunningOracle, fsp: str) -> None:
    participants.set_active(Participant.objects.get(name="red"), is_active=False, actor="test")
    body = json.dumps({"partyList": [{"fspId": fsp}]}).encode()
    oracle.misbehave = lambda method, path: (200, body)
    for resource in ("participants", "parties"):
        dfsp("GET", f"/{resource}/MSISDN/1", source="grey")
        assert refusal() == (f"/{resource}/MSISDN/1/error", "3204", "Party not found")
    assert {message.destination.name for message in Message.objects.select_related("destination")} == {"grey"}


def test_a22_nothing_that_an_oracle_writes_reaches_a_dfsp(oracle: RunningOracle) -> None:
    oracle.misbehave = lambda method, path: (
        400 if method == "POST" else 200,
        json.dumps(
            {"partyList": [], "errorInformation": {"errorCode": "3100", "errorDescription": SCRIPT}, SCRIPT: SCRIPT}
        ).encode(),
    )
    for method, body in (("GET", None), ("POST", {"fspId": "green"}), ("DELETE", None)):
        dfsp(method, "/participants/MSISDN/1", body)
        assert SCRIPT not in json.dumps(last_callback())
    oracle.misbehave = lambda method, path: (
        200,
        json.dumps({"partyList": [{"fspId": "blue", "partySubIdOrType": SCRIPT, "name": SCRIPT}]}).encode(),
    )
    dfsp("GET", "/participants/MSISDN/1")
    assert refusal()[1] == "3204"  # a sub-id that was not asked for answers for nothing


def test_a22_an_alias_never_becomes_another_address_at_the_oracle(oracle: RunningOracle) -> None:
    for identifier in (
        "..",
        ".",
        "%2e%2e",
        "1%3Fcurrency=KES",
        "1%23",
        "a%0d%0aHost:%20x",
        "@evil",
        "1;x=y",
        "%252e%252e",
    ):
        dfsp("GET", f"/participants/MSISDN/{identifier}")
    for _, path, _ in oracle.asked:
        assert path.startswith("/oracle/participants/MSISDN/")
        assert path.count("/") == 4
        assert "?" not in path
