"""An account from the request to the first change that it makes: invited, signed in, confirmed."""

import io
import json
import re
import time
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from hub.audit.models import Approval, Entry
from hub.encryption import fernet
from hub.notifications.models import Notification
from hub.notifications.services import SEAL
from portal import first_sign_in_confirmation, invitations, users
from portal.models import Confirmation, Invitation, Profile
from portal.permissions import Role
from portal.visitor import visitor_for
from tests.factories import UserFactory
from tests.portal.people import PASSWORD, browser, browser_of, person, sign_in_first, use_invitation
from tests.world import World

NEW = {"username": "neema", "email": "neema@example.org", "roles": ["risk"], "participant": "", "reason": "new"}
BROWSER = "Firefox of the branch"


@pytest.fixture(autouse=True)
def _forget_attempts() -> None:
    cache.clear()


@pytest.fixture
def asha(world: World) -> Client:
    return browser(Role.ADMINISTRATOR, name="asha")


@pytest.fixture
def juma(world: World) -> Client:
    return browser(Role.ADMINISTRATOR, name="juma")


@pytest.fixture
def zuri(world: World) -> Client:
    """A third administrator, who has no part in it."""
    return browser(Role.ADMINISTRATOR, name="zuri")


def latest() -> Approval:
    return Approval.objects.latest("id")


def create(maker: Client, checker: Client, **changed: object) -> User:
    maker.post("/portal/users/new/", NEW | changed)
    checker.post(f"/portal/approvals/{latest().pk}/approve/")
    assert latest().state == "APPROVED"
    return User.objects.get(username=latest().subject)


def shown_to(client: Client, name: str = "neema") -> str:
    """The half that this person's browser is shown; empty where it is none."""
    answer = client.post(f"/portal/users/{name}/invitation/")
    return answer.context["secret"] if answer.status_code == 200 else ""


def set_password(asha: Client, juma: Client, name: str = "neema") -> None:
    assert use_invitation(shown_to(asha, name), typed_code=shown_to(juma, name)) == 200


