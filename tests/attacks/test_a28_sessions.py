"""A28: what a stolen or left session is worth. Cycling, idling and ending are in tests/portal/test_sign_in.py."""

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, override_settings

from portal import users
from portal.permissions import Role
from tests.portal.people import PASSWORD, browser_of, person
from tests.world import World

NAME = settings.SESSION_COOKIE_NAME


def test_a28_no_script_and_no_other_site_has_the_cookie(world: World) -> None:
    person(Role.VIEWER)
    client = Client()
    client.post("/portal/sign-in/", {"login": "viewer", "password": PASSWORD})
    cookie = client.cookies[NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] in ("Lax", "Strict")
    assert cookie["domain"] == ""
    assert client.cookies["csrftoken" if "csrftoken" in client.cookies else settings.CSRF_COOKIE_NAME]["samesite"] in (
        "Lax",
        "Strict",
    )


def test_a28_a_session_that_a_stranger_chose_is_none(world: World) -> None:
    user = person(Role.VIEWER)
    chosen = "a" * 32
    client = Client()
    client.cookies[NAME] = chosen
    assert client.get("/portal/overview/").status_code == 302
    client.post("/portal/sign-in/", {"login": user.username, "password": PASSWORD})
    assert client.cookies[NAME].value != chosen


def test_a28_a_session_of_one_key_is_none_for_a_hub_of_another(world: World) -> None:
    client = browser_of(person(Role.VIEWER))
    assert client.get("/portal/account/").status_code == 200
    with override_settings(SECRET_KEY="another secret that is long enough to be one, is it not"):
        assert client.get("/portal/account/").status_code == 302


def test_a28_every_session_of_a_person_ends_with_the_person(world: World) -> None:
    user = person(Role.VIEWER)
    here, there = browser_of(user), browser_of(user)
    for client in (here, there):
        assert client.get("/portal/overview/").status_code == 200
    users.set_active(user, is_active=False, actor="test")
    for client in (here, there):
        assert client.get("/portal/overview/").status_code == 302


def test_a28_a_role_that_was_taken_is_gone_from_open_sessions(world: World) -> None:
    user = person(Role.OPERATOR)
    client = browser_of(user)
    assert client.get("/portal/directory/oracles/new/").status_code == 200
    users.set_roles(User.objects.get(pk=user.pk), roles=frozenset({Role.VIEWER}), actor="test")
    assert client.get("/portal/directory/oracles/new/").status_code == 403
