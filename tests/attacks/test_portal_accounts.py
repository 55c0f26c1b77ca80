"""A30: one administrator who tries to be two, by whatever account, page or table."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.test import Client, override_settings

from hub.audit.approvals import NotApproved, mailbox
from hub.audit.models import Approval, Entry
from hub.notifications.models import Notification
from portal import changes, first_sign_in_confirmation, invitations, users
from portal.models import Confirmation, Invitation, Profile
from portal.permissions import HUB_ROLES, READING, RIGHTS, Role
from portal.visitor import visitor_for
from tests.concurrency.together import together
from tests.factories import UserFactory
from tests.portal.people import PASSWORD, browser, browser_of, code, person, set_up_app, sign_in_first, use_invitation
from tests.portal.test_accounts import NEW, create, judge, latest, may_act, sent_text, set_password, shown_to
from tests.portal.test_matrix import PAGES, rule_of, url_of
from tests.world import World, amount


@pytest.fixture(autouse=True)
def _forget_attempts() -> None:
    cache.clear()


@pytest.fixture
def asha(world: World) -> Client:
    return browser(Role.ADMINISTRATOR, name="asha")


@pytest.fixture
def juma(world: World) -> Client:
    return browser(Role.ADMINISTRATOR, name="juma")


def ask_for_cap(client: Client) -> Approval:
    client.post("/portal/participants/green/TZS/cap/", {"ndc": "9", "alarm_percentage": "9", "reason": "x"})
    return latest()


def links_and_codes(answer: object) -> list[str]:
    text = answer.content.decode()  # type: ignore[attr-defined]
    return re.findall(r"invitation/#[\w-]{20,}", text) + re.findall(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}\b", text)


def test_a30_who_asks_for_an_account_can_not_sign_in_as_it_and_approve_its_own_requests(
    world: World, asha: Client, juma: Client
) -> None:
    create(asha, juma)
    link = shown_to(asha)
    for typed_code in ("", "AAAA-AAAA-AAAA", link[-12:]):
        assert use_invitation(link, typed_code=typed_code) == 400
    assert not User.objects.get(username="neema").has_usable_password()
    second = Client()
    assert second.post("/portal/sign-in/", {"login": "neema", "password": PASSWORD}).status_code == 200
    approval = ask_for_cap(browser(Role.RISK, name="baraka"))
    second.post(f"/portal/approvals/{approval.pk}/approve/")
    assert world.account("green").net_debit_cap == amount(1000)


def test_a30_a_reset_does_not_hand_anothers_account_to_who_asked_for_it(
    world: World, asha: Client, juma: Client
) -> None:
    neema = browser(Role.ADMINISTRATOR, name="neema")
    asha.post("/portal/users/juma/second-factor/", {"reason": "lost the phone"})
    neema.post(f"/portal/approvals/{latest().pk}/approve/")
    assert use_invitation(shown_to(asha, "juma")) == 400
    assert not User.objects.get(username="juma").has_usable_password()
    assert juma.get("/portal/overview/").status_code == 302


def test_a30_neither_half_is_shown_to_another_or_twice(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    others = [browser(role, name=f"of-{role.value}") for role in HUB_ROLES]
    assert all(client.post("/portal/users/neema/invitation/").status_code in (302, 403) for client in others)
    assert not Entry.objects.filter(action__startswith="invitation_").exists()
    first = [shown_to(asha), shown_to(juma)]
    assert [links_and_codes(asha.post("/portal/users/neema/invitation/", follow=True)) for _ in range(2)] == [[], []]
    assert first[0].count("#") == 1
    assert "#" not in first[1]
    assert (shown_to(asha), shown_to(juma)) == ("", "")
    assert list(
        Entry.objects.filter(action__startswith="invitation_").order_by("id").values_list("action", "actor", "after")
    ) == [("invitation_link_shown", "asha", None), ("invitation_code_shown", "juma", None)]


def test_a33_no_page_export_entry_or_table_page_shows_a_half(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    invitation = Invitation.objects.get()
    root = browser_of(UserFactory.create(username="root", is_root=True))
    everybody = [asha, juma, root, browser(Role.AUDITOR)]
    paths = [
        "/portal/users/",
        "/portal/users/neema/",
        f"/portal/approvals/{latest().pk}/",
        "/portal/approvals/",
        "/portal/audit/",
        "/portal/audit/entries.csv",
        "/portal/notifications/?state=all",
        "/admin/portal/invitation/",
        f"/admin/portal/invitation/{invitation.pk}/change/",
        f"/admin/auth/user/{invitation.user_id}/change/",
        "/admin/audit/entry/",
    ]
    secrets = (link.partition("#")[2], typed_code, invitation.link_hash, invitation.code_hash)
    for client in everybody:
        for path in paths:
            answer = client.get(path)
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            for secret in secrets:
                assert secret.encode() not in body, path
    kept = str([session.get_decoded() for session in Session.objects.all()])
    assert all(secret not in kept for secret in secrets)


@override_settings(SENDS_EMAIL=True)
def test_a33_a_link_that_waits_to_be_mailed_is_shown_on_no_page(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    letter = Notification.objects.get()
    root = browser_of(UserFactory.create(username="root", is_root=True))
    for client in (asha, juma, root):
        for path in (
            "/portal/users/neema/",
            "/portal/notifications/?state=all",
            f"/admin/notifications/notification/{letter.pk}/change/",
        ):
            text = client.get(path).content.decode()
            assert "invitation/#" not in text
            assert bytes(letter.sealed).decode() not in text
    assert root.get(f"/admin/notifications/notification/{letter.pk}/change/").status_code == 200


def test_a30_the_holder_of_the_link_has_five_guesses(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    for _ in range(5):
        assert use_invitation(link, typed_code="AAAA-AAAA-AAAA") == 400
    assert use_invitation(link, typed_code=typed_code) == 400
    assert not User.objects.get(username="neema").has_usable_password()
    assert Entry.objects.filter(action="invitation_code_wrong", subject="neema").count() == 5
    with pytest.raises(IntegrityError, match="has ended"), transaction.atomic():
        Invitation.objects.update(ended_at=None)


def test_a30_a_code_that_nobody_was_shown_is_no_code(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    link = shown_to(asha)
    for typed_code in ("", "-", "None", " "):
        assert use_invitation(link, typed_code=typed_code) == 400


def test_a30_the_database_gives_both_halves_to_no_one(world: World, asha: Client, juma: Client) -> None:
    neema = create(asha, juma)
    first, second = (User.objects.get(username=name) for name in ("asha", "juma"))
    later = datetime.now(UTC) + timedelta(days=1)
    for halves in (
        {"link_holder": first, "code_holder": first},
        {"link_holder": first},
        {"code_holder": first},
        {"link_holder": neema, "code_holder": first},
        {"link_holder": first, "code_holder": neema},
    ):
        Invitation.objects.filter(ended_at=None).update(ended_at=datetime.now(UTC))
        with pytest.raises(IntegrityError, match="link_and_code_go_to_two_others"), transaction.atomic():
            Invitation.objects.create(user=neema, expires_at=later, **halves)
    Invitation.objects.create(user=neema, expires_at=later, link_holder=first, code_holder=second)
    with pytest.raises(IntegrityError, match="one_open_invitation"), transaction.atomic():
        Invitation.objects.create(user=neema, expires_at=later, link_holder=second, code_holder=first)
    shown_to(asha)
    swapped = {"link_holder": second, "code_holder": first}
    for changed in (swapped, {"link_hash": "0" * 64}, {"expires_at": later + timedelta(days=1)}):
        with pytest.raises(IntegrityError, match="do not change"), transaction.atomic():
            Invitation.objects.filter(ended_at=None).update(**changed)


@pytest.fixture
def second_account(world: World, asha: Client, juma: Client) -> Client:
    """Somebody came by both halves of neema's invitation and sits at the account: no administrator confirmed it."""
    create(asha, juma, roles=[role.value for role in HUB_ROLES])
    set_password(asha, juma)
    return sign_in_first("neema")


