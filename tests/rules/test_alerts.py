"""The fraud desk: what is reported about a party becomes one alert, which people work on, decide and close."""

import json
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.test import override_settings

from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.notifications.models import Notification
from rules.alerts import notifications, queries, requested_changes, services, tasks
from rules.alerts.models import Alert, SightingRow
from rules.alerts.services import Sighting
from rules.change_refused import NotChanged
from rules.lists import matches
from rules.party_keys import dfsp_key
from tests.rules.test_lists import ADA, BEN, BLOCKED, put
from tests.rules.two_people import approve, person
from tests.sweeps.poison import pause_is_over, poisoned, skipped
from tests.world import World

HOOK = "https://hooks.example/alerts"


def sighting(party: int | None = ADA, **changes: Any) -> Sighting:
    values = {
        "kind": services.RULE,
        "party": party,
        "rule": "p2p-daily",
        "rules_version": 3,
        "gate": "transfer",
        "subject": "transfer 1",
        "payer_dfsp": "green",
        "payee_dfsp": "blue",
        "amount": 10_000,
        "currency": "TZS",
        "details": {"condition": "above", "value": '1 "000"\0'},
    } | changes
    return Sighting(**values)  # type: ignore[arg-type]


def test_what_is_reported_about_a_party_is_one_alert(world: World) -> None:
    services.raise_alerts([sighting(), sighting(BEN), sighting(rule="other", amount=None, details=None)])
    services.raise_alerts([])
    assert not Alert.objects.exists(), "payments only insert rows"
    assert tasks.merge() == 3 + 2
    services.raise_alerts([sighting(), sighting(None, dfsp="green")])
    tasks.merge()
    found = {alert.key: alert.count for alert in queries.queue()}
    assert found == {ADA: 3, BEN: 1, dfsp_key("green"): 1}
    alert = Alert.objects.get(key=ADA)
    assert [each.rule for each in alert.sightings.all()] == ["p2p-daily", "other", "p2p-daily"]
    assert alert.sightings.all()[0].details == {"condition": "above", "value": '1 "000"\ufffd'}
    assert Alert.objects.get(key=dfsp_key("green")).dfsp == "green"


def test_an_alert_keeps_the_first_sightings_and_counts_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_KEPT", 3)
    for _ in range(2):
        services.raise_alerts([sighting(subject=f"transfer {number}") for number in range(4)])
        tasks.merge()
    alert = Alert.objects.get()
    assert (alert.count, alert.kept, SightingRow.objects.count()) == (8, 3, 3)


def test_one_party_with_many_sightings_does_not_delay_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_MOST_OF_A_PARTY", 2)
    services.raise_alerts([*(sighting(min(ADA, BEN)) for _ in range(5)), sighting(max(ADA, BEN))])
    tasks.merge()
    assert {alert.key: alert.count for alert in Alert.objects.all()} == {min(ADA, BEN): 2, max(ADA, BEN): 1}
    tasks.merge()
    tasks.merge()
    assert Alert.objects.get(key=min(ADA, BEN)).count == 5


def test_a_party_whose_alert_cannot_be_written(committed_world: World) -> None:
    services.raise_alerts([sighting(1), sighting(2), sighting(3)])
    with poisoned("rules_alerts_alert", "key", 2, when="BEFORE INSERT"):
        tasks.merge()
        assert sorted(Alert.objects.values_list("key", flat=True)) == [1, 3]
        assert [row for _batch, row, _why in skipped()] == ["2"]
    pause_is_over()
    tasks.merge()
    assert sorted(Alert.objects.values_list("key", flat=True)) == [1, 2, 3]
    assert skipped() == []


def test_people_assign_note_and_close(world: World) -> None:
    services.raise_alerts([sighting()])
    tasks.merge()
    mary = person("mary")
    alert = queries.queue().get()
    services.assign(alert.pk, to=mary, actor="mary")
    services.add_note(alert.pk, text=" called the customer ", actor="mary")
    assert [each.pk for each in queries.queue(assigned_to=mary.pk)] == [alert.pk]
    for refused in (
        lambda: services.add_note(alert.pk, text=" ", actor="mary"),
        lambda: services.add_note(alert.pk + 1, text="x", actor="mary"),
        lambda: services.close(alert.pk, outcome="MAYBE", actor="mary"),
        lambda: services.close(alert.pk + 1, outcome="FRAUD", actor="mary"),
    ):
        with pytest.raises(NotChanged):
            refused()
    services.close(alert.pk, outcome="FRAUD", actor="mary")
    assert not queries.queue().exists()
    for refused in (
        lambda: services.close(alert.pk, outcome="NO_FRAUD", actor="chris"),
        lambda: services.assign(alert.pk, to=None, actor="chris"),
    ):
        with pytest.raises(NotChanged, match="closed"):
            refused()
    services.raise_alerts([sighting()])
    tasks.merge()
    again = queries.queue().get()
    assert (again.pk != alert.pk, [each.outcome for each in queries.earlier(again)]) == (True, ["FRAUD"])
    found = queries.one(alert.pk)
    assert found is not None
    assert [note.text for note in found.notes.all()] == ["called the customer"]
    assert list(AuditEntry.objects.filter(subject=str(alert)).values_list("action", flat=True)) == [
        "alert_assigned",
        "alert_closed",
    ]


