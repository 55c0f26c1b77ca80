"""How long messages wait for couriers, as the hub itself sees it, and what it refuses because of that."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import override_settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from hub.api import load_shedding
from hub.api.load_shedding import Turnstile
from hub.outbox import claims, delivery_delay, store
from hub.outbox.claims import Room
from hub.outbox.delivery_delay import Delays, Publisher, Reader, delay_of, delays_of, publish, published
from hub.outbox.messages import HUB
from hub.participants import queries
from tests.outbox.messages import MANY, message
from tests.world import World

BLUE, GREEN, RED, GREY = 1, 2, 3, 4


# --- the measure ------------------------------------------------------------------------------------------------------


def test_the_delay_is_that_of_the_destination_at_which_messages_wait_least() -> None:
    to_blue = [(BLUE, GREEN, 3.0), (BLUE, GREEN, 1.0), (BLUE, GREEN, 2.0)]
    assert delay_of([*to_blue, (GREEN, BLUE, 2.5), (GREEN, BLUE, 2.5)]) == 2.0


def test_a_dfsp_that_was_down_does_not_make_the_hub_look_slow() -> None:
    backlog = [(BLUE, GREEN, 600.0), (BLUE, RED, 600.0)] * 500
    assert delay_of([*backlog, (GREEN, BLUE, 0.01)]) == 0.01
    assert delay_of(backlog) == 0.0  # nothing else is sent, so nothing shows that the hub is behind
    assert delay_of([]) == 0.0


def test_a_dfsp_whose_own_messages_wait_everywhere_does_not_make_the_hub_look_slow() -> None:
    flood = [(to, RED, 5.0) for to in (BLUE, GREEN, RED)] * 300  # more than red's share of the connections
    assert delay_of([*flood, (BLUE, GREEN, 0.01), (GREEN, BLUE, 0.02)]) == 0.01
    own_ends = [(RED, HUB, 5.0), (BLUE, HUB, 5.0)] * 300  # of red's payments
    assert delay_of([*flood, *own_ends]) == 0.0  # nobody else sends anything
    assert delay_of([*flood, (BLUE, GREEN, 4.0), (GREEN, BLUE, 4.0), (RED, BLUE, 4.0)]) == 4.0


def test_dfsps_that_act_together_do_not_have_the_work_of_others_refused() -> None:
    """Red and grey flood every destination, and hold back what green sends to them. Blue answers at once."""
    flood = [(to, source, 5.0) for to in (BLUE, GREEN, RED, GREY) for source in (RED, GREY)] * 50
    held_back = [(RED, GREEN, 9.0), (GREY, GREEN, 9.0)]
    found = delays_of([*flood, *held_back, (GREEN, GREEN, 0.02), (BLUE, GREEN, 0.01)])
    assert found.of_hub == 5.0  # more than half of the sources wait everywhere
    assert found.for_source(GREEN) == 0.01
    assert (found.for_source(RED), found.for_source(GREY)) == (5.0, 5.0)
    assert found.for_source(BLUE) == found.for_source(None) == 0.0  # nothing of blue's was sent lately


def test_all_are_refused_where_the_hub_is_slow_to_all() -> None:
    everybody = [(to, source, 3.0) for to in (BLUE, GREEN, RED) for source in (BLUE, GREEN, RED, HUB)]
    assert [delays_of(everybody).for_source(source) for source in (BLUE, GREEN, RED)] == [3.0] * 3


def test_a_dfsp_is_not_refused_because_of_its_own_flood_while_the_hub_is_quick() -> None:
    flood = [(to, RED, 5.0) for to in (BLUE, GREEN, RED)] * 300
    assert delays_of([*flood, (BLUE, GREEN, 0.01), (GREEN, BLUE, 0.02)]).for_source(RED) == 0.01


def test_the_flood_of_one_dfsp_hides_nothing_of_what_couriers_claim_for_others(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append([message(to, subject=f"{to} {n}", source=red) for to in (green, blue, red) for n in range(200)])
    store.execute("UPDATE outbox_message SET created_at = clock_timestamp() - interval '5 s'")
    store.append([message(blue, source=green), message(green, source=blue)])
    taken = claims.claim({to: Room(40, MANY) for to in (green, blue, red)}, lease_s=10, most_of_one_source=32).messages
    assert len(taken) > 50
    assert delay_of((each.destination_id, each.source_id, each.age_s) for each in taken) < 1


def test_a_courier_publishes_what_it_saw_in_the_last_second() -> None:
    now = [0.0]
    publisher = Publisher(clock=lambda: now[0])
    publisher._thread = type("Alive", (), {"is_alive": lambda self: True})()  # type: ignore[assignment]
    publisher.saw([(BLUE, GREEN, 4.0), (GREEN, BLUE, 5.0)])
    assert publisher.delays() == Delays(4.0, {GREEN: 4.0, BLUE: 5.0})
    now[0] = 0.9
    publisher.saw([(BLUE, GREEN, 0.0)])
    assert publisher.delays().of_hub == 2.0
    now[0] = 1.5
    assert publisher.delays().of_hub == 0.0  # one destination only


@pytest.fixture
def own_redis(settings: LazySettings) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.delete(delivery_delay._key())  # what a courier of another test published
    yield client
    client.delete(delivery_delay._key())


def test_what_a_courier_published_is_read_for_two_seconds(own_redis: redis.Redis) -> None:
    assert published(own_redis) == Delays()
    publish(own_redis, Delays(1.25, {GREEN: 1.5}))
    assert published(own_redis) == Delays(1.25, {GREEN: 1.5})
    assert 0 < own_redis.pttl(delivery_delay._key()) <= 2000
    for text in ("soon", "1.25", "[]", '{"hub": "x"}', '{"hub": 1, "sources": [1]}'):
        own_redis.set(delivery_delay._key(), text)
        assert published(own_redis) == Delays()


def test_without_redis_nothing_is_refused() -> None:
    away = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    publish(away, Delays(1.0))  # which only logs
    assert published(away) == Delays()


def test_a_delay_is_withdrawn_once_no_more_messages_wait(own_redis: redis.Redis) -> None:
    """Earlier, it stayed for two seconds, and as long new lookups got 503."""
    publisher = Publisher()
    publisher.saw([(BLUE, GREEN, 4.0), (GREEN, BLUE, 5.0)])
    seen, end = list[float](), time.monotonic() + 1.9
    while time.monotonic() < end and seen[-1:] != [0.0]:
        found = own_redis.get(delivery_delay._key())
        if found is not None:
            seen.append(Delays.read(found).of_hub)  # type: ignore[arg-type]
        time.sleep(0.02)
    assert (seen[0], seen[-1]) == (4.0, 0.0)


def test_a_web_process_reads_the_delay_in_a_thread_and_no_request_waits(
    own_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = threading.Event()
    monkeypatch.setattr(delivery_delay, "published", lambda client: may_read.wait(10) and published(client))
    reader = Reader()
    assert reader.delay_s(GREEN) == 0.0  # although the thread cannot read yet
    may_read.set()
    found, end = (0.0, 0.0, 0.0), time.monotonic() + 10
    while found != (1.5, 0.0, 0.0) and time.monotonic() < end:
        publish(own_redis, Delays(1.5, {GREEN: 2.5}))  # a published value expires, and a busy thread may read late
        found = (reader.delay_s(GREEN), reader.delay_s(BLUE), reader.delay_s(None))
        time.sleep(0.01)
    assert found == (1.5, 0.0, 0.0)
    reader._wanted.clear()  # its thread sleeps from now on


# --- what is refused --------------------------------------------------------------------------------------------------


class Door:
    """A turnstile at which messages wait so long, and how often what is behind it was reached."""

    def __init__(self, delay_s: float, monkeypatch: pytest.MonkeyPatch, *, has_turns: bool = False) -> None:
        self.served = 0
        self.path = ""  # of the last request that was served
        monkeypatch.setattr(load_shedding, "_ONE_EVERY_S", 1000.0)
        self._turnstile = Turnstile(self._work, delay_s=lambda source_id: delay_s)
        if not has_turns:
            green_id = queries.id_of("green")
            assert green_id is not None
            self._turnstile._delayed_admitted_at[green_id] = time.monotonic()

    def _work(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.served += 1
        self.path = environ["PATH_INFO"]
        start_response("202 Accepted", [])
        return [b""]

    def ask(self, method: str, path: str, source: str = "green") -> str:
        said: list[Any] = []
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_FSPIOP_SOURCE": source, "wsgi.input": BytesIO()}
        body = b"".join(self._turnstile(environ, lambda status, headers: said.extend([status, dict(headers)])))
        if said[0].startswith("503"):
            assert json.loads(body)["errorInformation"]["errorCode"] == "2005"
            assert said[1]["Retry-After"] == "1"
        return str(said[0])[:3]


LOOKUP, QUOTE, TRANSFER = ("GET", "/parties/MSISDN/1"), ("POST", "/quotes"), ("POST", "/transfers")
NEVER = [("PUT", "/parties/MSISDN/1"), ("PUT", "/quotes/Q"), ("PUT", "/transfers/T/error"), ("GET", "/transfers/T")]


@pytest.mark.parametrize(
    ("delay_s", "refused"),
    [(0.4, []), (0.6, [LOOKUP]), (1.5, [LOOKUP, QUOTE]), (2.5, [LOOKUP, QUOTE, TRANSFER])],
)
def test_the_longer_messages_wait_the_more_kinds_of_new_work_are_refused_and_never_a_callback(
    delay_s: float, refused: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    door = Door(delay_s, monkeypatch)
    for request in (LOOKUP, QUOTE, TRANSFER, *NEVER):
        assert door.ask(*request) == ("503" if request in refused else "202"), request
    assert door.served == 3 + len(NEVER) - len(refused)


@override_settings(SHED_LOOKUPS_S=0)
def test_a_scheme_may_refuse_nothing_for_it(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    assert Door(60, monkeypatch).ask(*LOOKUP) == "202"


def test_a_few_are_served_in_any_case_or_a_delay_that_is_over_would_never_be_noticed(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    door = Door(60, monkeypatch)
    monkeypatch.setattr(load_shedding, "_ONE_EVERY_S", 0.2)
    time.sleep(0.25)
    assert [door.ask(*TRANSFER) for _ in range(3)] == ["202", "503", "503"]
    time.sleep(0.25)
    assert door.ask(*LOOKUP) == "202"


def test_the_few_of_one_dfsp_are_not_used_up_by_another(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    door = Door(60, monkeypatch, has_turns=True)
    assert {queries.id_of("green"), queries.id_of("blue")} == {world.ids["green"], world.ids["blue"]}
    assert [door.ask(*TRANSFER, "green") for _ in range(3)] == ["202", "503", "503"]
    assert door.ask(*TRANSFER, "blue") == "202"


def test_who_names_another_dfsp_uses_up_none_of_its_few(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    door = Door(60, monkeypatch, has_turns=True)
    assert queries.id_of("green") == world.ids["green"]
    with override_settings(PARTICIPANT_AUTH=["certificate"]):  # red has no certificate of green
        assert [door.ask(*TRANSFER, "green") for _ in range(3)] == ["503", "503", "503"]
    assert door.ask(*TRANSFER, "green") == "202"


def test_the_check_of_the_sender_leaves_the_path_as_it_came(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """A WSGI server hands over the octets of a path as Latin-1."""
    door = Door(60, monkeypatch, has_turns=True)
    assert queries.id_of("green") == world.ids["green"]
    path = "/parties/ALIAS/Zo\u00c3\u00ab"
    assert (door.ask("GET", path), door.path) == ("202", path)


def test_credentials_that_cannot_be_checked_prove_nothing(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    door = Door(60, monkeypatch, has_turns=True)
    assert queries.id_of("green") == world.ids["green"]

    def fails(*_: object) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(load_shedding.authentication, "proves", fails)
    assert door.ask(*TRANSFER, "green") == "503"


def test_the_lookups_are_refused_first() -> None:
    s = django_settings
    assert s.SHED_LOOKUPS_S < s.SHED_QUOTES_S < s.SHED_TRANSFERS_S < s.REQUEST_DEADLINE_S
