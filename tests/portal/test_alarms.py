"""Alarms: raised and ended by a tick, one for each subject, acknowledged by people, sent once, each with a runbook."""

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client, override_settings
from django.urls import reverse

from hub.audit.models import Entry as AuditEntry
from hub.notifications.models import Notification
from hub.outbox.models import Message
from hub.participants.models import Credential, Participant
from hub.sql_execution import execute
from ledger.models import SettlementWindow
from portal import history
from portal.alarms import checks, notifications, queries, runbook_sections, services, success_rates
from portal.alarms.checks import Cause, Check
from portal.alarms.kinds import KINDS
from portal.history import PAYEE, PAYER
from portal.models import Alarm, HistoryMark, HistoryRow, LedgerCheck, LimitUse
from portal.permissions import Role
from portal.queries import limit_use_per_minute
from settlement import services as services_of_settlement
from settlement.states import State
from tests.portal.people import browser, browser_of, person
from tests.settlement.operator_steps import add_model, close, pay
from tests.world import World, fulfil, prepare, reject, run


@pytest.fixture(autouse=True)
def calm(settings: object) -> Iterator[None]:
    cache.clear()
    with override_settings(ALARM_CALM_S=0):
        yield
    cache.clear()


def look() -> None:
    cache.clear()  # every check is due
    services.look()


def open_ones() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, subject in Alarm.objects.filter(ended_at__isnull=True).order_by("id").values_list("kind", "subject"):
        found.setdefault(kind, []).append(subject)
    return found


def test_every_kind_has_a_check_a_runbook_and_a_sentence() -> None:
    assert set(KINDS) == {check.kind for check in checks.CHECKS} | {"failed_check"}
    assert runbook_sections.kinds() == set(KINDS)


def test_a_quiet_scheme_has_no_alarms(world: World) -> None:
    look()
    assert open_ones() == {}


def test_causes_raise_one_alarm_each_and_their_end_ends_it(world: World) -> None:
    run(prepare(world, "green", "blue", 950))
    Message.objects.update(state="DEAD", attempts=9)
    LedgerCheck.objects.create(seconds=1, breaks=["money_is_kept"])
    SettlementWindow.objects.filter(state="OPEN").update(created_at=datetime.now(UTC) - timedelta(days=3))
    now = datetime.now(UTC)
    Credential.objects.create(
        participant=Participant.objects.get(name="red"),
        kind="certificate",
        sha256="a" * 64,
        label="CN=red",
        valid_from=now - timedelta(days=300),
        valid_until=now + timedelta(days=5),
    )
    for _tick in range(3):
        look()
    window = SettlementWindow.objects.get(state="OPEN").pk
    found = open_ones()
    assert found["given_up_callbacks"] == ["blue"]
    assert found["near_limit"] == ["green TZS"]
    assert found["ledger"] == [""]
    assert found["late_window"] == [f"window {window}"]
    assert len(found["ending_certificate"]) == 1
    assert Alarm.objects.count() == 5
    # the causes go
    Message.objects.all().delete()
    LedgerCheck.objects.create(seconds=1, breaks=[])
    world.funds_in("green", 1)
    SettlementWindow.objects.filter(state="OPEN").update(created_at=datetime.now(UTC))
    Credential.objects.update(revoked_at=now)
    look()
    assert open_ones() == {"near_limit": ["green TZS"]}
    assert Alarm.objects.filter(ended_at__isnull=False).count() == 4


def test_a_window_whose_settlement_was_aborted_stays_late_until_another_settles_it(world: World) -> None:
    add_model()
    pay(world, "green", "blue", 100)
    window = close()
    SettlementWindow.objects.filter(pk=window).update(closed_at=datetime.now(UTC) - timedelta(days=3))
    made = services_of_settlement.create(model_name="DEFERREDNET", window_ids=[window], reason="test", actor="test")
    look()
    services_of_settlement.abort(made.pk, reason="test", actor="test")
    assert SettlementWindow.objects.get(pk=window).state == "ABORTED"
    look()
    assert open_ones() == {"late_window": [f"window {window}"]}
    assert Alarm.objects.count() == 1
    other = services_of_settlement.create(model_name="DEFERREDNET", window_ids=[window], reason="test", actor="test")
    services_of_settlement.advance(other.pk, to=State.SETTLED, reason="test", actor="test")
    look()
    assert open_ones() == {}


