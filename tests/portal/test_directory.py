"""Oracles and aliases as operators see and change them: by two people, and without an alias in the trail."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache, caches

from directory import builtin_oracle, oracles
from directory.aliases import Alias
from directory.models import Oracle, PartyIdentifier
from hub.audit.models import Approval, Entry
from hub.participants import services as participants
from hub.participants.models import Participant
from portal.permissions import Role
from tests.directory.oracle import RunningOracle
from tests.portal.people import browser
from tests.world import World

NUMBER = "255712000101"


@pytest.fixture
def oracle() -> Iterator[RunningOracle]:
    cache.clear()
    running = RunningOracle()
    yield running
    running.server.shutdown()


def registered(name: str = "blue", **more: str) -> PartyIdentifier:
    builtin_oracle.register([Alias("MSISDN", NUMBER, **more)], Participant.objects.get(name=name))
    return PartyIdentifier.objects.latest("id")


def test_an_alias_moves_to_another_participant_when_a_second_person_approves_it(world: World) -> None:
    found = registered()
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    path = f"/portal/directory/aliases/{found.pk}/move/"
    assert path in operator.get(f"/portal/directory/?identifier=%2B{NUMBER}").content.decode()
    assert operator.post(path, {"to": "blue", "reason": "x"}).status_code == 400  # it is there already
    assert operator.post(path, {"to": "Hub", "reason": "x"}).status_code == 400
    assert operator.post(path, {"to": "red", "reason": "the customer moved"}).status_code == 302
    approval = Approval.objects.get()
    assert NUMBER in checker.get(f"/portal/approvals/{approval.pk}/").content.decode()
    found.refresh_from_db()
    assert found.fsp.name == "blue"
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    found.refresh_from_db()
    assert found.fsp.name == "red"
    assert [registration.fsp for registration in builtin_oracle.find(Alias("MSISDN", NUMBER))] == ["red"]
    # What is kept for ever names no customer.
    kept = json.dumps([*Entry.objects.values_list("subject", "before", "after"), Approval.objects.get().payload])
    assert NUMBER not in kept


def test_an_alias_that_moved_meanwhile_is_not_moved_again_and_none_to_who_is_paused(world: World) -> None:
    found = registered()
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    for to in ("red", "green"):
        operator.post(f"/portal/directory/aliases/{found.pk}/move/", {"to": to, "reason": "x"})
    first, second = Approval.objects.order_by("id")
    checker.post(f"/portal/approvals/{first.pk}/approve/")
    assert "has changed since" in checker.post(f"/portal/approvals/{second.pk}/approve/", follow=True).content.decode()
    operator.post(f"/portal/directory/aliases/{found.pk}/move/", {"to": "green", "reason": "x"})
    participants.set_active(Participant.objects.get(name="green"), is_active=False, actor="test")
    third = Approval.objects.latest("id")
    assert "DFSP must be active" in checker.post(f"/portal/approvals/{third.pk}/approve/", follow=True).content.decode()
    found.refresh_from_db()
    assert found.fsp.name == "red"


def test_an_alias_of_several_participants_is_said_and_listed_for_who_tidies_up(world: World) -> None:
    registered("blue", currency="TZS")
    operator = browser(Role.OPERATOR)
    assert "More than one participant" not in operator.get(f"/portal/directory/?identifier={NUMBER}").content.decode()
    registered("red", currency="KES")
    assert "More than one participant" in operator.get(f"/portal/directory/?identifier={NUMBER}").content.decode()
    assert NUMBER in operator.get("/portal/directory/shared/").content.decode()
    assert Entry.objects.get(action="shared_aliases_listed").actor == "operator"
    assert browser(Role.VIEWER).get("/portal/directory/shared/").status_code == 403


def test_only_an_msisdn_is_read_as_a_telephone_number(world: World, settings: Any) -> None:
    settings.SCHEME_COUNTRY = "TZ"
    blue, client = Participant.objects.get(name="blue"), browser(Role.VIEWER)
    registered = {
        "BUSINESS": ["0655001005", "123-456", "0012345678"],
        "ACCOUNT_ID": ["00123456789"],
        "MSISDN": ["255655001005"],
    }
    for id_type, identifiers in registered.items():
        builtin_oracle.register([Alias(id_type, identifier) for identifier in identifiers], blue)

    def found(**query: str) -> list[tuple[str, str]]:
        page = client.get("/portal/directory/", query)
        assert not page.context["search"].errors, query
        return [(each.type, each.identifier) for each in page.context["found"]]

    for id_type, identifiers in registered.items():
        for identifier in identifiers:
            assert found(identifier=identifier, type=id_type) == [(id_type, identifier)]
            assert (id_type, identifier) in found(identifier=identifier)
    assert found(identifier="0655 001 005", type="MSISDN") == [("MSISDN", "255655001005")]
    assert found(identifier="0655001005") == [("BUSINESS", "0655001005"), ("MSISDN", "255655001005")]
    assert found(identifier="0655001005", type="DEVICE") == []
    for query in ({"identifier": "+255 6"}, {"identifier": "12", "type": "NOSUCH"}):
        page = client.get("/portal/directory/", query)
        assert page.context["search"].errors
        assert page.context["found"] is None
    assert "255655001005 or 0655001005" in client.get("/portal/directory/?identifier=0655001005").content.decode()


def test_an_oracle_is_added_changed_and_removed_by_two_people(world: World, oracle: RunningOracle) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    new = {"type": "MSISDN", "currency": "", "endpoint": oracle.url, "is_default": "on", "reason": "the national one"}

    def approved() -> str:
        answer = checker.post(f"/portal/approvals/{Approval.objects.latest('id').pk}/approve/", follow=True)
        return answer.content.decode()

    for spoilt in ({"endpoint": "file:///etc"}, {"endpoint": f"{oracle.url}/{{x}}"}, {"type": "NOSUCH"}):
        assert operator.post("/portal/directory/oracles/new/", new | spoilt).status_code == 400
    operator.post("/portal/directory/oracles/new/", new)
    assert not Oracle.objects.exists()
    assert "Request approved" in approved()
    made = Oracle.objects.get()
    assert (made.type, made.endpoint, made.is_default) == ("MSISDN", oracle.url, True)
    again = operator.post("/portal/directory/oracles/new/", new)
    assert (again.status_code, "Duplicate oracle" in again.content.decode()) == (400, True)
    path = f"/portal/directory/oracles/{made.pk}/"
    operator.post(path, new | {"currency": "TZS", "is_default": ""})
    assert "Request approved" in approved()
    made.refresh_from_db()
    assert (made.currency, made.is_default) == ("TZS", False)
    operator.post(path, new)
    operator.post(f"{path}remove/", {"reason": "it closes"})
    assert "Request approved" in approved()
    assert not Oracle.objects.exists()
    left = Approval.objects.filter(kind="change_oracle", state="PENDING").get()
    answer = checker.post(f"/portal/approvals/{left.pk}/approve/", follow=True)
    assert "This oracle does not exist" in answer.content.decode()


def test_the_page_says_whether_an_oracle_answers(world: World, oracle: RunningOracle) -> None:
    oracles.add(alias_type="MSISDN", endpoint=oracle.url, currency="", is_default=True, actor="test")
    path = f"/portal/directory/oracles/{Oracle.objects.get().pk}/health/"
    client = browser(Role.VIEWER)
    assert path in client.get("/portal/directory/").content.decode()
    assert "does not respond" not in client.get(path).content.decode()
    oracle.misbehave = lambda _method, _path: (500, b"<script>")
    assert len(oracle.asked) == 1
    client.get(path)
    assert len(oracle.asked) == 1  # asked once in some seconds, whoever looks
    caches["process"].clear()
    page = client.get(path).content.decode()
    assert "does not respond" in page
    assert "<script>" not in page