def test_the_label_of_an_alert_does_not_change(world: World) -> None:
    services.raise_alerts([sighting()])
    tasks.merge()
    alert = Alert.objects.get()
    note = services.add_note(alert.pk, text="x", actor="mary")
    services.close(alert.pk, outcome="NO_FRAUD", actor="mary")
    for change in (
        lambda: Alert.objects.update(outcome="FRAUD"),
        lambda: Alert.objects.all().delete(),
        lambda: type(note).objects.update(text="y"),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_an_action_waits_for_a_second_person(world: World) -> None:
    put(BEN)
    services.raise_alerts([sighting()])
    tasks.merge()
    alert = Alert.objects.get()
    payload = {"list": "blocked", "party": ADA}
    request = requested_changes.ask(
        alert.pk, kind="block_party", payload=payload, reason="a mule", maker=person("mary")
    )
    assert matches.matches([ADA]) == {}
    approve(request)
    assert matches.matches([ADA]) == {ADA: BLOCKED}
    found = queries.one(alert.pk)
    assert found is not None
    assert [(each.approval.kind, each.approval.state) for each in found.actions.all()] == [("block_party", "APPROVED")]
    with pytest.raises(NotChanged):
        requested_changes.ask(alert.pk, kind="give_money", payload={}, reason="", maker=person("mary"))
    with pytest.raises(NotChanged):
        requested_changes.ask(alert.pk + 1, kind="block_party", payload=payload, reason="", maker=person("mary"))
    assert Approval.objects.count() == 2  # with the one of the list


@override_settings(
    ALERT_RECIPIENTS=["desk@hub.example"], NOTIFICATION_WEBHOOKS=[HOOK], SENDS_EMAIL=True, WEBHOOK_SECRET="x" * 32
)
def test_the_desk_is_notified_once_a_minute(world: World) -> None:
    services.raise_alerts([sighting(number) for number in range(1, 26)])
    tasks.merge()
    services.raise_alerts([sighting(100)])
    tasks.merge()
    assert sorted(Notification.objects.values_list("recipient", "subject")) == [
        ("desk@hub.example", "25 new alerts"),
        (HOOK, "25 new alerts"),
    ]
    body = json.loads(Notification.objects.get(recipient=HOOK).text)
    assert (body["type"], body["data"]["count"], len(body["data"]["alerts"])) == (notifications.KIND, 25, 20)
    assert "and 5 more" in Notification.objects.get(recipient="desk@hub.example").text
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rules_alerts_alert SET notified_at = notified_at - interval '2 minutes'")
    tasks.merge()
    assert Notification.objects.filter(subject="1 new alert").count() == 2
    assert Alert.objects.filter(notified_at__lte=Now()).count() == 26


@override_settings(ALERT_RECIPIENTS=["desk@hub.example"], NOTIFICATION_WEBHOOKS=[HOOK], WEBHOOK_SECRET="x" * 32)
def test_a_dfsp_with_many_alerts_does_not_hide_those_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "_MOST_OF_A_DFSP", 30)
    monkeypatch.setattr(queries, "MOST_COUNTED", 30)
    services.raise_alerts([sighting(number) for number in range(1, 101)])  # of green
    others = [
        sighting(1001, payer_dfsp="blue", payee_dfsp="green"),
        sighting(1002, kind=services.MARKER, payer_dfsp="", caused_by="blue"),
        sighting(1003, kind=services.NAME_MATCH, payer_dfsp=""),
    ]
    services.raise_alerts(others)
    services.raise_alerts([sighting(1001)])  # the DFSP of the first report remains
    merge_all()
    assert Alert.objects.filter(caused_by="green").count() == 100
    assert set(Alert.objects.exclude(caused_by="green").values_list("key", "caused_by")) == {
        (1001, "blue"),
        (1002, "blue"),
        (1003, ""),
    }
    body = json.loads(Notification.objects.get(recipient=HOOK).text)["data"]
    assert body["count"] == 33
    shown = {alert["alertId"] for alert in body["alerts"]}
    assert shown >= set(Alert.objects.exclude(caused_by="green").values_list("pk", flat=True))
    assert Alert.objects.filter(notified_at=None).count() == 70, "the others of green come with later notifications"
    assert notifications.notify_new() == 0
    found = [(each.dfsp, each.count, each.has_more) for each in queries.open_by_dfsp()]
    assert found == [("green", 30, True), ("blue", 2, False), ("", 1, False)]


def merge_all() -> None:
    """Merges all reports, and only then notifies."""
    while keys := services.waiting(500):
        services.merge(keys)
    notifications.notify_new()