def test_a30_an_account_that_nobody_confirmed_approves_nothing(world: World, second_account: Client) -> None:
    approval = ask_for_cap(browser(Role.RISK, name="baraka"))
    for word in ("approve", "refuse"):
        assert second_account.post(f"/portal/approvals/{approval.pk}/{word}/").status_code == 403
    neema = User.objects.get(username="neema")
    for decide in (changes.approve, partial(changes.refuse, reason="")):
        with pytest.raises(NotApproved, match="not confirmed"):
            decide(visitor_for(neema), approval.pk)
    assert Approval.objects.get(pk=approval.pk).state == "PENDING"
    assert world.account("green").net_debit_cap == amount(1000)


def test_a30_who_holds_a_second_account_can_not_ask_with_it_and_approve_with_the_first(
    world: World, second_account: Client
) -> None:
    before = Approval.objects.count()
    answer = second_account.post(
        "/portal/participants/green/TZS/cap/", {"ndc": "9", "alarm_percentage": "9", "reason": "x"}
    )
    assert answer.status_code == 403
    payload = {"participant": "green", "currency": "TZS", "ndc_before": amount(1000), "ndc": 1, "alarm_percentage": 9}
    with pytest.raises(NotApproved, match="only read"):
        changes.ask(
            visitor_for(User.objects.get(username="neema")), "change_cap", subject="green", payload=payload, reason="x"
        )
    assert Approval.objects.count() == before


