"""Fraud markers: any DFSP files them, every gate sees them within a second, and only two people lift them."""

import time
import uuid
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.http import HttpResponse
from django.test import override_settings

from hub.audit.models import Entry as AuditEntry
from rules.alerts import tasks as alert_tasks
from rules.alerts.models import Alert
from rules.markers import matches, queries, services
from rules.markers.matches import markers
from rules.markers.models import Appeal, Marker
from rules.party_keys import dfsp_key, key_of
from rules.profiles import store
from rules.profiles.events_and_buckets import Profile
from rules.refreshed_name_sets import RefreshedKeySets
from tests.api.caller import description_of, dfsp, error_of
from tests.directory.requests import register
from tests.rules.two_people import decide
from tests.world import World

NUMBER = "255712001001"
ADA = key_of("MSISDN", NUMBER)
MULE = frozenset({"MULE_ACCOUNT"})
PLAIN: dict[str, str | None] = {"content-type": "application/json", "accept": "application/json"}


def call(method: str, path: str, body: Any = None, *, source: str = "green") -> HttpResponse:
    return dfsp(method, f"/dfsp/v1/{path}", body, source=source, headers=PLAIN)


def report(**changes: Any) -> dict[str, Any]:
    return {
        "markerId": str(uuid.uuid4()),
        "partyIdType": "MSISDN",
        "partyIdentifier": f"+{NUMBER}",
        "kind": "MULE_ACCOUNT",
        "reason": "passed on stolen money",
    } | changes


def appeal(number: int, reason: str = "no", *, source: str = "blue", party: str = NUMBER) -> HttpResponse:
    body = {"partyIdType": "MSISDN", "partyIdentifier": party, "reason": reason}
    return call("POST", f"markers/{number}/appeals", body, source=source)


def file(*, source: str = "green", **changes: Any) -> Any:
    answer = call("POST", "markers", report(**changes), source=source)
    assert answer.status_code == 201, answer.content
    return answer.json()  # type: ignore[attr-defined]


def test_a_dfsp_files_a_marker_and_every_gate_has_it(world: World) -> None:
    marker = file()
    assert markers([ADA, ADA + 1]) == {ADA: MULE}
    assert (marker["kind"], marker["isLifted"]) == ("MULE_ACCOUNT", False)
    found = call("GET", f"markers/{marker['number']}")
    assert found.json() == marker  # type: ignore[attr-defined]
    assert error_of(call("GET", f"markers/{marker['number']}", source="grey")) == (404, "3200")
    assert error_of(call("GET", f"markers/{10**30}")) == (404, "3200")


def test_another_process_sees_it_within_a_second(committed_world: World) -> None:
    ours = matches._keys
    other = RefreshedKeySets(ours._change, pages=ours._pages, changed=ours._changed, found=ours._found)
    assert other.of([ADA]) == {}
    file()
    filed_at = time.monotonic()
    while not other.of([ADA]):
        assert time.monotonic() - filed_at < 1
        time.sleep(0.02)


def test_it_stays_when_the_alias_changes_its_dfsp(world: World) -> None:
    register(f"MSISDN/{NUMBER}", "blue")
    file()
    path = f"/participants/MSISDN/{NUMBER}"
    assert dfsp("DELETE", path, source="blue").status_code == 202
    register(f"MSISDN/{NUMBER}", "red")
    assert markers([ADA]) == {ADA: MULE}


def test_an_equal_resend_is_one_marker_and_another_under_the_id_is_refused(world: World) -> None:
    body = report()
    assert [call("POST", "markers", body).status_code for _ in range(2)] == [201, 200]
    assert error_of(call("POST", "markers", body | {"kind": "OTHER"})) == (400, "3106")
    assert call("POST", "markers", body, source="blue").status_code == 201, "the id is each DFSP's own"
    assert Marker.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "BAD"}, "3100"),
        ({"kind": None}, "3101"),
        ({"markerId": "1"}, "3100"),
        ({"reason": ""}, "3100"),
        ({"reason": "a" * 513}, "3100"),
        ({"reason": "a\0b"}, "3100"),
        ({"partyIdType": "PHONE"}, "3100"),
        ({"partyIdentifier": "a\x07"}, "3100"),
        ({"partyIdentifier": "a" * 129}, "3100"),
        ({"transactionId": "x"}, "3100"),
    ],
)
def test_a_faulty_marker_is_refused_and_changes_nothing(world: World, changes: dict[str, Any], code: str) -> None:
    status, found = error_of(call("POST", "markers", report(**changes)))
    assert status == 400
    assert found in (code, "3101")
    body = report()
    for name in ("markerId", "partyIdType", "partyIdentifier", "kind", "reason"):
        assert error_of(call("POST", "markers", {k: v for k, v in body.items() if k != name})) == (400, "3102")
    assert error_of(call("POST", "markers", b"{")) == (400, "3101")
    assert not Marker.objects.exists()


