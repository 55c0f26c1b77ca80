"""The pages of alerts, lists, markers and kill switches. Two people decide each change."""

from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import translation

from hub.audit.models import Approval, Entry
from ledger.models import HeldTransfer
from portal import changes
from portal.permissions import Role
from portal.words.kinds import word_of
from rules.alerts import services as alerts
from rules.alerts import tasks
from rules.alerts.models import Alert
from rules.lists import kill_switches, loaded_names, queries, screening, services
from rules.lists.models import NameMatch, StagedFile, StagedLine
from rules.lists.screening import Named
from rules.markers.models import Appeal, Marker
from rules.party_keys import key_of
from tests.api import messages
from tests.api.caller import dfsp
from tests.portal.people import browser_of, person
from tests.portal.test_rules_pages import approve, page
from tests.rules.rule_sets import activate, hold, refuse, rule
from tests.rules.test_alerts import sighting
from tests.rules.test_markers import appeal, file
from tests.world import World, prepare, run

NUMBER = "255712001001"
ADA = key_of("MSISDN", NUMBER)
PARTY = {"type": "MSISDN", "identifier": f"+{NUMBER}", "reason": "seen"}


@pytest.fixture
def rita(world: World) -> Client:
    return browser_of(person(Role.RISK, name="rita"))


@pytest.fixture
def ron(world: World) -> Client:
    return browser_of(person(Role.RISK, name="ron"))


def asked(client: Client, path: str, **said: Any) -> None:
    answer = client.post(f"/portal/{path}", said)
    assert answer.status_code == 302, answer.context["form"].errors


def alert_of(*sightings: alerts.Sighting) -> Alert:
    alerts.raise_alerts(sightings)
    tasks.merge()
    return Alert.objects.latest("pk")


READING = {
    "fact": "payer.sent_value",
    "operator": "above",
    "threshold": 100_0000,
    "value": 200_0000,
    "holds": True,
    "unit": "amount",
    "window_s": 86_400,
    "currency": "TZS",
}


def test_an_alert_is_assigned_noted_and_closed(rita: Client, ron: Client) -> None:
    reported = sighting(ADA, gate="quote", details={"rule": "p2p-daily", "readings": [READING]})
    alert = alert_of(reported, sighting(ADA), sighting(None, dfsp="green"))
    assert Alert.objects.count() == 2
    assert f"{ADA:016x}" in page(rita, "alerts/")
    alert = Alert.objects.get(key=ADA)
    text = page(rita, f"alerts/{alert.pk}/")
    assert "Value of the payments that the payer sent in 24 h" in text
    assert "above 100.00 TZS" in text
    assert NUMBER not in text
    rita.post(f"/portal/alerts/{alert.pk}/assign/", {"to": "ron"})
    rita.post(f"/portal/alerts/{alert.pk}/notes/", {"text": "<b>called</b>"})
    assert "&lt;b&gt;called&lt;/b&gt;" in page(ron, f"alerts/{alert.pk}/")
    mine = ron.get("/portal/alerts/?assigned=me").context["page"].rows
    assert [each.pk for each in mine] == [alert.pk]
    assert rita.post(f"/portal/alerts/{alert.pk}/assign/", {"to": "nobody-known"}).status_code == 404
    assert rita.post(f"/portal/alerts/{alert.pk}/close/", {"outcome": "MAYBE"}).status_code == 404
    rita.post(f"/portal/alerts/{alert.pk}/close/", {"outcome": "FRAUD"})
    alert.refresh_from_db()
    assert (alert.state, alert.outcome, alert.closed_by) == ("CLOSED", "FRAUD", "rita")
    rita.post(f"/portal/alerts/{alert.pk}/close/", {"outcome": "UNCLEAR"})
    alert.refresh_from_db()
    assert alert.outcome == "FRAUD"
    found = rita.get("/portal/alerts/", {"type": "MSISDN", "identifier": NUMBER}).context["page"].rows
    assert [each.pk for each in found] == [alert.pk]
    looked_up = Entry.objects.filter(action="alias_looked_up").latest("pk")
    assert NUMBER not in str(looked_up.after)
    assert "not a valid MSISDN" in page(rita, "alerts/?type=MSISDN&identifier=x")


