"""How people come in: invited, password and one-time code, locked out, sent out, and all of it recorded."""

import io
import re
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client

from hub.audit.models import Entry
from portal import users
from portal.permissions import Role
from tests.factories import UserFactory
from tests.portal.people import PASSWORD, browser, browser_of, code, person, set_up_app
from tests.world import World

SIGN_IN = "/portal/sign-in/"
CODE = "/portal/sign-in/code/"


@pytest.fixture(autouse=True)
def _forget_attempts() -> None:
    cache.clear()


def sign_in(client: Client, name: str, password: str = PASSWORD) -> int:
    return client.post(SIGN_IN, {"login": name, "password": password}).status_code


def is_in(client: Client) -> bool:
    return client.get("/portal/account/").status_code == 200


def actions(subject: str) -> list[str]:
    return list(Entry.objects.filter(subject=subject).order_by("id").values_list("action", flat=True))


def test_a_first_administrator_is_invited_sets_a_password_and_a_second_factor(
    world: World, django_capture_on_commit_callbacks: Any
) -> None:
    said = io.StringIO()
    call_command("create_administrator", "asha", email="asha@example.org", stdout=said)
    link = re.search(r"http://127.0.0.1:8000/portal/invitation/#\S+", said.getvalue())[0]
    client = Client()
    form = client.get("/portal/invitation/")
    assert form.status_code == 200
    assert form["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    sent = {"token": link.partition("#")[2], "password1": PASSWORD, "password2": PASSWORD}
    done = client.post("/portal/invitation/", sent).content.decode()
    assert "asha" in done
    assert "you can only read" not in done  # the account needs no confirmation
    assert "already used" in Client().post("/portal/invitation/", sent).content.decode()
    assert sign_in(client, "asha") == 302
    assert not is_in(client)
    page = client.get("/portal/account/code/set-up/")
    secret = page.context["form"].secret
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/portal/account/code/set-up/", {"code": code(secret)}).status_code == 302
    assert is_in(client)
    assert client.get("/portal/overview/").status_code == 200
    assert "totp_activated" in actions("asha")
    assert secret not in str(Authenticator.objects.get(type="totp").data)


def test_the_command_refuses_a_name_or_address_that_is_taken(world: World) -> None:
    call_command("create_administrator", "asha", email="asha@example.org", stdout=io.StringIO())
    with pytest.raises(CommandError, match="already in use"):
        call_command("create_administrator", "asha", email="other@example.org")
    with pytest.raises(CommandError, match="email"):
        call_command("create_administrator", "asha2", email="ASHA@example.org")
    with pytest.raises(CommandError, match="lower-case letters"):
        call_command("create_administrator", "A b", email="b@example.org")


def test_a_password_alone_does_not_open_the_portal(world: World) -> None:
    user = person(Role.VIEWER)
    secret = set_up_app(user)
    client = Client()
    assert sign_in(client, "viewer") == 302
    assert client.get("/portal/overview/").status_code == 302
    assert client.post(CODE, {"code": "000000"}).status_code == 200
    assert not is_in(client)
    assert client.post(CODE, {"code": code(secret)}).status_code == 302
    assert is_in(client)


def test_a29_a_one_time_code_is_good_once(world: World) -> None:
    user = person(Role.VIEWER)
    secret = set_up_app(user)
    shown = code(secret, sent_within_s=8)  # so that it is refused for its first use, and not because it has ended
    for is_first in (True, False):
        client = Client()
        sign_in(client, "viewer")
        client.post(CODE, {"code": shown})
        assert is_in(client) is is_first


def test_a29_after_five_wrong_passwords_the_right_one_does_not_help_for_a_quarter_of_an_hour(world: World) -> None:
    user = person(Role.VIEWER)
    secret = set_up_app(user)
    for _ in range(5):
        assert sign_in(Client(), "viewer", "wrong") == 200
    client = Client()
    assert sign_in(client, "viewer") == 200
    assert "Too many failed" in client.post(SIGN_IN, {"login": "viewer", "password": PASSWORD}).content.decode()
    assert actions("viewer").count("sign_in_failed") == 5
    cache.clear()  # what the quarter of an hour does
    assert sign_in(client, "viewer") == 302
    client.post(CODE, {"code": code(secret)})
    assert is_in(client)


def test_a33_what_is_typed_as_a_name_that_nobody_has_is_not_kept(world: World) -> None:
    sign_in(Client(), "my secret password", "asha")
    failed = Entry.objects.get(action="sign_in_failed")
    assert (failed.subject, failed.before, failed.after) == ("unknown", None, None)


def test_a29_after_five_wrong_codes_the_right_one_does_not_help(world: World) -> None:
    secret = set_up_app(person(Role.VIEWER))
    client = Client()
    sign_in(client, "viewer")
    for _ in range(5):
        client.post(CODE, {"code": "000000"})
    client.post(CODE, {"code": code(secret)})
    assert not is_in(client)


def test_a29_an_unknown_name_and_a_wrong_password_are_answered_alike(world: World) -> None:
    person(Role.VIEWER)
    texts = []
    for name in ("viewer", "nobody-here"):
        text = Client().post(SIGN_IN, {"login": name, "password": "wrong"}).content.decode()
        text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", text)
        texts.append(text.replace(name, "NAME"))
    assert texts[0] == texts[1]


def test_a28_the_session_changes_its_key_at_sign_in_and_ends_at_sign_out(world: World) -> None:
    secret = set_up_app(person(Role.VIEWER))
    client = Client()
    client.get(SIGN_IN)
    sign_in(client, "viewer")
    before = client.session.session_key
    client.post(CODE, {"code": code(secret)})
    after = client.session.session_key
    assert before != after
    cookie = client.cookies["kitovu_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    thief = Client()
    thief.cookies["kitovu_session"] = cookie.value
    assert is_in(thief)
    client.post("/portal/sign-out/")
    assert not is_in(thief)
    assert actions("viewer")[-2:] == ["signed_in", "signed_out"]


def test_a28_a_changed_password_an_end_of_the_account_or_a_taken_role_acts_at_once(world: World) -> None:
    user = person(Role.OPERATOR)
    client = browser_of(user)
    assert client.get("/portal/overview/").status_code == 200
    users.set_roles(user, roles=frozenset({Role.ADMINISTRATOR}), actor="test")
    assert client.get("/portal/users/").status_code in (200, 404)
    users.set_active(user, is_active=False, actor="test")
    assert client.get("/portal/overview/").status_code == 302
    users.set_active(user, is_active=True, actor="test")
    other = browser_of(User.objects.get(pk=user.pk))
    changed = User.objects.get(pk=user.pk)
    changed.set_password("another long password 8")
    changed.save()
    assert not is_in(other)


def test_a28_an_idle_session_ends_and_a_page_that_polls_does_not_keep_it(world: World) -> None:
    client = browser(Role.VIEWER)
    with time_machine.travel("2026-11-24T08:00:00Z", tick=False) as clock:
        assert is_in(client)
        for _ in range(6):
            clock.shift(5 * 60)
            client.get("/portal/account/", headers={"HX-Polling": "true"})
        clock.shift(60)
        assert not is_in(client)


def test_nobody_signs_up_and_no_mail_resets_a_password(world: World) -> None:
    for path in ("signup/", "password/reset/", "account/email/"):
        assert Client().get(f"/portal/{path}").status_code == 404


def test_django_admin_asks_for_two_factors_and_changes_nothing(world: World) -> None:
    root = UserFactory.create(username="root", is_root=True)
    assert browser_of(root, has_second_factor=False).get("/admin/").status_code == 403
    client = browser_of(root)
    assert client.get("/admin/ledger/transfer/").status_code == 200
    assert client.post("/admin/auth/user/add/", {"username": "x"}).status_code == 403
    assert not User.objects.filter(username="x").exists()
    assert client.post(f"/admin/auth/user/{root.pk}/change/", {"username": "y"}).status_code == 403
    assert User.objects.get(pk=root.pk).username == "root"