def test_two_dfsps_confirm_each_other_and_operators_alone_do(world: World) -> None:
    file()
    file()
    assert markers([ADA]) == {ADA: MULE}
    file(source="blue", kind="SCAMMER_ACCOUNT")
    assert markers([ADA]) == {ADA: frozenset({"MULE_ACCOUNT", "SCAMMER_ACCOUNT", "CONFIRMED"})}
    decide("file_marker", {"party": ADA + 1, "kind": "OTHER", "reason": "a court's order"})
    assert markers([ADA + 1]) == {ADA + 1: frozenset({"OTHER", "CONFIRMED"})}


@override_settings(MARKERS_PER_DAY=3)
def test_a_dfsp_files_only_so_many_a_day_and_others_are_not_concerned(world: World) -> None:
    first = file()
    body = report()
    assert call("POST", "markers", body).status_code == 201
    assert appeal(first["number"], source="green").status_code == 201
    refused = call("POST", "markers", report())
    assert error_of(refused) == (429, "2005")
    assert description_of(refused).endswith("at most 3 markers and appeals a day")
    assert call("POST", "markers", body).status_code == 200, "a resend is not a further marker"
    assert Marker.objects.count() == 2
    file(source="blue")


def test_the_fraud_desk_is_alerted(world: World) -> None:
    marker = file()
    alert_tasks.merge()
    sighting = Alert.objects.get(key=ADA).sightings.get()
    assert (sighting.kind, sighting.subject) == ("MARKER", f"marker {marker['number']}")
    assert sighting.details == {"kind": "MULE_ACCOUNT", "filed by": "green"}


# --- appeals and lifting ----------------------------------------------------------------------------------------------


def test_an_appeal_changes_nothing_until_two_people_lift_the_marker(committed_world: World) -> None:
    number = file()["number"]
    appeals = f"markers/{number}/appeals"
    assert error_of(call("GET", appeals, source="blue")) == (404, "3200")
    answers = [appeal(number, "our customer was robbed") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert markers([ADA]) == {ADA: MULE}
    with pytest.raises(IntegrityError, match="was not approved"), transaction.atomic():
        services.lift(number, reason="alone", actor="mary")
    assert markers([ADA]) == {ADA: MULE}
    assert [appeal.filed_by.name for appeal in queries.open_appeals()] == ["blue"]

    decide("lift_marker", {"marker": number, "reason": "the account was taken over"})
    lifted_at = time.monotonic()
    while markers([ADA]):
        assert time.monotonic() - lifted_at < 1
        time.sleep(0.02)
    assert call("GET", appeals, source="blue").json() == {  # type: ignore[attr-defined]
        "state": "LIFTED",
        "decision": "the account was taken over",
    }
    assert call("GET", f"markers/{number}").json()["isLifted"]  # type: ignore[attr-defined]
    assert AuditEntry.objects.get(action="marker_lifted").actor == "mary, approved by chris"
    assert error_of(appeal(number, "again")) == (400, "3200")


def test_a_rejected_appeal_leaves_the_marker(world: World) -> None:
    number = file()["number"]
    appeal(number)
    decide("reject_appeal", {"appeal": Appeal.objects.get().pk, "reason": "the police confirm it"})
    assert markers([ADA]) == {ADA: MULE}
    assert call("GET", f"markers/{number}/appeals", source="blue").json()["state"] == "REJECTED"  # type: ignore[attr-defined]
    assert appeal(number, "more").status_code == 201


def test_the_numbers_of_markers_cannot_be_tried_out(world: World) -> None:
    number = file()["number"]
    tried = [appeal(number, party="255712001002", source="grey"), appeal(number + 1, source="grey")]
    assert [error_of(answer) for answer in tried] == [(400, "3200")] * 2
    assert tried[0].content.replace(b"grey", b"") == tried[1].content.replace(b"grey", b"")
    assert not Appeal.objects.exists()


def test_people_see_whether_the_dfsp_that_appeals_serves_the_party(world: World) -> None:
    number = file()["number"]
    assert appeal(number).status_code == 201
    profile = Profile()
    profile.note_dfsp(dfsp_key("red"), 1)
    store.save(store.lock([ADA])[0] | {ADA: profile})
    assert appeal(number, source="red").status_code == 201
    alert_tasks.merge()
    found = [each.details["serves the party"] for each in Alert.objects.get().sightings.filter(kind="APPEAL")]
    assert found == ["not known", "yes"]
    assert list(queries.serves(queries.open_appeals()).values()) == ["no", "yes"]


def test_a_marker_keeps_its_content(world: World) -> None:
    file()
    for change in (
        lambda: Marker.objects.update(kind="OTHER"),
        lambda: Marker.objects.update(key=1),
        lambda: Marker.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