def judge(client: Client, word: str = "confirm", name: str = "neema") -> str:
    signed_in_at = Profile.objects.get(user__username=name).signed_in_at
    sent = {"signed_in_at": signed_in_at.isoformat() if signed_in_at else ""}
    answer = client.post(f"/portal/users/{name}/{word}/", sent, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def may_act(name: str = "neema") -> bool:
    return visitor_for(User.objects.get(username=name)).is_confirmed


def test_without_email_two_people_hand_over_link_and_code_and_a_third_confirms_the_first_sign_in(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    neema = create(asha, juma)
    assert not neema.has_usable_password()
    set_password(asha, juma)
    own = sign_in_first("neema", headers={"user-agent": BROWSER}, REMOTE_ADDR="192.0.2.7")
    assert own.get("/portal/overview/").status_code == 200
    assert "confirmed this sign-in, you can only read" in own.get("/portal/overview/").content.decode()
    assert own.get("/portal/participants/green/TZS/cap/").status_code == 403
    page = zuri.get("/portal/users/neema/").content.decode()
    for fact in ("192.0.2.7", BROWSER, "asha, juma"):
        assert fact in page
    assert "is confirmed" in judge(zuri)
    assert own.get("/portal/participants/green/TZS/cap/").status_code == 200
    assert "you can only read" not in own.get("/portal/overview/").content.decode()
    entry = Entry.objects.get(action="sign_in_confirmed")
    assert (entry.actor, entry.subject) == ("zuri", "neema")
    assert entry.after["signedInFrom"] == "192.0.2.7"
    assert entry.after["signedInWith"] == BROWSER
    assert entry.after["signedInAt"] == Profile.objects.get(user=neema).signed_in_at.isoformat()
    assert (entry.after["involved"], entry.after["isConfirmed"]) == (["asha", "juma"], True)
    assert (Confirmation.objects.get().user, Confirmation.objects.get().confirmed_by.username) == (neema, "zuri")
    first = Entry.objects.get(action="first_signed_in")
    assert (first.actor, first.address) == ("neema", "192.0.2.7")


@override_settings(SENDS_EMAIL=True, PORTAL_URL="https://hub.example")
def test_with_email_the_link_goes_to_the_new_users_address_and_nobody_else_sees_it(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    create(asha, juma)
    letter = Notification.objects.get()
    assert (letter.recipient, letter.kind, letter.is_secret) == ("neema@example.org", "invitation", True)
    assert [shown_to(client) for client in (asha, juma, zuri)] == ["", "", ""]
    for client in (asha, juma, zuri):
        page = client.get("/portal/users/neema/").content.decode()
        assert "by e-mail" in page
        assert "invitation/#" not in page
    text = sent_text(letter)
    assert "asha requested this invitation, and juma approved it" in text
    link = re.search(r"https://hub\.example/portal/invitation/#\S+", text)[0]
    assert use_invitation(link) == 200
    sign_in_first("neema")
    assert not may_act()
    told = Notification.objects.filter(kind="first_sign_in").values_list("recipient", flat=True)
    assert list(told) == ["zuri@example.org"]
    judge(zuri)
    assert may_act()


def sent_text(letter: Notification) -> str:
    """What the mail server would get."""
    assert mail.outbox == []
    return fernet(SEAL).decrypt(bytes(letter.sealed)).decode()


def test_where_both_other_administrators_had_a_part_both_confirm(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    set_password(asha, juma)
    sign_in_first("neema")
    page = asha.get("/portal/users/neema/").content.decode()
    assert "two administrators must confirm" in page
    assert "Another administrator must confirm it too" in judge(asha)
    assert not may_act()
    assert "You have already confirmed" in judge(asha)
    assert not may_act()
    assert "is confirmed" in judge(juma)
    assert may_act()
    said = Entry.objects.filter(action="sign_in_confirmed").order_by("id")
    assert [(entry.actor, entry.after["isConfirmed"]) for entry in said] == [("asha", False), ("juma", True)]


def test_one_who_had_a_part_does_not_confirm_where_there_is_one_who_had_none(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    create(asha, juma)
    set_password(asha, juma)
    sign_in_first("neema")
    for client in (asha, juma):
        assert "neither requested" in judge(client)
    assert not Confirmation.objects.exists()
    assert not may_act()


def test_a_hub_with_too_few_administrators_says_so(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    set_password(asha, juma)
    sign_in_first("neema")
    users.set_active(User.objects.get(username="juma"), is_active=False, actor="test")
    assert "too few administrators" in asha.get("/portal/users/neema/").content.decode()
    judge(asha)
    assert not may_act()
    call_command("create_administrator", "zuri", email="zuri@example.org", stdout=io.StringIO())
    judge(browser_of(User.objects.get(username="zuri")))
    assert may_act()


def test_a_sign_in_that_was_somebody_elses_is_rejected_by_one_administrator(
    world: World, asha: Client, juma: Client
) -> None:
    create(asha, juma)
    set_password(asha, juma)
    other = sign_in_first("neema")
    assert "no longer work" in judge(asha, "reject")
    assert other.get("/portal/overview/").status_code == 302
    neema = User.objects.get(username="neema")
    assert (neema.has_usable_password(), neema.is_active) == (False, True)
    assert not neema.authenticator_set.exists()
    entry = Entry.objects.get(action="sign_in_rejected")
    assert (entry.actor, entry.subject) == ("asha", "neema")
    assert entry.before["signedInAt"]
    assert Profile.objects.get(user=neema).signed_in_at is None


def test_a_reset_ends_the_way_in_and_leads_through_two_halves_and_a_confirmation(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    neema = person(Role.RISK, name="neema")
    own = browser_of(neema)
    assert asha.post("/portal/users/neema/second-factor/", {"reason": "lost the phone"}).status_code == 302
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    assert own.get("/portal/overview/").status_code == 302
    assert not may_act()
    set_password(asha, juma)
    sign_in_first("neema")
    assert not may_act()
    judge(zuri)
    assert may_act()


@override_settings(SENDS_EMAIL=True)
def test_another_address_is_proven_as_the_first_was_and_the_old_one_is_notified(
    world: World, asha: Client, juma: Client
) -> None:
    person(Role.RISK, name="neema")
    path = "/portal/users/neema/email/"
    assert asha.post(path, {"email": "juma+2@example.org", "reason": "new"}).status_code == 400
    assert asha.post(path, {"email": "neema@bank.example", "reason": "married"}).status_code == 302
    assert User.objects.get(username="neema").email == "neema@example.org"
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    assert User.objects.get(username="neema").email == "neema@bank.example"
    assert not may_act()
    assert dict(Notification.objects.values_list("kind", "recipient")) == {
        "invitation": "neema@bank.example",
        "email_changed": "neema@example.org",
    }
    change = Entry.objects.get(action="email_changed")
    assert (change.before, change.after) == ({"email": "neema@example.org"}, {"email": "neema@bank.example"})


def test_one_who_is_let_in_again_is_confirmed_again(world: World, asha: Client, juma: Client, zuri: Client) -> None:
    create(asha, juma)
    set_password(asha, juma)
    sign_in_first("neema")
    judge(zuri)
    for _round in range(2):
        asha.post("/portal/users/neema/activity/", {"reason": "away, and back"})
        juma.post(f"/portal/approvals/{latest().pk}/approve/")
    assert User.objects.get(username="neema").is_active
    assert not may_act()
    client = browser_of(User.objects.get(username="neema"))
    first_sign_in_confirmation.note_sign_in(User.objects.get(username="neema"), browser="x")
    assert client.get("/portal/participants/green/TZS/cap/").status_code == 403
    assert "neither requested" in judge(asha)
    judge(zuri)
    assert may_act()


def test_an_invitation_expires(world: World, asha: Client, juma: Client) -> None:
    with override_settings(INVITATION_EXPIRES_S=-1):
        create(asha, juma)
    assert shown_to(asha) == ""
    with override_settings(INVITATION_EXPIRES_S=2):
        create(asha, juma, username="baraka", email="baraka@example.org")
        link, typed_code = shown_to(asha, "baraka"), shown_to(juma, "baraka")
    time.sleep(2.1)
    assert use_invitation(link, typed_code=typed_code) == 400
    assert not User.objects.get(username="baraka").has_usable_password()


def test_an_invitation_is_replaced_by_two_people_and_the_old_halves_open_nothing(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    create(asha, juma)
    old_link, old_code = shown_to(asha), shown_to(juma)
    juma.post("/portal/users/neema/second-factor/", {"reason": "never arrived"})
    assert Invitation.objects.filter(ended_at=None).count() == 1
    zuri.post(f"/portal/approvals/{latest().pk}/approve/")
    assert shown_to(asha) == ""
    link, typed_code = shown_to(juma), shown_to(zuri)
    for half, other in ((old_link, old_code), (old_link, typed_code), (link, old_code)):
        assert use_invitation(half, typed_code=other) == 400
    assert use_invitation(link, typed_code=typed_code.lower().replace("-", " ")) == 200


def test_an_administrator_from_the_shell_is_confirmed_and_a_link_from_it_needs_no_code(world: World) -> None:
    said = io.StringIO()
    call_command("create_administrator", "asha", email="asha@example.org", url="https://hub.example", stdout=said)
    link = re.search(r"https://hub\.example/portal/invitation/#\S+", said.getvalue())[0]
    assert use_invitation(link) == 200
    assert use_invitation(link) == 400
    client = sign_in_first("asha")
    assert client.get("/portal/users/new/").status_code == 200
    assert may_act("asha")


def test_only_a_person_whose_first_sign_in_must_be_confirmed_reads_that_it_must(
    world: World, asha: Client, juma: Client
) -> None:
    def answer_to(link: str, typed_code: str = "") -> str:
        sent = {"token": link.partition("#")[2], "code": typed_code, "password1": PASSWORD, "password2": PASSWORD}
        return Client().post("/portal/invitation/", sent).content.decode()

    said = io.StringIO()
    call_command("create_administrator", "rita", email="rita@example.org", role=["risk"], stdout=said)
    page = answer_to(said.getvalue())
    assert "Your user name is" in page
    assert "you can only read" not in page
    create(asha, juma)
    assert "you can only read" in answer_to(shown_to(asha), shown_to(juma))


def test_a_password_is_judged_before_it_is_set(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    for password in ("short", "password1234", "neema@example.org"):
        assert use_invitation(link, typed_code=typed_code, password=password) == 400
    sent = {"token": link.partition("#")[2], "code": typed_code, "password1": "a long one 12345", "password2": "b"}
    assert Client().post("/portal/invitation/", sent).status_code == 400
    assert not User.objects.get(username="neema").has_usable_password()
    assert use_invitation(link, typed_code=typed_code) == 200


def test_who_is_disabled_or_of_a_closed_participant_has_no_use_of_an_invitation(
    world: World, asha: Client, juma: Client
) -> None:
    neema = create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    users.set_active(neema, is_active=False, actor="test")
    assert use_invitation(link, typed_code=typed_code) == 400
    assert Invitation.objects.get().ended_at is not None
    before = latest().pk
    refused = asha.post("/portal/users/neema/second-factor/", {"reason": "x"})
    assert (refused.status_code, "Activate it first" in refused.content.decode()) == (400, True)
    assert latest().pk == before


def test_the_menu_counts_the_sign_ins_that_wait(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    set_password(asha, juma)

    def count() -> int:
        menu = asha.get("/portal/users/").context["menu"]
        return next(item["count"] for item in menu if item["url"] == "/portal/users/")

    assert count() == 0
    sign_in_first("neema")
    assert count() == 1


def test_nothing_of_an_invitation_is_kept_but_its_hashes(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    kept = Invitation.objects.get()
    assert (len(kept.link_hash), len(kept.code_hash)) == (64, 64)
    rows = str(list(Entry.objects.values())) + str(list(Invitation.objects.values()))
    rows += str(list(Notification.objects.values()))
    assert link.partition("#")[2] not in rows
    assert typed_code not in rows
    assert typed_code.replace("-", "") not in rows
    another = override_settings(SECRET_KEY="another secret that is long enough to be one, is it not")
    with another, pytest.raises(invitations.NotOpened):
        invitations.find(link.partition("#")[2])


def test_accounts_from_before_count_as_confirmed(world: World) -> None:
    unconfirmed = person(Role.RISK, name="unconfirmed", is_confirmed=False)
    without_profile = UserFactory.create(username="by-hand", email="by-hand@example.org")
    without_profile.groups.set(unconfirmed.groups.all())
    person(Role.VIEWER, name="confirmed")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE portal_profile DISABLE TRIGGER USER")  # not there yet when the migration runs
        cursor.execute(import_module("portal.migrations.0005_confirmed_accounts").CONFIRM)
        cursor.execute("ALTER TABLE portal_profile ENABLE TRIGGER USER")
    assert [may_act(name) for name in ("unconfirmed", "by-hand", "confirmed")] == [True, True, True]


def test_who_administers_is_known_by_a_webhook_too(world: World, asha: Client, juma: Client) -> None:
    hooks = ["https://alarms.example/kitovu", "not an address"]
    with override_settings(NOTIFICATION_WEBHOOKS=hooks):
        create(asha, juma)
        set_password(asha, juma)
        sign_in_first("neema", headers={"user-agent": BROWSER}, REMOTE_ADDR="192.0.2.7")
    told = Notification.objects.get()
    assert (told.recipient, told.kind) == (hooks[0], "first_sign_in")
    said = json.loads(told.text)
    assert said["data"]["user"] == "neema"
    assert (said["data"]["signedInFrom"], said["data"]["signedInWith"]) == ("192.0.2.7", BROWSER)


@override_settings(SENDS_EMAIL=True)
def test_an_account_without_an_address_is_invited_in_two_halves_and_holds_up_nobody(
    world: World, asha: Client, juma: Client, zuri: Client
) -> None:
    """An account that somebody made from the shell may have any address, or none."""
    person(Role.RISK, name="neema")
    User.objects.filter(username="neema").update(email="")
    User.objects.filter(username="zuri").update(email="not an address")
    asha.post("/portal/users/neema/second-factor/", {"reason": "x"})
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    set_password(asha, juma)
    sign_in_first("neema", headers={"user-agent": "x" * 5000})
    assert Profile.objects.get(user__username="neema").signed_in_with == "x" * 200
    judge(zuri)
    assert may_act()
    assert not Notification.objects.exists()
