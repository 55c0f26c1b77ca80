"""The portal's people in the tests' world: one of each role, and the browsers they sit at."""

import functools
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client

from hub.participants.models import Participant
from portal import users
from portal.permissions import PARTICIPANT_ROLES, Role
from portal.sign_in import Backend

# What a test may take between reading a code and sending it.
AT_ONCE_S, IN_A_BROWSER_S = 3, 8
PASSWORD = "a long enough password 7"


def person(role: Role | None, *, name: str = "", participant: str = "green", is_confirmed: bool = True) -> User:
    """Somebody with this role; a participant's people are of `participant`. None: signed in, but without any role."""
    name = name or (role.value if role else "nobody")
    roles = frozenset({role}) if role else frozenset({Role.VIEWER})
    bound = Participant.objects.get(name=participant) if role in PARTICIPANT_ROLES else None
    user = users.create(
        username=name,
        email=f"{name}@example.org",
        roles=roles,
        participant=bound,
        actor="test",
        is_confirmed=is_confirmed,
    )
    if role is None:
        user.groups.clear()
    user.password = _hashed_password()
    user.save()
    return user


@functools.cache
def _hashed_password() -> str:
    """Slow to make on purpose, so made once."""
    return make_password(PASSWORD)


def browser_of(user: User, *, has_second_factor: bool = True, **kwargs: object) -> Client:
    """A browser in which this user has signed in."""
    client = Client(**kwargs)
    client.force_login(user)
    if has_second_factor:
        session = client.session
        session["account_authentication_methods"] = [{"method": "mfa", "at": time.time(), "type": "totp"}]
        session["account_authentication_methods_user"] = str(user.pk)
        session.save()
    return client


def browser(role: Role | None, **kwargs: object) -> Client:
    return browser_of(person(role, **kwargs))


def read_users_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test of thousands of requests, to whose proof it does not matter how a user is read: half of the time."""
    read = functools.cache(Backend().get_user)
    monkeypatch.setattr(Backend, "get_user", lambda backend, user_id: read(user_id))


def set_up_app(user: User) -> str:
    """Gives the user an authenticator app; returns its secret."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code(secret: str, *, steps: int = 0, sent_within_s: float = AT_ONCE_S) -> str:
    """What the app shows now, or some steps of 30 seconds from now; a code that is about to change is waited out."""
    left = 30 - time.time() % 30
    if left < sent_within_s:
        time.sleep(left + 0.1)
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def use_invitation(link: str, *, typed_code: str = "", password: str = PASSWORD) -> int:
    """Sets a password as the page of an invitation does, whose script takes what stands behind the #."""
    sent = {"token": link.partition("#")[2], "code": typed_code, "password1": password, "password2": password}
    return Client().post("/portal/invitation/", sent).status_code


def sign_in_first(name: str, *, password: str = PASSWORD, **kwargs: object) -> Client:
    """A browser in which the owner of a new account has signed in, and has set up an authenticator app."""
    client = Client(**kwargs)
    client.post("/portal/sign-in/", {"login": name, "password": password})
    secret = client.get("/portal/account/code/set-up/").context["form"].secret
    client.post("/portal/account/code/set-up/", {"code": code(secret)})
    return client


__all__ = [
    "PASSWORD",
    "Authenticator",
    "browser",
    "browser_of",
    "code",
    "person",
    "read_users_once",
    "set_up_app",
    "sign_in_first",
    "use_invitation",
]