def test_the_queue_has_a_part_for_each_dfsp_that_causes_alerts(rita: Client) -> None:
    alerts.raise_alerts([sighting(7, payer_dfsp="blue"), sighting(8, payer_dfsp="")])
    alerts.raise_alerts([sighting(number) for number in range(1000, 1060)])
    for _ in range(2):
        tasks.merge()
    first = rita.get("/portal/alerts/")
    assert {alert.caused_by for alert in first.context["page"].rows} == {"green"}, "nothing of blue on the first page"
    text = first.content.decode()
    assert ('href="?caused_by=blue"' in text, 'href="?caused_by=."' in text) == (True, True)
    for value, keys in (("blue", [7]), (".", [8])):
        assert [alert.key for alert in rita.get("/portal/alerts/", {"caused_by": value}).context["page"].rows] == keys
    assert 'href="?caused_by=red"' not in text
    assert rita.get("/portal/alerts/?caused_by=nobody").context["page"].rows == []


def test_the_kinds_of_markers_are_in_the_visitors_language(rita: Client, ron: Client) -> None:
    marker = file(reason="a mule")["number"]
    alert = alert_of(sighting(ADA))
    asked(rita, "markers/new/", kind="SCAMMER_ACCOUNT", **PARTY)
    approval = Approval.objects.latest("pk").pk
    paths = (f"alerts/{alert.pk}/mark/", "markers/new/", f"markers/{marker}/lift/", f"approvals/{approval}/")
    with translation.override("fr"):
        mule, scammer = word_of("MULE_ACCOUNT"), word_of("SCAMMER_ACCOUNT")
    assert (mule, scammer) != ("Mule account", "Account of a scammer")
    words = ((mule, scammer), (mule, scammer), (mule,), (scammer,))
    for path, expected in zip(paths, words, strict=True):
        shown = unescape(rita.get(f"/portal/{path}", headers={"Accept-Language": "fr"}).content.decode())
        assert [word for word in expected if word not in shown] == [], path


def test_each_action_of_an_alert_waits_for_a_second_person(rita: Client, ron: Client, world: World) -> None:
    services.create(name="blocked", kind="BLOCK", actor="rita")
    by_list = rule("b", {"fact": "payee.lists", "is": "has_any", "value": ["blocked"]}, refuse("5540"))
    activate(hold("PT1H", gate="transfer"))
    commands = [prepare(world, "green", "blue", 20, expires_in=86_400) for _ in range(2)]
    for command in commands:
        run(command)
    first, second = (command.transfer_id for command in commands)
    alert = alert_of(sighting(ADA, subject=first), sighting(ADA, subject=second))
    base = f"alerts/{alert.pk}"
    assert '<option value="blocked" selected>' in page(rita, f"{base}/block/")  # the only list
    answer = rita.post(f"/portal/{base}/block/", {"list": "blocked", "reason": "a mule"})
    assert (answer.status_code, "No live rule looks into this list" in answer.content.decode()) == (400, True)
    activate(hold("PT1H", gate="transfer"), by_list)
    asked(rita, f"{base}/block/", list="blocked", reason="a mule")
    assert "Live rules about the list" in page(ron, f"approvals/{Approval.objects.latest('pk').pk}/")
    assert rita.post(f"/portal/approvals/{Approval.objects.latest('pk').pk}/approve/").status_code == 302
    assert list(queries.entries("blocked")) == []
    approve(ron)
    assert [entry.key for entry in queries.entries("blocked")] == [ADA]
    asked(rita, f"{base}/mark/", kind="MULE_ACCOUNT", reason="a mule")
    approve(ron)
    assert Marker.objects.get().key == ADA
    asked(rita, f"{base}/stop/", reason="a mule")
    approve(ron)
    assert [switch.key for switch in kill_switches.are_on()] == [ADA]
    asked(rita, f"{base}/held/{first}/release/", reason="called")
    approve(ron)
    asked(rita, f"{base}/held/{second}/refuse/", reason="fraud", code="5540")
    approve(ron)
    assert HeldTransfer.objects.get(pk=first).state == "RELEASED"
    assert HeldTransfer.objects.get(pk=second).refusal_code == "5540"
    kinds = [action.approval.kind for action in alert.actions.all()]
    assert kinds == ["block_party", "file_marker", "kill_switch", "release_held", "refuse_held"]
    assert page(rita, f"{base}/").count("APPROVED") >= 5
    other = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(other)
    assert rita.get(f"/portal/{base}/held/{other.transfer_id}/release/").status_code == 404
    about_dfsp = alert_of(sighting(None, dfsp="green"))
    assert rita.get(f"/portal/alerts/{about_dfsp.pk}/held/{other.transfer_id}/release/").status_code == 200
    assert rita.get(f"/portal/alerts/{about_dfsp.pk}/block/").status_code == 404
    asked(rita, f"alerts/{about_dfsp.pk}/stop/", reason="an attack")
    approve(ron)
    assert {switch.kind for switch in kill_switches.are_on()} == {"ALIAS", "DFSP"}


