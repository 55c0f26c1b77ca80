"""What one DFSP may have of a process: a rate with a second's worth at once, and a number at once."""

from collections.abc import Callable

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop.errors import FspiopError
from hub.api import limits
from hub.api.limits import Limits
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.world import World


def taken(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except FspiopError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(rate=st.integers(1, 50), pauses=st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_in_any_time_no_more_pass_than_the_rate_and_one_seconds_worth(rate: int, pauses: list[float]) -> None:
    now = 0.0
    own = Limits(lambda: now)
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
    own = Limits(lambda: now)
    with override_settings(DFSP_RATE=10, DFSP_OPEN_REQUESTS=1):
        for _ in range(200):
            assert taken(lambda: own.enter(1, "green"))
            own.leave(1)
            now += 0.1 + 1e-9


def test_each_dfsp_has_its_own(world: World) -> None:
    own = Limits(lambda: 0.0)
    with override_settings(DFSP_RATE=3, DFSP_OPEN_REQUESTS=0):
        assert [taken(lambda: own.enter(1, "green")) for _ in range(5)] == [True] * 3 + [False] * 2
        assert taken(lambda: own.enter(2, "blue"))


def test_a_request_that_ends_makes_room_however_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Limits()
    monkeypatch.setattr(limits, "enter", own.enter)
    monkeypatch.setattr(limits, "leave", own.leave)
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
    monkeypatch.setattr(limits, "enter", Limits(lambda: 0.0).enter)
    monkeypatch.setattr(limits, "leave", lambda caller: None)
    with override_settings(DFSP_RATE=1):
        dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069")
        refused = dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069")
    assert error_of(refused) == (429, "2005")
    assert description_of(refused) == "Server busy - more requests a second than one DFSP may send"
    assert refused["Retry-After"] == "1"
