"""The hub records a DFSP's messages while it is certified, and no others."""

from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from hub.participants import credential_cache
from hub.recordings import recorder
from hub.recordings.models import RecordedRequest, Recording
from hub.recordings.recorder import Recorded, is_recorded
from tests.api.caller import dfsp
from tests.world import World

PAIR = (Recorded("green", "certifier"),)
PATH = "/quotes/7c2f5a9e-6a57-4f35-8a0e-1c7f0b1d9f01"


@pytest.mark.parametrize(
    ("method", "source", "destination", "status", "is_it"),
    [
        ("PUT", "green", "certifier", 200, True),
        ("GET", "certifier", "green", 202, True),
        ("PUT", "stranger", "certifier", 400, True),  # FSPIOP-Source is wrong
        ("PUT", "green", "", 200, True),  # the recipient of a callback is left out
        ("GET", "green", "", 202, False),
        ("GET", "green", "", 400, True),
        ("PUT", "green", "blue", 200, False),
        ("PUT", "blue", "", 200, False),
    ],
)
def test_what_is_recorded(method: str, source: str, destination: str, status: int, is_it: bool) -> None:
    assert is_recorded(PAIR, method=method, source=source, destination=destination, status=status) is is_it


def begin(dfsp_name: str, counterpart: str) -> None:
    until = timezone.now() + timedelta(minutes=1)
    Recording.objects.create(dfsp=dfsp_name, counterpart=counterpart, until=until)
    credential_cache.forget()
    credential_cache.current()


def test_a_refused_message_is_recorded_with_the_refusal(world: World) -> None:
    begin("green", "blue")
    answer = dfsp("PUT", PATH, {"nothing": "fits"}, destination="blue")
    assert answer.status_code == 400
    dfsp("GET", "/parties/MSISDN/1", source="red", destination="grey")
    recorded = RecordedRequest.objects.get()
    assert (recorded.method, recorded.source, recorded.destination) == ("PUT", "green", "blue")
    assert bytes(recorded.body) == b'{"nothing": "fits"}'
    assert recorded.status == 400
    assert "errorCode" in recorded.answer
    assert "fspiop-signature" not in recorded.headers


def test_one_process_records_only_so_many_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin("green", "blue")
    monkeypatch.setattr(recorder, "_MOST_PER_SECOND", 3)
    monkeypatch.setattr(recorder.time, "monotonic", lambda: 1_000_000.5)
    for number in range(8):
        dfsp("GET", f"/parties/MSISDN/{number}", destination="blue")
    assert RecordedRequest.objects.count() == 3


def test_one_process_records_only_so_many_in_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin("green", "blue")
    monkeypatch.setattr(recorder, "MOST_PER_RUN", 3)
    for number in range(5):
        dfsp("GET", f"/parties/MSISDN/{number}", destination="blue")
    assert RecordedRequest.objects.count() == 3
    Recording.objects.all().delete()
    begin("green", "blue")  # the next run
    dfsp("GET", "/parties/MSISDN/6", destination="blue")
    assert RecordedRequest.objects.count() == 4
    monkeypatch.setattr(recorder, "MOST_OCTETS_PER_RUN", 10)
    for number in range(5):
        dfsp("PUT", f"/quotes/7c2f5a9e-6a57-4f35-8a0e-1c7f0b1d9f0{number}", {"nothing": "fits"}, destination="blue")
    assert RecordedRequest.objects.count() == 5


def test_a_flood_of_one_sender_leaves_room_for_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin("green", "certifier")
    begin("blue", "certifier")
    recordings = recorder.now_recorded()
    room = recorder._Room()
    monkeypatch.setattr(recorder, "MOST_PER_RUN", 3)
    taken = [room.take(recordings, "green", "certifier", 1) for _ in range(5)]
    taken += [room.take(recordings, "certifier", "green", 1) for _ in range(5)]
    assert taken == [True, True, True, False, False] * 2
    assert room.take(recordings, "blue", "certifier", 1)
    assert room.take(recordings, "certifier", "blue", 1)
    assert [room.take(recordings, f"name {number}", "certifier", 1) for number in range(5)].count(True) == 3


@pytest.mark.django_db(transaction=True)
def test_a_request_is_recorded_although_the_connection_to_the_database_has_ended(world: World) -> None:
    """The hub has already answered the request, so its sender does not send it again."""
    begin("green", "blue")
    request = RequestFactory().put(PATH, b"{}", headers={"FSPIOP-Destination": "blue"})
    recordings = recorder.now_recorded()

    def sender() -> str:
        info = connection.connection.info
        with psycopg.connect(info.dsn, password=info.password, autocommit=True) as channel:
            channel.execute("SELECT pg_terminate_backend(%s, 5000)", [info.backend_pid])
        return "green"

    recorder.record(recordings, request, HttpResponse(), b"{}", sender)
    assert [(each.source, each.path) for each in RecordedRequest.objects.all()] == [("green", PATH)]
