"""What one DFSP may have of a process: a rate with a second's worth at once, and a number at once."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop.errors import FspiopError
from hub.api import dfsp_limits, request_body
from hub.api.bulk_concurrency import Answered, Bulks, Ended
from hub.api.dfsp_limits import Limits
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.examples import examples
from tests.world import World

NOTHING, ENDED_BULK, BULK = Answered.NOTHING, Answered.ENDED_BULK, Answered.BULK


def taken(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except FspiopError:
        return False
    return True


@settings(max_examples=examples(300), deadline=None)
@given(rate=st.integers(1, 50), pauses=st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_in_any_time_no_more_pass_than_the_rate_and_one_seconds_worth(rate: int, pauses: list[float]) -> None:
    now = 0.0
    own = Limits(lambda: now, pause=lambda seconds: None)
    passed: list[float] = []
    with override_settings(DFSP_RATE=rate, DFSP_OPEN_REQUESTS=0):
        for pause in pauses:
            now += pause
            if taken(lambda: own.enter(1, "green")):
                passed.append(now)
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate * (passed[last] - began + 1) + 1e-6


def test_who_keeps_to_its_rate_is_never_held() -> None:
    now = 0.0
    own = Limits(lambda: now, pause=lambda seconds: None)
    with override_settings(DFSP_RATE=10, DFSP_OPEN_REQUESTS=1):
        for _ in range(200):
            assert taken(lambda: own.enter(1, "green"))
            own.leave(1)
            now += 0.1 + 1e-9


def test_each_dfsp_has_its_own(world: World) -> None:
    own = Limits(lambda: 0.0, pause=lambda seconds: None)
    with override_settings(DFSP_RATE=3, DFSP_OPEN_REQUESTS=0):
        assert [taken(lambda: own.enter(1, "green")) for _ in range(5)] == [True] * 3 + [False] * 2
        assert taken(lambda: own.enter(2, "blue"))


def test_own_requests_leave_places_for_the_callbacks_of_payments_in_progress(world: World) -> None:
    own = Limits()
    with override_settings(DFSP_RATE=0, DFSP_OPEN_REQUESTS=12):
        assert [taken(lambda: own.enter(1, "green")) for _ in range(11)] == [True] * 10 + [False]
        assert [taken(lambda: own.enter(1, "green", callback_to=2)) for _ in range(3)] == [True] * 2 + [False]


def test_a_request_that_ends_makes_room_however_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Limits()
    monkeypatch.setattr(dfsp_limits, "enter", own.enter)
    monkeypatch.setattr(dfsp_limits, "leave", own.leave)
    with override_settings(DFSP_OPEN_REQUESTS=1, SIGNATURES="checked"):
        for answer in (
            dfsp("POST", "/transfers", messages.transfer(amount="x"), destination="blue"),
            dfsp("POST", "/transfers", messages.transfer(), destination="blue", headers={"fspiop-signature": "x"}),
            dfsp("PATCH", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069", {}),
            dfsp("GET", "/transfers/not-an-id"),
        ):
            assert answer.status_code in (400, 501)
    assert set(own._open.values()) == {0}


def test_who_is_held_is_told_in_the_apis_own_form(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfsp_limits, "enter", Limits(lambda: 0.0, pause=lambda seconds: None).enter)
    monkeypatch.setattr(dfsp_limits, "leave", lambda caller: None)
    with override_settings(DFSP_RATE=1):
        dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069")
        refused = dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069")
    assert error_of(refused) == (429, "2005")
    assert description_of(refused) == "Server busy - too many requests a second"
    assert refused["Retry-After"] == "1"


def test_state_queries_have_a_rate_of_their_own_and_count_as_requests_too() -> None:
    own = Limits(lambda: 0.0, pause=lambda seconds: None)
    with override_settings(DFSP_STATE_RATE=10, DFSP_RATE=5, DFSP_OPEN_REQUESTS=0):
        assert [taken(lambda: own.enter(1, "green", is_state_query=True)) for _ in range(4)] == [True] * 2 + [False] * 2
        assert [taken(lambda: own.enter(1, "green")) for _ in range(4)] == [True] * 3 + [False]
    assert dfsp_limits.is_state_query("GET", "transfers")
    assert not dfsp_limits.is_state_query("GET", "parties")
    assert not dfsp_limits.is_state_query("PUT", "transfers")


def test_a_refusal_because_of_a_rate_is_paused_and_only_some_are_paused_at_once() -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 10:  # while this request is paused, the next one comes
            assert not taken(lambda: own.enter(1, "green"))

    own = Limits(lambda: 0.0, pause=pause)
    with override_settings(DFSP_RATE=1, DFSP_OPEN_REQUESTS=0, DFSP_PAUSE_MS=250, WEB_QUEUE=24):
        assert taken(lambda: own.enter(1, "green"))
        assert not taken(lambda: own.enter(1, "green"))
        assert len(pauses) == 4
        assert all(0.125 <= pause <= 0.375 for pause in pauses)
        assert not taken(lambda: own.enter(1, "green"))
        assert len(pauses) == 8  # the earlier pauses have ended
    with override_settings(DFSP_OPEN_REQUESTS=1):
        assert not taken(lambda: own.enter(1, "green"))
    assert len(pauses) == 8  # a request beyond the number at once is refused immediately


def refused_with(attempt: Callable[[], None]) -> tuple[int, str]:
    with pytest.raises(FspiopError) as found:
        attempt()
    return found.value.http_status, found.value.description


def bulks(clock: Callable[[], float] = lambda: 0.0, pause: Callable[[float], None] = lambda seconds: None) -> Bulks:
    return Bulks(Limits(clock, pause).refused, clock, pause)


def test_of_bulks_each_dfsp_has_few_at_work_and_all_together_have_some() -> None:
    own = bulks()
    with override_settings(DFSP_OPEN_BULKS=2, WEB_BULKS=3, DFSP_BULK_SHARE=0):
        greens = [own.enter(1, "green") for _ in range(2)]
        its_own = (429, "Server busy - too many bulks at once")
        assert refused_with(lambda: own.enter(1, "green")) == its_own
        blues = own.enter(2, "blue")
        assert refused_with(lambda: own.enter(1, "green")) == its_own
        assert refused_with(lambda: own.enter(3, "red")) == (503, "Server busy - too many bulks wait; try again")
        greens[0](1.0, NOTHING)
        own.enter(3, "red")
        blues(1.0, NOTHING)
        own.enter(1, "green")
        assert refused_with(lambda: own.enter(1, "green")) == its_own


def test_bulks_have_a_share_of_the_time_and_wait_for_their_turn() -> None:
    now, waits = 0.0, list[float]()
    own = bulks(lambda: now, waits.append)
    with override_settings(DFSP_BULK_SHARE=0.2, DFSP_OPEN_BULKS=9, DFSP_PAUSE_MS=0):
        first = own.enter(1, "green")
        now = 1.0
        first(1.0, NOTHING)
        second = own.enter(1, "green")
        third = own.enter(1, "green")
        assert waits == [4.0, 4.0]  # the work of one second takes a fifth of five seconds
        now = 5.5
        second(0.5, NOTHING)
        now = 6.0
        third(60.0, NOTHING)  # counts as one second, until 12.5
        too_many = (429, "Server busy - too many bulks in a short time")
        assert refused_with(lambda: own.enter(1, "green")) == too_many
        own.enter(2, "blue")
        assert waits[2:] == [0.0]  # the pause of the refusal; blue does not wait
        now = 7.5
        own.enter(1, "green")
        assert waits[-1] == 5.0


GREEN, BLUE, RED = 1, 2, 3


def test_the_bulks_of_a_payer_use_up_nothing_of_its_payees() -> None:
    """Green sends blue bulks at its full share. Blue answers all of them, sends its own, and answers red."""
    now, waits = 0.0, list[float]()
    own = bulks(lambda: now, waits.append)
    with override_settings(DFSP_BULK_SHARE=0.2, DFSP_OPEN_BULKS=4):
        for _ in range(50):
            own.enter(GREEN, "green")(0.225, NOTHING)
            now += 0.225 / 0.2
            own.enter_answer(BLUE, "blue", GREEN)(0.433, BULK)  # each at once
            own.enter_answer(BLUE, "blue", RED)(0.0, BULK)
            own.enter(BLUE, "blue")(0.0, NOTHING)
        assert max(waits, default=0.0) < 0.01


def test_late_answers_to_one_payer_do_not_delay_those_to_another() -> None:
    """Green's bulks expire before blue can answer them."""
    waits = list[float]()
    own = bulks(lambda: 0.0, waits.append)
    refused = (429, "Server busy - too many late, repeated or faulty answers to bulks")
    with override_settings(DFSP_BULK_SHARE=0.2, DFSP_OPEN_BULKS=4, DFSP_PAUSE_MS=0):
        for _ in range(2):
            own.enter_answer(BLUE, "blue", GREEN)(0.9, ENDED_BULK)
        assert waits == [pytest.approx(4.5)]
        assert refused_with(lambda: own.enter_answer(BLUE, "blue", GREEN)) == refused
        assert waits[1:] == [0.0]  # the pause of the refusal
        own.enter_answer(BLUE, "blue", RED)(0.1, BULK)
        own.enter(BLUE, "blue")
        assert len(waits) == 2
        for _ in range(2):  # what is no answer counts whomever it names
            own.enter_answer(BLUE, "blue", RED)(0.9, NOTHING)
        for payer in (RED, 4, None):
            assert refused_with(lambda payer=payer: own.enter_answer(BLUE, "blue", payer)) == refused  # type: ignore[misc]
        own.enter_answer(RED, "red", BLUE)(0.1, BULK)


