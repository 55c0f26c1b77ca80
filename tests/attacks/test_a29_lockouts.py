"""A29, the other side of it: a stranger who guesses passwords keeps nobody out."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.cache import cache
from django.test import Client, override_settings

from hub import sign_in_attempts
from portal import known_browsers_for_lockout
from portal.permissions import Role
from tests import proofs
from tests.api.caller import dfsp
from tests.factories import UserFactory
from tests.portal.people import PASSWORD, person, set_up_app
from tests.world import World

SIGN_IN = "/portal/sign-in/"
CODE = "/portal/sign-in/code/"
HOME = "198.51.100.7"
ELSEWHERE = [f"203.0.113.{host}" for host in range(1, 5)]


@pytest.fixture(autouse=True)
def _fewer_are_enough(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sign_in_attempts, "MOST_OF_AN_ADDRESS", 8)
    monkeypatch.setattr(sign_in_attempts, "MOST_OF_A_NAME_ELSEWHERE", 12)
    cache.clear()
    yield
    cache.clear()


def at(address: str) -> Client:
    """A new browser at this address."""
    return Client(REMOTE_ADDR=address)


def guess(name: str, *, address: str, times: int) -> None:
    for number in range(times):
        at(address).post(SIGN_IN, {"login": name, "password": f"wrong {number}"})


class Codes:
    """Somebody called viewer, with recovery codes: each is good once, and none is waited for."""

    def __init__(self) -> None:
        user = person(Role.VIEWER)
        set_up_app(user)
        self._left = iter(RecoveryCodes.activate(user).generate_codes())

    def sign_in(self, browser: Client) -> bool:
        browser.post(SIGN_IN, {"login": "viewer", "password": PASSWORD})
        browser.post(CODE, {"code": next(self._left)})
        return browser.get("/portal/account/").status_code == 200


def leave(browser: Client) -> None:
    browser.post("/portal/sign-out/")
    assert browser.get("/portal/account/").status_code == 302


@pytest.fixture
def viewer(world: World) -> Codes:
    return Codes()


def test_a29_a_stranger_elsewhere_does_not_keep_a_person_out(viewer: Codes) -> None:
    guess("viewer", address=ELSEWHERE[0], times=10)
    assert viewer.sign_in(at(HOME))


def test_a29_strangers_everywhere_do_not_keep_a_person_out_of_a_browser_that_signed_in_before(viewer: Codes) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    browser.defaults["REMOTE_ADDR"] = "192.0.2.44"  # on the way
    for address in ELSEWHERE:
        guess("viewer", address=address, times=6)
    assert not viewer.sign_in(at("192.0.2.44"))  # strangers are many enough to stop whoever is unknown
    assert viewer.sign_in(browser)


def test_a29_strangers_everywhere_do_not_keep_a_person_out_of_an_address_where_she_signed_in_before(
    viewer: Codes,
) -> None:
    assert viewer.sign_in(at(HOME))
    for address in ELSEWHERE:
        guess("viewer", address=address, times=6)
    assert viewer.sign_in(at(HOME))


def test_a29_a_stranger_behind_the_same_address_does_not_keep_a_known_browser_out(viewer: Codes) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    guess("viewer", address=HOME, times=10)
    for number in range(31):  # and whatever one address may try in all
        guess(f"somebody{number}", address=HOME, times=1)
    assert not viewer.sign_in(at(HOME))
    assert viewer.sign_in(browser)


def test_a29_a_known_browser_may_not_guess_for_ever_either(viewer: Codes) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    for number in range(5):
        browser.post(SIGN_IN, {"login": "viewer", "password": f"wrong {number}"})
    assert not viewer.sign_in(browser)


@pytest.mark.parametrize(
    "change", [lambda told: told[:-1] + ("A" if told[-1] != "A" else "B"), lambda told: "", lambda told: "W10:x:y"]
)
def test_a29_a_browser_does_not_make_itself_known(viewer: Codes, change: Any) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    (name,) = [name for name in browser.cookies if name.startswith("kitovu_browser_")]
    browser.cookies[name] = change(browser.cookies[name].value)
    guess("viewer", address=HOME, times=5)
    assert not viewer.sign_in(browser)


def test_a29_what_one_persons_browser_is_known_as_is_nothing_to_anothers_name(viewer: Codes) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    person(Role.AUDITOR)
    (cookie,) = [morsel for name, morsel in browser.cookies.items() if name.startswith("kitovu_browser_")]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/portal/")
    thief = at(HOME)
    thief.cookies[known_browsers_for_lockout._cookie("auditor")] = cookie.value
    for number in range(5):
        thief.post(SIGN_IN, {"login": "auditor", "password": f"wrong {number}"})
    # All five counted for the address, as a stranger's do: with three more it is full.
    guess("somebody", address=HOME, times=3)
    refused = at(HOME).post(SIGN_IN, {"login": "nobody-else", "password": PASSWORD})
    assert "Too many failed" in refused.content.decode()


def test_a29_the_thief_of_a_password_guesses_few_codes_and_keeps_a_known_browser_in(viewer: Codes) -> None:
    browser = at(HOME)
    assert viewer.sign_in(browser)
    leave(browser)
    seen = 0
    for address in ELSEWHERE:
        thief = at(address)
        thief.post(SIGN_IN, {"login": "viewer", "password": PASSWORD})
        for number in range(6):
            answer = thief.post(CODE, {"code": f"{number:06}"})
            seen += "Incorrect code" in answer.content.decode()
    assert seen == 5
    assert viewer.sign_in(browser)


def basic(name: str, password: str, address: str) -> int:
    word = base64.b64encode(f"{name}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {word}"}
    return at(address).get("/api/ledger/v1/participants", headers=headers).status_code


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a29_strangers_elsewhere_do_not_keep_a_script_out_of_the_administration(world: World) -> None:
    UserFactory.create(password=PASSWORD, is_staff=True)
    assert basic("olga", PASSWORD, HOME) == 200
    for address in ELSEWHERE:
        for _ in range(6):
            assert basic("olga", "wrong", address) == 401
    assert basic("olga", PASSWORD, "192.0.2.44") == 401  # where nobody was known, it is closed for a while
    assert basic("olga", PASSWORD, HOME) == 200


@override_settings(**proofs.TOKEN)
def test_a29_wrong_secrets_for_a_dfsps_client_do_not_keep_it_out(world: World) -> None:
    client = proofs.register_client("green")
    for number in range(60):
        assert proofs.ask_token(client.credential.label, f"wrong {number}").status_code == 401
    token = proofs.token_of(client)
    assert dfsp("GET", "/parties/MSISDN/1", headers=proofs.bearer(token)).status_code == 202


def test_a29_a_count_that_began_without_an_end_gets_one(world: World) -> None:
    attempt = sign_in_attempts.Attempt("viewer", HOME, "", 12)
    for key, _ in attempt._places():
        cache.set(key, 0, timeout=None)  # as counting leaves it that meets the end of the one before
    assert attempt.begin()
    client = cache._cache.get_client(None)  # type: ignore[attr-defined]
    for key, _ in attempt._places():
        assert 0 < client.ttl(cache.make_key(key)) <= sign_in_attempts.FORGOTTEN_AFTER_S