def test_a30_what_an_account_asked_for_before_its_reset_waits_until_it_is_confirmed_again(world: World) -> None:
    maker, checker = browser(Role.RISK, name="baraka"), browser(Role.RISK, name="amani")
    approval = ask_for_cap(maker)
    users.reset_second_factor(User.objects.get(username="baraka"), actor="test")
    answer = checker.post(f"/portal/approvals/{approval.pk}/approve/", follow=True)
    assert "is not confirmed" in answer.content.decode()
    assert world.account("green").net_debit_cap == amount(1000)


def test_a30_an_account_that_nobody_confirmed_only_reads(world: World, second_account: Client) -> None:
    """Every URL and method: what needs a right that is not reading is refused, whatever roles the account has."""
    second_account.raise_request_exception = False
    wrong = []
    for name, pattern in PAGES:
        rule = rule_of(pattern)
        for method in ("GET", "POST"):
            right = rule.needed(method)
            if right is not None and right not in READING:
                status = second_account.generic(method, url_of(name, pattern)).status_code
                if status != 403:
                    wrong.append((method, name, status))
    assert wrong == []
    assert {right.name for right in RIGHTS if right not in READING} >= {"ASK", "CHECK", "CONFIRM_USERS", "INVITE_USERS"}


def test_a30_two_second_accounts_do_not_confirm_each_other(world: World, second_account: Client) -> None:
    juma, asha = (browser_of(User.objects.get(username=name)) for name in ("juma", "asha"))
    create(juma, asha, username="other", email="other@example.org", roles=["administrator"])
    set_password(juma, asha, "other")
    other = sign_in_first("other")
    for client, name in ((second_account, "other"), (other, "neema"), (second_account, "neema")):
        signed_in_at = Profile.objects.get(user__username=name).signed_in_at.isoformat()
        answer = client.post(f"/portal/users/{name}/confirm/", {"signed_in_at": signed_in_at})
        assert answer.status_code == 403
    for by, name in (("neema", "other"), ("neema", "neema")):
        user, administrator = (User.objects.get(username=each) for each in (name, by))
        signed_in_at = Profile.objects.get(user=user).signed_in_at
        with pytest.raises(first_sign_in_confirmation.NotConfirmed):
            first_sign_in_confirmation.confirm(user, signed_in_at=signed_in_at, confirmed_by=administrator)
    assert not may_act()
    assert not may_act("other")


def test_a30_an_administrator_with_a_second_mailbox_name_is_one_person(world: World, asha: Client) -> None:
    for address in ("ASHA@example.org", "asha+2@example.org", "Asha+Other@Example.ORG"):
        assert asha.post("/portal/users/new/", NEW | {"email": address}).status_code == 400
    assert mailbox("Asha+2@Example.org") == mailbox("asha@example.org")
    assert mailbox("asha@example.org") != mailbox("asha@example.com")
    User.objects.filter(username="asha").update(email="shared@example.org")
    other = person(Role.ADMINISTRATOR, name="other")
    User.objects.filter(pk=other.pk).update(email="shared+x@example.org")
    asha.post("/portal/users/new/", NEW)
    answer = browser_of(User.objects.get(pk=other.pk)).post(f"/portal/approvals/{latest().pk}/approve/", follow=True)
    assert "one person" in answer.content.decode()
    assert not User.objects.filter(username="neema").exists()


def test_a30_the_sign_in_that_is_confirmed_is_the_one_that_was_looked_at(
    world: World, second_account: Client, asha: Client, juma: Client
) -> None:
    zuri = browser(Role.ADMINISTRATOR, name="zuri")
    looked_at = Profile.objects.get(user__username="neema").signed_in_at.isoformat()
    users.reset_second_factor(User.objects.get(username="neema"), actor="test")
    first_sign_in_confirmation.note_sign_in(User.objects.get(username="neema"), browser="another")
    for sent in (looked_at, "", "yesterday", "2026-01-01", "2026-01-01T00:00:00"):
        answer = zuri.post("/portal/users/neema/confirm/", {"signed_in_at": sent}, follow=True)
        assert answer.status_code == 200
    assert not may_act()
    assert not Confirmation.objects.exists()


