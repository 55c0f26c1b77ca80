"""Delivery over real sockets: order, retries, dead letters, and a bad destination that harms nobody else."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import DataError, OperationalError, connection, transaction
from django.db.models.functions import Now
from django.test import override_settings

from hub import outbox
from hub.outbox import claims, delivery_delay, destination_pauses, retries, store, wakeup
from hub.outbox import courier as couriers
from hub.outbox.claims import Room
from hub.outbox.courier import Courier
from hub.outbox.messages import HUB, Outgoing
from hub.outbox.models import Delivery, Message
from hub.participants import services as participants
from hub.participants.models import Endpoint, Participant
from tests.world import World

MANY = 10**9  # octets


class Sink:
    """A DFSP's server that keeps what it gets, and answers as `answer` says."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        self.answer: Callable[[str, int], tuple[int, dict[str, str]]] = lambda path, count: (200, {})
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sink.got.append((self.command, self.path, body))
                count = sum(path == self.path for _, path, _ in sink.got)
                status, headers = sink.answer(self.path, count)
                self.send_response(status)
                for name, value in ({"Content-Length": "0"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_PUT = do_POST = do_PATCH = _take

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.got]


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.server.shutdown()


@pytest.fixture
def courier(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Courier]:
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(destination_pauses, "FAILURES", 1000)
    with override_settings(OUTBOX_TIMEOUT_S=1, OUTBOX_LEASE_S=2):
        started = Courier()
        started.start()
        yield started
        started.stop(timeout_s=8)


def send_to(name: str, sink_url: str) -> Participant:
    participant = Participant.objects.get(name=name)
    participants.set_endpoint(participant, endpoint_type="FSPIOP_CALLBACK_URL", value=sink_url, actor="test")
    return participant


def message(to: Participant, path: str, *, subject: str = "s", reply_to: Participant | None = None) -> Outgoing:
    return Outgoing(
        destination_id=to.pk,
        method="PUT",
        path=path,
        headers={"content-type": "application/vnd.interoperability.transfers+json;version=1.1", "date": "now"},
        body=b'{"a": 1}',
        subject=subject,
        kind="state",
        signed_by_hub=False,
        reply_to_id=reply_to.pk if reply_to else None,
        error_path="/quotes/Q/error" if reply_to else None,
    )


def look_at(courier: Courier, destination: Participant) -> None:
    """Does what the bell does, without Redis, where the courier of the test before may still be listening."""
    courier._loop.call_soon_threadsafe(courier._look_at, [destination.pk])


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_a_message_is_delivered_byte_for_byte_without_any_poke(courier: Courier, sink: Sink) -> None:
    green = send_to("green", sink.url)
    store.append([message(green, "/transfers/T")])
    wait_until(lambda: Delivery.objects.count() == 1)
    assert sink.got == [("PUT", "/transfers/T", b'{"a": 1}')]
    assert not Message.objects.exists()


def test_a_courier_publishes_how_long_the_messages_waited_that_it_begins_to_send(courier: Courier, sink: Sink) -> None:
    green, blue = send_to("green", sink.url), send_to("blue", sink.url)
    client = redis.Redis.from_url(settings.REDIS_URL)
    of_blue = replace(message(green, "/transfers/T"), source_id=blue.pk)
    of_green = replace(message(blue, "/transfers/U"), source_id=green.pk)
    store.append([of_blue, of_green])
    wait_until(lambda: Delivery.objects.count() == 2)
    wait_until(lambda: delivery_delay.published(client).of_hub > 0, seconds=2)
    found = delivery_delay.published(client)
    assert 0 < found.of_hub < 5
    assert set(found.of_sources) == {green.pk, blue.pk}
    wait_until(lambda: delivery_delay.published(client) == delivery_delay.Delays(), seconds=1.8)  # nothing waits now
    assert client.exists(delivery_delay._key())


def test_a_ring_of_the_bell_is_heard_at_once(courier: Courier, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    green = send_to("green", sink.url)
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 60.0)
    time.sleep(0.3)  # the last look at the old pace
    store.append([message(green, "/transfers/T")])
    time.sleep(0.5)
    assert sink.got == []
    outbox.poke({green.pk})
    wait_until(lambda: len(sink.got) == 1, seconds=2)


def test_a_courier_looks_again_after_a_delivery_only_for_a_message_that_waited_for_it(
    courier: Courier, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    green = send_to("green", sink.url)
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 60.0)
    time.sleep(0.3)  # the last look at the old pace
    counts: list[int] = []
    claim = claims.claim

    def counted(*arguments: Any, **more: Any) -> claims.Claim:
        found = claim(*arguments, **more)
        counts.append(len(found.messages))
        return found

    monkeypatch.setattr(claims, "claim", counted)
    store.append([message(green, "/transfers/T", subject="T")])
    look_at(courier, green)
    wait_until(lambda: Delivery.objects.count() == 1)
    time.sleep(0.3)
    assert counts == [1]
    store.append([message(green, f"/transfers/U/{number}", subject="U") for number in range(3)])
    look_at(courier, green)
    wait_until(lambda: Delivery.objects.count() == 4, seconds=3)
    assert sink.paths()[1:] == [f"/transfers/U/{number}" for number in range(3)]


def test_a_message_that_comes_while_a_delivery_before_it_is_recorded_waits_two_seconds(
    committed_world: World,
) -> None:
    """The statement that records the delivery does not see the message, whose claim still sees the one before it."""
    green = Participant.objects.get(name="green")
    store.append([message(green, "/transfers/T/1", subject="T")])
    (first,) = claims.claim({green.pk: Room(9, MANY)}, lease_s=10).messages
    recorded, is_put_off = threading.Event(), threading.Event()

    def record() -> None:
        with transaction.atomic():
            assert store.delivered([(first.id, 200)]) == set()
            recorded.set()
            is_put_off.wait(10)
        connection.close()

    recording = threading.Thread(target=record)
    recording.start()
    assert recorded.wait(10)
    store.append([message(green, "/transfers/T/2", subject="T")])
    assert not claims.claim({green.pk: Room(9, MANY)}, lease_s=10).messages
    is_put_off.set()
    recording.join()
    wait_until(lambda: bool(claims.claim({green.pk: Room(9, MANY)}, lease_s=10).messages), seconds=4)


def test_a_source_that_had_all_its_connections_goes_on_when_one_is_free(
    courier: Courier, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    green = send_to("green", sink.url)
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 60.0)
    time.sleep(0.3)  # the last look at the old pace
    sink.answer = lambda path, count: (time.sleep(0.05), (200, {}))[1]
    with override_settings(OUTBOX_CONCURRENCY_PER_SOURCE=2):
        store.append([message(green, f"/transfers/{number}", subject=str(number)) for number in range(12)])
        look_at(courier, green)
        wait_until(lambda: Delivery.objects.count() == 12, seconds=3)


def test_nobody_waits_for_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:9/0"):
        ringer = wakeup.Ringer()
        began = time.monotonic()
        for number in range(100):
            ringer.ring({number})
        assert time.monotonic() - began < 0.5


def test_a_changed_endpoint_takes_effect_at_once_however_it_was_changed(courier: Courier, sink: Sink) -> None:
    moved, again = Sink(), Sink()
    green = send_to("green", sink.url)
    for number, change in enumerate(
        [
            lambda: None,
            lambda: send_to("green", moved.url),
            lambda: Endpoint.objects.filter(participant=green, type="FSPIOP_CALLBACK_URL").update(value=again.url),
        ]
    ):
        change()
        store.append([message(green, f"/transfers/{number}")])
        outbox.poke({green.pk})
        wait_until(lambda number=number: Delivery.objects.count() == number + 1)  # type: ignore[misc]
    assert (sink.paths(), moved.paths(), again.paths()) == (["/transfers/0"], ["/transfers/1"], ["/transfers/2"])


def test_each_destination_is_claimed_as_far_as_it_has_room(committed_world: World) -> None:
    green, blue = (Participant.objects.get(name=name) for name in ("green", "blue"))
    store.append([message(to, f"/transfers/{n}", subject=f"{n}") for to in (green, blue) for n in range(5)])
    claimed = claims.claim({green.pk: Room(2, MANY), blue.pk: Room(4, MANY)}, lease_s=10)
    # All are due since the same moment, so any of them may come first.
    assert Counter(m.destination_id for m in claimed.messages) == {green.pk: 2, blue.pk: 4}
    rest = {green.pk: Room(9, MANY), blue.pk: Room(9, MANY)}
    assert len(claims.claim(rest, lease_s=10).messages) == 4
    assert not claims.claim(rest, lease_s=10).messages


def test_messages_about_one_thing_keep_their_order_though_the_first_fails(courier: Courier, sink: Sink) -> None:
    green = send_to("green", sink.url)
    sink.answer = lambda path, count: (500 if path.endswith("1") and count == 1 else 200, {})
    store.append([message(green, "/transfers/1"), message(green, "/transfers/2")])
    wait_until(lambda: Delivery.objects.count() == 2)
    assert sink.paths() == ["/transfers/1", "/transfers/1", "/transfers/2"]


@pytest.mark.slow
def test_a_destination_that_hangs_keeps_no_other_waiting(courier: Courier, sink: Sink) -> None:
    hanging = Sink()
    hanging.answer = lambda path, count: (time.sleep(30), (200, {}))[1]  # type: ignore[func-returns-value]
    green, blue = send_to("green", hanging.url), send_to("blue", sink.url)
    store.append([message(green, f"/transfers/{number}", subject=str(number)) for number in range(40)])
    store.append([message(blue, f"/transfers/{number}", subject=str(number)) for number in range(20)])
    began = time.monotonic()
    wait_until(lambda: Delivery.objects.filter(destination=blue).count() == 20)
    assert time.monotonic() - began < 3
    assert not Delivery.objects.filter(destination=green).exists()


def test_retry_after_is_heeded_and_a_redirect_is_not_followed(courier: Courier, sink: Sink) -> None:
    elsewhere = Sink()
    green = send_to("green", sink.url)
    answers = {"/transfers/busy": (429, {"Retry-After": "60"}), "/transfers/moved": (302, {"Location": elsewhere.url})}
    sink.answer = lambda path, count: answers[path]
    # Of another kind, because what an end may wait for is repeated after 45 s at the latest.
    store.append([replace(message(green, path, subject=path), kind="participants") for path in answers])
    wait_until(lambda: Message.objects.exclude(last_error="").count() == 2)
    busy = Message.objects.get(path="/transfers/busy")
    assert 50 < (busy.due_at - busy.created_at).total_seconds() < 70
    assert elsewhere.got == []


def test_a_request_that_can_not_arrive_is_told_to_who_asked(courier: Courier, sink: Sink) -> None:
    green, blue = send_to("green", sink.url), send_to("blue", "http://127.0.0.1:9")
    with override_settings(OUTBOX_REQUEST_GIVE_UP_S=1):
        store.append([message(blue, "/quotes", subject="Q", reply_to=green)])
        wait_until(lambda: len(sink.got) == 1)
    method, path, body = sink.got[0]
    assert (method, path) == ("PUT", "/quotes/Q/error")
    assert json.loads(body)["errorInformation"]["errorCode"] == "1001"
    wait_until(lambda: Message.objects.count() == 1)  # what was told is settled a moment after it arrived
    assert Message.objects.get().state == "DEAD"


def test_one_message_that_can_not_be_sent_holds_up_no_other(courier: Courier, sink: Sink) -> None:
    green = send_to("green", sink.url)
    poison = message(green, "/transfers/poison", subject="poison")
    poison.headers["x-poison"] = "a\r\nb"
    store.append([poison, message(green, "/transfers/good", subject="good")])
    wait_until(lambda: Delivery.objects.count() == 1)
    wait_until(lambda: "poison" in Message.objects.get().subject and Message.objects.get().last_error != "")
    assert sink.paths() == ["/transfers/good"]


def test_what_a_dead_worker_held_is_sent_when_its_lease_ends(courier: Courier, sink: Sink) -> None:
    green = Participant.objects.get(name="green")
    with transaction.atomic():  # the courier sees it only when it is held
        store.append([message(green, "/transfers/T")])
        held = claims.claim({green.pk: Room(10, MANY)}, lease_s=1).messages
    assert len(held) == 1
    send_to("green", sink.url)
    wait_until(lambda: Delivery.objects.count() == 1)
    assert Delivery.objects.get().attempts == 2
    # The sleeper wakes: it must not undo what its successor did.
    failure = retries.judge(held[0], couriers.Answer(500, "late"))
    assert retries.settle([failure]) == set()
    assert not Message.objects.exists()


def test_a_destination_without_an_endpoint_waits_until_it_has_one(courier: Courier, sink: Sink) -> None:
    green = Participant.objects.get(name="green")
    green.endpoints.all().delete()
    store.append([message(green, "/transfers/T")])
    wait_until(lambda: Message.objects.filter(last_error__contains="no endpoint").exists())
    send_to("green", sink.url)
    wait_until(lambda: Delivery.objects.count() == 1)


def test_what_the_hub_itself_cannot_send_does_not_count_against_its_destination(courier: Courier, sink: Sink) -> None:
    green = send_to("green", sink.url)
    courier._destinations.clear()
    for n in range(30):
        poison = message(green, f"/transfers/{n}", subject=f"poison {n}")
        poison.headers["x-poison"] = "a\r\nb"
        store.append([poison])
    wait_until(lambda: Message.objects.filter(state="DEAD").count() == 30)
    began = time.monotonic()
    store.append([message(green, "/transfers/good", subject="good")])
    wait_until(lambda: Delivery.objects.count() == 1)
    assert time.monotonic() - began < 2
    assert not courier._destinations[green.pk]._streams


def test_a_request_that_cannot_be_sent_is_reported_to_its_sender_at_once(courier: Courier, sink: Sink) -> None:
    green, blue = send_to("green", sink.url), Participant.objects.get(name="blue")
    blue.endpoints.all().delete()
    store.append([message(blue, "/quotes", subject="Q", reply_to=green)])
    wait_until(lambda: sink.paths() == ["/quotes/Q/error"], seconds=3)


def test_a_dfsp_that_answers_501_to_one_kind_of_message_gets_all_others(courier: Courier, sink: Sink) -> None:
    green = send_to("green", sink.url)
    sink.answer = lambda path, count: (501 if path.startswith("/participants") else 200, {})
    store.append([message(green, f"/participants/MSISDN/{n}", subject=f"p{n}") for n in range(40)])
    store.append([message(green, f"/transfers/{n}", subject=f"t{n}") for n in range(20)])
    wait_until(lambda: Delivery.objects.count() == 20)
    wait_until(lambda: Message.objects.filter(state="DEAD", last_error__startswith="HTTP 501").count() == 40)
    assert not courier._destinations[green.pk]._streams


def test_thousands_of_messages_that_wait_for_one_are_not_postponed_all_at_once(
    committed_world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million such rows would keep PostgreSQL and the couriers busy, and delay what others receive."""
    green = send_to("green", sink.url)
    sink.answer = lambda path, count: time.sleep(2) or (200, {})
    store.append([message(green, "/transfers/T", subject="T") for _ in range(3000)])
    started = Courier()
    started.start()
    try:
        wait_until(lambda: bool(sink.got))
        monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 3600)
        time.sleep(1)
        postponed = Message.objects.filter(due_at__gt=Now()).count()
    finally:
        started.stop(5)
    assert 200 <= postponed < 1000


def test_a_payers_end_does_not_wait_behind_thousands_of_ends_of_a_kind_that_gets_no_answer(
    committed_world: World, sink: Sink
) -> None:
    green = send_to("green", sink.url)
    ends = [message(green, f"/transfers/{n}", subject=f"{n}") for n in range(3000)]
    store.append([replace(end, kind="end-to-payee") for end in ends])
    store.execute("UPDATE outbox_message SET due_at = due_at - interval '1 s'")
    store.append([message(green, "/transfers/good", subject="good")])
    courier = Courier()
    to_green = courier._destinations[green.pk] = destination_pauses.Destination(green.pk)
    silence = to_green._streams.setdefault((HUB, "end-to-payee"), destination_pauses._Stream()).silence
    silence.count, silence.pause.until = destination_pauses.FAILURES, time.monotonic() + 60
    courier.start()
    try:
        wait_until(lambda: sink.paths() == ["/transfers/good"], seconds=4)
    finally:
        courier.stop(timeout_s=8)


@pytest.mark.slow
def test_a_destination_that_hangs_on_what_one_sends_still_gets_what_others_send(
    committed_world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it takes: the hopeless messages stay pending, and are the oldest."""
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 0.1)
    green, blue, red = (Participant.objects.get(name=name) for name in ("green", "blue", "red"))
    send_to("green", sink.url)

    def answer(path: str, count: int) -> tuple[int, dict[str, str]]:
        time.sleep(0 if "good" in path else 3)
        return 200, {}

    sink.answer = answer
    for n in range(60):
        hopeless = message(green, f"/authorizations/{n}", subject=f"hopeless {n}")
        hopeless.source_id = blue.pk
        store.append([hopeless])
    with override_settings(OUTBOX_TIMEOUT_S=1, OUTBOX_LEASE_S=2, OUTBOX_CONCURRENCY=8, OUTBOX_CONCURRENCY_PER_SOURCE=6):
        courier = Courier()
        courier.start()
        try:
            time.sleep(3)
            for n in range(5):
                good = message(green, f"/transfers/good{n}", subject=f"good {n}")
                good.source_id = red.pk
                store.append([good])
                began = time.monotonic()
                wait_until(lambda n=n: f"/transfers/good{n}" in sink.paths())  # type: ignore[misc]
                assert time.monotonic() - began < 1
                time.sleep(0.5)
        finally:
            courier.stop(timeout_s=8)
    assert Message.objects.filter(subject__startswith="hopeless").count() == 60


@contextmanager
def spoilt_messages(sqlstate: str = "P0001") -> Iterator[None]:
    """Meanwhile the database refuses each change of a message with the subject "spoilt"."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE FUNCTION pg_temp_refuse() RETURNS trigger LANGUAGE plpgsql
               AS $$ BEGIN RAISE EXCEPTION 'missing chunk' USING ERRCODE = '{sqlstate}'; END $$;
               CREATE TRIGGER refuse BEFORE UPDATE ON outbox_message FOR EACH ROW WHEN (old.subject = 'spoilt')
               EXECUTE FUNCTION pg_temp_refuse()"""
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION pg_temp_refuse CASCADE")


@pytest.mark.parametrize("sqlstate", ["P0001", "58030", "53200", "54000"])  # io_error, out_of_memory, limit_exceeded
def test_a_message_that_the_database_does_not_give_stops_no_other(courier: Courier, sink: Sink, sqlstate: str) -> None:
    """As where a part of its body cannot be read any more."""
    green, blue = send_to("green", sink.url), send_to("blue", sink.url)
    with spoilt_messages(sqlstate):
        store.append([message(green, "/transfers/spoilt", subject="spoilt")])
        store.append([message(to, f"/transfers/{n}", subject=f"{n}") for to in (green, blue) for n in range(5)])
        began = time.monotonic()
        wait_until(lambda: Delivery.objects.count() == 10)
        assert time.monotonic() - began < 3
        assert Message.objects.get().subject == "spoilt"


def test_a_result_that_the_database_refuses_has_no_other_message_sent_again(committed_world: World) -> None:
    green = Participant.objects.get(name="green")
    store.append([message(green, f"/transfers/{n}", subject=f"{n}") for n in range(3)])
    claimed = claims.claim({green.pk: Room(3, MANY)}, lease_s=10).messages
    odd = (claimed[1], couriers.Answer(99_999_999))  # no status fits into its column
    couriers._settle([(claimed[0], couriers.Answer(200)), odd, (claimed[2], couriers.Answer(200))], [])
    assert set(Delivery.objects.values_list("message_id", flat=True)) == {claimed[0].id, claimed[2].id}


def test_messages_that_waited_and_messages_that_were_left_alone_go_on_though_one_result_is_refused(
    committed_world: World,
) -> None:
    """The deliveries are stored by the first statement, and the second statement fails."""
    green, blue, red = (Participant.objects.get(name=name) for name in ("green", "blue", "red"))
    spoilt = message(blue, "/transfers/2", subject="spoilt")
    store.append([message(green, "/transfers/1"), spoilt, message(red, "/transfers/3")])
    store.append([message(green, "/transfers/1/next")])
    room = {to.pk: Room(1, MANY) for to in (green, blue, red)}
    taken = {each.destination_id: each for each in claims.claim(room, lease_s=10).messages}
    results = [(taken[green.pk], couriers.Answer(200)), (taken[blue.pk], couriers.Answer(500))]
    with spoilt_messages():
        found = couriers._settle(results, [(taken[red.pk], 60.0)])
    assert Delivery.objects.count() == 1
    assert green.pk in found
    left_alone = Message.objects.get(id=taken[red.pk].id)
    assert (left_alone.leased_until, left_alone.attempts) == (None, 0)


@pytest.mark.parametrize("error", [RuntimeError("odd"), OperationalError("connection lost")])
def test_a_claim_that_fails_without_a_fault_of_the_messages_stops_no_courier_and_pauses_no_destination(
    error: Exception, committed_world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    green, blue = send_to("green", sink.url), send_to("blue", sink.url)
    monkeypatch.setattr(couriers, "_PAUSE_S", 0.05)
    claim, failed, paused = claims.claim, threading.Event(), list[int]()

    def fails(room: dict[int, Room], **more: Any) -> claims.Claim:
        if failed.is_set():
            return claim(room, **more)
        if not more["each_alone"]:
            raise DataError("a faulty row")
        failed.set()
        raise error

    def pause(destination: destination_pauses.Destination, now: float) -> float:
        paused.append(destination.id)
        return 0.0

    monkeypatch.setattr(claims, "claim", fails)
    monkeypatch.setattr(destination_pauses.Destination, "could_not_be_claimed", pause)
    store.append([message(to, f"/transfers/{to.name}") for to in (green, blue)])
    courier = Courier()
    courier.start()
    try:
        wait_until(lambda: Delivery.objects.count() == 2, seconds=4)
    finally:
        courier.stop(timeout_s=8)
    assert failed.is_set()
    assert paused == []


def test_a_courier_postpones_again_after_each_interval_though_the_database_cannot_be_read_or_is_slow(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "_LOOK_EVERY_S", 0.05)
    slow = threading.Event()

    def fails() -> list[int]:
        raise OperationalError("connection lost")

    monkeypatch.setattr(claims, "destinations_with_work", fails)
    monkeypatch.setattr(retries, "give_up_overdue", lambda: slow.wait(10) and [])
    courier = Courier()
    destination = courier._destinations[1] = destination_pauses.Destination(1)
    courier.start()
    try:
        for _ in range(2):
            destination.postponed({2: 300})
            wait_until(lambda: not destination._postponed, seconds=2)
    finally:
        slow.set()
        courier.stop(timeout_s=8)
