"""Every URL of the portal, asked by everybody with every method: the answer is the table's, and no URL is without."""

from collections.abc import Sequence

import pytest
from django.http import HttpResponseForbidden
from django.test import Client
from django.urls import reverse

import hub.urls
from hub.list_of_urls import urls_below
from portal import access_rule_check
from portal.access import Rule
from portal.permissions import RIGHTS, Right, Role
from portal.urls import SIGN_IN_PAGES
from tests.examples import USUAL, examples
from tests.factories import UserFactory
from tests.portal.people import browser_of, person, read_users_once
from tests.world import World

NONE_AND_ALL = ("nobody", "administrator")  # what does not depend on the role is asked of these
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# Something for each kind of argument; what it names need not exist: the door comes before the room.
ARGUMENTS = {
    "str": "x",
    "int": 999999,
    "slug": "x",
    "uuid": "b51ec534-ee48-4575-b6a9-ead2955b8069",
}
PAGES = [(pattern.name, pattern) for _, pattern in urls_below("portal/") if pattern.name not in SIGN_IN_PAGES]


def url_of(name: str, pattern: object) -> str:
    converters = pattern.pattern.converters  # type: ignore[attr-defined]
    kinds = {"StringConverter": "str", "IntConverter": "int", "SlugConverter": "slug", "UUIDConverter": "uuid"}
    return reverse(name, kwargs={key: ARGUMENTS[kinds[type(c).__name__]] for key, c in converters.items()})


@pytest.fixture
def people(world: World) -> dict[str, Client]:
    clients: dict[str, Client] = {"nobody": browser_of(person(None))}
    for role in Role:
        clients[role.value] = browser_of(person(role))
    # A superuser without a role may do no more than anybody.
    root = UserFactory.create(username="root", is_root=True)
    clients["superuser"] = browser_of(root)
    for client in clients.values():
        client.raise_request_exception = False
    return clients


def test_every_page_has_a_rule() -> None:
    assert access_rule_check.every_page_has_a_rule(None) == []
    assert len(PAGES) > 10
    assert all(rule_of(pattern).methods for _, pattern in PAGES)


def test_every_right_is_somebodys_and_used() -> None:
    assert set(RIGHTS) == set(Right)
    assert all(RIGHTS.values())


def rule_of(pattern: object) -> Rule:
    rule: Rule = pattern.callback.rule  # type: ignore[attr-defined]
    return rule


def _askers(number: int, method: str, right: Right | None, people: dict[str, Client]) -> Sequence[str]:
    """Everybody who must be refused, and one of those who are admitted: a page takes far longer than a refusal.

    The next page is asked by another of them, and in thorough runs each page is asked by all.

    A method that no right allows is refused before roles are read, and HEAD is GET without its text. Two are enough for
    them, and one for each such method of a page, because the other asks the next page.
    """
    if method == "HEAD":
        return NONE_AND_ALL
    if right is None:
        return NONE_AND_ALL if examples() > USUAL else [NONE_AND_ALL[(number + METHODS.index(method)) % 2]]
    admitted = [role.value for role in Role if role in RIGHTS[right]]
    asking = admitted if examples() > USUAL else [admitted[number % len(admitted)]]
    return [who for who in people if who not in admitted or who in asking]


def test_a27_everybody_who_is_refused_sees_a_page_that_says_so(people: dict[str, Client]) -> None:
    for who, client in people.items():
        name, pattern = next(
            (name, pattern)
            for name, pattern in PAGES
            if (right := rule_of(pattern).get) and (who not in Role.values or Role(who) not in RIGHTS[right])
        )
        answer = client.get(url_of(name, pattern))
        assert answer.status_code == 403, who
        assert answer.templates[0].name == "portal/error.html", who


def test_a27_every_url_answers_every_role_and_method_as_the_table_says(
    people: dict[str, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_users_once(monkeypatch)
    # The page that a refused user sees is tested above.
    monkeypatch.setattr(hub.urls, "handler403", lambda request, exception: HttpResponseForbidden())
    wrong = []
    for number, (name, pattern) in enumerate(PAGES):
        rule, url = rule_of(pattern), url_of(name, pattern)
        for method in METHODS:
            right = rule.needed(method)
            for who in _askers(number, method, right, people):
                client = people[who]
                status = client.generic(method, url).status_code
                roles = frozenset({Role(who)}) if who in Role.values else frozenset()
                if right is None:
                    is_right = status == 405
                elif not RIGHTS[right] & roles:
                    is_right = status == 403
                else:
                    is_right = status not in (401, 403, 405) and status < 500
                if not is_right:
                    wrong.append((who, method, url, status))
    assert wrong == []


def test_a27_who_is_not_signed_in_is_sent_to_the_sign_in(world: World) -> None:
    client = Client()
    for name, pattern in PAGES:
        for method in METHODS:
            url = url_of(name, pattern)
            answer = client.generic(method, url)
            assert answer.status_code == 302, (method, url)
            assert answer["Location"].startswith("/portal/sign-in/"), (method, url)
            assert ("next=" in answer["Location"]) is (method == "GET"), (method, url)


def test_a27_who_has_given_only_a_password_may_only_set_up_the_second_factor(world: World) -> None:
    client = browser_of(person(Role.ADMINISTRATOR), has_second_factor=False)
    open_pages = {"mfa_activate_totp", "account_reauthenticate"}
    for name, pattern in PAGES:
        answer = client.get(url_of(name, pattern))
        if name not in open_pages:
            assert (answer.status_code, answer["Location"]) == (302, reverse("mfa_activate_totp")), name