def test_few_answers_wait_for_their_turn_so_that_they_do_not_hold_every_thread() -> None:
    waits = list[float]()

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if seconds and len(waits) < 5:  # while this answer waits, the next one comes
            taken(lambda: own.enter_answer(BLUE, "blue", GREEN)(0.0, ENDED_BULK))

    own = bulks(lambda: 0.0, pause)
    with override_settings(DFSP_BULK_SHARE=0.2, DFSP_OPEN_BULKS=2, DFSP_PAUSE_MS=0):
        own.enter_answer(BLUE, "blue", GREEN)(0.5, ENDED_BULK)
        own.enter_answer(BLUE, "blue", GREEN)(0.0, ENDED_BULK)
    assert waits == [2.5, 2.5, 0.0]  # the third is refused


def test_an_answer_waits_for_a_place_where_a_request_is_refused() -> None:
    own = bulks()
    with override_settings(DFSP_OPEN_BULKS=1, WEB_BULKS=2):
        leave = own.enter_answer(BLUE, "blue", GREEN)
        threading.Timer(0.2, leave, (0.0, BULK)).start()
        own.enter_answer(BLUE, "blue", GREEN)(0.0, BULK)


def test_callbacks_to_each_participant_have_a_rate_of_their_own() -> None:
    own = Limits(lambda: 0.0, pause=lambda seconds: None)
    with override_settings(DFSP_RATE=2, DFSP_OPEN_REQUESTS=0):
        for callback_to in (GREEN, RED, None):
            passed = [taken(lambda to=callback_to: own.enter(BLUE, "blue", callback_to=to)) for _ in range(3)]  # type: ignore[misc]
            assert passed == [True, True, False]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the limits' clock."""
    now = [0.0]
    monkeypatch.setattr(django_settings, "DFSP_FAULTY_BYTES", 131_072)
    monkeypatch.setattr(dfsp_limits._limits, "_faulty_until", {})
    monkeypatch.setattr(dfsp_limits._limits, "_clock", lambda: now[0])
    monkeypatch.setattr(dfsp_limits._limits, "_pause", lambda seconds: None)
    return now