def test_a_cause_that_comes_and_goes_within_the_calm_time_is_one_alarm(world: World) -> None:
    with override_settings(ALARM_CALM_S=60):
        for causes in ([Cause("blue", {"participant": "blue", "count": 1})], [], [], [Cause("blue", {"count": 2})]):
            services.store("given_up_callbacks", causes)
    alarm = Alarm.objects.get()
    assert (alarm.ended_at, alarm.details) == (None, {"count": 2})


def test_a_check_that_fails_does_not_stop_the_others_and_ends_no_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 1})])

    def broken() -> list[Cause]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        raise AssertionError

    monkeypatch.setattr(
        checks, "CHECKS", [Check("given_up_callbacks", broken), Check("ledger", lambda: [Cause("", {"breaks": ["x"]})])]
    )
    look()
    assert open_ones() == {"given_up_callbacks": ["blue"], "ledger": [""], "failed_check": ["given_up_callbacks"]}


def test_the_statements_of_a_tick_do_not_depend_on_how_many_causes_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statements(causes: int) -> int:
        found = [Cause(f"subject {number}", {"participant": "x", "count": 1}) for number in range(causes)]
        made = []
        with monkeypatch.context() as patched:
            patched.setattr(services, "execute", lambda *said: (made.append(said), execute(*said))[1])
            services.store("given_up_callbacks", found)
        return len(made)

    assert statements(2) == statements(200)


@pytest.mark.parametrize(
    ("values", "is_below"),
    [
        ({"ended": 100, "committed": 60, "normally_ended": 1000, "normally_committed": 980}, True),
        ({"ended": 100, "committed": 96, "normally_ended": 1000, "normally_committed": 980}, False),
        ({"ended": 100, "committed": 60, "normally_ended": 1000, "normally_committed": 620}, False),  # its own normal
        ({"ended": 19, "committed": 0, "normally_ended": 1000, "normally_committed": 980}, False),
        ({"ended": 100, "committed": 0, "normally_ended": 99, "normally_committed": 99}, False),
        ({"ended": 20, "committed": 18, "normally_ended": 1000, "normally_committed": 1000}, False),  # chance
    ],
)
def test_success_is_compared_with_the_banks_own_normal(values: dict[str, int], is_below: bool) -> None:
    assert success_rates.is_below_normal(**values) is is_below


def test_a_bank_below_its_own_normal_raises_an_alarm_and_the_others_do_not(world: World) -> None:
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    for number in Participant.objects.filter(is_hub=False).values_list("pk", flat=True):
        normal(yesterday, PAYER, payer_id=number)
        normal(yesterday, PAYEE, payee_id=number)
    for number in range(25):
        payment = prepare(world, "green", "blue", 1)
        run(payment)
        run(reject(world, "blue", payment.transfer_id) if number % 2 else fulfil(world, "blue", payment.transfer_id))
    for _number in range(25):
        payment = prepare(world, "red", "grey", 1)
        run(payment)
        run(fulfil(world, "grey", payment.transfer_id))
    look()
    assert sorted(open_ones()["low_success"]) == ["blue PAYEE", "green PAYER"]
    sentence = queries.sentence_of(Alarm.objects.get(subject="blue PAYEE"))
    assert sentence == "52.0 % of 25 payments to blue succeed. 99.0 % is normal."


