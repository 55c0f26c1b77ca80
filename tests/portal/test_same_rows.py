"""Two people change the same rows at the same time: PostgreSQL ends one change, and its page says so."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from hub.audit.models import Approval, Entry
from hub.audit.trail import _CHAIN_LOCK
from portal.alarms import services
from portal.alarms.checks import Cause
from portal.models import Alarm
from portal.permissions import Role
from tests.portal.people import browser
from tests.world import World

_WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
"""


def meanwhile(act: Callable[[], Any], *, lock: str) -> Any:
    """Returns what a page answers while another transaction holds the audit trail and then wants the page's rows.

    The page waits for the audit trail, and the other transaction waits for the page: a deadlock. PostgreSQL ends the
    transaction that finds the deadlock. So the page looks for one after three seconds, and the other one much later.
    """
    answers: list[Any] = []
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '3s'")
    try:
        return _in_a_deadlock(act, lock, answers)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" RESET deadlock_timeout')


def _in_a_deadlock(act: Callable[[], Any], lock: str, answers: list[Any]) -> Any:

    def request() -> None:
        answers.append(act())
        connection.close()

    found = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    with psycopg.connect(**{name: found[key] or None for name, key in names.items()}) as other:
        other.execute("SET deadlock_timeout = '60s'")
        other.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])
        page = threading.Thread(target=request)
        page.start()
        until = time.monotonic() + 10
        with connection.cursor() as cursor:
            while time.monotonic() < until:
                cursor.execute(_WAITS)
                if cursor.fetchone()[0]:
                    break
                time.sleep(0.01)
        with suppress(psycopg.errors.DeadlockDetected):
            other.execute(lock)
        other.rollback()
    page.join(20)
    return answers[0]


@pytest.fixture
def alarm(committed_world: World) -> Alarm:
    services.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 3})])
    return Alarm.objects.get()


def test_a_change_that_a_deadlock_ended_is_a_page_that_says_so_and_changes_nothing(alarm: Alarm) -> None:
    client = browser(Role.OPERATOR, name="juma")
    client.raise_request_exception = False
    before = Entry.objects.count()
    path = f"/portal/alarms/{alarm.pk}/acknowledge/"
    answer = meanwhile(lambda: client.post(path), lock="SELECT FROM portal_alarm FOR UPDATE")
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Somebody else changed the same rows" in page
    assert "try again" in page
    alarm.refresh_from_db()
    assert (alarm.acknowledged_at, Entry.objects.count()) == (None, before)
    assert client.post(path).status_code == 302
    alarm.refresh_from_db()
    assert alarm.acknowledged_by == "juma"


def _ask_for_two_caps() -> tuple[Approval, Approval]:
    asha = browser(Role.RISK, name="asha")
    for name in ("green", "blue"):
        answer = asha.post(
            f"/portal/participants/{name}/TZS/cap/",
            {"ndc": "2500", "alarm_percentage": "10", "reason": "more customers"},
        )
        assert answer.status_code == 302, answer.content.decode()
    first, second = Approval.objects.order_by("pk")
    return first, second


def test_a_deadlock_about_one_of_several_requests_does_not_stop_the_others(committed_world: World) -> None:
    first, second = _ask_for_two_caps()
    juma: Client = browser(Role.RISK, name="juma")
    lock = f"SELECT FROM audit_approval WHERE id = {first.pk} FOR UPDATE"
    chosen = {"request": [first.pk, second.pk]}
    answer = meanwhile(lambda: juma.post("/portal/approvals/several/", chosen, follow=True), lock=lock)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert f"{first.pk} Change a net debit cap green: Somebody else changed the same rows" in page
    assert f"Approved: {second.pk} Change a net debit cap blue." in page
    states = list(Approval.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["PENDING", "APPROVED"]
    assert committed_world.account("green").net_debit_cap == committed_world.account("red").net_debit_cap
    assert committed_world.breaks() == []
