"""What one DFSP may have of a process: a rate with a second's worth at once, and a number at once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop.errors import FspiopError
from hub.api import dfsp_limits, request_body
from hub.api.dfsp_limits import Limits
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.examples import examples
from tests.world import World


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
    with override_settings(DFSP_RATE=1, DFSP_OPEN_REQUESTS=0, DFSP_PAUSE_MS=250, WEB_QUEUE=12):
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


def test_of_bulks_each_dfsp_has_few_at_work_and_all_together_have_some() -> None:
    own = Limits()
    with override_settings(DFSP_OPEN_BULKS=2, WEB_BULKS=3):
        for _ in range(2):
            own.enter_bulk(1, "green")
        its_own = (429, "Server busy - too many bulks at once")
        assert refused_with(lambda: own.enter_bulk(1, "green")) == its_own
        own.enter_bulk(2, "blue")
        assert refused_with(lambda: own.enter_bulk(1, "green")) == its_own
        assert refused_with(lambda: own.enter_bulk(3, "red")) == (503, "Server busy - too many bulks wait; try again")
        own.leave_bulk(1)
        own.enter_bulk(3, "red")
        own.leave_bulk(2)
        own.enter_bulk(1, "green")
        assert refused_with(lambda: own.enter_bulk(1, "green")) == its_own


def test_bulks_have_a_share_of_the_time_and_wait_for_their_turn() -> None:
    now, waits = 0.0, list[float]()
    own = Limits(lambda: now, pause=waits.append)
    with override_settings(DFSP_BULK_SHARE=0.2, DFSP_OPEN_BULKS=9, DFSP_PAUSE_MS=0):
        own.enter_bulk(1, "green")
        now = 1.0
        own.charge_bulk(1, 1.0)
        own.enter_bulk(1, "green")
        assert waits == [4.0]  # the work of one second takes a fifth of five seconds
        now = 5.5
        own.charge_bulk(1, 0.5)
        now = 6.0
        own.charge_bulk(1, 1.0)  # 12.5
        assert refused_with(lambda: own.enter_bulk(1, "green")) == (429, "Server busy - too many bulks in a short time")
        own.enter_bulk(2, "blue")
        assert waits[-1] == 0.0  # the pause of the refusal; blue does not wait
        now = 7.5
        own.enter_bulk(1, "green")
        assert waits[-1] == 5.0


BULK_ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"


def test_a_bulk_is_counted_while_it_is_worked_on_and_an_ordinary_message_never(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Limits()
    entered: list[int] = []

    def enter_bulk(caller: int, name: str) -> None:
        own.enter_bulk(caller, name)
        entered.append(caller)

    monkeypatch.setattr(dfsp_limits, "enter_bulk", enter_bulk)
    monkeypatch.setattr(dfsp_limits, "leave_bulk", own.leave_bulk)
    bulks: list[tuple[str, str, Any]] = [
        ("POST", "/bulkTransfers", messages.bulk_transfer()),
        ("POST", "/bulkTransfers", {}),
        ("PUT", f"/bulkTransfers/{BULK_ID}", {"bulkTransferState": "COMPLETED"}),
        ("POST", "/bulkQuotes", messages.bulk_quote()),
        ("PUT", f"/bulkQuotes/{BULK_ID}", b"{"),
        ("POST", "/participants", {}),
    ]
    for method, path, body in bulks:
        dfsp(method, path, body, destination="blue")
    assert entered == [committed_world.ids["green"]] * len(bulks)
    for method, path, body in (
        ("GET", f"/bulkTransfers/{BULK_ID}", None),
        ("PUT", f"/bulkTransfers/{BULK_ID}/error", messages.error()),
        ("GET", f"/bulkQuotes/{BULK_ID}", None),
        ("PUT", f"/bulkQuotes/{BULK_ID}/error", messages.error()),
        ("POST", "/participants/MSISDN/1", {}),
        ("POST", "/transfers", messages.transfer()),
    ):
        dfsp(method, path, body, destination="blue")
    assert len(entered) == len(bulks)
    assert set(own._open_bulks.values()) == {0}


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