def test_the_normal_is_what_the_history_counted_before_this_hour(world: World) -> None:
    for is_paid in (True, True, False):
        payment = prepare(world, "green", "blue", 1)
        run(payment)
        run(fulfil(world, "blue", payment.transfer_id) if is_paid else reject(world, "blue", payment.transfer_id))
    ids = {name: world.ids[name] for name in ("green", "blue")}
    for hours, expected in ((0, {}), (3, {"green": (3, 2), "blue": (3, 2)}), (9 * 24, {})):
        HistoryRow.objects.all().delete()
        HistoryMark.objects.all().delete()
        arrived(hours_ago=hours)
        history.fold()
        found = {(bank, side): (ended, committed) for bank, side, ended, committed in execute(success_rates._NORMAL)}
        sides = {"green": "PAYER", "blue": "PAYEE"}
        assert found == {(ids[name], sides[name]): counts for name, counts in expected.items()}


def arrived(*, hours_ago: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE ledger_transfer SET received_at = clock_timestamp() - make_interval(mins => %s)",
            [60 * hours_ago + 2],  # what arrived in the last minute is not counted yet
        )
        cursor.execute("SET session_replication_role = origin")


def normal(at: datetime, scope: int, *, payer_id: int = 0, payee_id: int = 0) -> None:
    """A day of a bank on which 99 of 100 payments succeeded."""
    HistoryMark.objects.get_or_create(source="transfer", defaults={"up_to": at, "time_zone": "UTC"})
    HistoryRow.objects.create(
        source="transfer", grain="day", scope=scope, at=at, payer_id=payer_id, payee_id=payee_id, use_case="",
        currency="TZS", ended=1000, succeeded=990, value=1, durations={}, reasons={},
    )  # fmt: skip


# --- sent once --------------------------------------------------------------------------------------------------------


@override_settings(
    ALARM_RECIPIENTS=["desk@example.org"],
    NOTIFICATION_WEBHOOKS=["https://alarms.example/kitovu"],
    SENDS_EMAIL=True,
    PORTAL_URL="https://hub.example",
)
def test_an_alarm_is_sent_once_by_mail_and_webhook_with_its_runbook(world: World) -> None:
    services.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 3})])
    assert notifications.notify_new() == 1
    for _tick in range(3):
        services.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 4})])
        assert notifications.notify_new() == 0
    mail, webhook = Notification.objects.filter(kind="alarms").order_by("channel")
    assert (mail.recipient, webhook.recipient) == ("desk@example.org", "https://alarms.example/kitovu")
    assert "blue: the hub no longer tries to send 3 callbacks." in mail.text
    assert "https://hub.example/portal/alarms/runbook/given_up_callbacks/" in mail.text
    said = json.loads(webhook.text)
    assert (said["type"], said["data"]["count"]) == ("alarms", 1)
    assert said["data"]["alarms"][0]["runbook"].endswith("/runbook/given_up_callbacks/")
    # a second alarm within the minute waits, and comes later
    services.store("ledger", [Cause("", {"breaks": ["money_is_kept"]})])
    assert notifications.notify_new() == 0
    Alarm.objects.filter(notified_at__isnull=False).update(notified_at=datetime.now(UTC) - timedelta(minutes=2))
    assert notifications.notify_new() == 1


# --- what people do ---------------------------------------------------------------------------------------------------


def test_a_person_acknowledges_and_assigns_an_alarm_and_the_trail_has_both(world: World) -> None:
    services.store("given_up_callbacks", [Cause("blue", {"participant": "blue", "count": 3})])
    alarm = Alarm.objects.get()
    juma, viewer = browser(Role.OPERATOR, name="juma"), browser(Role.VIEWER)
    page = juma.get("/portal/alarms/").content.decode()
    assert "blue: the hub no longer tries to send 3 callbacks." in page
    assert reverse("runbook", args=["given_up_callbacks"]) in page
    assert '<span class="count">1</span>' in page
    assert viewer.post(f"/portal/alarms/{alarm.pk}/acknowledge/").status_code == 403
    assert juma.post(f"/portal/alarms/{alarm.pk}/acknowledge/").status_code == 302
    assert juma.post(f"/portal/alarms/{alarm.pk}/assign/", {"to": "juma"}).status_code == 302
    assert juma.post(f"/portal/alarms/{alarm.pk}/assign/", {"to": "somebody"}).status_code == 404
    again = juma.post(f"/portal/alarms/{alarm.pk}/acknowledge/", follow=True).content.decode()
    assert "juma has already acknowledged this alarm." in again
    alarm.refresh_from_db()
    assert (alarm.acknowledged_by, alarm.assigned_to.username) == ("juma", "juma")
    assert list(
        AuditEntry.objects.filter(subject=f"alarm {alarm.pk}").order_by("id").values_list("action", "actor")
    ) == [("alarm_acknowledged", "juma"), ("alarm_assigned", "juma")]
    services.store("given_up_callbacks", [])
    assert "This alarm has ended." in juma.post(f"/portal/alarms/{alarm.pk}/assign/", follow=True).content.decode()
    assert "blue: the hub" in juma.get("/portal/alarms/?state=ended").content.decode()