@pytest.mark.parametrize("headers", [{}, {"transfer-encoding": "chunked"}], ids=["whole", "chunked"])
@pytest.mark.parametrize(("size", "is_refused"), [(10, False), (10_000, False), (60_000, True)])
def test_who_sends_large_faulty_bodies_sends_no_more_large_ones_for_a_while(
    world: World, now: list[float], size: int, is_refused: bool, headers: dict[str, str | None]
) -> None:
    """A faulty body of 64 KiB costs the hub as much as several correct requests."""
    faulty = messages.quote() | {"note": "x" * size, "amount": None}
    answers = [dfsp("POST", "/quotes", faulty, destination="blue", headers=headers).status_code for _ in range(5)]
    assert answers == ([400, 400, 400, 429, 429] if is_refused else [400] * 5)
    # Others, and the same sender's ordinary messages, are not affected.
    assert dfsp("POST", "/quotes", faulty, source="red", destination="blue", headers=headers).status_code == 400
    assert dfsp("POST", "/quotes", messages.quote(), destination="blue", headers=headers).status_code == 202
    now[0] += 1
    assert dfsp("POST", "/quotes", faulty, destination="blue", headers=headers).status_code == 400


def test_a_large_body_without_a_fault_costs_nothing(world: World, now: list[float]) -> None:
    quote = messages.quote(extensionList={"extension": [{"key": "k", "value": "v" * 128}] * 16}) | {"note": "n"}
    padded = json.dumps(quote).encode() + b" " * 40_000
    answers = [dfsp("POST", "/quotes", padded, destination="blue").status_code for _ in range(6)]
    assert set(answers) == {202}


def test_a_large_answer_that_came_too_late_is_not_faulty(world: World, now: list[float]) -> None:
    """When a request for terms expires is for the payer DFSP to choose, so its answer costs the payee DFSP nothing."""
    late = json.dumps(messages.terms()).encode() + b" " * 60_000
    path = "/quotes/b51ec534-ee48-4575-b6a9-ead2955b8069"
    assert [dfsp("PUT", path, late, source="blue").status_code for _ in range(6)] == [400] * 6


BULK_ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"


