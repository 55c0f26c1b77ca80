"""Positions near their limits: one log line when they come near, one when they are well below, and a metric."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache, caches
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ledger import accounts_and_funds, limit_alarms, tasks
from portal.permissions import Role
from tests.portal.people import browser_of, person
from tests.world import World, amount, fulfil, prepare, reject, run


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def said() -> list[tuple[str, str, int]]:
    """What a look says: (event, participant, per cent used)."""
    with capture_logs() as lines:
        tasks.watch_positions()
    return [(line["event"], line["participant"], line["used_percent"]) for line in lines if "participant" in line]


def reserve(world: World, text: str | int) -> str:
    p = prepare(world, "green", "blue", text)
    run(p)
    return p.transfer_id


def test_a_position_is_said_to_be_near_its_limit_once_and_to_be_well_below_once(world: World) -> None:
    reserve(world, "899.9999")
    assert said() == []
    last = reserve(world, "0.0001")  # 90 of 100: what is free is what the alarm asks for
    assert said() == [("position_near_limit", "green", 90)]
    assert said() == []
    more = reserve(world, 60)
    assert said() == []
    run(reject(world, "blue", more))
    run(reject(world, "blue", last))
    assert said() == []  # just below, and not well below
    assert said() == []


def test_an_alarm_that_has_ended_may_be_said_again(world: World) -> None:
    reserve(world, 849)
    first = reserve(world, 60)
    assert said() == [("position_near_limit", "green", 90)]
    run(reject(world, "blue", first))
    assert said() == [("position_well_below_limit", "green", 84)]
    assert said() == []
    paid = reserve(world, 60)
    run(fulfil(world, "blue", paid))
    assert said() == [("position_near_limit", "green", 90)]


def test_cover_counts_as_the_cap_does_and_so_does_a_lowered_limit(world: World) -> None:
    world.onboard("poor", ndc=1000, cover=10)
    p = prepare(world, "poor", "blue", 9)
    run(p)
    assert said() == [("position_near_limit", "poor", 90)]
    reserve(world, 500)
    accounts_and_funds.change_ndc(
        world.account("green").participant, currency="TZS", ndc=amount(100), alarm_percentage=20, actor="test"
    )
    assert said() == [("position_near_limit", "green", 500)]


def test_who_may_not_pay_alarms_nobody(world: World) -> None:
    reserve(world, 950)
    accounts_and_funds.set_account_active(world.account("green"), is_active=False, actor="test")
    assert said() == []


def test_the_alarm_is_the_participants_own(world: World) -> None:
    accounts_and_funds.change_ndc(
        world.account("green").participant, currency="TZS", ndc=amount(1000), alarm_percentage=50, actor="test"
    )
    reserve(world, 499)
    assert said() == []
    reserve(world, 1)
    assert said() == [("position_near_limit", "green", 50)]


def test_prometheus_and_the_overview_show_it_as_long_as_it_is_so(world: World) -> None:
    def shown() -> tuple[bool, bool]:
        metrics = Client().get("/metrics").content.decode()
        assert 'kitovu_position_used_percent{currency="TZS",participant="blue"} 0.0' in metrics
        near = 'kitovu_position_near_limit{currency="TZS",participant="green"} 1.0' in metrics
        viewer = browser_of(person(Role.VIEWER, name=f"viewer-{int(near)}"))
        page = viewer.get("/portal/overview/live/").content.decode()
        return near, "<strong>95 %</strong><small>green TZS</small>" in page

    assert shown() == (False, False)
    reserve(world, 950)
    caches["process"].clear()
    assert shown() == (True, True)


@given(used=st.integers(-100, 200), limit=st.integers(0, 150), alarm=st.integers(0, 100))
def test_an_alarm_never_begins_and_ends_at_once(used: int, limit: int, alarm: int) -> None:
    use = limit_alarms.Use(1, "green", "TZS", used, limit, alarm)
    assert not (use.is_due and use.is_over)
    assert use.is_due == (used > 0 and limit - used <= alarm * limit / 100)