def test_a30_what_was_confirmed_before_a_reset_counts_no_more(
    world: World, second_account: Client, asha: Client, juma: Client
) -> None:
    judge(asha)  # one of the two that are needed
    asha.post("/portal/users/neema/second-factor/", {"reason": "x"})
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    set_password(asha, juma)
    sign_in_first("neema")
    assert "Another administrator" in judge(juma)
    assert not may_act()


def test_a30_the_database_confirms_nobody_whom_nobody_confirmed(world: World, second_account: Client) -> None:
    neema, asha = User.objects.get(username="neema"), User.objects.get(username="asha")
    profile = Profile.objects.filter(user=neema)
    with pytest.raises(IntegrityError, match="was not confirmed"), transaction.atomic():
        profile.update(confirmed_at=datetime.now(UTC), unconfirmed_since=None)
    with pytest.raises(IntegrityError, match="nobody_confirms_their_own"), transaction.atomic():
        Confirmation.objects.create(user=neema, signed_in_at=profile.get().signed_in_at, confirmed_by=neema)
    Confirmation.objects.create(user=neema, signed_in_at=datetime.now(UTC), confirmed_by=asha)
    with pytest.raises(IntegrityError, match="was not confirmed"), transaction.atomic():
        profile.update(confirmed_at=datetime.now(UTC), unconfirmed_since=None)
    with pytest.raises(Exception, match="Cannot update or delete"), transaction.atomic():
        Confirmation.objects.update(confirmed_by=neema)


def test_a30_a_form_that_was_read_before_a_reset_does_not_confirm_the_account_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of one's own account reads the profile; a reset comes; the page saves what it read."""
    neema = person(Role.RISK, name="neema")
    client = browser_of(neema)
    real = Profile.objects.filter

    def read_and_then_reset(*args: object, **kwargs: object) -> object:
        found = list(real(*args, **kwargs))
        monkeypatch.undo()
        first_sign_in_confirmation.unconfirm(neema)

        class Read:
            def first(self) -> object:
                return found[0] if found else None

        return Read()

    monkeypatch.setattr(Profile.objects, "filter", read_and_then_reset)
    client.post("/portal/account/", {"language": "sw", "time_zone": "UTC"})
    assert real(user=neema).get().language == "sw"
    assert not may_act()


def test_a30_roles_that_are_added_make_an_account_no_more_confirmed(
    world: World, second_account: Client, asha: Client, juma: Client
) -> None:
    asha.post("/portal/users/neema/roles/", {"roles": ["administrator", "risk"], "reason": "x"})
    juma.post(f"/portal/approvals/{latest().pk}/approve/")
    approval = ask_for_cap(browser(Role.RISK, name="baraka"))
    assert second_account.post(f"/portal/approvals/{approval.pk}/approve/").status_code == 403


def test_a30_who_gave_the_roles_has_a_part_in_the_account(world: World, second_account: Client, asha: Client) -> None:
    zuri = browser(Role.ADMINISTRATOR, name="zuri")
    asha.post("/portal/users/neema/roles/", {"roles": ["administrator", "risk"], "reason": "x"})
    zuri.post(f"/portal/approvals/{latest().pk}/approve/")
    judge(zuri)
    assert not may_act()  # one of two: nobody is left who had no part


def test_a30_a_password_from_before_an_account_was_disabled_opens_one_that_only_reads(world: World) -> None:
    left = person(Role.RISK, name="left")
    secret = set_up_app(left)
    users.set_active(left, is_active=False, actor="test")
    users.set_active(left, is_active=True, actor="test")
    client = Client()
    client.post("/portal/sign-in/", {"login": "left", "password": PASSWORD})
    client.post("/portal/sign-in/code/", {"code": code(secret)})
    assert client.get("/portal/overview/").status_code == 200
    assert client.get("/portal/participants/green/TZS/cap/").status_code == 403
    assert Profile.objects.get(user=left).signed_in_at is not None


def test_a30_being_a_superuser_or_staff_confirms_and_shows_nothing(world: World, second_account: Client) -> None:
    root = browser_of(UserFactory.create(username="root", is_root=True))
    User.objects.filter(username="neema").update(is_superuser=True, is_staff=True)
    approval = ask_for_cap(browser(Role.RISK, name="baraka"))
    assert second_account.post(f"/portal/approvals/{approval.pk}/approve/").status_code == 403
    for word in ("confirm", "reject", "invitation"):
        assert root.post(f"/portal/users/neema/{word}/").status_code == 403
    for path in ("profile", "invitation", "confirmation"):
        root.post(f"/admin/portal/{path}/add/", {"user": "1", "confirmed_at_0": "2026-01-01"})
    assert not may_act()
    assert not Confirmation.objects.exists()