def test_a_bulk_is_counted_while_it_is_worked_on_and_an_ordinary_message_never(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    green, blue = committed_world.ids["green"], committed_world.ids["blue"]
    entered: list[Any] = []
    ended: list[Answered] = []

    def enter(caller: int, name: str) -> Ended:
        entered.append(caller)
        return lambda took_s, answered: ended.append(answered)

    def enter_answer(caller: int, name: str, payer: int | None) -> Ended:
        entered.append((caller, payer))
        return lambda took_s, answered: ended.append(answered)

    monkeypatch.setattr(dfsp_limits.bulks, "enter", enter)
    monkeypatch.setattr(dfsp_limits.bulks, "enter_answer", enter_answer)
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/bulkTransfers", messages.bulk_transfer()),
        ("POST", "/bulkTransfers", {}),
        ("GET", f"/bulkTransfers/{BULK_ID}", None),
        ("POST", "/bulkQuotes", messages.bulk_quote()),
        ("GET", f"/bulkQuotes/{BULK_ID}", None),
        ("POST", "/participants", {}),
    ]
    answers: list[tuple[str, Any]] = [
        (f"/bulkTransfers/{BULK_ID}", {"bulkTransferState": "COMPLETED"}),
        (f"/bulkTransfers/{BULK_ID}/error", messages.error()),
        (f"/bulkQuotes/{BULK_ID}", b"{"),
    ]
    for method, path, body in requests:
        dfsp(method, path, body, destination="blue")
    for path, body in answers:
        dfsp("PUT", path, body, destination="blue")
    assert entered == [green] * len(requests) + [(green, blue)] * len(answers)
    assert ended == [NOTHING] * len(entered)
    for method, path, body in (
        ("PUT", f"/bulkQuotes/{BULK_ID}/error", messages.error()),
        ("POST", "/participants/MSISDN/1", {}),
        ("POST", "/transfers", messages.transfer()),
    ):
        dfsp(method, path, body, destination="blue")
    assert len(ended) == len(entered) == len(requests) + len(answers)


def test_an_answer_counts_for_what_it_is_to(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Answered] = []
    monkeypatch.setattr(dfsp_limits.bulks, "enter_answer", lambda *_: lambda took_s, answered: ended.append(answered))
    bulk, quote = messages.bulk_transfer(), messages.bulk_quote()
    dfsp("POST", "/bulkTransfers", bulk, destination="blue")
    dfsp("POST", "/bulkQuotes", quote, destination="blue")
    for path, body in (
        (f"/bulkTransfers/{bulk['bulkTransferId']}", messages.bulk_results(bulk)),
        (f"/bulkQuotes/{quote['bulkQuoteId']}", messages.bulk_terms(quote)),
    ):
        for source in ("red", "blue", "blue"):
            dfsp("PUT", path, body, source=source, destination="green")
        assert ended == [NOTHING, BULK, ENDED_BULK]
        ended.clear()


def test_a_report_of_progress_counts_only_for_the_payer_of_its_bulk(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Answered] = []
    monkeypatch.setattr(dfsp_limits.bulks, "enter_answer", lambda *_: lambda took_s, answered: ended.append(answered))
    bulk = messages.bulk_transfer()
    dfsp("POST", "/bulkTransfers", bulk, destination="blue")
    path, report = f"/bulkTransfers/{bulk['bulkTransferId']}", {"bulkTransferState": "PROCESSING"}

    def send(path: str, body: Any, *, source: str = "blue", destination: str = "green") -> int:
        return dfsp("PUT", path, body, source=source, destination=destination).status_code

    assert send(path, report) == send(path, report | {"bulkTransferState": "ACCEPTED"}) == 200
    assert ended == [BULK, BULK]
    send(path, messages.bulk_results(bulk))
    assert send(path, report) == 200
    assert ended[2:] == [BULK, ENDED_BULK]
    # A payee cannot use another payer's share, another payee's bulk, or a bulk that does not exist.
    send(path, report, destination="red")
    send(path, report, source="red")
    send(f"/bulkTransfers/{BULK_ID}", report)
    assert send("/bulkTransfers/1", report) == 400
    assert ended[4:] == [NOTHING] * 4


def test_a_dfsp_with_too_many_bulks_at_work_is_told_so_before_its_body_is_taken_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "body_of", lambda *_: pytest.fail("the body was taken in"))
    with override_settings(DFSP_OPEN_BULKS=0):
        refused = dfsp("POST", "/bulkTransfers", messages.bulk_transfer(), destination="blue")
    assert error_of(refused) == (429, "2005")
    assert refused["Retry-After"] == "1"


def test_nobody_who_is_not_known_has_a_body_taken_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "body_of", lambda *_: pytest.fail("the body was taken in"))
    with override_settings(PARTICIPANT_AUTH=["token"]):
        assert dfsp("POST", "/bulkTransfers", messages.bulk_transfer(), destination="blue").status_code == 401
    with override_settings(DFSP_OPEN_REQUESTS=-1):
        assert dfsp("POST", "/transfers", messages.transfer(), destination="blue").status_code == 429