@pytest.mark.parametrize("code", ["fr", "sw"])
def test_each_runbook_is_in_the_visitors_language_and_translates_the_present_text(world: World, code: str) -> None:
    documents = Path(settings.BASE_DIR) / "docs" / "operators.md"
    heading = r"^### Alarm `(\w+)`: ([^\n]*)\n(.*?)(?=^##|\Z)"
    english = re.findall(heading, documents.read_text(), re.MULTILINE | re.DOTALL)
    text = (Path(runbook_sections.__file__).parent / "runbooks" / f"{code}.md").read_text()
    translated = {kind: digest for kind, digest, _text in re.findall(heading, text, re.MULTILINE | re.DOTALL)}
    assert translated == {kind: sha256(text.strip().encode()).hexdigest()[:8] for kind, _title, text in english}
    client = browser(Role.VIEWER)
    for kind, _title, said in english:
        page = client.get(reverse("runbook", args=[kind]), headers={"Accept-Language": code}).content.decode()
        assert html.escape(said.strip().split("\n")[0][:30]) not in page, kind


def test_each_runbook_opens(world: World) -> None:
    client = browser(Role.VIEWER)
    for kind in KINDS:
        page = client.get(reverse("runbook", args=[kind]))
        assert page.status_code == 200, kind
        assert "<ol>" in page.content.decode() or "Skipped rows" in page.content.decode(), kind
    assert client.get("/portal/alarms/runbook/unknown/").status_code == 404


def test_an_ended_alarm_does_not_change_and_an_open_one_is_not_deleted(world: World) -> None:
    services.store("ledger", [Cause("", {"breaks": ["x"]})])

    def refused(change: Callable[[], object]) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            change()

    refused(Alarm.objects.all().delete)
    services.store("ledger", [])
    refused(lambda: Alarm.objects.update(ended_at=None))
    services.store("ledger", [Cause("", {"breaks": ["y"]})])
    with pytest.raises(IntegrityError), transaction.atomic():
        Alarm.objects.create(kind="ledger", subject="")


def test_the_metrics_have_a_figure_for_each_kind(world: World) -> None:
    services.store("ledger", [Cause("", {"breaks": ["x"]})])
    page = Client().get("/metrics").content.decode()
    assert 'kitovu_alarms_open{kind="ledger"} 1.0' in page
    assert 'kitovu_alarms_open{kind="silent_oracle"} 0.0' in page


# --- the overview's chart keeps its history ---------------------------------------------------------------------------


def test_the_chart_of_limits_has_its_history_at_each_load(world: World) -> None:
    cache.clear()
    run(prepare(world, "green", "blue", 500))
    limit_use_per_minute.store()
    limit_use_per_minute.store()  # the same minute
    LimitUse.objects.update(minute=datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=7))
    page = browser_of(person(Role.VIEWER)).get("/portal/overview/")
    used = json.loads(page.context["chart"])["used"]
    green = next(line for line in used if line["label"] == "green TZS")
    assert [value for value in green["minutes"] if value is not None] == [50]
    assert green["now"] == 50