def test_a30_nobody_resets_their_own_account_or_gives_it_another_address(
    world: World, asha: Client, juma: Client
) -> None:
    """Its sessions would end, and the half with them; and a maker would be among those who prove the maker."""
    for page in ("second-factor", "email"):
        assert asha.post(f"/portal/users/asha/{page}/", {"reason": "x", "email": "n@example.org"}).status_code == 403
        juma.post(f"/portal/users/asha/{page}/", {"reason": "x", "email": "n@example.org"})
        answer = asha.post(f"/portal/approvals/{latest().pk}/approve/", follow=True)
        assert "your own account" in answer.content.decode()
        assert latest().state == "PENDING"
    assert User.objects.get(username="asha").has_usable_password()


def test_a30_no_page_changes_an_address_without_two_people(world: World) -> None:
    user = person(Role.VIEWER, name="neema")
    client = browser_of(user)
    sent = {"email": "thief@example.org", "time_zone": "UTC", "language": "", "action_add": "", "username": "x"}
    for path in ("account/", "account/email/", "users/neema/email/", "account/password/"):
        client.post(f"/portal/{path}", sent)
    assert User.objects.get(pk=user.pk).email == "neema@example.org"


def test_a30_an_old_kind_of_link_opens_nothing(world: World) -> None:
    user = person(Role.VIEWER, name="neema")
    path = f"/portal/invitation/{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}/"
    assert Client().get(path).status_code == 404


@override_settings(SENDS_EMAIL=True, PORTAL_URL="https://hub.example", ALLOWED_HOSTS=["*"])
def test_a30_the_link_in_an_email_leads_where_the_settings_say_whatever_host_the_request_named(
    world: World, asha: Client, juma: Client
) -> None:
    asha.post("/portal/users/new/", NEW)
    juma.post(f"/portal/approvals/{latest().pk}/approve/", headers={"host": "evil.example"})
    text = sent_text(Notification.objects.get())
    assert "https://hub.example/portal/invitation/#" in text
    assert "evil" not in text


def test_a30_two_who_use_one_invitation_at_once_set_one_password(committed_world: World) -> None:
    asha, juma = browser(Role.ADMINISTRATOR, name="asha"), browser(Role.ADMINISTRATOR, name="juma")
    create(asha, juma)
    link, typed_code = shown_to(asha), shown_to(juma)
    passwords = [f"a long enough password {n}" for n in range(4)]
    work: list[Callable[[], int]] = [
        partial(use_invitation, link, typed_code=typed_code, password=password) for password in passwords
    ]
    statuses = together(work)
    assert sorted(statuses) == [200, 400, 400, 400]
    neema = User.objects.get(username="neema")
    assert neema.check_password(passwords[statuses.index(200)])


def test_a30_a_half_that_is_asked_for_twice_at_once_is_shown_once(committed_world: World) -> None:
    asha, juma = browser(Role.ADMINISTRATOR, name="asha"), browser(Role.ADMINISTRATOR, name="juma")
    create(asha, juma)
    clients = [browser_of(User.objects.get(username="asha")) for _ in range(4)]
    shown = together([partial(shown_to, client) for client in clients])
    assert len([link for link in shown if link]) == 1


def test_a25_what_changes_an_account_needs_the_pages_token(world: World, asha: Client, juma: Client) -> None:
    create(asha, juma)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = asha.cookies
    assert strict.post("/portal/users/neema/invitation/").status_code == 403
    assert strict.post("/portal/users/neema/confirm/").status_code == 403
    assert Client(enforce_csrf_checks=True).post("/portal/invitation/", {"token": "x"}).status_code == 403
    assert Invitation.objects.get().link_hash is None


def test_a23_what_is_typed_into_the_invitation_may_be_anything(world: World) -> None:
    for text in ("", "x" * 5000, "\0", "'", "%00", "<script>", "\ud7ff", "é" * 60):
        sent = {"token": text, "code": text, "password1": text, "password2": text}
        assert Client().post("/portal/invitation/", sent).status_code == 400
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM portal_invitation")
        assert cursor.fetchone() == (0,)
    assert invitations.latest(person(Role.VIEWER)) is None
