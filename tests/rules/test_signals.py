"""What a DFSP learns of a payee before it pays: markers and rounded counters, never by trying out numbers."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings

from hub.participants import credential_cache
from hub.participants.models import AllowedNetwork
from rules.markers.models import Marker
from rules.party_keys import key_of
from rules.signals import answering_requests, payee_counters
from rules.signals.models import SignalAccess, TokenBucket
from rules.signals.payee_counters import Count
from tests import proofs
from tests.api.caller import dfsp, error_of
from tests.rules.test_markers import ADA, NUMBER, PLAIN, call, file, report
from tests.world import World

SCHEME = proofs.Authority("scheme")


def ask(party: str = f"MSISDN/{NUMBER}", *, source: str = "green") -> HttpResponse:
    return call("GET", f"signals/{party}", source=source)


def signals(party: str = f"MSISDN/{NUMBER}", *, source: str = "green") -> Any:
    answer = ask(party, source=source)
    assert answer.status_code == 200, answer.content
    return answer.json()  # type: ignore[attr-defined]


def test_a_payee_without_a_past_is_not_known(world: World) -> None:
    assert signals() == {
        "isKnown": False,
        "isConfirmed": False,
        "markers": [],
        "counters": [
            {"name": name, "hours": hours, "atLeast": 0}
            for name in ("REPORTS", "SENT", "RECEIVED")
            for hours in (72, 720, 4320)
        ],
    }


def test_markers_and_reports_of_every_dfsp_are_shown_and_not_who_filed_them(world: World) -> None:
    file()
    file(source="blue", kind="SCAMMER_ACCOUNT", reason="a secret of blue's")
    found = signals(f"MSISDN/+{NUMBER}", source="grey")
    assert (found["isKnown"], found["isConfirmed"]) == (True, True)
    assert [(marker["kind"], sorted(marker)) for marker in found["markers"]] == [
        ("SCAMMER_ACCOUNT", ["filedOn", "kind", "number"]),
        ("MULE_ACCOUNT", ["filedOn", "kind", "number"]),
    ]
    assert {counter["atLeast"] for counter in found["counters"] if counter["name"] == "REPORTS"} == {2}
    assert b"blue" not in ask(source="grey").content


def test_counters_of_payments_are_rounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def payments(key: int, hours: Any) -> list[Count]:
        return [Count("RECEIVED", each, 47) for each in hours] if key == ADA else []

    monkeypatch.setattr(payee_counters, "_payments", [payments])
    found = [(each["name"], each["hours"], each["atLeast"]) for each in signals()["counters"] if each["atLeast"]]
    assert found == [("RECEIVED", 72, 20), ("RECEIVED", 720, 20), ("RECEIVED", 4320, 20)]
    assert [payee_counters.rounded(number) for number in (-1, 0, 1, 2, 4, 5, 9, 10, 19, 20, 99, 100, 12345)] == [
        0, 0, 1, 2, 2, 5, 5, 10, 10, 20, 50, 100, 10000,
    ]  # fmt: skip


def test_each_access_is_logged_with_the_key_and_not_the_number(world: World) -> None:
    file()
    signals(source="blue")
    signals("EMAIL/ada@example.org", source="red")
    found = SignalAccess.objects.order_by("id").values_list("participant__name", "key", "is_known", "markers")
    assert list(found) == [("blue", ADA, True, 1), ("red", key_of("EMAIL", "ada@example.org"), False, 0)]


@override_settings(SIGNALS_AT_ONCE=12, SIGNALS_PER_MINUTE=0)
def test_a_dfsp_that_tries_out_numbers_has_few_answers_and_others_theirs(world: World) -> None:
    file()
    answers = [ask(f"MSISDN/25571200{number:04}").status_code for number in range(5)]
    assert answers == [200, 200, 200, 429, 429], "each unknown party costs five tokens"
    refused = ask("MSISDN/255712009999")
    assert error_of(refused) == (429, "2005")
    assert refused["Retry-After"]
    assert SignalAccess.objects.count() == 3
    assert [ask(source="blue").status_code for _ in range(13)] == [200] * 12 + [429], "a known one costs one"


@override_settings(SIGNALS_AT_ONCE=1, SIGNALS_PER_MINUTE=6000)
def test_tokens_come_back_with_time(world: World) -> None:
    file()
    assert ask().status_code == 200
    bucket = TokenBucket.objects.get(kind=answering_requests.BUCKET)
    TokenBucket.objects.update(tokens=-5000.0)
    assert ask().status_code == 429
    with_time = bucket.counted_at.replace(year=2020)
    TokenBucket.objects.filter(kind=answering_requests.BUCKET).update(counted_at=with_time)
    assert ask().status_code == 200
    assert TokenBucket.objects.get(kind=answering_requests.BUCKET).tokens <= 1


@pytest.mark.parametrize(
    ("party", "status", "code"),
    [
        ("PHONE/1", 400, "3100"),
        ("MSISDN/" + "1" * 129, 400, "3100"),
        ("MSISDN/a%07b", 400, "3100"),
        ("MSISDN", 404, "3002"),
        ("MSISDN/1/2/3", 404, "3002"),
    ],
)
def test_a_faulty_question_is_refused_in_the_apis_form(world: World, party: str, status: int, code: str) -> None:
    assert error_of(ask(party)) == (status, code)
    assert not SignalAccess.objects.exists()


def test_a_sub_id_is_another_party(world: World) -> None:
    file()
    assert signals(f"MSISDN/{NUMBER}/PASSPORT")["isKnown"] is False


# --- who asks ---------------------------------------------------------------------------------------------------------


def test_other_methods_and_strangers_are_refused(world: World) -> None:
    assert error_of(call("PUT", "markers", report())) == (405, "3000")
    assert error_of(call("POST", f"signals/MSISDN/{NUMBER}", {})) == (405, "3000")
    assert error_of(ask(source="nobody"))[0] == 400
    assert error_of(dfsp("GET", f"/dfsp/v1/signals/MSISDN/{NUMBER}", source=None, headers=PLAIN)) == (400, "3102")
    assert (
        error_of(dfsp("POST", "/dfsp/v1/markers", report(), headers=PLAIN | {"content-type": "text/plain"}))[0] == 400
    )
    AllowedNetwork.objects.create(participant_id=world.ids["green"], network="10.0.0.0/8")
    credential_cache.forget()
    assert error_of(ask())[0] == 403


@override_settings(**proofs.BOTH)
def test_the_door_is_the_fspiop_door(world: World) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    by = proofs.by_proxy(certificate)
    token = proofs.bearer(proofs.token_of(proofs.register_client("green"), headers=by))
    path = f"/dfsp/v1/signals/MSISDN/{NUMBER}"
    assert dfsp("GET", path, headers=PLAIN | by | token).status_code == 200
    assert error_of(dfsp("GET", path, source="blue", headers=PLAIN | by | token))[0] == 403
    for fewer in ({}, by, token):
        assert error_of(dfsp("GET", path, headers=PLAIN | fewer))[0] == 401


@override_settings(SIGNATURES="required")
def test_a_marker_must_be_signed_where_messages_must_be(world: World) -> None:
    assert error_of(call("POST", "markers", report())) == (400, "3105")
    for source in ("green", "blue"):
        proofs.register_key(source)
    body = report()
    answer = proofs.signed_dfsp("POST", "/dfsp/v1/markers", body, headers=PLAIN)
    assert answer.status_code == 201, answer.content
    others = proofs.signed_dfsp("POST", "/dfsp/v1/markers", report(), headers=PLAIN, key=proofs.key_of("blue"))
    assert error_of(others) == (400, "3105")
    assert Marker.objects.count() == 1
