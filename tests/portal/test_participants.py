"""What the portal does about one participant, each change asked for by one person and done by another."""

import re

from django.core.cache import caches
from django.test import Client
from django.utils import timezone

from hub.audit.models import Approval
from hub.audit.models import Entry as AuditEntry
from hub.outbox.models import Message
from hub.participants import networks_and_contacts
from hub.participants.models import Participant
from portal import users
from portal.permissions import HUB_ROLES, Role
from tests.portal.people import browser, browser_of, person
from tests.world import World, prepare, run

GREEN = "/portal/participants/green/"


def latest() -> Approval:
    return Approval.objects.latest("id")


def approve(checker: Client) -> str:
    """Approves what was asked for last; returns the page that says what came of it."""
    return checker.post(f"/portal/approvals/{latest().pk}/approve/", follow=True).content.decode()


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def directions(name: str) -> tuple[bool, bool]:
    found = Participant.objects.get(name=name)
    return found.may_send, found.may_receive


def test_a_participant_is_made_to_send_only_and_let_receive_again(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    assert "send only" not in text_of(operator, GREEN)
    operator.post(f"{GREEN}directions/", {"direction": "send", "reason": "its accounts can not be credited"})
    assert directions("green") == (True, True)
    page = text_of(checker, f"/portal/approvals/{latest().pk}/")
    assert "send and receive" in page
    assert "send only" in page
    approve(checker)
    assert directions("green") == (True, False)
    entry = AuditEntry.objects.get(action="directions_set")
    assert (entry.before, entry.after) == (
        {"maySend": True, "mayReceive": True},
        {"maySend": True, "mayReceive": False},
    )
    assert "send only" in text_of(operator, GREEN)
    assert "send only" in text_of(operator, "/portal/participants/")
    operator.post(f"{GREEN}directions/", {"direction": "both", "reason": "repaired"})
    approve(checker)
    assert directions("green") == (True, True)


def test_directions_that_changed_meanwhile_or_that_nobody_offers_are_not_set(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    assert operator.post(f"{GREEN}directions/", {"direction": "none", "reason": "x"}).status_code == 400
    operator.post(f"{GREEN}directions/", {"direction": "send", "reason": "x"})
    Participant.objects.filter(name="green").update(may_send=False)
    assert "has changed since" in approve(checker)
    assert directions("green") == (False, True)


def test_from_where_it_calls_is_changed_by_two_people(world: World) -> None:
    technician, checker = browser(Role.PARTICIPANT_TECHNICIAN), browser(Role.RISK)
    path = f"{GREEN}networks/"
    assert technician.post(path, {"networks": "nowhere", "reason": "r"}).status_code == 400
    technician.post(path, {"networks": "192.0.2.0/24\n\n198.51.100.4\n", "reason": "our new office"})
    assert networks_and_contacts.networks_of(Participant.objects.get(name="green")) == []
    approve(checker)
    assert networks_and_contacts.networks_of(Participant.objects.get(name="green")) == [
        "192.0.2.0/24",
        "198.51.100.4/32",
    ]
    assert "198.51.100.4/32" in text_of(technician, GREEN)
    technician.post(path, {"networks": "", "reason": "first"})
    technician.post(path, {"networks": "192.0.2.0/24", "reason": "second"})
    approve(checker)
    first = Approval.objects.get(reason="first")
    page = checker.post(f"/portal/approvals/{first.pk}/approve/", follow=True).content.decode()
    assert "has changed since" in page


def test_a_list_that_would_lock_its_participant_out_is_not_taken(world: World, settings: object) -> None:
    settings.PRODUCTION = True  # type: ignore[attr-defined]
    answer = browser(Role.OPERATOR).post(f"{GREEN}networks/", {"networks": "192.0.2.0/24", "reason": "r"}, secure=True)
    assert answer.status_code == 400
    assert "TRUSTED_PROXY_COUNT" in answer.content.decode()


def test_contacts_come_and_go_by_two_people(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    said = {"role": "fraud", "name": "Neema", "email": "", "phone": "", "reason": "r"}
    assert operator.post(f"{GREEN}contacts/new/", said).status_code == 400
    operator.post(f"{GREEN}contacts/new/", said | {"phone": "+255 22 211 3000"})
    approve(checker)
    contact = Participant.objects.get(name="green").contacts.get()
    assert (contact.role, contact.name, contact.phone) == ("fraud", "Neema", "+255 22 211 3000")
    assert "+255 22 211 3000" in text_of(operator, GREEN)
    operator.post(f"{GREEN}contacts/{contact.pk}/remove/", {"reason": "left"})
    approve(checker)
    assert not Participant.objects.get(name="green").contacts.exists()
    assert operator.get("/portal/participants/blue/contacts/1/remove/").status_code == 404


def test_a_participants_people_see_the_callbacks_to_it_and_no_others(world: World) -> None:
    for payer, payee in (("green", "blue"), ("red", "blue")):
        run(prepare(world, payer, payee, 5))
    refused = prepare(world, "green", "nobody", 5)
    run(refused)
    Message.objects.update(state="DEAD", last_error="HTTP 503")
    client = browser_of(person(Role.PARTICIPANT_VIEWER))
    page = client.get("/portal/callbacks/")
    assert {found.destination.name for found in page.context["page"].rows} == {"green"}
    assert [queue.destination for queue in page.context["queues"]] == ["green"]
    assert "HTTP 503" in page.content.decode()
    assert "Send now" not in page.content.decode()
    assert client.get("/portal/callbacks/?dfsp=blue").context["page"].rows == []


def test_each_form_about_a_participant_names_the_participant(world: World) -> None:
    everybody = person(Role.OPERATOR)
    users.set_roles(everybody, roles=HUB_ROLES, actor="test")
    client = browser_of(everybody)
    forms = ("TZS/cap", "TZS/funds-in", "TZS/funds-out", "endpoint", "networks", "contacts/new", "currencies/new")
    forms += ("credentials/new", "activity", "directions", "off-boarding/begin_leaving")
    assert [form for form in forms if "<dd>green</dd>" not in text_of(client, f"{GREEN}{form}/")] == []


def test_lists_of_participants_show_the_state_that_the_participants_page_shows(world: World) -> None:
    Participant.objects.filter(name="green").update(onboarding_since=timezone.now(), may_send=False, may_receive=False)
    Participant.objects.filter(name="blue").update(leaving_since=timezone.now(), may_send=False, may_receive=False)
    Participant.objects.filter(name="red").update(is_active=False)
    caches["process"].clear()
    client = browser(Role.VIEWER)
    for path in ("/portal/participants/", "/portal/overview/"):
        rows = text_of(client, path).split("<tr>")
        states = {
            name: re.findall(r'<span class="state [\w-]+">([^<]+)</span>', row)
            for name in ("green", "blue", "red", "grey")
            for row in rows
            if f'href="/portal/participants/{name}/"' in row
        }
        assert states == {"green": ["not live yet"], "blue": ["off-boarding"], "red": ["paused"], "grey": ["active"]}, (
            path
        )