@pytest.mark.parametrize("most_kept", [200, 0])
def test_a_transfer_that_a_rule_at_the_quote_holds_is_released_from_the_alert(
    committed_world: World, monkeypatch: pytest.MonkeyPatch, most_kept: int
) -> None:
    """The report names the quote and not the transfer. If the alert has too many reports, it does not keep the
    report."""
    monkeypatch.setattr(alerts, "MOST_KEPT", most_kept)
    rita, ron = (browser_of(person(Role.RISK, name=name)) for name in ("rita", "ron"))
    activate(hold("PT1H", kind="fraud"))
    money = {"currency": "TZS", "amount": "20"}
    quote = messages.quote(amount=money)
    dfsp("POST", "/quotes", quote, destination="blue")
    terms = messages.terms(transferAmount=money, expiration=messages.moment(86_400))
    dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="blue", destination="green")
    body = messages.transfer(amount=money, expiration=messages.moment(86_400))
    dfsp("POST", "/transfers", body)
    transfer_id = body["transferId"]
    assert HeldTransfer.objects.get().quote_id == quote["quoteId"] != quote["transactionId"] != transfer_id
    tasks.merge()
    alert = Alert.objects.get()
    assert (alert.key, alert.kept, alert.sightings.filter(gate="transfer").exists()) == (ADA, most_kept // 200, False)
    (listed,) = rita.get("/portal/held/").context["waiting"]
    assert (listed.hold.pk, listed.rules) == (transfer_id, ["hold-10"])
    release = f"alerts/{alert.pk}/held/{transfer_id}/release/"
    assert f"/portal/{release}" in page(rita, f"alerts/{alert.pk}/")
    asked(rita, release, reason="called")
    approve(ron)
    assert HeldTransfer.objects.get().state == "RELEASED"
    assert f"/portal/{release}" not in page(rita, f"alerts/{alert.pk}/")
    assert rita.get(f"/portal/{release}").status_code == 404


def csv(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("list.csv", text.encode(), content_type="text/csv")


@pytest.mark.parametrize("way", ["refuse", "withdraw"])
def test_a_file_is_kept_only_as_long_as_its_request_waits(rita: Client, ron: Client, way: str) -> None:
    asked(rita, "lists/new/", name="watched", kind="SANCTIONS", title="The watched", least_score="88")
    asked(rita, "lists/of/watched/import/", file=csv("name\nJoseph Kony\n"), reason="the ministry's")
    assert StagedLine.objects.count() == 1
    number = Approval.objects.latest("pk").pk
    decider = ron if way == "refuse" else rita
    decider.post(f"/portal/approvals/{number}/{way}/", {"reason": "an old file"})
    assert Approval.objects.get(pk=number).state == {"refuse": "REFUSED", "withdraw": "WITHDRAWN"}[way]
    assert (StagedFile.objects.count(), StagedLine.objects.count()) == (0, 0)


def test_a_list_is_made_and_filled_by_a_file_or_refused_whole(rita: Client, ron: Client) -> None:
    said = {"name": "watched", "kind": "SANCTIONS", "title": "The watched", "least_score": "88"}
    assert rita.post("/portal/lists/new/", said | {"name": "Not so"}).status_code == 400
    asked(rita, "lists/new/", **said)
    assert rita.post("/portal/lists/new/", said).status_code == 400
    bad = rita.post(
        "/portal/lists/of/watched/import/",
        {"file": csv(f"type,identifier,name\nMSISDN,{NUMBER},\nMSISDN,12a,\n,,\n"), "reason": "x"},
    )
    assert bad.status_code == 400
    text = bad.content.decode()
    assert "Nothing was imported. Bad lines: 2." in text
    assert "Line 3: identifier is not a valid MSISDN" in text
    assert "Line 4: " in text
    assert StagedFile.objects.count() == 0
    asked(
        rita,
        "lists/of/watched/import/",
        file=csv(f"type,identifier,name\nMSISDN,{NUMBER},\n,,Joseph Kony\n"),
        reason="the ministry's",
    )
    assert list(queries.entries("watched")) == []
    approve(ron)
    assert queries.entries("watched").count() == 2
    assert StagedFile.objects.count() == 0
    text = page(rita, "lists/of/watched/")
    assert "Joseph Kony" in text
    assert "list.csv" in text
    ((party_list, length),) = rita.get("/portal/lists/").context["lists"]
    assert (party_list.name, length.parties, length.names) == ("watched", 1, 1)
    assert "/portal/lists/of/watched/" in page(rita, "lists/")
    entry = queries.entries("watched").get(key=ADA)
    asked(rita, f"lists/of/watched/{entry.pk}/remove/", reason="a mistake")
    approve(ron)
    asked(rita, "lists/of/watched/add/", **PARTY, reference="17")
    approve(ron)
    found = rita.get("/portal/lists/of/watched/", {"type": "MSISDN", "identifier": NUMBER}).context["page"].rows
    assert [(each.key, each.reference) for each in found] == [(ADA, "17")]
    assert rita.get("/portal/lists/of/another/").status_code == 404
    for path in ("lists/of/watched", "markers"):
        shown = rita.get(f"/portal/{path}/", {"sub_id": "PASSPORT"}).context
        assert (shown["page"].rows, list(shown["search"].errors)) == ([], ["identifier"]), path

    loaded_names.latest()
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    match = NameMatch.objects.get()
    assert "Joseph Kony" in page(rita, "lists/matches/")
    asked(rita, f"lists/matches/{match.pk}/clear/", reason="another person")
    approve(ron)
    assert rita.get(f"/portal/lists/matches/{match.pk}/clear/").status_code == 404


def test_a_list_of_a_country_is_imported(rita: Client, ron: Client) -> None:
    services.create(name="excluded", kind="EXCLUSION", actor="rita")
    lines = [f"MSISDN,2557{number:08}" for number in range(10_000)]
    raw = "\r\n".join(["type,identifier", *lines]).encode()
    assert len(raw) > 2 * 65_536
    answer = rita.post("/portal/lists/of/excluded/import/", {"file": SimpleUploadedFile("l.csv", raw), "reason": "new"})
    assert answer.status_code == 302, answer.status_code
    approve(ron)
    assert queries.entries("excluded").count() == 10_000
    viewer = browser_of(person(Role.VIEWER, name="vera"))
    sent = viewer.post("/portal/lists/of/excluded/import/", {"file": SimpleUploadedFile("l.csv", raw), "reason": "new"})
    assert sent.status_code == 413


def test_requests_that_nobody_can_approve_any_more_are_withdrawn(rita: Client, ron: Client, world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=86_400)
    run(command)
    for client in (rita, ron):
        asked(client, f"held/{command.transfer_id}/release/", reason="called")
    asked(rita, f"held/{command.transfer_id}/refuse/", reason="called", code="3140")
    changes.withdraw_outdated()
    assert Approval.objects.filter(state="PENDING").count() == 3
    later = Approval.objects.latest("pk")
    approval = Approval.objects.order_by("pk").first()
    assert approval is not None
    ron.post(f"/portal/approvals/{approval.pk}/approve/")
    assert HeldTransfer.objects.get().state == "RELEASED"
    ron.post(f"/portal/approvals/{later.pk}/approve/")
    assert Approval.objects.get(pk=later.pk).state == "WITHDRAWN", "it is not approved"
    changes.withdraw_outdated()
    assert set(Approval.objects.exclude(pk=approval.pk).values_list("state", flat=True)) == {"WITHDRAWN"}

    number = file()["number"]
    for client in (rita, ron):
        asked(client, f"markers/{number}/lift/", reason="innocent")
    approve(rita)
    changes.withdraw_outdated()
    assert Approval.objects.filter(state="PENDING").count() == 0


def test_markers_are_filed_and_lifted_and_appeals_decided(rita: Client, ron: Client) -> None:
    asked(rita, "markers/new/", **PARTY, kind="OTHER")
    approve(ron)
    filed = file(reason="a mule")["number"]
    appeal(filed, "robbed")
    text = page(rita, "markers/")
    assert "a mule" in text
    assert "robbed" in text
    asked(rita, f"markers/appeals/{Appeal.objects.get().pk}/reject/", reason="no proof")
    approve(ron)
    assert Appeal.objects.get().state == "REJECTED"
    asked(rita, f"markers/{filed}/lift/", reason="proof")
    assert Marker.objects.get(pk=filed).lifted_at is None
    approve(ron)
    assert Marker.objects.get(pk=filed).lifted_by == "rita, approved by ron"
    assert rita.get(f"/portal/markers/{filed}/lift/").status_code == 404
    found = rita.get("/portal/markers/", {"type": "MSISDN", "identifier": NUMBER}).context["page"].rows
    assert len(found) == 2


def test_kill_switches_go_on_and_off_by_two_people(rita: Client, ron: Client) -> None:
    for said in ({"kind": "DFSP"}, {"kind": "CORRIDOR", "payer_dfsp": "green"}, {"kind": "ALIAS", "identifier": "1a"}):
        assert rita.post("/portal/kill-switches/new/", said | {"type": "MSISDN", "reason": "x"}).status_code == 400
    for said in (
        {"kind": "ALIAS", "identifier": NUMBER},
        {"kind": "DFSP", "payer_dfsp": "red"},
        {"kind": "CORRIDOR", "payer_dfsp": "green", "payee_dfsp": "blue"},
    ):
        asked(rita, "kill-switches/new/", **{"type": "MSISDN", "reason": "an attack"} | said)
        approve(ron)
    switches = kill_switches.are_on()
    assert len(switches) == 3
    assert "green → blue" in page(rita, "kill-switches/")
    for switch in switches:
        asked(rita, f"kill-switches/{switch.pk}/off/", reason="over")
        approve(ron)
    assert kill_switches.are_on() == []
    assert "rita, approved by ron" in page(rita, "kill-switches/")


@pytest.mark.parametrize(
    "path", ["rules/", "held/", "alerts/", "lists/", "lists/matches/", "markers/", "kill-switches/"]
)
def test_only_people_of_the_hub_see_these_pages(world: World, path: str) -> None:
    assert browser_of(person(Role.AUDITOR)).get(f"/portal/{path}").status_code == 200
    assert browser_of(person(Role.PARTICIPANT_TREASURER)).get(f"/portal/{path}").status_code == 403
